//! Whatever bytes Envoy hands over, in whatever order it calls: nothing traps.
//!
//! A trap here is a panic, or the end of the process where a host function meets what it must never be given.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::failures::FUNCTIONS;
use super::*;

/// A policy that asks for everything there is.
const EVERYTHING: &str = r#", "mode": "ENFORCE",
    "forwarders": [{"principal": "foo.com/ns/web/sa/frontend", "mayAssert": ["east", "west"]}],
    "tcp": {"httpPorts": [8080]},
    "telemetry": {"headers": true, "bytes": true, "duration": true},
    "rules": [
        {"name": "seen", "action": "AUDIT"},
        {"name": "all", "action": "DENY", "from": [{"ipBlocks": ["192.0.2.0/24"], "notPrincipals": ["foo.com/x"]}],
         "to": [{"ports": [1], "snis": ["x*"], "hosts": ["*.shop"], "methods": ["GET"], "paths": ["/a/{*}/b", "/c/{**}"]}],
         "when": [{"header": "x-tier", "values": ["gold"], "notValues": ["*lead"]}]},
        {"name": "some", "action": "ALLOW", "from": [{"meshes": ["east"]}], "to": [{"notPaths": ["/a/*"]}]}],
    "candidate": {"rules": [{"name": "none", "action": "DENY"}]}"#;

const ATTRIBUTES: [&str; 18] = [
    "connection.mtls",
    "connection.tls_version",
    "connection.sha256_peer_certificate_digest",
    "connection.peer_certificate",
    "connection.requested_server_name",
    "source.address",
    "destination.port",
    "xds.listener_direction",
    "xds.node.id",
    "xds.node.metadata.LABELS",
    "xds.node.metadata.NAMESPACE",
    "filter_state.io.istio.peer_principal",
    "upstream.uri_san_peer_certificate",
    "upstream.address",
    "request.total_size",
    "response.total_size",
    "request.duration",
    "plugin_name",
];

/// One thing that Envoy does.
#[derive(Clone, Debug)]
enum Event {
    Request,
    ResponseHeaders,
    Accept,
    Downstream(usize),
    Upstream(usize),
    Close,
    Configure(Option<Vec<u8>>),
    Plugin,
    Tick,
    Attribute(&'static str, Option<Vec<u8>>),
    Headers(Vec<(Vec<u8>, Vec<u8>)>),
    RawHeaders(Vec<u8>),
    Status(&'static str, i32),
    AllIsWell,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 1000..5000),
        1 => Just(Vec::new()),
    ]
}

/// Bytes that mean something here, so that what follows is reached too.
fn telling() -> impl Strategy<Value = Vec<u8>> {
    let frontend = certificates::pem(&certificates::with_uris(&[FRONTEND.as_bytes()]));
    let damaged = {
        let der = certificates::with_uris(&[FRONTEND.as_bytes(), b"x"]);
        (0..der.len(), any::<u8>()).prop_map(move |(at, byte)| {
            let mut der = der.clone();
            der[at] = byte;
            certificates::pem(&der)
        })
    };
    prop_oneof![
        Just(frontend),
        damaged,
        Just(FRONTEND.as_bytes().to_vec()),
        Just(b"192.0.2.7:1".to_vec()),
        Just(b"[2001:db8::1]:1".to_vec()),
        Just(vec![0]),
        Just(vec![1]),
        any::<i64>().prop_map(|number| number.to_le_bytes().to_vec()),
        Just(2_i64.to_le_bytes().to_vec()),
        Just(8080_i64.to_le_bytes().to_vec()),
        bytes(),
    ]
}

fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        Just(b":path".to_vec()),
        Just(b":authority".to_vec()),
        Just(b":method".to_vec()),
        Just(b"x-forwarded-client-cert".to_vec()),
        Just(b"x-crossmesh-source-mesh".to_vec()),
        Just(b"x-tier".to_vec()),
        Just(b"content-type".to_vec()),
        bytes(),
    ];
    let own = format!("By=x;URI={FRONTEND}");
    let value = prop_oneof![
        3 => bytes(),
        1 => "[/a-c%.;?#]{0,30}".prop_map(String::into_bytes),
        1 => "[,;=\"\\\\URIuri a]{0,40}".prop_map(move |text| format!("{text},{own}").into_bytes()),
    ];
    (name, value)
}

fn event() -> impl Strategy<Value = Event> {
    let attribute = proptest::sample::select(ATTRIBUTES.to_vec());
    let function = proptest::sample::select(FUNCTIONS.to_vec());
    let truncated = (0..EVERYTHING.len()).prop_map(|size| {
        let whole = policy(EVERYTHING).into_bytes();
        whole.into_iter().take(size).collect()
    });
    prop_oneof![
        4 => Just(Event::Request),
        1 => Just(Event::ResponseHeaders),
        3 => Just(Event::Accept),
        3 => any::<usize>().prop_map(Event::Downstream),
        3 => any::<usize>().prop_map(Event::Upstream),
        2 => Just(Event::Close),
        1 => Just(Event::Configure(None)),
        1 => prop_oneof![truncated, bytes()].prop_map(|bytes| Event::Configure(Some(bytes))),
        1 => Just(Event::Plugin),
        2 => Just(Event::Tick),
        4 => (attribute, proptest::option::of(telling())).prop_map(|(a, v)| Event::Attribute(a, v)),
        3 => vec(header(), 0..12).prop_map(Event::Headers),
        1 => bytes().prop_map(Event::RawHeaders),
        1 => (function, prop_oneof![-2..16_i32, any::<i32>()]).prop_map(|(f, s)| Event::Status(f, s)),
        1 => Just(Event::AllIsWell),
    ]
}

fn happen(events: &[Event]) {
    let mut vm = vm(&policy(EVERYTHING));
    let mut roots = vec![1];
    // Contexts, and whether each is a connection.
    let mut open = BTreeMap::new();
    for event in events {
        let newest = open.last_key_value().map(|(context, is)| (*context, *is));
        match event {
            Event::Request => {
                let stream = vm.open();
                vm.request_headers(stream);
                open.insert(stream, false);
            }
            Event::ResponseHeaders => {
                if let Some((stream, false)) = newest {
                    vm.response_headers(stream);
                }
            }
            Event::Accept => {
                let (connection, _) = vm.accept();
                open.insert(connection, true);
            }
            Event::Downstream(size) => {
                if let Some((connection, true)) = newest {
                    vm.downstream(connection, *size);
                }
            }
            Event::Upstream(size) => {
                if let Some((connection, true)) = newest {
                    vm.upstream(connection, *size);
                }
            }
            Event::Close => {
                if let Some((context, _)) = newest {
                    vm.close(context);
                    open.remove(&context);
                }
            }
            Event::Configure(None) => {
                vm.configure(policy(EVERYTHING).as_bytes());
            }
            Event::Configure(Some(bytes)) => {
                vm.configure(bytes);
            }
            Event::Plugin => {
                roots.push(vm.plugin());
                vm.configure(policy("").as_bytes());
            }
            Event::Tick => roots.iter().for_each(|root| vm.tick(*root)),
            Event::Attribute(name, value) => host(|host| match value {
                Some(value) => {
                    host.attributes.insert((*name).to_owned(), value.clone());
                }
                None => {
                    host.attributes.remove(*name);
                }
            }),
            Event::Headers(headers) => host(|host| {
                host.raw_headers = None;
                host.headers.clone_from(headers);
            }),
            Event::RawHeaders(bytes) => host(|host| host.raw_headers = Some(bytes.clone())),
            Event::Status(function, status) => host(|host| {
                host.statuses.insert(function, *status);
            }),
            Event::AllIsWell => host(|host| host.statuses.clear()),
        }
        // What the filter closed, the host has deleted.
        for closed in host(|host| std::mem::take(&mut host.closed)) {
            open.remove(&closed);
        }
    }
    for context in open.into_keys() {
        vm.close(context);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_events_trap(events in vec(event(), 0..60)) {
        apart(|| happen(&events));
    }

    #[test]
    fn no_certificate_traps(bytes in vec(any::<u8>(), 0..300)) {
        let _ = crate::certificate::uri_sans(&bytes);
        let _ = crate::certificate::uri_sans(&certificates::pem(&bytes));
    }
}
