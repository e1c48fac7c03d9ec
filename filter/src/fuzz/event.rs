//! What Envoy may do next, by the bytes of an input.

use super::input::Input;
use crate::mock_host::certificates::{pem, with_uris};

pub(super) const FRONTEND: &str = "spiffe://foo.com/ns/web/sa/frontend";

/// Policies for a proxy of mesh west. Of the first every field has something to ask for.
pub(super) const POLICIES: [&str; 5] = [
    r#"{"schema": "crossmesh/v1", "mesh": "west", "mode": "ENFORCE",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "forwarders": [{"principal": "foo.com/ns/web/sa/frontend", "mayAssert": ["east", "west"]}],
        "tcp": {"httpPorts": [8080]},
        "telemetry": {"headers": true, "bytes": true, "duration": true},
        "rules": [
            {"name": "seen", "action": "AUDIT"},
            {"name": "all", "action": "DENY", "from": [{"ipBlocks": ["192.0.2.0/24"], "notPrincipals": ["foo.com/x"]}],
             "to": [{"ports": [1], "snis": ["x*"], "hosts": ["*.shop"], "methods": ["GET"], "paths": ["/a/{*}/b", "/c/{**}"]}],
             "when": [{"header": "x-tier", "values": ["gold"], "notValues": ["*lead"]}]},
            {"name": "some", "action": "ALLOW", "from": [{"meshes": ["east"]}], "to": [{"notPaths": ["/a/*"]}]}],
        "candidate": {"rules": [{"name": "none", "action": "DENY"}]}}"#,
    // Nothing that is not of the mesh comes in.
    r#"{"schema": "crossmesh/v1", "mesh": "west",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}]}"#,
    r#"{"schema": "crossmesh/v1", "mesh": "west", "mode": "DRY_RUN", "telemetry": {"headers": true},
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "rules": [{"name": "none", "action": "DENY"}]}"#,
    r#"{"schema": "crossmesh/v1", "mesh": "west", "telemetry": {"bytes": true},
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "defaults": {"peerMesh": "ALLOW", "plaintext": "ALLOW", "unknownTrustDomain": "ALLOW"},
        "rules": [{"name": "ports", "action": "DENY", "to": [{"ports": [8081]}]}, {"name": "snis", "action": "DENY", "to": [{"snis": ["closed"]}]},
            {"name": "addresses", "action": "DENY", "from": [{"ipBlocks": ["2001:db8::/32"]}]}]}"#,
    // Which mesh it is in, the node says.
    r#"{"schema": "crossmesh/v1", "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "rules": [{"name": "own", "action": "ALLOW", "from": [{"meshes": ["*"]}], "to": [{"labels": {"app": "x"}}]}]}"#,
];

/// Every attribute that the filter reads.
const ATTRIBUTES: [&str; 24] = [
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
    "xds.node.metadata.MESH_ID",
    "xds.node.metadata.WORKLOAD_NAME",
    "filter_state.io.istio.peer_principal",
    "upstream.uri_san_peer_certificate",
    "upstream.address",
    "request.total_size",
    "response.total_size",
    "request.duration",
    "plugin_name",
    "plugin_root_id",
    "no.such.attribute",
    "destination.address",
    "filter_state.envoy.filters.listener.original_dst.local_ip",
];

/// Every function of the host.
pub(crate) const FUNCTIONS: [&str; 19] = [
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_buffer_bytes",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_header_map_pairs",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
    "proxy_record_metric",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_close_stream",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
];

const HEADERS: [&str; 8] = [
    ":path",
    ":authority",
    ":method",
    "x-forwarded-client-cert",
    "x-crossmesh-source-mesh",
    "x-crossmesh-",
    "x-tier",
    "content-type",
];

/// Values that mean something somewhere.
const TELLING: [&[u8]; 16] = [
    b"envoy://internal/",
    b"",
    b"\x00",
    b"\x01",
    b"TLSv1.3",
    b"\x01\0\0\0\0\0\0\0",
    b"\x02\0\0\0\0\0\0\0",
    b"\x90\x1f\0\0\0\0\0\0",
    b"\x91\x1f\0\0\0\0\0\0",
    b"192.0.2.7:1",
    b"[2001:db8::1]:1",
    b"router~192.0.2.1~a.b~b.svc",
    b"west",
    b"closed",
    b"/a/x/b",
    FRONTEND.as_bytes(),
];

/// One thing that Envoy does. Streams and connections are meant by their place among those that are open.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A stream begins.
    Open,
    /// Its headers are there.
    Request(usize),
    /// The response's headers are there.
    Response(usize),
    Accept,
    Downstream(usize, usize),
    /// What clients say from now on.
    Said(Vec<u8>),
    Upstream(usize, usize),
    Close(usize),
    Configure(&'a [u8]),
    /// Another root context, with this configuration.
    Plugin(&'a [u8]),
    Tick,
    Attribute(&'static str, Option<Vec<u8>>),
    /// A client's certificate, as PEM; none if it has none.
    Certificate(Option<Vec<u8>>),
    Header(Vec<u8>, Vec<u8>),
    /// A line of what every request ends with.
    Trailer(Vec<u8>, Vec<u8>),
    /// The request's trailers are there.
    Trailers(usize),
    NoHeaders,
    /// Bytes in place of the encoded headers.
    RawHeaders(&'a [u8]),
    Status(&'static str, i32),
    AllIsWell,
}

impl<'a> Event<'a> {
    /// The next event; none at the end.
    pub(super) fn read(input: &mut Input<'a>) -> Option<Self> {
        if input.is_empty() {
            return None;
        }
        Some(match input.byte() % 22 {
            0 => Self::Open,
            1 | 2 => Self::Request(usize::from(input.byte())),
            3 => Self::Response(usize::from(input.byte())),
            4 => Self::Accept,
            5 => Self::Downstream(usize::from(input.byte()), size(input)),
            6 => Self::Upstream(usize::from(input.byte()), size(input)),
            7 => Self::Close(usize::from(input.byte())),
            8 => Self::Configure(configuration(input)),
            9 => Self::Plugin(configuration(input)),
            10 => Self::Tick,
            11 => Self::Attribute(input.one_of(&ATTRIBUTES), None),
            12 => Self::Attribute(input.one_of(&ATTRIBUTES), Some(value(input))),
            13 => Self::Said(said(input)),
            14 => Self::Certificate(certificate(input)),
            15 => Self::Header(input.one_of(&HEADERS).into(), value(input)),
            16 => Self::Header(input.bytes().into(), value(input)),
            17 => Self::NoHeaders,
            18 => Self::RawHeaders(input.bytes()),
            19 => Self::Trailer(input.one_of(&HEADERS).into(), value(input)),
            20 => Self::Trailers(usize::from(input.byte())),
            _ => match input.byte() % 24 {
                function @ 0..=18 => Self::Status(FUNCTIONS[usize::from(function)], status(input)),
                _ => Self::AllIsWell,
            },
        })
    }
}

/// One of ours, whole or cut, or any bytes.
fn configuration<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let choice = input.byte();
    match POLICIES.get(usize::from(choice % 8)) {
        None => input.bytes(),
        Some(policy) if choice < 0xe0 => policy.as_bytes(),
        Some(policy) => {
            let cut = usize::try_from(input.number()).unwrap_or_default();
            &policy.as_bytes()[..cut % policy.len()]
        }
    }
}

fn value(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        0xff => vec![b'a'; usize::try_from(input.number() % 70_000).unwrap_or_default()],
        0xfe => format!("By=x;URI={FRONTEND}").into_bytes(),
        choice => match TELLING.get(usize::from(choice)) {
            Some(value) => (*value).into(),
            None => input.bytes().into(),
        },
    }
}

/// The beginning of TLS, of any length, or anything else.
fn said(input: &mut Input<'_>) -> Vec<u8> {
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00];
    match hello.get(..usize::from(input.byte())) {
        Some(begins) => begins.into(),
        None => input.bytes().into(),
    }
}

fn certificate(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let uris: &[&[u8]] = match input.byte() % 8 {
        0 => return None,
        1 => &[],
        2 => &[FRONTEND.as_bytes()],
        3 => &[b"spiffe://foo.com/ns/web/sa/batch"],
        4 => &[b"spiffe://bar.com/ns/shop/sa/catalog"],
        5 => &[FRONTEND.as_bytes(), b"x"],
        6 => &[input.bytes()],
        // Not even PEM.
        _ => return Some(input.bytes().into()),
    };
    let mut der = with_uris(uris);
    let damage = input.number();
    if damage % 4 == 1 {
        let at = usize::try_from(damage >> 16).unwrap_or_default() % der.len();
        der[at] = damage.to_le_bytes()[1];
    }
    Some(pem(&der))
}

/// What a function answers: all that the ABI has, and anything else.
fn status(input: &mut Input<'_>) -> i32 {
    match input.byte() {
        0xff => input.number().cast_signed(),
        status => i32::from(status % 16),
    }
}

fn size(input: &mut Input<'_>) -> usize {
    match input.byte() {
        0xff => usize::MAX,
        size => usize::from(size),
    }
}
