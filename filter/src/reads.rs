//! What a decision reads of a connection besides its peer, the same for requests and for connections.

use std::net::IpAddr;

use crate::encoding;
use crate::host::{self, Answer, Attribute, Failure};

/// The address of the direct peer. A peer on a Unix socket or an internal listener has an address without an IP, and one from a
/// header is the client's claim: then the peer's is not known.
pub(crate) fn source_ip() -> Result<Option<IpAddr>, Failure> {
    let address = host::attribute(Attribute::SOURCE_ADDRESS)?;
    Ok(address.and_then(|address| encoding::ip_of_address(&address)))
}

/// The workload's port.
pub(crate) fn port() -> Result<Option<u16>, Failure> {
    match host::attribute(Attribute::DESTINATION_PORT)? {
        None => Ok(None),
        Some(port) => encoding::port(&port)
            .map(Some)
            .ok_or(Failure::malformed("proxy_get_property")),
    }
}

/// The server name of the TLS hello.
pub(crate) fn sni() -> Result<Option<Answer>, Failure> {
    host::attribute(Attribute::SNI)
}

/// A value, where a rule asks for it.
pub(crate) fn only_if<T>(
    needed: bool,
    read: fn() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    if needed { read() } else { Ok(None) }
}
