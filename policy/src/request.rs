//! What is asked: the peer as the proxy saw it, and the request as Envoy gives it.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who connected, as far as the proxy knows.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'a> {
    /// No client certificate.
    Plaintext,
    /// TLS that this proxy does not terminate.
    Passthrough,
    /// A client certificate.
    Certificate {
        /// All its URI SANs. Other than exactly one valid SPIFFE ID is an invalid identity (X509-SVID §2, §5.2).
        uri_sans: &'a [&'a [u8]],
    },
}

/// The proxy that decides, from its node metadata. What is absent is matched by no positive matcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `MESH_ID`.
    pub mesh: Option<String>,
    /// `NAMESPACE`.
    pub namespace: Option<String>,
    /// `WORKLOAD_NAME`, without the namespace.
    pub workload: Option<String>,
    /// `LABELS`.
    pub labels: BTreeMap<String, String>,
}

/// What is asked of the workload. Strings are bytes: nothing that a client sends need be UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The address of the direct peer. None if it is not known: a DENY by address then matches, an ALLOW does not.
    pub source_ip: Option<IpAddr>,
    /// The workload's port.
    pub port: Option<u16>,
    /// The TLS server name, which is the client's claim.
    pub sni: Option<&'a [u8]>,
    /// HTTP, or bytes.
    pub protocol: Protocol<'a>,
}

/// What is spoken on the connection.
#[derive(Clone, Copy, Debug)]
pub enum Protocol<'a> {
    /// One HTTP or gRPC request.
    Http(HttpRequest<'a>),
    /// A TCP connection, of which nothing more will be known.
    Tcp,
}

/// One HTTP request.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpRequest<'a> {
    /// `:authority` or `Host`, with its port if it has one.
    pub host: Option<&'a [u8]>,
    /// `:method`.
    pub method: Option<&'a [u8]>,
    /// `:path`, with its query.
    pub path: Option<&'a [u8]>,
    /// Header lines, names in lower case.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}
