//! From catalogs to names.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{Doubts, Entry, Families, Host, Index, Location, Origin, Settings, SrvPort};
use crate::{
    catalog::{Catalog, Cluster, Endpoint, Import, Kind, Port, Protocol, Service, SyncState},
    name::{InvalidName, Name},
};

/// Owners of addresses: a service's key in all clusters.
type Key<'c> = (&'c str, &'c str);

pub(super) fn index(settings: Settings, clusters: Vec<Cluster>, serial: u32) -> Index {
    let domain = &settings.cluster_domain;
    let below = |label: &str| domain.child(label).unwrap_or_else(|_| domain.clone());
    let service_domain = below("svc");
    let mut builder = Builder {
        service_domain: &service_domain,
        srv: settings.srv,
        names: HashMap::new(),
    };
    let doubts = builder.add_all(&settings, &clusters);
    let names = builder.names;
    Index {
        pod_domain: below("pod"),
        soa: soa(domain, serial, settings.ttl),
        service_domain,
        names,
        doubts,
        settings,
        clusters,
    }
}

struct Builder<'s> {
    service_domain: &'s Name,
    srv: SrvPort,
    names: HashMap<Name, Entry>,
}

/// One peer's part in a service that the local cluster does not have.
struct Remote<'c> {
    cluster: usize,
    service: &'c Service,
    gateways: &'c [SocketAddr],
    /// Its own addresses can be reached from here.
    same_network: bool,
}

impl Builder<'_> {
    /// Every name has been checked to fit when its parts were read: labels by the source, the domain by the
    /// configuration. So no failure below ever leaves a name out.
    fn add_all(&mut self, settings: &Settings, clusters: &[Cluster]) -> Doubts {
        self.names.insert(self.service_domain.clone(), Entry::Inner);
        let mut local_services = BTreeSet::new();
        let mut local_namespaces = BTreeSet::new();
        let local = clusters.iter().position(|cluster| cluster.local);
        let local_catalog = local.and_then(|at| catalog(clusters, at));
        for service in local_catalog.map_or(&[][..], |catalog| &catalog.services) {
            local_services.insert(key(service));
            local_namespaces.insert(service.namespace.as_str());
            let _ = self.add_local(local.unwrap_or_default(), service);
        }

        // Before the local catalog is known nobody can say that a service exists only elsewhere.
        if let Some(local_catalog) = local_catalog {
            let network = settings
                .network
                .as_deref()
                .or(local_catalog.network.as_deref());
            let families = settings
                .families
                .unwrap_or_else(|| families_of(local_catalog));
            let remote = remote_services(settings, clusters, &local_services, network);
            for ((namespace, name), remotes) in &remote {
                let _ = self.add_remote(namespace, name, remotes, families);
            }
        }
        doubts(clusters, local_catalog.is_some(), &local_namespaces)
    }

    fn add_local(&mut self, cluster: usize, service: &Service) -> Result<(), InvalidName> {
        let name = self.service_name(&service.namespace, &service.name)?;
        let host = Host {
            origin: Origin::Local,
            clusters: vec![cluster],
            ..Host::default()
        };
        match &service.kind {
            Kind::ExternalName => {
                self.names.insert(name, Entry::Upstream { cluster });
            }
            Kind::ClusterIp(addresses) => {
                self.add_host(name.clone(), host, addresses.iter().copied());
                self.add_locations(&name, &service.ports, None, std::slice::from_ref(&name))?;
            }
            Kind::Headless(endpoints) => {
                self.add_headless(&name, host, endpoints, &service.ports)?
            }
        }
        Ok(())
    }

    fn add_headless(
        &mut self,
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
        self.add_host(name.clone(), host.clone(), addresses);
        let names: Vec<Name> = targets.keys().cloned().collect();
        for (target, addresses) in targets {
            self.add_host(target, host.clone(), addresses);
        }
        self.add_locations(name, ports, None, &names)
    }

    /// The service's class decides: HTTP goes to gateways, because a sidecar routes it by host; for anything else the
    /// sidecar listens on the service's own address there and on nothing else.
    fn add_remote(
        &mut self,
        namespace: &str,
        name: &str,
        remotes: &[Remote<'_>],
        families: Families,
    ) -> Result<(), InvalidName> {
        let fqdn = self.service_name(namespace, name)?;
        let http = remotes.iter().all(|remote| remote.service.is_http());
        let mut addresses = Vec::new();
        let mut gateway_ports = BTreeSet::new();
        let mut only_gateways = true;
        let mut origin = Origin::ClusterIp;
        let mut endpoints = Vec::new();
        let mut ports: Vec<Port> = Vec::new();
        for remote in remotes {
            let usable = |address: &IpAddr| families.has(*address);
            let own = remote.same_network || !http;
            match &remote.service.kind {
                Kind::ClusterIp(own_addresses) if own => {
                    only_gateways = false;
                    addresses.extend(own_addresses.iter().copied().filter(usable));
                }
                // Pods' addresses mean nothing on another network.
                Kind::Headless(pods) if remote.same_network => {
                    let pods = pods.iter().filter(|pod| usable(&pod.address));
                    endpoints.extend(pods.cloned());
                }
                Kind::Headless(_) if own => {}
                _ => {
                    origin = Origin::Gateway;
                    let usable = remote.gateways.iter().filter(|at| usable(&at.ip()));
                    for gateway in usable {
                        addresses.push(gateway.ip());
                        gateway_ports.insert(gateway.port());
                    }
                }
            }
            for port in &remote.service.ports {
                if !ports.contains(port) {
                    ports.push(port.clone());
                }
            }
        }
        // A client may use any address with any port of the answer. The service's own port is good for all of them, as a
        // sidecar routes a gateway's address by it; a gateway's port only where every address has it.
        let at_gateway = self.srv == SrvPort::Gateway
            && origin == Origin::Gateway
            && only_gateways
            && gateway_ports.len() <= 1;
        let numbers = at_gateway.then_some(&gateway_ports);
        let host = Host {
            origin,
            clusters: remotes.iter().map(|remote| remote.cluster).collect(),
            ..Host::default()
        };
        if endpoints.is_empty() {
            self.add_host(fqdn.clone(), host, addresses);
            return self.add_locations(&fqdn, &ports, numbers, std::slice::from_ref(&fqdn));
        }
        self.add_headless(&fqdn, host.clone(), &endpoints, &ports)?;
        let pods = endpoints.iter().filter(|endpoint| endpoint.ready);
        addresses.extend(pods.map(|endpoint| endpoint.address));
        self.add_host(fqdn, host, addresses);
        Ok(())
    }

    fn add_host(
        &mut self,
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
        self.names.insert(name, Entry::Host(host));
    }

    /// The SRV names of a service: `_port._protocol` below it. `numbers` are given instead of the ports' own. A name
    /// without a location still exists.
    fn add_locations(
        &mut self,
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
            self.names.insert(name, Entry::Service(locations.collect()));
            self.names.insert(transport, Entry::Inner);
        }
        Ok(())
    }

    fn service_name(&mut self, namespace: &str, name: &str) -> Result<Name, InvalidName> {
        let namespace = self.service_domain.child(namespace)?;
        let name = namespace.child(name)?;
        self.names.entry(namespace).or_insert(Entry::Inner);
        Ok(name)
    }
}

/// Every service that only peers have and that may be taken from them, with all its peers.
fn remote_services<'c>(
    settings: &Settings,
    clusters: &'c [Cluster],
    local: &BTreeSet<Key<'c>>,
    network: Option<&str>,
) -> BTreeMap<Key<'c>, Vec<Remote<'c>>> {
    let mut found: BTreeMap<Key<'c>, Vec<Remote<'c>>> = BTreeMap::new();
    for (at, cluster) in clusters.iter().enumerate() {
        let Some(catalog) = catalog(clusters, at).filter(|_| !cluster.local) else {
            continue;
        };
        for service in &catalog.services {
            let (namespace, name) = key(service);
            let wanted = service.kind != Kind::ExternalName // its target is relative to the peer
                && !local.contains(&(namespace, name))
                && cluster.import.allows(namespace, name)
                && !settings.cluster_local.contains(namespace, name);
            if wanted {
                found.entry((namespace, name)).or_default().push(Remote {
                    cluster: at,
                    service,
                    gateways: &catalog.gateways,
                    same_network: network.is_some() && catalog.network.as_deref() == network,
                });
            }
        }
    }
    found
}

fn doubts(clusters: &[Cluster], local_known: bool, local_namespaces: &BTreeSet<&str>) -> Doubts {
    let mut doubts = Doubts {
        every_namespace: !local_known,
        ..Doubts::default()
    };
    let pending = clusters
        .iter()
        .filter(|cluster| !cluster.local && cluster.state == SyncState::Pending);
    for cluster in pending {
        if cluster.import.reaches_every_namespace() {
            let here = local_namespaces.iter().map(ToString::to_string);
            doubts.namespaces.extend(here);
        }
        if let Import::Only {
            namespaces,
            services,
            ..
        } = &cluster.import
        {
            doubts.namespaces.extend(namespaces.iter().cloned());
            doubts.services.extend(services.iter().cloned());
        }
    }
    doubts
}

fn catalog(clusters: &[Cluster], at: usize) -> Option<&Catalog> {
    clusters.get(at)?.catalog.as_deref()
}

fn key(service: &Service) -> Key<'_> {
    (&service.namespace, &service.name)
}

/// The families that a cluster's services show; both when it has none with an address.
fn families_of(catalog: &Catalog) -> Families {
    let mut found = Families {
        v4: false,
        v6: false,
    };
    for service in &catalog.services {
        if let Kind::ClusterIp(addresses) = &service.kind {
            found.v4 |= addresses.iter().any(IpAddr::is_ipv4);
            found.v6 |= addresses.iter().any(IpAddr::is_ipv6);
        }
    }
    if found.v4 || found.v6 {
        found
    } else {
        Families { v4: true, v6: true }
    }
}

impl Families {
    fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

/// The name of an endpoint that has none: its address with dashes, as CoreDNS makes it.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// An SOA's data: whoever asks anew does so after one TTL.
fn soa(domain: &Name, serial: u32, ttl: u32) -> Box<[u8]> {
    let mut data = Vec::new();
    for labels in [&["dns", "ns"][..], &["hostmaster"][..]] {
        let name = labels
            .iter()
            .try_fold(domain.clone(), |name, label| name.child(label));
        data.extend_from_slice(name.as_ref().unwrap_or(domain).as_wire());
    }
    // Refresh, retry and expire concern secondaries, of which there are none.
    for number in [serial, 7200, 1800, 86400, ttl] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data.into()
}
