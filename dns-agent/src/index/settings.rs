//! What decides answers besides the catalogs: the part of the configuration that is about them.

use std::net::IpAddr;

use super::{ClusterLocal, RemotePolicy};
use crate::{address_range::AddressRange, catalog::Locality, name::Name};

/// What decides answers besides the catalogs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster domain, such as `cluster.local`.
    pub cluster_domain: Name,
    /// What to say of a name below the cluster domain that no catalog has.
    pub mode: Mode,
    /// TTL of our answers and of their denial, in seconds.
    pub ttl: u32,
    /// Which port an SRV record names for a service behind a gateway.
    pub srv: SrvPort,
    /// The local cluster's address families; `None`: those of its services.
    pub families: Option<Families>,
    /// The domain of the cluster set, such as `clusterset.local`: neither below the cluster domain nor above it.
    pub cluster_set_domain: Name,
    /// The cluster domains of peers that have another.
    pub other_domains: Vec<Name>,
    /// Names below the cluster domain that are always the cluster's own DNS's to answer, and everything below them.
    pub passthrough: Vec<Name>,
    /// The addresses at which this agent answers, for whoever asks for the zone's servers.
    pub servers: Vec<IpAddr>,
    /// The namespace in which every cluster tells its network and its mesh configuration.
    pub istio_namespace: String,
    /// What the configuration says of names that never come from a peer, besides what is always so.
    pub cluster_local: ClusterLocal,
    /// The local cluster's network, if the configuration gives it; otherwise its catalog does.
    pub network: Option<String>,
    /// Where the node is, if the configuration gives it; otherwise the local catalog does.
    pub locality: Option<Locality>,
    /// The addresses that pods and services of the local cluster have: no remote address may be one of them.
    pub local_ranges: Vec<AddressRange>,
    /// How services that only peers have are answered.
    pub remote: RemotePolicy,
}

/// What to say of a name below the cluster domain that no catalog has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Ask the cluster's own DNS.
    Overlay,
    /// Deny it.
    Authoritative,
    /// Say nothing of our own: the cluster's DNS answers every name of ours too, and what we would say is compared.
    Shadow,
}

impl Mode {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Authoritative => "authoritative",
            Self::Shadow => "shadow",
        }
    }
}

/// Which port an SRV record names for a service that is answered with a gateway's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrvPort {
    /// The service's own.
    Service,
    /// The gateway's.
    Gateway,
}

/// Address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// IPv4 and IPv6.
    pub const BOTH: Self = Self { v4: true, v6: true };

    /// Whether an address is of one of them.
    pub fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}
