//! What crossmesh-fuzz feeds: each function takes any bytes, and panics only where the filter is wrong.
//!
//! They are here and not in that package because what they try is private to this one.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a panic is how a find is told"
)]

mod callbacks;
mod event;
mod expected;
mod input;

use crate::mock_host::{certificates, encode_pairs};
use crate::{certificate, encoding};

pub use callbacks::callbacks;
#[cfg(test)]
pub(crate) use event::FUNCTIONS;

/// Certificates: as PEM, and as DER made into PEM.
///
/// # Panics
/// If a URI is found that is not in the certificate, or the two spellings of PEM that Envoy has are read differently.
pub fn certificate(bytes: &[u8]) {
    // No PEM, almost always: most of what there is to find begins below.
    let _ = certificate::names(bytes);
    let pem = certificates::pem(bytes);
    let found = certificate::names(&pem);
    for uri in found.iter().flat_map(|names| &names.uris) {
        let is_there = uri.is_empty() || bytes.windows(uri.len()).any(|window| window == uri);
        assert!(is_there, "a URI that is not in the certificate: {uri:?}");
    }
    let mut encoded = Vec::new();
    for byte in pem {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte);
        } else {
            encoded.extend(format!("%{byte:02X}").bytes());
        }
    }
    assert_eq!(
        certificate::names(&encoded),
        found,
        "percent-encoded PEM says something else"
    );
}

/// What Envoy hands over: maps, integers, booleans, addresses.
///
/// # Panics
/// If a map is read that is not encoded so, byte for byte, or a number that was not in these bytes.
pub fn encodings(bytes: &[u8]) {
    if let Some(pairs) = encoding::pairs(bytes)
        && !bytes.is_empty()
    {
        let again = encode_pairs(pairs.iter().copied());
        assert_eq!(again, bytes, "a map that Envoy would encode otherwise");
    }
    if let Some(integer) = encoding::integer(bytes) {
        assert_eq!(integer.to_le_bytes(), bytes);
        let port = encoding::port(bytes).map(i64::from);
        assert_eq!(port, (0..=0xffff).contains(&integer).then_some(integer));
    }
    assert_eq!(encoding::boolean(bytes).is_some(), bytes.len() == 1);
    if let Some(ip) = encoding::ip_of_address(bytes) {
        // The same address, however it is written.
        let again = std::net::SocketAddr::new(ip, 1).to_string();
        assert_eq!(encoding::ip_of_address(again.as_bytes()), Some(ip));
    }
}
