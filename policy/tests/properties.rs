//! What must hold for every input, not only for those somebody thought of.
#![cfg(test)]

use std::net::IpAddr;

use crossmesh_policy::{
    Action, Deciding, HttpRequest, Node, Outcome, Peer, Program, Protocol, Request, SourceClass,
    SpiffeId, Verdict, parse,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Few values, so that rules and requests meet often.
fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

const PRINCIPALS: &[&str] = &[
    "foo.com/ns/a/sa/x",
    "bar.com/ns/a/sa/x",
    "bar.com/*",
    "foo.com/ns/*",
    "evil.com/ns/a/sa/x",
];
const PATHS: &[&str] = &["/a", "/a/*", "*/b", "/{*}/b", "/a/{**}", "*"];

fn list(values: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    list_weighted(0.4, values)
}

/// A field that is there with this probability.
fn list_weighted(
    probability: f64,
    values: &'static [&'static str],
) -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::weighted(probability, prop::collection::vec(one_of(values), 1..3))
}

fn item(fields: Vec<(&'static str, Option<Vec<String>>)>) -> Value {
    let given = fields
        .into_iter()
        .filter_map(|(name, list)| Some((name.to_owned(), json!(list?))));
    Value::Object(given.collect())
}

fn from() -> impl Strategy<Value = Value> {
    let fields = (
        list_weighted(0.9, &["east", "west", "*"]),
        list(&["west"]),
        list(&["a", "b*"]),
        list(&["a"]),
        list(PRINCIPALS),
        list(PRINCIPALS),
        list(&["10.0.0.0/8"]),
    );
    fields.prop_map(
        |(meshes, not_meshes, namespaces, not_namespaces, principals, not_principals, ip)| {
            item(vec![
                ("meshes", meshes),
                ("notMeshes", not_meshes),
                ("namespaces", namespaces),
                ("notNamespaces", not_namespaces),
                ("principals", principals),
                ("notPrincipals", not_principals),
                ("ipBlocks", ip),
            ])
        },
    )
}

fn to() -> impl Strategy<Value = Value> {
    let fields = (
        list(PATHS),
        list(PATHS),
        list(&["GET"]),
        list(&["shop", "other"]),
        list_weighted(0.6, &["80"]),
    );
    fields.prop_map(|(paths, not_paths, methods, namespaces, ports)| {
        item(vec![
            ("paths", paths),
            ("notPaths", not_paths),
            ("methods", methods),
            ("namespaces", namespaces),
            ("ports", ports),
        ])
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let items = |item| prop::option::weighted(0.9, prop::collection::vec(item, 1..3));
    let rule = (
        one_of(&["ALLOW", "DENY", "AUDIT"]),
        items(from().boxed()),
        items(to().boxed()),
    );
    prop::collection::vec(rule, 1..24).prop_map(|rules| {
        let rules: Vec<Value> = rules
            .into_iter()
            .enumerate()
            .map(|(i, (action, from, to))| {
                let mut rule = json!({"name": format!("r{i}"), "action": action});
                for (part, items) in [("from", from), ("to", to)] {
                    if let Some(items) = items {
                        rule[part] = json!(items);
                    }
                }
                rule
            })
            .filter(|rule| compile(&with_rules(&json!([rule]))).is_some())
            .collect();
        with_rules(&json!(rules))
    })
}

fn with_rules(rules: &Value) -> Value {
    json!({
        "schema": "crossmesh/v1",
        "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "tcp": {"httpPorts": [80]},
        "rules": rules,
    })
}

fn compile(policy: &Value) -> Option<Program> {
    let spec = parse(policy.to_string().as_bytes());
    spec.and_then(|spec| Program::compile(&spec)).ok()
}

const SANS: &[&str] = &[
    "spiffe://foo.com/ns/a/sa/x",
    "spiffe://bar.com/ns/a/sa/x",
    "spiffe://bar.com/ns/b/sa/x",
    "spiffe://bar.com/other",
    "spiffe://evil.com/ns/a/sa/x",
    "nonsense",
];

/// The URI SANs of a certificate: mostly one.
fn certificate() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        4 => prop::collection::vec(one_of(SANS), 1),
        1 => prop::collection::vec(one_of(SANS), 0..4),
    ]
}

/// The fields of an item, each with values of which many exclude each other.
const FROM: &[(&str, &[&str])] = &[
    ("meshes", &["east", "west", "*"]),
    ("trustDomains", &["foo.com", "bar.com", "b*", "*.com"]),
    ("namespaces", &["a", "a*", "*b", "b"]),
    ("serviceAccounts", &["a/x", "a*/x*", "*/x", "b/*", "*/*"]),
    ("principals", PRINCIPALS),
    ("ipBlocks", &["10.0.0.0/8", "10.0.0.1"]),
];
const TO: &[(&str, &[&str])] = &[
    ("namespaces", &["shop", "s*", "*b"]),
    ("workloads", &["shop/cart", "s*/*", "b/*"]),
    ("hosts", &["h", "h*", "*.i", "*"]),
    ("ports", &["80", "81"]),
    ("methods", &["GET", "P*", "*"]),
    ("paths", PATHS),
    ("snis", &["x", "*"]),
];
const WHEN: &[(&str, &[&str])] = &[("values", &["v", "v*", "*w", "*"])];

type Fields = Vec<(String, Option<Vec<String>>)>;

/// Some of the fields and of their `not…` forms.
fn some(
    fields: &'static [(&'static str, &'static [&'static str])],
) -> impl Strategy<Value = Fields> {
    let both = fields.iter().flat_map(|(name, values)| {
        let (first, rest) = name.split_at(1);
        let not = format!("not{}{rest}", first.to_ascii_uppercase());
        [(*name).to_owned(), not]
            .map(|name| list(values).prop_map(move |list| (name.clone(), list)))
    });
    both.collect::<Vec<_>>()
}

/// A rule with one item of these fields, and what besides it needs to be read.
fn rule_of(name: &str, action: &str, part: &str, fields: &[(String, Vec<String>)]) -> Value {
    let mut item: Value = fields
        .iter()
        .map(|(name, list)| (name.clone(), json!(list)))
        .collect();
    let has = |item: &Value, names: &[&str]| names.iter().any(|name| item.get(name).is_some());
    match part {
        "from" if !has(&item, &["meshes", "trustDomains"]) => item["trustDomains"] = json!(["*"]),
        "to" if !has(&item, &["namespaces", "workloads"]) => item["namespaces"] = json!(["*"]),
        "when" => item["header"] = json!("x-a"),
        _ => {}
    }
    let mut rule = json!({"name": name, "action": action, "from": [{"trustDomains": ["*"]}]});
    rule[part] = json!([item]);
    rule
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 10_000, ..ProptestConfig::with_cases(1000) })]

    /// The traces of an explanation, put together by the language's own rule, give the decision that the filter takes.
    #[test]
    fn an_explanation_explains_the_decision(
        policy in policy(),
        certificate in prop::option::of(certificate()),
        path in prop::option::of(one_of(&["/a", "/a/b", "/x/../a", "/%61", "//b"])),
        method in prop::option::of(one_of(&["GET", "PUT"])),
        port in prop::option::of(prop::sample::select(&[80u16, 81][..])),
        ip in prop::option::of(prop::sample::select(&["10.0.0.1", "11.0.0.1"][..])),
        tcp in any::<bool>(),
        through in any::<bool>(),
    ) {
        let Some(program) = compile(&policy) else {
            return Ok(()); // no rule was left
        };
        let node = Node { namespace: Some("shop".into()), ..Node::default() };
        let sans: Vec<&[u8]> = certificate.iter().flatten().map(|san| san.as_bytes()).collect();
        let without = if through { Peer::Passthrough } else { Peer::Plaintext };
        let peer = if certificate.is_some() { Peer::Certificate { uri_sans: &sans } } else { without };
        let http = HttpRequest {
            host: None,
            method: method.as_deref().map(str::as_bytes),
            path: path.as_deref().map(str::as_bytes),
            headers: &[],
        };
        let request = Request {
            source_ip: ip.map(|ip| ip.parse::<IpAddr>().unwrap()),
            port,
            sni: None,
            protocol: if tcp { Protocol::Tcp } else { Protocol::Http(http) },
        };
        let bound = program.bind(&node).unwrap();
        let decision = bound.decide(&bound.identify(&peer), &request);
        let explanation = program.explain(&node, &peer, &request).unwrap();
        let matched = |action| explanation.rules.iter().find(move |r| r.action == action && r.outcome == Outcome::Matched);
        let by_traces = matched(Action::Deny)
            .map(|rule| (Verdict::Deny, rule))
            .or_else(|| matched(Action::Allow).map(|rule| (Verdict::Allow, rule)));
        prop_assert_eq!(explanation.verdict, decision.verdict);
        match (&explanation.decided_by, by_traces) {
            (Deciding::Rule(name), Some((verdict, rule))) => {
                prop_assert_eq!(name, &rule.name);
                prop_assert_eq!(verdict, decision.verdict);
            }
            (Deciding::Default(_), None) => {}
            (by, rule) => prop_assert!(false, "{:?} but {:?}", by, rule),
        }
        let counted = explanation.rules.iter().filter(|r| r.action == Action::Audit && r.matched());
        let mut counted: Vec<&str> = counted.map(|r| &*r.name).collect();
        let mut audits = decision.audits.clone();
        counted.sort_unstable();
        audits.sort_unstable();
        prop_assert_eq!(counted, audits);
        // What no ALLOW may ever let in.
        if certificate.is_some() && sans.len() != 1 {
            prop_assert_eq!(explanation.source.class, SourceClass::InvalidIdentity);
        }
        if explanation.source.class == SourceClass::InvalidIdentity {
            prop_assert_eq!(decision.verdict, Verdict::Deny);
        }
        if explanation.source.class == SourceClass::Plaintext {
            prop_assert_eq!(decision.verdict, Verdict::Deny, "nothing here says plaintext: true");
        }
    }

    /// Of one item all fields must match: so where it is refused because they never would, no request matches a rule of each.
    #[test]
    fn what_is_refused_as_never_matching_never_matches(
        (part, fields) in prop_oneof![
            some(FROM).prop_map(|fields| ("from", fields)),
            some(TO).prop_map(|fields| ("to", fields)),
            some(WHEN).prop_map(|fields| ("when", fields)),
        ],
        action in one_of(&["ALLOW", "DENY", "AUDIT"]),
        requests in prop::collection::vec((
            one_of(SANS),
            one_of(&["/a", "//a", "/a/b", "/%61", "%2Fa", "/b", "*"]),
            one_of(&["GET", "PUT"]),
            one_of(&["h", "h.i", "i"]),
            prop::option::of(one_of(&["v", "vw", "u", "u,v", "w,v,u"])),
            prop::sample::select(&[80u16, 81][..]),
            prop::sample::select(&["10.0.0.1", "10.0.0.2", "11.0.0.1"][..]),
        ), 40),
    ) {
        let fields: Vec<_> = fields.into_iter().filter_map(|(name, list)| Some((name, list?))).collect();
        let whole = with_rules(&json!([rule_of("r", &action, part, &fields)]));
        let spec = parse(whole.to_string().as_bytes()).unwrap();
        let refused = Program::compile(&spec).err().into_iter().flat_map(|invalid| invalid.problems);
        let refused: Vec<_> = refused.map(|problem| problem.problem).collect();
        prop_assume!(!refused.is_empty() && refused.iter().all(|why| why.contains("would never match")));
        let each = fields.iter().enumerate().map(|(i, field)| {
            rule_of(&format!("r{i}"), &action, part, std::slice::from_ref(field))
        });
        let each = compile(&with_rules(&json!(each.collect::<Vec<_>>())));
        // What alone is refused is looked at by hand.
        prop_assume!(each.is_some());
        let node = Node {
            mesh: Some("east".into()),
            namespace: Some("shop".into()),
            workload: Some("cart".into()),
            ..Node::default()
        };
        for (san, path, method, host, header, port, ip) in &requests {
            let uri_sans = [san.as_bytes()];
            let peer = Peer::Certificate { uri_sans: &uri_sans };
            let header = header.as_ref().map(|value| (&b"x-a"[..], value.as_bytes()));
            let request = Request {
                source_ip: Some(ip.parse().unwrap()),
                port: Some(*port),
                sni: Some(b"x"),
                protocol: Protocol::Http(HttpRequest {
                    host: Some(host.as_bytes()),
                    method: Some(method.as_bytes()),
                    path: Some(path.as_bytes()),
                    headers: header.as_slice(),
                }),
            };
            let explained = each.as_ref().unwrap().explain(&node, &peer, &request).unwrap();
            let all = explained.rules.iter().all(|rule| rule.outcome == Outcome::Matched);
            prop_assert!(!all, "{refused:?} {explained:?}");
        }
    }

    /// Rules in another order decide the same.
    #[test]
    fn the_order_of_rules_does_not_matter_for_the_verdict(policy in policy(), san in one_of(SANS), path in one_of(&["/a", "/a/b"])) {
        let mut turned = policy.clone();
        turned["rules"].as_array_mut().unwrap().reverse();
        let verdict = |policy: &Value| {
            let program = compile(policy)?;
            let policy = program.bind(&Node { namespace: Some("shop".into()), ..Node::default() }).unwrap();
            let source = policy.identify(&Peer::Certificate { uri_sans: &[san.as_bytes()] });
            let http = HttpRequest { path: Some(path.as_bytes()), method: Some(b"GET"), ..HttpRequest::default() };
            let request = Request { source_ip: None, port: Some(80), sni: None, protocol: Protocol::Http(http) };
            Some(policy.decide(&source, &request).verdict)
        };
        prop_assert_eq!(verdict(&policy), verdict(&turned));
    }

    /// No bytes make reading a policy or an identity panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        if let Ok(id) = SpiffeId::parse(&bytes) {
            prop_assert_eq!(id.as_str().as_bytes(), &bytes[..]);
        }
    }

    /// A policy that is cut anywhere, or has a byte changed, is read or refused.
    #[test]
    fn a_damaged_policy_is_read_or_refused(policy in policy(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = policy.to_string().into_bytes();
        let at = cut.index(json.len());
        let _ = parse(&json[..at]);
        json[at] = byte;
        let _ = parse(&json).and_then(|spec| Program::compile(&spec));
    }
}
