//! Which rules are visited: all that may apply, and of ten thousand only a few.

use super::*;
use crate::request::{HttpRequest, Node as Proxy, Peer, Protocol, Request};
use crate::spec::Action;
use crate::{Policy, Program, parse};
use serde_json::{Value, json};

fn program(rules: Vec<Value>) -> Program {
    let policy = json!({
        "schema": "crossmesh/v1",
        "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "rules": rules,
    });
    let spec = parse(policy.to_string().as_bytes()).expect("a policy");
    Program::compile(&spec).expect("a valid policy")
}

fn many(rule: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..10_000).map(rule).collect()
}

/// How many of the rules one request visits.
fn visited(rules: Vec<Value>, san: &str, path: &str) -> usize {
    let program = program(rules);
    let policy: Policy = program.bind(&Proxy::default()).expect("a mesh");
    let source = policy.identify(&Peer::Certificate {
        uri_sans: &[san.as_bytes()],
    });
    let http = HttpRequest {
        host: Some(b"h7.shop.svc.cluster.local:80"),
        path: Some(path.as_bytes()),
        method: Some(b"GET"),
        headers: &[],
    };
    let request = Request {
        source_ip: None,
        port: Some(80),
        sni: None,
        protocol: Protocol::Http(http),
    };
    let rules: Vec<Rule> = program
        .active
        .rules
        .iter()
        .filter(|r| r.action == Action::Allow)
        .cloned()
        .collect();
    let index = Index::build(&rules, Action::Allow, &program.common);
    let mut count = 0;
    let facts = Facts::new(&source, &request);
    index.visit(&facts, Doubt::settled(Action::Allow), &mut |_| count += 1);
    count
}

#[test]
fn of_ten_thousand_rules_a_request_visits_a_few() {
    let allow = |i: usize, from: Value, to: Value| json!({"name": format!("r{i}"), "action": "ALLOW", "from": [from], "to": [to]});
    let san = "spiffe://bar.com/ns/n7/sa/s7";
    let west = json!({"meshes": ["west"]});
    let get = json!({"methods": ["GET"]});
    let by = |name: &str, rules: Vec<Value>, path: &str| {
        let count = visited(rules, san, path);
        assert!(count <= 8, "by {name}: {count}");
    };
    by(
        "principal",
        many(|i| {
            allow(
                i,
                json!({"principals": [format!("bar.com/ns/n{i}/sa/s{i}")]}),
                get.clone(),
            )
        }),
        "/",
    );
    by(
        "account",
        many(|i| {
            allow(
                i,
                json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]}),
                get.clone(),
            )
        }),
        "/",
    );
    by(
        "namespace",
        many(|i| {
            allow(
                i,
                json!({"meshes": ["west"], "namespaces": [format!("n{i}")]}),
                get.clone(),
            )
        }),
        "/",
    );
    by(
        "path",
        many(|i| allow(i, west.clone(), json!({"paths": [format!("/p{i}")]}))),
        "/p7",
    );
    by(
        "path prefix",
        many(|i| allow(i, west.clone(), json!({"paths": [format!("/p{i}/*")]}))),
        "/p7/x",
    );
    by(
        "path template",
        many(|i| {
            allow(
                i,
                west.clone(),
                json!({"paths": [format!("/p{i}/{{*}}/x")]}),
            )
        }),
        "/p7/y/x",
    );
    by(
        "path ending",
        many(|i| allow(i, west.clone(), json!({"paths": [format!("*/{i}.json")]}))),
        "/a/7.json",
    );
    // Neither half alone tells more than a hundred apart.
    by(
        "namespace and path",
        many(|i| {
            allow(
                i,
                json!({"meshes": ["west"], "namespaces": [format!("n{}", i / 100)]}),
                json!({"paths": [format!("/p{}", i % 100)]}),
            )
        }),
        "/p7",
    );
    by(
        "several of each",
        many(|i| {
            allow(
                i,
                json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}"), format!("n{i}/t{i}")]}),
                json!({"methods": ["GET", "PUT"], "ports": [80]}),
            )
        }),
        "/",
    );
}

#[test]
fn a_source_needs_only_what_its_own_rules_ask_for() {
    let mut rules = many(
        |i| json!({"name": format!("r{i}"), "action": "ALLOW", "from": [{"meshes": ["west"], "namespaces": [format!("n{i}")]}]}),
    );
    rules[7]["to"] = json!([{"ports": [80]}]);
    rules[8]["when"] = json!([{"header": "x-a", "values": ["b"]}]);
    let policy = program(rules).bind(&Proxy::default()).expect("a mesh");
    let needs = |san: &str| {
        policy.needs(&policy.identify(&Peer::Certificate {
            uri_sans: &[san.as_bytes()],
        }))
    };
    let none = Needs::default();
    assert_eq!(needs("spiffe://bar.com/ns/n1/sa/a"), none);
    assert_eq!(
        needs("spiffe://bar.com/ns/n7/sa/a"),
        Needs { port: true, ..none }
    );
    assert_eq!(
        needs("spiffe://bar.com/ns/n8/sa/a"),
        Needs {
            headers: true,
            ..none
        }
    );
    assert_eq!(needs("spiffe://bar.com/elsewhere"), none);
}
