//! What the rules that a source can meet ask for.

use super::*;
use crate::request::{Node as Proxy, Peer};
use crate::{Program, parse};
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

#[test]
fn a_source_needs_only_what_its_own_rules_ask_for() {
    let mut rules = many(
        |i| json!({"name": format!("r{i}"), "action": "ALLOW", "from": [{"meshes": ["west"], "namespaces": [format!("n{i}")]}]}),
    );
    rules[7]["to"] = json!([{"ports": [80]}]);
    rules[8]["to"] = json!([{"namespaces": ["*"], "snis": ["a"]}]);
    rules[9]["from"][0]["ipBlocks"] = json!(["10.0.0.0/8"]);
    let proxy = Proxy {
        namespace: Some("shop".into()),
        ..Proxy::default()
    };
    let policy = program(rules).bind(&proxy).expect("a mesh");
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
        Needs { sni: true, ..none }
    );
    assert_eq!(
        needs("spiffe://bar.com/ns/n9/sa/a"),
        Needs {
            source_ip: true,
            ..none
        }
    );
    assert_eq!(needs("spiffe://bar.com/elsewhere"), none);
}
