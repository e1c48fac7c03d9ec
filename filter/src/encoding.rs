//! How Envoy encodes what it hands over and takes: attributes (`serializeValue` in its
//! `source/extensions/common/wasm/context.cc`) and header maps (`PairsUtil` in proxy-wasm-cpp-host's
//! `src/pairs_util.cc`). Everything is little-endian. `None` is "not in this encoding".

use std::net::{IpAddr, SocketAddr};

#[cfg(test)]
mod tests;

/// A key and its value, as they are in the host's answer.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// A signed 64-bit integer.
pub(crate) fn integer(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

/// One byte, zero or not.
pub(crate) fn boolean(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [byte] => Some(*byte != 0),
        _ => None,
    }
}

/// A port as an integer.
pub(crate) fn port(bytes: &[u8]) -> Option<u16> {
    integer(bytes)?.try_into().ok()
}

/// The address in `192.0.2.1:80` or `[2001:db8::1]:80`. An IPv4 address mapped into IPv6 is given as IPv4, so that
/// one block in a policy covers a listener of either kind.
///
/// None of one with port 0. No connection has that: Envoy took the address from a header, such as `x-forwarded-for` where
/// `use_remote_address` is not set (Istio's sidecars), and keeps the connection's own to itself.
pub(crate) fn ip_of_address(bytes: &[u8]) -> Option<IpAddr> {
    let address: SocketAddr = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (address.port() != 0).then(|| address.ip().to_canonical())
}

/// A map: the number of pairs, then the sizes of each key and value, then each key and value followed by a NUL.
/// No bytes at all are an empty map.
pub(crate) fn pairs(bytes: &[u8]) -> Option<Vec<Pair<'_>>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = word(bytes)?;
    let (mut sizes, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    // The sizes are there, so `count` is no larger than what was received: no input can ask for more memory.
    let mut pairs = Vec::with_capacity(count);
    while !sizes.is_empty() {
        let (key_size, value_size, key, value);
        (key_size, sizes) = word(sizes)?;
        (value_size, sizes) = word(sizes)?;
        (key, data) = string(data, key_size)?;
        (value, data) = string(data, value_size)?;
        pairs.push((key, value));
    }
    data.is_empty().then_some(pairs)
}

/// `DeclarePropertyArguments` of Envoy's `source/extensions/common/wasm/declare_property.proto`: the name in field 1, and
/// in field 3 the type String. The life span is left at its default, the stream.
pub(crate) fn text_property(name: &str) -> Vec<u8> {
    // A length of one byte is enough for names that are ours; a longer one would be declared cut, and set undeclared.
    let size = u8::try_from(name.len()).unwrap_or(u8::MAX).min(0x7f);
    let name = name.as_bytes().get(..usize::from(size)).unwrap_or_default();
    [&[0x0a, size], name, &[0x18, 0x01]].concat()
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn string(bytes: &[u8], size: usize) -> Option<Pair<'_>> {
    let (string, rest) = bytes.split_at_checked(size)?;
    let (0, rest) = rest.split_first().map(|(nul, rest)| (*nul, rest))? else {
        return None;
    };
    Some((string, rest))
}
