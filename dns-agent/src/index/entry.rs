//! What a name of the index is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::Name;

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It has addresses, or would have.
    Host(Host),
    /// It has service locations.
    Service(Vec<Location>),
    /// Something exists below it.
    Inner,
    /// It is a zone for which we speak as a whole.
    Zone,
    /// It tells the version of the names' specification (Kubernetes DNS specification, §2.2).
    Version,
    /// Only the cluster's own DNS knows its answer.
    Upstream {
        /// The cluster, by its place in [`Index::clusters`](super::Index::clusters).
        cluster: usize,
    },
}

/// A name with addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Sorted, without doubles.
    pub v4: Vec<Ipv4Addr>,
    /// Sorted, without doubles.
    pub v6: Vec<Ipv6Addr>,
    /// Where the service itself listens, over all its ports.
    pub locations: Box<[Location]>,
    /// Where the addresses come from.
    pub origin: Origin,
    /// Whether each of the addresses does for all: then no answer has more than [`MOST_AT_A_TIME`] of them.
    pub any_will_do: bool,
    /// The clusters that have the service, by their places in [`Index::clusters`](super::Index::clusters).
    pub clusters: Box<[usize]>,
}

/// So many addresses of gateways, or of services in peers, are given at a time. With the longest name and IPv6 that fits into
/// the 512 bytes which do for everybody: 12 for the header, 259 for the question, 28 for each address.
pub const MOST_AT_A_TIME: usize = 8;

/// Which addresses are given at a time: `count` of them, from `first` on and then around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The place of the first.
    pub first: usize,
    /// How many.
    pub count: usize,
}

impl Turn {
    /// Those among all.
    pub fn of<T>(self, all: &[T]) -> impl Iterator<Item = &T> {
        let (before, from) = all.split_at_checked(self.first).unwrap_or((&[], all));
        from.iter().chain(before).take(self.count)
    }
}

/// Where a host's addresses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The local cluster has the service.
    #[default]
    Local,
    /// Only peers have it; the addresses are their gateways'.
    Gateway,
    /// Only peers have it; the addresses are its own there.
    ClusterIp,
}

/// Where a service listens (RFC 2782), its priority being 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The port.
    pub port: u16,
    /// The share among the locations of one name.
    pub weight: u16,
    /// The host, itself a name of the index.
    pub target: Name,
}

impl Host {
    /// Which of so many of its addresses are given at a time; the others have their turn at another `rotation`.
    pub fn turn(&self, all: usize, rotation: usize) -> Turn {
        let count = if self.any_will_do {
            all.min(MOST_AT_A_TIME)
        } else {
            all
        };
        Turn {
            first: rotation.checked_rem(all).unwrap_or_default(),
            count,
        }
    }

    /// The same with these addresses besides.
    #[must_use]
    pub(super) fn with(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        for address in addresses {
            match address {
                IpAddr::V4(address) => self.v4.push(address),
                IpAddr::V6(address) => self.v6.push(address),
            }
        }
        self.v4.sort_unstable();
        self.v4.dedup();
        self.v6.sort_unstable();
        self.v6.dedup();
        self
    }
}
