//! What is looked up is what would be found by looking at every rule, in each of the three ways of deciding.

use super::*;
use crate::request::{HttpRequest, Peer, Protocol, Request};
use crate::{Invalid, Problem, Program, parse};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod looked_at;
mod work;

/// Few values, so that rules and requests meet often, and rules come to the same.
fn some(of: &'static [&'static str], often: f64) -> impl Strategy<Value = Option<Vec<String>>> {
    let value = prop::sample::select(of).prop_map(str::to_owned);
    prop::option::weighted(often, prop::collection::vec(value, 1..3))
}

fn item(fields: impl IntoIterator<Item = (&'static str, Option<Vec<String>>)>) -> Value {
    let given = fields.into_iter();
    let given = given.filter_map(|(name, list)| Some((name.to_owned(), json!(list?))));
    Value::Object(given.collect())
}

/// A part of an item by its fields, each there as often as said: now lists, now their `not…` forms are what tells rules apart.
fn part(
    fields: &'static [(&'static str, &'static [&'static str])],
    often: f64,
) -> impl Strategy<Value = Value> {
    let lists: Vec<_> = fields
        .iter()
        .map(|(name, of)| some(of, often).prop_map(|list| (*name, list)))
        .collect();
    lists.prop_map(item)
}

const SOURCES: &[(&str, &[&str])] = &[
    ("namespaces", &["a", "b*", "*c"]),
    (
        "serviceAccounts",
        &["a/x", "a/x*", "a/*", "*/x", "*/*y", "b*/x"],
    ),
    (
        "principals",
        &[
            "bar.com/ns/a/sa/x",
            "bar.com/*",
            "foo.com/ns/*",
            "foo.com/*/x",
            "evil.com/ns/a/sa/x",
        ],
    ),
    ("trustDomains", &["foo.com", "bar.*"]),
    (
        "ipBlocks",
        &["10.0.0.0/8", "10.0.0.1", "2001:db8::/32", "0.0.0.0/0"],
    ),
];

const NOT_SOURCES: &[(&str, &[&str])] = &[
    ("notMeshes", &["west"]),
    ("notNamespaces", &["a", "b*"]),
    ("notServiceAccounts", &["a/x", "a/*", "*/x", "*/y*"]),
    (
        "notPrincipals",
        &[
            "bar.com/ns/a/sa/x",
            "bar.com/*",
            "foo.com/ns/*",
            "bar.com/*/x",
        ],
    ),
    ("notTrustDomains", &["foo.com"]),
    ("notIpBlocks", &["10.0.0.0/8", "10.0.0.1", "2001:db8::/32"]),
];

const REQUESTS: &[(&str, &[&str])] = &[
    (
        "paths",
        &[
            "/a",
            "/b",
            "/c",
            "/e/*",
            "*/1",
            "/{*}",
            "/e/{**}",
            "/{*}/1",
            "/{*}/2",
            "/{*}/1/{*}",
            "/{*}/2/{**}",
        ],
    ),
    ("methods", &["GET", "PUT"]),
    ("ports", &["80", "81"]),
    ("snis", &["x", "*.y"]),
    ("hosts", &["h", "*.i", "h*"]),
];

const NOT_REQUESTS: &[(&str, &[&str])] = &[
    ("notPaths", &["/a", "/b", "/e/*", "/{*}"]),
    ("notMethods", &["GET", "PUT"]),
    ("notPorts", &["80", "81"]),
    ("notSnis", &["x", "*.y"]),
    ("notHosts", &["h", "*.i"]),
];

fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// Of a source that need have no mesh, these fields alone make sense.
fn of_any_mesh(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| {
        let name = name.trim_start_matches("not").to_ascii_lowercase();
        !matches!(&*name, "namespaces" | "serviceaccounts")
    });
    let fields: serde_json::Map<_, _> = fields.map(|(n, v)| (n.clone(), v.clone())).collect();
    if fields.is_empty() {
        return json!({"notIpBlocks": ["10.0.0.1"]});
    }
    Value::Object(fields)
}

/// Of a source without an identity, these.
fn without_identity(which: &str, item: &Value) -> Value {
    let blocks = ["ipBlocks", "notIpBlocks"].map(|name| {
        let list = item.get(name).into_iter();
        Value::Object(list.map(|list| (name.to_owned(), list.clone())).collect())
    });
    merged([json!({which: true})].into_iter().chain(blocks))
}

fn from(often: f64, not: f64) -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(
        &[
            "west",
            "west",
            "*",
            "*",
            "any mesh",
            "plaintext",
            "passthrough",
        ][..],
    );
    (kind, part(SOURCES, often), part(NOT_SOURCES, not)).prop_map(|(kind, is, not)| {
        let item = merged([is, not]);
        match kind {
            "any mesh" => of_any_mesh(&item),
            "plaintext" | "passthrough" => without_identity(kind, &item),
            mesh => merged([json!({"meshes": [mesh]}), item]),
        }
    })
}

fn to(often: f64, not: f64) -> impl Strategy<Value = Value> {
    let own = json!({"namespaces": ["*"]});
    (Just(own), part(REQUESTS, often), part(NOT_REQUESTS, not))
        .prop_map(|(own, is, not)| merged([own, is, not]))
}

fn when(often: f64, not: f64) -> impl Strategy<Value = Vec<Value>> {
    const VALUES: &[&str] = &["v", "v*", "*w", "u"];
    let header = prop::sample::select(&["x-a", "x-b", "x-c"][..]);
    let condition = (header, some(VALUES, often), some(VALUES, not));
    let condition = condition.prop_map(|(header, is, not)| {
        merged([
            json!({"header": header}),
            item([("values", is), ("notValues", not)]),
        ])
    });
    let said = |conditions: Vec<Value>| {
        let said = |condition: &Value| condition.as_object().is_some_and(|fields| fields.len() > 1);
        conditions.into_iter().filter(said).collect()
    };
    prop::collection::vec(condition, 0..3).prop_map(said)
}

fn rule(often: f64, not: f64) -> impl Strategy<Value = Value> {
    let rule = (
        prop::sample::select(&["ALLOW", "DENY", "AUDIT"][..]),
        // Also so many that a rule is not taken apart by both lists.
        prop_oneof![
            4 => prop::collection::vec(from(often, not), 1..4),
            1 => prop::collection::vec(from(often, not), 5..8),
        ],
        prop::bool::weighted(0.2),
        prop::option::weighted(0.9, prop::collection::vec(to(often, not), 1..5)),
        when(often, not),
    );
    rule.prop_map(|(action, from, from_all, to, when)| {
        let mut rule = json!({"action": action});
        if action == "ALLOW" || !from_all {
            rule["from"] = json!(from);
        }
        if let Some(to) = to {
            rule["to"] = json!(to);
        }
        if !when.is_empty() {
            rule["when"] = json!(when);
        }
        rule
    })
}

/// One line of a header: now one value, now many.
fn line() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(&["v", "vw", "u", "v1", "x", ""][..]);
    let few = prop::collection::vec(value(), 1..4).prop_map(|values| values.join(","));
    // Also more than are looked at.
    let many = prop::collection::vec(value(), 20..140).prop_map(|values| values.join(", "));
    let same = value().prop_map(|value| [value; 40].join(","));
    prop_oneof![6 => few, 1 => many, 1 => same]
}

/// Policies whose rules differ by few fields or by many, by what they match or by what they do not.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    let often = prop::sample::select(
        &[
            (0.1, 0.05),
            (0.4, 0.1),
            (0.1, 0.3),
            (0.01, 0.4),
            (0.05, 0.1),
        ][..],
    );
    often.prop_flat_map(|(often, not)| prop::collection::vec(rule(often, not), 1..90))
}

/// The policy of these rules, without those that are refused because they could never match.
fn program(rules: Vec<Value>, http_ports: bool) -> Program {
    let named = rules.into_iter().enumerate().map(|(at, mut rule)| {
        rule["name"] = json!(format!("r{at}"));
        rule
    });
    let mut rules: Vec<Value> = named.collect();
    if let Err(invalid) = compiled(&rules, http_ports) {
        let could_match = |problem: &Problem| !problem.problem.ends_with("it would never match");
        let wrong = invalid.problems.iter().find(|problem| could_match(problem));
        assert_eq!(wrong, None);
        let named = invalid
            .problems
            .into_iter()
            .flat_map(|problem| problem.rule);
        let named: BTreeSet<String> = named.collect();
        rules.retain(|rule| !named.contains(rule["name"].as_str().expect("a name")));
    }
    compiled(&rules, http_ports).expect("a valid policy")
}

fn compiled(rules: &[Value], http_ports: bool) -> Result<Program, Invalid> {
    let mut policy = json!({
        "schema": "crossmesh/v1",
        "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    });
    if !rules.is_empty() {
        policy["rules"] = json!(rules);
    }
    if http_ports {
        policy["tcp"] = json!({"httpPorts": [80]});
    }
    let spec = parse(policy.to_string().as_bytes()).expect("a policy");
    Program::compile(&spec)
}

fn scan<'r>(of: &'r Indexed, facts: &Facts<'_>, doubt: Doubt) -> Vec<&'r str> {
    let counting = of
        .rules
        .iter()
        .filter(|rule| doubt.counts(rule.terms().hold(facts)));
    counting.map(|rule| &*rule.name).collect()
}

fn here() -> Node {
    Node {
        namespace: Some("shop".into()),
        ..Node::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(700) })]

    #[test]
    fn what_is_looked_up_is_what_a_scan_finds(
        rules in rules(),
        http_ports in any::<bool>(),
        san in prop::sample::select(&[
            "spiffe://foo.com/ns/a/sa/x", "spiffe://bar.com/ns/b/sa/x", "spiffe://bar.com/ns/a/sa/zy",
            "spiffe://bar.com/other/x", "spiffe://evil.com/ns/a/sa/x", "spiffe://evil.com/x", "not SPIFFE",
            "plaintext", "passthrough",
        ][..]),
        path in prop::option::of(prop::sample::select(&["/a", "/c", "/e/1", "/b/../a", "/%61", "/e/1/x", "/e/2/", "/x/1/../2/y"][..])),
        host in prop::option::of(prop::sample::select(&["h", "a.i", "H:80"][..])),
        method in prop::option::weighted(0.9, prop::sample::select(&["GET", "PUT", "POST", ""][..])),
        headers in prop::collection::vec((prop::sample::select(&["x-a", "x-b", "x-c", "x-d"][..]), line()), 0..6),
        port in prop::option::of(prop::sample::select(&[80u16, 81][..])),
        sni in prop::option::of(prop::sample::select(&["x", "z.y"][..])),
        ip in prop::option::of(prop::sample::select(&["10.0.0.1", "11.0.0.1", "::ffff:10.0.0.2", "2001:db8::1"][..])),
    ) {
        let policy = program(rules, http_ports).bind(&here()).unwrap();
        let uri_sans = [san.as_bytes()];
        let peer = match san {
            "plaintext" => Peer::Plaintext,
            "passthrough" => Peer::Passthrough,
            _ => Peer::Certificate { uri_sans: &uri_sans },
        };
        let source = policy.identify(&peer);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let http = HttpRequest {
            host: host.map(str::as_bytes),
            path: path.map(str::as_bytes),
            method: method.map(str::as_bytes),
            headers: &headers,
        };
        for protocol in [Protocol::Http(http), Protocol::Tcp] {
            let request = Request {
                source_ip: ip.map(|ip| ip.parse().unwrap()),
                port,
                sni: sni.map(str::as_bytes),
                protocol,
            };
            let facts = Facts::new(&source, &request);
            let set = &policy.active;
            for of in [&set.deny, &set.allow, &set.audit] {
                let Some(action) = of.rules.first().map(|rule| rule.action) else { continue };
                let deep = Indexed {
                    index: Index::build_deep(&of.rules, action, &policy.common),
                    rules: of.rules.clone(),
                };
                for doubt in [Doubt::Excluded, Doubt::Included] {
                    let all = scan(of, &facts, doubt);
                    for of in [of, &deep] {
                        let found = of.first(&facts, doubt).map(|rule| &*rule.name);
                        prop_assert_eq!(found, all.first().copied());
                    }
                    if action == Action::Audit || !facts.is_connection() {
                        let found: Vec<&str> = deep.all(&facts, doubt).iter().map(|rule| &*rule.name).collect();
                        prop_assert_eq!(found, all);
                    }
                }
            }
            prop_assert_eq!(set.audits(&facts), scan(&set.audit, &facts, Doubt::Included));
            // And so the three ways of deciding.
            let may_allow = scan(&set.deny, &facts, Doubt::Excluded).is_empty()
                && (set.defaults.of(source.class()) == Verdict::Allow
                    || !scan(&set.allow, &facts, Doubt::Included).is_empty());
            prop_assert_eq!(set.may_allow(&facts).is_some(), may_allow);
        }
    }
}

/// How many rules a connection of the west's looks at, doubt excluded and included.
fn looked_at(action: &str, rule: impl Fn(usize) -> Value) -> [usize; 2] {
    let rules = (0..2_000).map(|i| {
        let mut rule = rule(i);
        rule["action"] = json!(action);
        rule["from"] = json!([{"meshes": ["west"]}]);
        rule
    });
    let policy = program(rules.collect(), true).bind(&here()).unwrap();
    let source = policy.identify(&Peer::Certificate {
        uri_sans: &[b"spiffe://bar.com/ns/a/sa/x"],
    });
    let request = Request {
        source_ip: None,
        port: Some(80),
        sni: None,
        protocol: Protocol::Tcp,
    };
    let facts = Facts::new(&source, &request);
    let of = if action == "DENY" {
        &policy.active.deny
    } else {
        &policy.active.allow
    };
    [Doubt::Excluded, Doubt::Included].map(|doubt| {
        let mut count = 0;
        of.index.visit(&facts, doubt, &mut |_| {
            count += 1;
            usize::MAX
        });
        count
    })
}

#[test]
fn of_many_rules_that_only_http_tells_apart_a_connection_looks_at_few() {
    let few = |[excluded, included]: [usize; 2]| excluded <= 4 && included <= 4;
    let mine = |to: Value| {
        let mut to = to;
        to["namespaces"] = json!(["shop"]);
        json!({"to": [to]})
    };
    for action in ["ALLOW", "DENY"] {
        for (by, count) in [
            (
                "path",
                looked_at(action, |i| mine(json!({"paths": [format!("/p{i}")]}))),
            ),
            (
                "host",
                looked_at(action, |i| mine(json!({"hosts": [format!("h{i}")]}))),
            ),
            (
                "not a path",
                looked_at(action, |i| mine(json!({"notPaths": [format!("/p{i}")]}))),
            ),
            (
                "path and port",
                looked_at(action, |i| {
                    mine(json!({"paths": [format!("/p{}", i / 3)], "ports": [80 + i % 3]}))
                }),
            ),
            (
                "header",
                looked_at(
                    action,
                    |i| json!({"when": [{"header": "x-a", "values": [format!("v{i}")]}]}),
                ),
            ),
        ] {
            assert!(few(count), "{action} by {by}: {count:?}");
        }
    }
}
