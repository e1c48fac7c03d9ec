//! What a decision reads of a connection besides its peer, the same for requests and for connections.

use std::net::IpAddr;

use crate::encoding;
use crate::host::{self, Answer, Attribute, Failure};

/// What a record of a TLS handshake begins with: its type, and the first byte of its version (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

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

/// Whether the client's first bytes may be the beginning of TLS: a handshake's record, of whichever version, or so much of one
/// as is there. Other bytes can begin so too.
pub(crate) fn begins_like_tls() -> Result<bool, Failure> {
    let begins = host::downstream_data(TLS_HANDSHAKE.len())?;
    Ok(!begins.is_empty() && TLS_HANDSHAKE.starts_with(&begins))
}

/// A value, where a rule asks for it.
pub(crate) fn only_if<T>(
    needed: bool,
    read: fn() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    if needed { read() } else { Ok(None) }
}
