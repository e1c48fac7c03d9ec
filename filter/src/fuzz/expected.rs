//! What must become of a request or a connection, worked out in the plainest way: every attribute read, nothing kept, no
//! status but OK. The filter may read less, and must decide the same.

use crossmesh_policy::{
    HttpRequest, Mode, Peer, Policy, Protocol, Request, Source, SourceClass, Verdict,
};

use crate::encoding::{self, Pair};
use crate::mock_host::{Host, certificates, encode_pairs};
use crate::{certificate, telemetry};

/// What must become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Passes,
    Refused,
    /// Whichever: this model has no opinion.
    Either,
}

enum Whom {
    Peer(Source),
    Own,
    /// Without TLS, or with TLS that does not end here.
    Either,
    Malformed,
    /// The digest is not that of the certificate, which Envoy never says.
    Contradicted,
}

/// Of a request, and of a connection at the client's first bytes.
pub(super) fn request(host: &Host, policy: &Policy) -> Expected {
    if policy.mode() == Mode::DryRun {
        return Expected::Passes;
    }
    if host.statuses.contains_key("proxy_get_property") {
        // Whatever the answer is, OK without a value too: nobody is known then, and nobody unknown comes in.
        return Expected::Refused;
    }
    let source = match whom(host, policy, false) {
        Whom::Own | Whom::Either => return Expected::Passes,
        Whom::Malformed => return Expected::Refused,
        Whom::Contradicted => return Expected::Either,
        Whom::Peer(source) => source,
    };
    match host.statuses.get("proxy_get_header_map_pairs") {
        None => {}
        Some(0) => return Expected::Either,
        Some(_) => return Expected::Refused,
    }
    let encoded = host.raw_headers.clone().unwrap_or_else(|| {
        let headers = host.headers.iter();
        encode_pairs(headers.map(|(name, value)| (&name[..], &value[..])))
    });
    let Some(headers) = encoding::pairs(&encoded) else {
        return Expected::Refused;
    };
    let last = |name: &[u8]| {
        let mut lines = headers.iter().rev();
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        (!value.is_empty()).then_some(*value)
    };
    let http = HttpRequest {
        host: last(b":authority"),
        method: last(b":method"),
        path: last(b":path"),
        headers: &headers,
    };
    let Some(request) = facts(host, Protocol::Http(http)) else {
        return Expected::Either;
    };
    let caller = policy.caller(&source, &request);
    let mut verdict = judged(policy.decide(&caller, &request).verdict);
    let writing = ["proxy_remove_header_map_value"];
    if verdict == Expected::Passes
        && writing.iter().any(|call| host.statuses.contains_key(call))
        && reserved(&headers)
    {
        // What must be removed and cannot be: then it does not pass.
        verdict = Expected::Either;
    }
    verdict
}

/// Likewise of a connection.
pub(super) fn connection(host: &Host, policy: &Policy) -> Expected {
    if policy.mode() == Mode::DryRun {
        return Expected::Passes;
    }
    if let Some(status) = host.statuses.get("proxy_get_property") {
        // OK without a value and NOT_FOUND are absence; what is absent is plaintext, and may be let in.
        return if (0..=1).contains(status) {
            Expected::Either
        } else {
            Expected::Refused
        };
    }
    let sources = match whom(host, policy, true) {
        Whom::Own => return Expected::Passes,
        Whom::Malformed => return Expected::Refused,
        Whom::Contradicted => return Expected::Either,
        Whom::Either => vec![
            policy.identify(&Peer::Plaintext),
            policy.identify(&Peer::Passthrough),
        ],
        Whom::Peer(source) => vec![source],
    };
    let Some(request) = facts(host, Protocol::Tcp) else {
        return Expected::Refused;
    };
    // What Envoy will not show may be anything.
    let shown = host.statuses.get("proxy_get_buffer_bytes");
    let looked_at = shown.is_some()
        && sources.iter().any(|source| {
            matches!(
                source.class(),
                SourceClass::Plaintext | SourceClass::Passthrough
            )
        });
    if looked_at {
        return Expected::Either;
    }
    let denied = sources.iter().any(|source| {
        let decision = policy.decide_connection(source, &request);
        decision.is_some_and(|decision| decision.verdict == Verdict::Deny)
    });
    if denied {
        Expected::Refused
    } else {
        Expected::Passes
    }
}

fn judged(verdict: Verdict) -> Expected {
    match verdict {
        Verdict::Allow => Expected::Passes,
        Verdict::Deny => Expected::Refused,
    }
}

/// None if the port makes no sense.
fn facts<'a>(host: &'a Host, protocol: Protocol<'a>) -> Option<Request<'a>> {
    Some(Request {
        source_ip: get(host, "source.address").and_then(encoding::ip_of_address),
        port: match get(host, "destination.port") {
            None => None,
            Some(port) => Some(encoding::port(port)?),
        },
        sni: get(host, "connection.requested_server_name"),
        protocol,
    })
}

fn whom(host: &Host, policy: &Policy, tcp: bool) -> Whom {
    let certificate = get(host, "connection.peer_certificate");
    let tls = get(host, "connection.tls_version").is_some();
    let digest = get(host, "connection.sha256_peer_certificate_digest");
    let presented = match (digest, get(host, "connection.mtls")) {
        // On TCP a certificate is not asked for where TLS does not end here.
        _ if tcp && !tls => false,
        (Some(digest), _) => {
            if certificate.map(certificates::digest).as_deref() != Some(digest) {
                return Whom::Contradicted;
            }
            true
        }
        // Nor by a request, without a digest.
        (None, _) if !tls => false,
        (None, None) => true,
        (None, Some([mtls])) => *mtls != 0,
        (None, Some(_)) => return Whom::Malformed,
    };
    let identify = |peer: &Peer<'_>| Whom::Peer(policy.identify(peer));
    if presented {
        let names = certificate.and_then(certificate::names);
        let names = names.filter(|names| !names.has_odd_dns).unwrap_or_default();
        let uris: Vec<&[u8]> = names.uris.iter().map(Vec::as_slice).collect();
        return identify(&Peer::Certificate { uri_sans: &uris });
    }
    let outbound = match get(host, "xds.listener_direction") {
        None => false,
        Some(direction) => match encoding::integer(direction) {
            None => return Whom::Malformed,
            Some(direction) => direction == 2,
        },
    };
    if outbound {
        return Whom::Own;
    }
    let sni = get(host, "connection.requested_server_name");
    let internal = get(host, "destination.address").is_some_and(|a| a.starts_with(b"envoy://"))
        || get(
            host,
            "filter_state.envoy.filters.listener.original_dst.local_ip",
        )
        .is_some();
    match get(host, "filter_state.io.istio.peer_principal") {
        Some(principal) if !tls && internal => identify(&Peer::Certificate {
            uri_sans: &[principal],
        }),
        _ if tcp && !tls && sni.is_some() => identify(&Peer::Passthrough),
        _ if tcp && !tls && matches!(host.said[..], [0x16] | [0x16, 0x03, ..]) => Whom::Either,
        _ => identify(&Peer::Plaintext),
    }
}

/// An attribute's value. An empty one is an absent one.
fn get<'a>(host: &'a Host, name: &str) -> Option<&'a [u8]> {
    let value = host.attributes.get(name)?;
    (!value.is_empty()).then_some(value)
}

/// Whether a header is there that only the filter may set.
pub(super) fn reserved(headers: &[Pair<'_>]) -> bool {
    headers
        .iter()
        .any(|(name, _)| telemetry::is_reserved_header(name))
}
