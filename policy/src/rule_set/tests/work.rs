//! How much work a request can make, whatever it sends and whatever is asked: never what the one times the other is.

use super::*;
use crate::facts::MOST_VALUES;
use crate::{Policy, work};

/// What a client can send in headers, in bytes: what Envoy takes is 60 KiB in all.
const SENT: usize = 59_000;
/// What a decision may cost at most: each byte sent is read a few times, and then there are some thousands of steps.
const MOST: usize = 300_000;
/// The values, templates or rules of a policy.
const MANY: usize = 10_000;

struct Sent {
    path: String,
    headers: Vec<(&'static str, String)>,
}

fn header(value: String) -> Sent {
    headers(vec![("x-a", value)])
}

fn headers(headers: Vec<(&'static str, String)>) -> Sent {
    Sent {
        path: "/".into(),
        headers,
    }
}

fn path(path: String) -> Sent {
    Sent {
        path,
        headers: Vec::new(),
    }
}

/// The policy with these rules, which do this.
fn policy(action: &str, rules: Vec<Value>) -> Policy {
    let rules = rules.into_iter().map(|mut rule| {
        rule["action"] = json!(action);
        rule["from"] = json!([{"meshes": ["west"]}]);
        rule
    });
    program(rules.collect(), false).bind(&here()).unwrap()
}

/// The rule that decides, if one does, and the work that it was.
fn decided(policy: &Policy, sent: &Sent) -> (bool, usize) {
    let source = policy.identify(&Peer::Certificate {
        uri_sans: &[b"spiffe://bar.com/ns/a/sa/b"],
    });
    let lines = sent.headers.iter();
    let headers: Vec<_> = lines.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let request = Request {
        source_ip: None,
        port: None,
        sni: None,
        protocol: Protocol::Http(HttpRequest {
            host: Some(b"catalog.shop"),
            method: Some(b"GET"),
            path: Some(sent.path.as_bytes()),
            headers: &headers,
        }),
    };
    work::take();
    let decision = policy.decide(&source, &request);
    let by_rule = matches!(decision.decided_by, DecidedBy::Rule(_));
    (by_rule || !decision.audits.is_empty(), work::take())
}

#[track_caller]
fn is_little(what: &str, rules: &[Value], sent: &Sent) {
    for action in ["ALLOW", "DENY", "AUDIT"] {
        let (_, work) = decided(&policy(action, rules.to_vec()), sent);
        assert!(work <= MOST, "{action}, {what}: {work}");
    }
}

fn values(count: usize, value: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(value).collect()
}

#[test]
fn of_many_values_and_one_long_list() {
    let list = values(MANY, |i| format!("v{i}"));
    for field in ["values", "notValues"] {
        let rules = [json!({"when": [{"header": "x-a", field: list}]})];
        for (what, sent) in [
            ("empty ones", ",".repeat(SENT)),
            ("the last of the list", vec!["v9999"; SENT / 6].join(",")),
            (
                "as many as are looked at",
                vec!["v9999"; MOST_VALUES].join(","),
            ),
            (
                "long ones",
                vec!["v".repeat(SENT / MOST_VALUES - 1); MOST_VALUES].join(","),
            ),
            ("one", "v".repeat(SENT)),
        ] {
            is_little(&format!("{field}, {what}"), &rules, &header(sent));
        }
    }
}

#[test]
fn of_one_rule_with_a_long_list() {
    type Value = fn(usize) -> String;
    let lists: [(&str, &str, Value); 8] = [
        ("from", "serviceAccounts", |i| format!("n{i}/s{i}")),
        ("from", "serviceAccounts", |i| format!("*/s{i}")),
        ("from", "principals", |i| format!("bar.com/ns/n{i}/*")),
        ("from", "namespaces", |i| format!("n{i}*")),
        ("to", "paths", |i| format!("/p{i}/{{*}}")),
        ("to", "paths", |i| format!("/{{*}}/p{i}")),
        ("to", "hosts", |i| format!("*.h{i}")),
        ("to", "methods", |i| format!("M{i}")),
    ];
    for (item, field, value) in lists {
        let list = values(MANY, value);
        for field in [
            field.to_owned(),
            format!("not{}{}", field[..1].to_uppercase(), &field[1..]),
        ] {
            let fields = json!({field.as_str(): list});
            let mut rule = json!({"from": [{"meshes": ["west"]}], "to": [{"namespaces": ["*"]}]});
            for (name, value) in fields.as_object().unwrap() {
                rule[item][0][name] = value.clone();
            }
            for action in ["ALLOW", "DENY", "AUDIT"] {
                rule["action"] = json!(action);
                let policy = program(vec![rule.clone()], false).bind(&here()).unwrap();
                let (_, work) = decided(&policy, &path("/x/y".into()));
                assert!(
                    work < 300,
                    "{action} by {field} such as {}: {work}",
                    list[0]
                );
            }
        }
    }
}

#[test]
fn of_two_headers_and_many_rules() {
    let rules: Vec<Value> = (0..MANY)
        .map(|i| {
            json!({"when": [
                {"header": "x-a", "values": [format!("{:03}", i / 8)]},
                {"header": "x-b", "values": [format!("w{}", i % 8)]},
            ]})
        })
        .collect();
    for most in [MOST_VALUES, 1_250] {
        let sent = headers(vec![
            ("x-a", values(most, |i| format!("{i:03}")).join(",")),
            ("x-b", ",".repeat(most.min(MOST_VALUES) - 1)),
        ]);
        is_little(&format!("{most} values"), &rules, &sent);
    }
}

#[test]
fn of_a_long_value_that_many_rules_ask_about() {
    let rules: Vec<Value> = (0..MANY)
        .map(|i| {
            json!({"when": [
                {"header": "x-a", "values": [format!("a{i}*")]},
                {"header": "x-b", "notValues": [format!("w{i}")]},
            ]})
        })
        .collect();
    let sent = headers(vec![("x-a", "a9999".into()), ("x-b", "y".repeat(SENT))]);
    is_little("a long value", &rules, &sent);
}

#[test]
fn of_a_long_path_and_many_templates() {
    let long = "@".repeat(SENT);
    for (before, behind) in [
        ("/{*}/p", ""),
        ("/{*}/{**}/p", ""),
        ("/{*}/p", "/{*}"),
        ("/{*}/p", "/{**}"),
    ] {
        let list = values(1_000, |i| format!("{before}{i}{behind}"));
        for field in ["paths", "notPaths"] {
            let rules = [json!({"to": [{"namespaces": ["*"], field: list}]})];
            for (what, sent) in [
                ("one segment", format!("/{long}")),
                ("and one that is wanted", format!("/{long}/p5")),
                ("many segments", "/a".repeat(SENT / 2)),
                ("many segments that are decoded", "/%61".repeat(SENT / 4)),
            ] {
                is_little(&format!("{field} {}, {what}", list[0]), &rules, &path(sent));
            }
        }
    }
}

#[test]
fn more_values_than_are_looked_at_are_not_known() {
    for (field, value) in [("values", "gold"), ("notValues", "lead")] {
        let rules = vec![json!({"when": [{"header": "x-a", field: [value]}]})];
        for (action, at_most, beyond) in [
            ("ALLOW", true, false),
            ("DENY", true, true),
            ("AUDIT", true, true),
        ] {
            let policy = policy(action, rules.clone());
            let of = |count| decided(&policy, &header(vec!["gold"; count].join(","))).0;
            assert_eq!(of(MOST_VALUES), at_most, "{action} by {field}");
            assert_eq!(of(MOST_VALUES + 1), beyond, "{action} by {field}");
        }
        // Doubt refuses: what no value meets, too many values do.
        let policy = policy("DENY", rules);
        let of = |count, value: &str| decided(&policy, &header(vec![value; count].join(","))).0;
        assert!(!of(MOST_VALUES, "lead"), "{field}");
        assert!(of(MOST_VALUES + 1, "lead"), "{field}");
    }
}
