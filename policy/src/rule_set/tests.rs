//! What is looked up is what would be found by looking at every rule, in each of the three ways of deciding.

use super::*;
use crate::request::{HttpRequest, Peer, Protocol, Request};
use crate::{Program, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Few values, so that rules and requests meet often, and rules come to the same.
fn some(of: &'static [&'static str], often: f64) -> impl Strategy<Value = Option<Vec<String>>> {
    let value = prop::sample::select(of).prop_map(str::to_owned);
    prop::option::weighted(often, prop::collection::vec(value, 1..3))
}

fn item<const N: usize>(fields: [(&'static str, Option<Vec<String>>); N]) -> Value {
    let given = fields.into_iter();
    let given = given.filter_map(|(name, list)| Some((name.to_owned(), json!(list?))));
    Value::Object(given.collect())
}

fn from() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"meshes": ["west"]}),
        json!({"meshes": ["*"]}),
        json!({"meshes": ["west"], "namespaces": ["b*"]}),
        json!({"meshes": ["*"], "notNamespaces": ["b"]}),
        json!({"ipBlocks": ["10.0.0.0/8"]}),
    ])
}

fn to() -> impl Strategy<Value = Value> {
    let fields = (
        some(&["/a", "/b", "/c", "/d", "/e/*"], 0.5),
        some(&["/b"], 0.1),
        some(&["GET", "PUT"], 0.2),
        some(&["80", "81"], 0.85),
        some(&["x", "*.y"], 0.3),
    );
    fields.prop_map(|(paths, not_paths, methods, ports, snis)| {
        item([
            ("namespaces", Some(vec!["*".into()])),
            ("paths", paths),
            ("notPaths", not_paths),
            ("methods", methods),
            ("ports", ports),
            ("snis", snis),
        ])
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let rule = (
        prop::sample::select(&["ALLOW", "DENY", "AUDIT"][..]),
        from(),
        prop::option::weighted(0.98, prop::collection::vec(to(), 1..3)),
        prop::bool::weighted(0.1),
    );
    rule.prop_map(|(action, from, to, when)| {
        let mut rule = json!({"action": action, "from": [from]});
        if let Some(to) = to {
            rule["to"] = json!(to);
        }
        if when {
            rule["when"] = json!([{"header": "x-a", "values": ["b"]}]);
        }
        rule
    })
}

fn program(rules: Vec<Value>, http_ports: bool) -> Program {
    let named = rules.into_iter().enumerate().map(|(at, mut rule)| {
        rule["name"] = json!(format!("r{at}"));
        rule
    });
    let mut policy = json!({
        "schema": "crossmesh/v1",
        "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "rules": named.collect::<Vec<_>>(),
    });
    if http_ports {
        policy["tcp"] = json!({"httpPorts": [80]});
    }
    let spec = parse(policy.to_string().as_bytes()).expect("a policy");
    Program::compile(&spec).expect("a valid policy")
}

fn scan<'r>(of: &'r Indexed, facts: &Facts<'_>, doubt: Doubt) -> Vec<&'r str> {
    let counting = of
        .rules
        .iter()
        .filter(|rule| doubt.counts(rule.holds(facts)));
    counting.map(|rule| &*rule.name).collect()
}

fn here() -> Node {
    Node {
        namespace: Some("shop".into()),
        ..Node::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn what_is_looked_up_is_what_a_scan_finds(
        rules in prop::collection::vec(rule(), 1..24),
        http_ports in any::<bool>(),
        san in prop::sample::select(&["spiffe://foo.com/ns/a/sa/x", "spiffe://bar.com/ns/b/sa/x", "spiffe://bar.com/other", "none"][..]),
        path in prop::sample::select(&["/a", "/c", "/e/1"][..]),
        port in prop::option::of(prop::sample::select(&[80u16, 81][..])),
        sni in prop::option::of(prop::sample::select(&["x", "z.y"][..])),
        ip in prop::option::of(prop::sample::select(&["10.0.0.1", "11.0.0.1"][..])),
    ) {
        let policy = program(rules, http_ports).bind(&here()).unwrap();
        let peer = if san == "none" { Peer::Plaintext } else { Peer::Certificate { uri_sans: &[san.as_bytes()] } };
        let source = policy.identify(&peer);
        let http = HttpRequest { path: Some(path.as_bytes()), method: Some(b"GET"), ..HttpRequest::default() };
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
                for doubt in [Doubt::Excluded, Doubt::Included] {
                    let found = of.first(&facts, doubt).map(|rule| &*rule.name);
                    prop_assert_eq!(found, scan(of, &facts, doubt).first().copied());
                }
            }
            prop_assert_eq!(set.audits(&facts), scan(&set.audit, &facts, Doubt::Included));
            // And so the three ways of deciding.
            let may_allow = scan(&set.deny, &facts, Doubt::Excluded).is_empty()
                && (set.defaults.of(source.class()) == Verdict::Allow
                    || !scan(&set.allow, &facts, Doubt::Included).is_empty());
            prop_assert_eq!(set.may_allow(&facts), may_allow);
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
        of.index.visit(&facts, doubt, &mut |_| count += 1);
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
