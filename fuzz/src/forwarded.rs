//! `x-forwarded-client-cert`: who calls behind a forwarder.

use std::sync::LazyLock;

use crossmesh_policy::{
    HttpRequest, Node, Peer, Policy, Program, Protocol, Request, Source, SourceClass, parse,
};

const HEADER: &[u8] = b"x-forwarded-client-cert";

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let json = br#"{"schema": "crossmesh/v1", "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]},
            {"id": "north", "trustDomains": ["baz.com"]}],
        "forwarders": [{"principal": "foo.com/gw", "mayAssert": ["east", "west"]}, {"principal": "bar.com/gw"},
            {"principal": "bar.com/gw2", "mayAssert": ["north"]}]}"#;
    let program = parse(json).and_then(|spec| Program::compile(&spec));
    let policy = program.and_then(|program| program.bind(&Node::default()));
    policy.expect("a valid policy")
});

/// Reads the lines of the bytes as the header's lines, of a forwarder and of somebody else.
///
/// # Panics
/// If a peer that is no forwarder is believed, a forwarder is for whom it may not speak, or it matters how Envoy cuts
/// the header into lines.
pub(crate) fn forwarded(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let forwarder = peer("spiffe://foo.com/gw");
    let called = caller(&forwarder, &lines);
    match called.class() {
        SourceClass::InvalidIdentity => {}
        SourceClass::SameMesh | SourceClass::PeerMesh => {
            let may = ["east", "west"];
            assert!(
                called.mesh().is_some_and(|mesh| may.contains(&mesh)),
                "{called:?} may not be asserted"
            );
            let named = called.principal().unwrap_or_default();
            let own = forwarder.principal() == Some(named);
            let said = bytes
                .windows(named.len())
                .any(|window| window == named.as_bytes());
            // Escapes may stand between; then nothing is said here.
            assert!(
                own || said || bytes.contains(&b'\\'),
                "{named} was not said"
            );
        }
        class => panic!("behind a forwarder nobody is {class}"),
    }
    // The header's lines are one list (RFC 9110 §5.3), where no quote could reach from one into the next.
    if !bytes.contains(&b'"') {
        let joined = lines.join(&b',');
        let one = caller(&forwarder, &[&joined]);
        assert_eq!(one.class(), called.class());
        assert_eq!(one.principal(), called.principal());
    }
    for direct in ["spiffe://foo.com/a", "spiffe://evil.com/gw", "nobody"] {
        let direct = peer(direct);
        let called = caller(&direct, &lines);
        assert_eq!(called.principal(), direct.principal());
        assert_eq!(called.class(), direct.class());
    }
}

fn peer(uri: &str) -> Source {
    POLICY.identify(&Peer::Certificate {
        uri_sans: &[uri.as_bytes()],
    })
}

fn caller(direct: &Source, lines: &[&[u8]]) -> Source {
    let headers: Vec<(&[u8], &[u8])> = lines.iter().map(|line| (HEADER, *line)).collect();
    let http = HttpRequest {
        headers: &headers,
        ..HttpRequest::default()
    };
    let request = Request {
        source_ip: None,
        port: None,
        sni: None,
        protocol: Protocol::Http(http),
    };
    POLICY.caller(direct, &request).into_owned()
}
