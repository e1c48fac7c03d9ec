//! East-west gateways as clusters and mesh configurations tell them: not yet looked up, not yet probed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use super::Locality;
use crate::address_range::AddressRange;

/// One address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    /// The network whose traffic it takes; `None`: its cluster's.
    pub network: Option<Arc<str>>,
    /// Where it is.
    pub host: GatewayHost,
    /// The port of mTLS passthrough; never 0.
    pub port: u16,
    /// Where it is in the world, if anybody says so.
    pub locality: Option<Locality>,
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayHost {
    /// At an address.
    Address(IpAddr),
    /// At whatever addresses a name has, as some clouds' load balancers are; in lower case, without a final dot.
    Name(Arc<str>),
}

impl fmt::Display for GatewayHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl GatewayHost {
    /// Reads an address or a name; `None` when it is neither, or no single host's.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let one = !address.is_unspecified() && !address.is_multicast();
            return one.then_some(Self::Address(address));
        }
        let name = crate::name::Name::parse(text).ok()?;
        // A name of digits and dots is an address gone wrong.
        let last = text.trim_end_matches('.').rsplit('.').next()?;
        let digits = last.bytes().all(|byte| byte.is_ascii_digit());
        (!digits && text.contains('.')).then(|| Self::Name(name.to_string().into()))
    }
}

/// Where a service can be reached from outside its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// At these places.
    pub hosts: Vec<GatewayHost>,
    /// The port there for each of the service's, where they differ: nodes have ports of their own.
    pub ports: BTreeMap<u16, u16>,
}

impl External {
    /// The port at its places that leads to the service's `port`.
    pub fn port(&self, port: u16) -> u16 {
        self.ports.get(&port).copied().unwrap_or(port)
    }
}

/// What a mesh configuration says of networks: Istio's `meshNetworks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshNetworks(pub BTreeMap<String, MeshNetwork>);

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshNetwork {
    /// The clusters whose endpoints are in it, by identifier.
    pub clusters: BTreeSet<String>,
    /// The ranges of addresses whose endpoints are in it, whatever cluster they are of.
    pub ranges: Vec<AddressRange>,
    /// Its gateways.
    pub gateways: Vec<MeshGateway>,
}

/// A gateway of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeshGateway {
    /// At this place.
    At(Gateway),
    /// Wherever this service of the network's clusters can be reached from outside.
    Service {
        /// The service's namespace.
        namespace: String,
        /// The service's name.
        name: String,
        /// The port there.
        port: u16,
    },
}

impl MeshNetworks {
    /// The network that an endpoint's address is in, if a range says so; the narrowest range counts.
    pub fn of_address(&self, address: IpAddr) -> Option<&str> {
        let ranges = self.0.iter().flat_map(|(name, network)| {
            let ranges = network.ranges.iter();
            ranges.map(move |range| (range, name))
        });
        let found = ranges.filter(|(range, _)| range.contains(address));
        let narrowest = found.max_by_key(|(range, _)| range.length());
        narrowest.map(|(_, name)| name.as_str())
    }

    /// The network that a cluster's endpoints are in.
    pub fn of_cluster(&self, cluster: &str) -> Option<&str> {
        let all = self.0.iter();
        let mut found = all.filter(|(_, network)| network.clusters.contains(cluster));
        found.next().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_at_one_hosts_address_or_at_a_name() {
        let check = |text: &str, expected: Option<&str>| {
            let found = GatewayHost::parse(text).map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("203.0.113.7", Some("203.0.113.7"));
        check("2001:db8::7", Some("2001:db8::7"));
        check("GW.Example.com.", Some("gw.example.com"));
        check("0.0.0.0", None);
        check("224.0.0.1", None);
        check("10.2.0.700", None);
        check("gateway", None);
        check("a b.example.com", None);
    }
}
