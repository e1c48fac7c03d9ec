//! IP address blocks: one address, or `address/prefix length`.

use std::fmt;
use std::net::IpAddr;

/// A block of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IpBlock {
    network: IpAddr,
    prefix: u8,
}

impl IpBlock {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// [`InvalidIpBlock`]; among them a block whose address has bits beyond its prefix, because one cannot know which
    /// of the two the author meant.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidIpBlock> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| InvalidIpBlock::Address)?;
        let widest = width(network);
        let prefix = match prefix {
            None => widest,
            Some(digits) => digits
                .parse()
                .ok()
                // As Go reads it, too: another reader might take a leading zero for octal.
                .filter(|prefix: &u8| *prefix <= widest && prefix.to_string() == digits)
                .ok_or(InvalidIpBlock::Prefix(widest))?,
        };
        let block = Self { network, prefix };
        if let IpAddr::V6(v6) = network
            && v6.to_ipv4_mapped().is_some()
        {
            // An address is compared as the IPv4 address that it carries: such a block would match nothing.
            Err(InvalidIpBlock::Mapped)
        } else if block.masked(network) == bits(network) {
            Ok(block)
        } else {
            Err(InvalidIpBlock::HostBits)
        }
    }

    /// Whether the address lies in the block. An IPv4-mapped IPv6 address counts as the IPv4 address it carries.
    #[must_use]
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && self.masked(address) == bits(self.network)
    }

    /// Whether all of the other block lies in it.
    pub(crate) fn covers(&self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.network)
    }

    /// What the [`bits_of`] every address in the block begin with, and of no other.
    pub(crate) fn leading_bits(&self) -> Vec<u8> {
        let mut bits = bits_of(self.network);
        bits.truncate(usize::from(self.prefix).saturating_add(1));
        bits
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let shift = u32::from(width(self.network).saturating_sub(self.prefix));
        bits(address)
            .checked_shr(shift)
            .and_then(|kept| kept.checked_shl(shift))
            .unwrap_or(0)
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// An address as text: its family, then a byte for each of its bits.
pub(crate) fn bits_of(address: IpAddr) -> Vec<u8> {
    let address = address.to_canonical();
    let family = if address.is_ipv4() { b'4' } else { b'6' };
    let all = bits(address);
    let bit = |place: u8| match all.checked_shr(place.into()).unwrap_or(0) & 1 {
        0 => b'0',
        _ => b'1',
    };
    let bits = (0..width(address)).rev().map(bit);
    std::iter::once(family).chain(bits).collect()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Why a text is not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidIpBlock {
    /// The address itself cannot be read.
    Address,
    /// The prefix length is not a number up to the width of the family; the width.
    Prefix(u8),
    /// The address has bits set beyond the prefix.
    HostBits,
    /// An IPv4 address written as an IPv6 address.
    Mapped,
}

impl fmt::Display for InvalidIpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("it is not an IPv4 or IPv6 address or block"),
            Self::Prefix(widest) => {
                write!(f, "the prefix length is not a number from 0 to {widest}")
            }
            Self::HostBits => f.write_str("the address has bits set beyond the prefix"),
            Self::Mapped => f.write_str("it is an IPv4 address written as an IPv6 one"),
        }
    }
}

impl std::error::Error for InvalidIpBlock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_block_of_its_own_family() {
        for (block, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("0.0.0.0/0", "::ffff:1.2.3.4", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
        ] {
            let parsed = IpBlock::parse(block).expect(block);
            let parsed_address = address.parse().expect(address);
            assert_eq!(parsed.contains(parsed_address), want, "{block} {address}");
            assert_eq!(
                bits_of(parsed_address).starts_with(&parsed.leading_bits()),
                want,
                "{block} {address}, by bits"
            );
        }
    }

    #[test]
    fn a_block_covers_what_lies_in_it() {
        for (wide, narrow, want) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.0/7", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("0.0.0.0/0", "::/0", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let parse = |text| IpBlock::parse(text).expect(text);
            assert_eq!(parse(wide).covers(parse(narrow)), want, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_is_not_a_block_is_refused() {
        use InvalidIpBlock::*;
        for (text, why) in [
            ("", Address),
            ("10.0.0", Address),
            ("10.0.0.0/33", Prefix(32)),
            ("10.0.0.0/+8", Prefix(32)),
            ("10.0.0.0/08", Prefix(32)),
            ("0.0.0.0/00", Prefix(32)),
            ("::/129", Prefix(128)),
            ("10.0.0.0/", Prefix(32)),
            ("10.0.0.1/8", HostBits),
            ("2001:db8::1/64", HostBits),
            ("::ffff:10.0.0.0/104", Mapped),
            ("::ffff:10.1.1.1", Mapped),
        ] {
            assert_eq!(IpBlock::parse(text), Err(why), "{text}");
        }
    }
}
