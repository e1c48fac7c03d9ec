//! Ranges of addresses as `ADDRESS/LENGTH` (RFC 4632, RFC 4291 §2.3).

use std::{fmt, net::IpAddr};

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    length: u8,
}

impl AddressRange {
    /// Reads `ADDRESS/LENGTH`; the bits behind the length must be zero, because such a range is usually a mistake.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let range = Self {
            first: address.parse().ok()?,
            length: length.parse().ok()?,
        };
        let (bits, width) = bits(range.first);
        let fits = range.length <= width && bits & !mask(range.length, width) == 0;
        fits.then_some(range)
    }

    /// Reads `ADDRESS/LENGTH`, where the address may be any in the range.
    pub fn containing(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, length) = (address.parse().ok()?, length.parse().ok()?);
        let (_, width) = bits(address);
        let first: IpAddr = match address {
            IpAddr::V4(v4) if length <= width => {
                let kept = u32::try_from(mask(length, width)).unwrap_or(u32::MAX);
                std::net::Ipv4Addr::from_bits(v4.to_bits() & kept).into()
            }
            IpAddr::V6(v6) if length <= width => {
                std::net::Ipv6Addr::from_bits(v6.to_bits() & mask(length, width)).into()
            }
            _ => return None,
        };
        Some(Self { first, length })
    }

    /// How many bits its addresses have in common.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The range of one address.
    pub fn of(address: IpAddr) -> Self {
        Self {
            first: address,
            length: bits(address).1,
        }
    }

    /// Whether an address is in the range. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is where it leads to
    /// (RFC 4038 §4.2).
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(address) || self.has(address.to_canonical())
    }

    fn has(&self, address: IpAddr) -> bool {
        let (own, width) = bits(self.first);
        let (other, other_width) = bits(address);
        width == other_width && (own ^ other) & mask(self.length, width) == 0
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

/// The address as a number of so many bits.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// A number of `width` bits whose first `length` ones are set.
fn mask(length: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - width);
    all & !all.checked_shr(u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_that_begin_with_its_bits() {
        let check = |range: &str, address: &str, expected: bool| {
            let range = AddressRange::parse(range).unwrap();
            assert_eq!(
                range.contains(address.parse().unwrap()),
                expected,
                "{range} {address}"
            );
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.1.2.0/23", "10.1.3.255", true);
        check("10.1.2.3/32", "10.1.2.3", true);
        check("10.1.2.3/32", "10.1.2.2", false);
        check("0.0.0.0/0", "203.0.113.7", true);
        check("0.0.0.0/0", "::1", false);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "fe00::1", false);
        check("::/0", "fe00::1", true);
        check("::1/128", "::1", true);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("10.0.0.0/8", "::ffff:11.1.2.3", false);
        check("10.0.0.0/8", "::10.1.2.3", false);
        check("::ffff:0:0/96", "::ffff:10.1.2.3", true);
    }

    #[test]
    fn a_range_may_be_told_by_any_of_its_addresses() {
        let check = |text: &str, expected: Option<&str>| {
            let found = AddressRange::containing(text).map(|range| range.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("10.1.2.3/8", Some("10.0.0.0/8"));
        check("10.1.2.3/32", Some("10.1.2.3/32"));
        check("10.1.2.3/0", Some("0.0.0.0/0"));
        check("fd00:1::7/16", Some("fd00::/16"));
        check("10.1.2.3/33", None);
        check("10.1.2.3", None);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "fd00::/129",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(AddressRange::parse(text), None, "{text}");
        }
    }
}
