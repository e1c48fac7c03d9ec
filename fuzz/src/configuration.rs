//! A policy from its bytes to decisions.

use std::net::IpAddr;

use crossmesh_policy::{
    Action, DecidedBy, HttpRequest, Node, Outcome, Peer, Policy, PortSpec, Program, Protocol,
    Request, SourceClass, Verdict, parse,
};

const URIS: [&[u8]; 6] = [
    b"spiffe://foo.com/ns/web/sa/frontend",
    b"spiffe://bar.com/ns/shop/sa/catalog",
    b"spiffe://foo.com/ns/istio-ingress/sa/istio-ingressgateway",
    b"spiffe://evil.com/ns/web/sa/frontend",
    b"spiffe://a/b",
    b"nonsense",
];

const REQUESTS: [HttpRequest<'static>; 6] = [
    HttpRequest {
        host: None,
        method: None,
        path: None,
        headers: &[],
    },
    HttpRequest {
        host: Some(b"catalog.shop.svc.cluster.local:8080"),
        method: Some(b"GET"),
        path: Some(b"/v1/items?q=1"),
        headers: &[(b"x-tier", b"gold"), (b"x-tier", b"lead, gold")],
    },
    HttpRequest {
        host: Some(b"A.Example."),
        method: Some(b"POST"),
        path: Some(b"/items/%2e%2e//x/\xff"),
        headers: &[(b"x-tier", b"")],
    },
    HttpRequest {
        host: Some(b"[::1]:80"),
        method: Some(b"x"),
        path: Some(b"*"),
        headers: &[
            (
                b"x-forwarded-client-cert",
                b"URI=spiffe://bar.com/ns/shop/sa/catalog",
            ),
            (
                b"x-forwarded-client-cert",
                b"URI=spiffe://foo.com/ns/istio-ingress/sa/istio-ingressgateway",
            ),
        ],
    },
    HttpRequest {
        host: Some(b"a"),
        method: Some(b"GET"),
        path: Some(b"/"),
        headers: &[(b"a", b"b")],
    },
    HttpRequest {
        host: Some(b"\xff"),
        method: Some(b""),
        path: Some(b"/a/b/c"),
        headers: &[],
    },
];

/// Reads the bytes as a policy and, if they are one, decides by it.
///
/// # Panics
/// If a refusal lacks a reason; an explanation or a second look decides otherwise than the policy; a verdict depends on
/// the order of rules, or on what no rule was said to need; an invalid identity comes in; or a connection is cut off of
/// which a request would be let in.
pub(crate) fn configuration(bytes: &[u8]) {
    let spec = match parse(bytes) {
        Ok(spec) => spec,
        Err(refused) => return explained(&refused),
    };
    let program = match Program::compile(&spec) {
        Ok(program) => program,
        Err(refused) => return explained(&refused),
    };
    let node = Node {
        mesh: program.meshes().next().map(str::to_owned),
        namespace: Some("shop".to_owned()),
        workload: Some("catalog".to_owned()),
        labels: [("app".to_owned(), "catalog".to_owned())].into(),
    };
    let policy = match program.bind(&node) {
        Ok(policy) => policy,
        Err(refused) => return explained(&refused),
    };
    // On the port of the even connection.
    let tcp = spec.tcp.as_ref();
    let http_follows = tcp.is_some_and(|tcp| tcp.http_ports.contains(&PortSpec(8080)));
    let mut turned = spec;
    if let Some(rules) = &mut turned.rules {
        rules.reverse();
    }
    let turned = Program::compile(&turned)
        .and_then(|turned| turned.bind(&node))
        .expect("rules in another order are as valid");

    let mut peers: Vec<Vec<&[u8]>> = URIS.iter().map(|uri| vec![*uri]).collect();
    peers.push(URIS[..2].to_vec());
    let certificates = peers.iter().map(|uri_sans| Peer::Certificate { uri_sans });
    for peer in certificates.chain([Peer::Plaintext, Peer::Passthrough]) {
        let mut lets_in = false;
        for (number, http) in REQUESTS.into_iter().enumerate() {
            let request = Request {
                protocol: Protocol::Http(http),
                ..connection(number)
            };
            lets_in |= decide(&program, &node, &policy, &turned, &peer, &request) == Verdict::Allow
                && number % 2 == 0;
            decide(
                &program,
                &node,
                &policy,
                &turned,
                &peer,
                &connection(number),
            );
        }
        let direct = policy.identify(&peer);
        // All even requests are of one connection.
        let connection = connection(0);
        let at_first = policy.decide_connection(&direct, &connection);
        if matches!(peer, Peer::Passthrough) {
            // No request of TLS that does not end here is ever seen.
            let for_good = policy.decide(&direct, &connection);
            assert_eq!(at_first, Some(for_good), "nobody decides later");
        } else if http_follows && let Some(cut_off) = at_first {
            assert_eq!(cut_off.verdict, Verdict::Deny, "there only that is final");
            assert!(!lets_in, "{peer:?} is cut off, and has requests that pass");
        }
    }
}

/// What is known of connections: two of them.
fn connection(number: usize) -> Request<'static> {
    let even = number.is_multiple_of(2);
    let address = if even { "10.1.2.3" } else { "2001:db8::1" };
    let address: Result<IpAddr, _> = address.parse();
    Request {
        source_ip: address.ok(),
        port: Some(if even { 8080 } else { 80 }),
        sni: even.then_some(b"outbound_.80_._.catalog.shop.svc.cluster.local"),
        protocol: Protocol::Tcp,
    }
}

fn decide(
    program: &Program,
    node: &Node,
    policy: &Policy,
    turned: &Policy,
    peer: &Peer<'_>,
    request: &Request<'_>,
) -> Verdict {
    let direct = policy.identify(peer);
    let source = policy.caller(&direct, request);
    let decision = policy.decide(&source, request);
    if source.class() == SourceClass::InvalidIdentity {
        assert_eq!(
            decision.verdict,
            Verdict::Deny,
            "an invalid identity comes in"
        );
    }

    // The traces alone give the decision.
    let explanation = program.explain(node, peer, request).expect("it binds");
    let first = |action| {
        let mut rules = explanation.rules.iter();
        rules.find(|rule| rule.action == action && rule.outcome == Outcome::Matched)
    };
    let denies = first(Action::Deny).map(|rule| (Verdict::Deny, rule));
    let by_traces = denies.or_else(|| first(Action::Allow).map(|rule| (Verdict::Allow, rule)));
    match (by_traces, decision.decided_by) {
        (None, DecidedBy::Default(class)) => assert_eq!(class, decision.source_class),
        (Some((verdict, rule)), DecidedBy::Rule(name)) => {
            assert_eq!((verdict, rule.name.as_str()), (decision.verdict, name));
        }
        (traces, decided_by) => panic!("explained by {traces:?}, decided by {decided_by}"),
    }

    assert_eq!(
        turned.decide(&source, request).verdict,
        decision.verdict,
        "the order of rules matters"
    );

    // The filter reads only this.
    let needs = policy.needs(&source);
    let read = Request {
        source_ip: request.source_ip.filter(|_| needs.source_ip),
        port: request.port.filter(|_| needs.port),
        sni: request.sni.filter(|_| needs.sni),
        protocol: request.protocol,
    };
    assert_eq!(
        policy.decide(&source, &read),
        decision,
        "it matters what no rule is said to need"
    );
    decision.verdict
}

fn explained(refused: &crossmesh_policy::Invalid) {
    assert!(!refused.problems.is_empty(), "refused without a reason");
    for problem in &refused.problems {
        assert!(!problem.problem.is_empty(), "{problem:?}");
    }
}
