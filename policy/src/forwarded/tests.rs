//! Reading the header from the right, and how far it is believed.

use super::*;
use crate::{Node, Program, parse};

fn policy() -> Policy {
    let json = br#"{
        "schema": "crossmesh/v1", "mesh": "east",
        "meshes": [
            {"id": "east", "trustDomains": ["foo.com"]},
            {"id": "west", "trustDomains": ["bar.com"]},
            {"id": "north", "trustDomains": ["baz.com"]}
        ],
        "forwarders": [
            {"principal": "spiffe://foo.com/gw", "mayAssert": ["east", "west"]},
            {"principal": "bar.com/gw"},
            {"principal": "bar.com/gw2", "mayAssert": ["north"]}
        ]
    }"#;
    let program = parse(json).and_then(|spec| Program::compile(&spec));
    program
        .and_then(|program| program.bind(&Node::default()))
        .expect("a valid policy")
}

/// The caller's principal, or why there is none, for a direct peer and the lines of the header.
#[track_caller]
fn check(direct: &str, lines: &[&str], want: Result<&str, &str>) {
    let policy = policy();
    let direct = policy.identify(&Peer::Certificate {
        uri_sans: &[direct.as_bytes()],
    });
    let headers: Vec<(&[u8], &[u8])> = lines.iter().map(|line| (HEADER, line.as_bytes())).collect();
    let request = Request {
        source_ip: None,
        port: None,
        sni: None,
        protocol: Protocol::Http(HttpRequest {
            headers: &headers,
            ..HttpRequest::default()
        }),
    };
    let caller = policy.caller(&direct, &request);
    match want {
        Ok(principal) => assert_eq!(
            caller.principal(),
            Some(principal),
            "{lines:?}: {:?}",
            caller.note()
        ),
        Err(note) => {
            assert_eq!(
                caller.class(),
                SourceClass::InvalidIdentity,
                "{lines:?}: {:?}",
                caller.principal()
            );
            let said = caller.note().unwrap_or_default();
            assert!(said.contains(note), "{lines:?}: {said}");
        }
    }
}

const OWN: &str = "By=spiffe://foo.com/me;URI=spiffe://foo.com/gw";

#[test]
fn a_forwarder_speaks_for_the_meshes_that_it_may_assert() {
    let from = |caller: &str| format!("By=spiffe://foo.com/gw;Hash=1;URI={caller},{OWN}");
    check(
        "spiffe://foo.com/gw",
        &[&from("spiffe://bar.com/a")],
        Ok("spiffe://bar.com/a"),
    );
    check(
        "spiffe://foo.com/gw",
        &[&from("spiffe://foo.com/a")],
        Ok("spiffe://foo.com/a"),
    );
    check(
        "spiffe://foo.com/gw",
        &[&from("spiffe://baz.com/a")],
        Err("may not speak for spiffe://baz.com/a"),
    );
    check(
        "spiffe://foo.com/gw",
        &[&from("spiffe://evil.com/a")],
        Err("may not speak for spiffe://evil.com/a"),
    );
    check(
        "spiffe://foo.com/gw",
        &[&from("")],
        Err("is not a workload's SPIFFE ID"),
    );
    check(
        "spiffe://foo.com/gw",
        &["By=x,", OWN],
        Err("has no URI SAN"),
    );
    check(
        "spiffe://foo.com/gw",
        &["nonsense", OWN],
        Err("cannot be read"),
    );
    check(
        "spiffe://foo.com/gw",
        &["URI=spiffe://bar.com/a;URI=spiffe://bar.com/b", OWN],
        Err("2 URI SANs"),
    );
}

#[test]
fn nobody_else_is_believed() {
    let lie = "URI=spiffe://foo.com/admin,By=x;URI=spiffe://bar.com/a";
    check("spiffe://bar.com/a", &[lie], Ok("spiffe://bar.com/a"));
    check("spiffe://baz.com/gw", &[lie], Ok("spiffe://baz.com/gw"));
}

#[test]
fn without_a_further_element_the_forwarder_itself_calls() {
    check("spiffe://foo.com/gw", &[], Ok("spiffe://foo.com/gw"));
    check("spiffe://foo.com/gw", &[OWN], Ok("spiffe://foo.com/gw"));
    check(
        "spiffe://foo.com/gw",
        &["", OWN, " , "],
        Ok("spiffe://foo.com/gw"),
    );
}

#[test]
fn the_walk_goes_on_only_through_listed_forwarders() {
    let chain =
        format!("URI=spiffe://foo.com/admin,URI=spiffe://bar.com/a,URI=spiffe://bar.com/gw,{OWN}");
    check("spiffe://foo.com/gw", &[&chain], Ok("spiffe://bar.com/a"));
    // bar.com/gw may speak for its own mesh only.
    let chain = format!("URI=spiffe://foo.com/a,URI=spiffe://bar.com/gw,{OWN}");
    check(
        "spiffe://foo.com/gw",
        &[&chain],
        Err("spiffe://bar.com/gw may not speak for spiffe://foo.com/a"),
    );
}

#[test]
fn a_forwarder_gains_nothing_by_naming_another() {
    // bar.com/gw may speak for west only, foo.com/gw for east and west: through the one, the other for west only.
    let chain = "URI=spiffe://foo.com/a,URI=spiffe://foo.com/gw,URI=spiffe://bar.com/gw";
    check(
        "spiffe://bar.com/gw",
        &[chain],
        Err("spiffe://bar.com/gw may not speak for spiffe://foo.com/gw"),
    );
    let chain = format!("URI=spiffe://foo.com/a,URI=spiffe://bar.com/gw2,{OWN}");
    check(
        "spiffe://foo.com/gw",
        &[&chain],
        Err("spiffe://bar.com/gw2 may not speak for spiffe://foo.com/a"),
    );
    // A gateway that may speak for west only forges a hop through one that may speak for north.
    let chain = format!("URI=spiffe://baz.com/a,URI=spiffe://bar.com/gw2,{OWN}");
    check(
        "spiffe://foo.com/gw",
        &[&chain],
        Err("spiffe://bar.com/gw2 may not speak for spiffe://baz.com/a"),
    );
}

#[test]
fn an_open_quote_is_no_element() {
    check(
        "spiffe://foo.com/gw",
        &["By=a;Subject=\"x;URI=spiffe://bar.com/a", OWN],
        Err("cannot be read"),
    );
}

#[test]
fn what_stands_left_of_the_caller_changes_nothing() {
    for garbage in [
        "\"",
        "a\"b",
        "By=\";URI=spiffe://foo.com/x",
        "\\",
        "\"\\\"",
        ",;=,",
        "URI=\"a,b;c\"",
    ] {
        let line = format!("{garbage},By=x;URI=spiffe://bar.com/a,{OWN}");
        check("spiffe://foo.com/gw", &[&line], Ok("spiffe://bar.com/a"));
        check(
            "spiffe://foo.com/gw",
            &[garbage, "By=x;URI=spiffe://bar.com/a", OWN],
            Ok("spiffe://bar.com/a"),
        );
    }
}

#[test]
fn quotes_hold_separators() {
    let line = format!("Subject=\"CN=a\\\",URI=x;b\";uri=\"spiffe://bar.com/a\",{OWN}");
    check("spiffe://foo.com/gw", &[&line], Ok("spiffe://bar.com/a"));
}

#[test]
fn what_is_escaped_in_quotes_stands_for_itself() {
    let named = |uri: &str| format!("URI=\"{uri}\",{OWN}");
    check(
        "spiffe://foo.com/gw",
        &[&named(r"spiffe://bar.com/\a")],
        Ok("spiffe://bar.com/a"),
    );
    for other in [r"spiffe://bar.com/\\a", r#"spiffe://bar.com/\"a"#] {
        check(
            "spiffe://foo.com/gw",
            &[&named(other)],
            Err("is not a workload's SPIFFE ID"),
        );
    }
}

#[test]
fn a_proxy_in_another_mode_is_found_out() {
    // FORWARD_ONLY: nothing of our own at the right.
    check(
        "spiffe://foo.com/gw",
        &["URI=spiffe://bar.com/a"],
        Err("does not name the direct peer"),
    );
}
