//! The names of one service: its own, its endpoints', its ports'.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Entry, Host, Location, Origin, SrvPort,
    remote::{Asked, Remote, RemoteAnswer, find},
};
use crate::{
    catalog::{Endpoint, Kind, Port, Protocol, Service},
    name::{InvalidName, Name},
};

/// Sorted by name.
pub(super) type Entries = Box<[(Name, Entry)]>;

/// Makes the names below one domain.
pub(super) struct Builder<'s> {
    pub(super) service_domain: &'s Name,
    pub(super) srv: SrvPort,
}

/// The names so far; of two with the same name the last counts.
type Names = BTreeMap<Name, Entry>;

impl Builder<'_> {
    /// The names of a service that the local cluster has.
    pub(super) fn local(&self, cluster: usize, service: &Service) -> Result<Entries, InvalidName> {
        let name = self.service_name(service)?;
        let host = Host {
            origin: Origin::Local,
            clusters: [cluster].into(),
            ..Host::default()
        };
        let mut names = Names::new();
        match &service.kind {
            Kind::ExternalName => {
                names.insert(name, Entry::Upstream { cluster });
            }
            Kind::ClusterIp(addresses) => {
                add_host(&mut names, name.clone(), host, addresses.iter().copied());
                let target = std::slice::from_ref(&name);
                add_locations(&mut names, &name, &service.ports, None, target)?;
            }
            Kind::Headless(endpoints) => {
                add_headless(&mut names, &name, host, endpoints, &service.ports)?;
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The names of a service that only peers have, and how many addresses were left out for being local ones here.
    /// `clusters` are the places of `remotes`.
    pub(super) fn remote(
        &self,
        clusters: Box<[usize]>,
        remotes: &[Remote<'_>],
        asked: &Asked<'_>,
    ) -> Result<(Entries, usize), InvalidName> {
        let (Some(first), Some(&cluster)) = (remotes.first(), clusters.first()) else {
            return Ok((Entries::default(), 0));
        };
        let fqdn = self.service_name(first.service)?;
        if asked.answer == RemoteAnswer::Upstream {
            return Ok(([(fqdn, Entry::Upstream { cluster })].into(), 0));
        }
        let found = find(remotes, asked);
        let mut ports: Vec<Port> = Vec::new();
        for port in remotes.iter().flat_map(|remote| &remote.service.ports) {
            if !ports.contains(port) {
                ports.push(port.clone());
            }
        }
        // A client may use any address with any port of the answer. The service's own port is good for all of them, as a
        // sidecar routes a gateway's address by it; a gateway's port only where every address has it.
        let at_gateway = self.srv == SrvPort::Gateway
            && found.origin == Origin::Gateway
            && found.only_gateways
            && found.gateway_ports.len() <= 1;
        let numbers = at_gateway.then_some(&found.gateway_ports);
        let host = Host {
            origin: found.origin,
            clusters,
            ..Host::default()
        };
        let mut names = Names::new();
        if found.endpoints.is_empty() {
            add_host(&mut names, fqdn.clone(), host, found.addresses);
            let target = std::slice::from_ref(&fqdn);
            add_locations(&mut names, &fqdn, &ports, numbers, target)?;
        } else {
            add_headless(&mut names, &fqdn, host.clone(), &found.endpoints, &ports)?;
            let pods = found.endpoints.iter().filter(|endpoint| endpoint.ready);
            let pods = pods.map(|endpoint| endpoint.address);
            add_host(&mut names, fqdn, host, pods.chain(found.addresses));
        }
        Ok((names.into_iter().collect(), found.overlaps))
    }

    fn service_name(&self, service: &Service) -> Result<Name, InvalidName> {
        let namespace = self.service_domain.child(&service.namespace)?;
        namespace.child(&service.name)
    }
}

fn add_headless(
    names: &mut Names,
    name: &Name,
    host: Host,
    endpoints: &[Endpoint],
    ports: &[Port],
) -> Result<(), InvalidName> {
    let ready = || endpoints.iter().filter(|endpoint| endpoint.ready);
    let mut targets: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
    for endpoint in ready() {
        let label = endpoint
            .hostname
            .clone()
            .unwrap_or_else(|| dashed(endpoint.address));
        targets
            .entry(name.child(&label)?)
            .or_default()
            .push(endpoint.address);
    }
    let addresses: Vec<IpAddr> = ready().map(|endpoint| endpoint.address).collect();
    add_host(names, name.clone(), host.clone(), addresses);
    let pods: Vec<Name> = targets.keys().cloned().collect();
    for (target, addresses) in targets {
        add_host(names, target, host.clone(), addresses);
    }
    add_locations(names, name, ports, None, &pods)
}

fn add_host(
    names: &mut Names,
    name: Name,
    mut host: Host,
    addresses: impl IntoIterator<Item = IpAddr>,
) {
    for address in addresses {
        match address {
            IpAddr::V4(address) => host.v4.push(address),
            IpAddr::V6(address) => host.v6.push(address),
        }
    }
    host.v4.sort_unstable();
    host.v4.dedup();
    host.v6.sort_unstable();
    host.v6.dedup();
    names.insert(name, Entry::Host(host));
}

/// The SRV names of a service: `_port._protocol` below it. `numbers` are given instead of the ports' own. A name without
/// a location still exists.
fn add_locations(
    names: &mut Names,
    service: &Name,
    ports: &[Port],
    numbers: Option<&BTreeSet<u16>>,
    targets: &[Name],
) -> Result<(), InvalidName> {
    let mut found: BTreeMap<(Name, Name), BTreeSet<u16>> = BTreeMap::new();
    for port in ports {
        let Some(name) = &port.name else { continue };
        let transport = service.child(match port.protocol {
            Protocol::Udp => "_udp",
            Protocol::Http | Protocol::Tcp => "_tcp",
        })?;
        let name = transport.child(&format!("_{name}"))?;
        let found = found.entry((transport, name)).or_default();
        match numbers {
            Some(numbers) => found.extend(numbers),
            None => found.extend([port.number]),
        }
    }
    for ((transport, name), numbers) in found {
        let count = u16::try_from(numbers.len() * targets.len()).unwrap_or(u16::MAX);
        let weight = (100 / count.max(1)).max(1);
        let locations = numbers.iter().flat_map(|&port| {
            targets.iter().map(move |target| Location {
                port,
                weight,
                target: target.clone(),
            })
        });
        names.insert(name, Entry::Service(locations.collect()));
        names.insert(transport, Entry::Inner);
    }
    Ok(())
}

/// The name of an endpoint that has none: its address with dashes, as CoreDNS makes it.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
