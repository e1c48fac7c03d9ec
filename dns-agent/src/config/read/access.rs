//! Whose queries are answered.

use std::net::SocketAddr;

use super::Reading;
use crate::{
    address_range::AddressRange,
    yaml::{Written, line},
};

/// Where a node's own clients can be, and nobody from the internet: this host (RFC 1122, RFC 4291), link-local (RFC 3927,
/// RFC 4291), private (RFC 1918, RFC 4193) and shared (RFC 6598) addresses.
const NEAR: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
];

impl Reading<'_> {
    /// By default everybody near, the cluster's own `ranges`, which may be public addresses, and this host: it asks an address
    /// of its own from that very address.
    pub(super) fn allow_from(
        &mut self,
        written: Option<&Written<Vec<Written<String>>>>,
        ranges: &[AddressRange],
        listen: &[SocketAddr],
    ) -> Vec<AddressRange> {
        let Some(written) = written else {
            let near = NEAR.iter().filter_map(|text| AddressRange::parse(text));
            let own = listen.iter().map(|address| AddressRange::of(address.ip()));
            return near.chain(ranges.iter().copied()).chain(own).collect();
        };
        if written.value.is_empty() {
            self.faults.add(
                line(written),
                "allowFrom",
                "the list is empty",
                "write the ranges of the clients, or 0.0.0.0/0 and ::/0 for everybody",
            );
        }
        self.ranges(&written.value, "allowFrom")
    }
}
