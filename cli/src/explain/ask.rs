//! What the flags ask.

use std::borrow::Cow;

use crossmesh_policy::{
    Explanation, HttpRequest, Invalid, Node, Peer, Protocol, Request, SpiffeId, shown,
};

use crate::args::{Explain, NodeArgs, RequestArgs, SourceArgs};
use crate::input::Policy;
use crate::problem::Located;

/// The proxy that is asked.
///
/// # Errors
/// A label that has two values.
pub(super) fn node(args: &NodeArgs) -> Result<Node, Located> {
    let labels = args.labels().map_err(|key| {
        Located::new(
            None,
            format!(
                "--node-label {}: given twice with different values",
                shown(key.as_bytes())
            ),
            "give it once",
        )
    })?;
    Ok(Node {
        mesh: args.node_mesh.clone(),
        namespace: args.node_namespace.clone(),
        workload: args.node_workload.clone(),
        labels,
    })
}

/// Asks the policy.
///
/// # Errors
/// If it is not for this proxy.
pub(super) fn explain(
    policy: &Policy,
    node: &Node,
    args: &Explain,
) -> Result<Explanation, Invalid> {
    let RequestArgs {
        host,
        port,
        method,
        path,
        header,
        sni,
        tcp: _,
    } = &args.request;
    let SourceArgs {
        principal,
        passthrough,
        source_ip,
    } = &args.source;
    let principals: Vec<Cow<'_, str>> = principal.iter().map(|text| uri(text)).collect();
    let uri_sans: Vec<&[u8]> = principals.iter().map(|uri| uri.as_bytes()).collect();
    let headers: Vec<(&[u8], &[u8])> = header
        .iter()
        .map(|(k, v)| (k.as_bytes(), v.as_bytes()))
        .collect();
    let peer = match uri_sans.as_slice() {
        _ if *passthrough => Peer::Passthrough,
        [] => Peer::Plaintext,
        uri_sans => Peer::Certificate { uri_sans },
    };
    let protocol = if args.is_tcp() {
        Protocol::Tcp
    } else {
        Protocol::Http(HttpRequest {
            host: bytes(host),
            method: bytes(method),
            path: bytes(path),
            headers: &headers,
        })
    };
    let request = Request {
        source_ip: source_ip.filter(|_| !hides_address(args)),
        port: *port,
        sni: bytes(sni),
        protocol,
    };
    policy.program.explain(node, &peer, &request)
}

/// The URI that a principal stands for: as in policies `spiffe://` may be left out. What does not begin with a trust domain, or has
/// a scheme, is taken as it is: certificates can say anything.
pub(super) fn uri(principal: &str) -> Cow<'_, str> {
    let whole = format!("spiffe://{principal}");
    let begins_with_domain = |(domain, _): (&str, &str)| {
        SpiffeId::parse(format!("spiffe://{domain}/x").as_bytes()).is_ok()
    };
    let is_short =
        !principal.contains("://") && principal.split_once('/').is_some_and(begins_with_domain);
    if is_short {
        whole.into()
    } else {
        principal.into()
    }
}

/// Whether the proxy takes the address from a header, as Istio's sidecars do, and so does not tell the direct peer's.
pub(super) fn hides_address(args: &Explain) -> bool {
    let mut headers = args.request.header.iter();
    !args.node.gateway && headers.any(|(name, _)| name == "x-forwarded-for")
}

fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn the_scheme_may_be_left_out() {
        for (given, read) in [
            ("foo.com/ns/a/sa/b", "spiffe://foo.com/ns/a/sa/b"),
            ("foo.com//a", "spiffe://foo.com//a"),
            ("spiffe://foo.com/a", "spiffe://foo.com/a"),
            ("https://foo.com/a", "https://foo.com/a"),
            ("/foo.com/a", "/foo.com/a"),
            ("Foo.com/a", "Foo.com/a"),
            ("foo.com", "foo.com"),
            ("", ""),
        ] {
            assert_eq!(uri(given), read);
        }
    }
}
