//! The names of one service: its own, its endpoints', its ports'.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Entry, Host, Location, Origin, SrvPort,
    remote::{Asked, Found, Remote, RemoteAnswer, find},
};
use crate::{
    catalog::{Endpoint, Kind, Port, Protocol, Service},
    name::{InvalidName, Name, is_under},
};

/// Sorted by name.
pub(super) type Entries = Box<[(Name, Entry)]>;

/// Makes the names below one domain.
pub(super) struct Builder<'s> {
    pub(super) service_domain: &'s Name,
    pub(super) srv: SrvPort,
}

/// Endpoints' names and addresses.
pub(super) type Pods = BTreeMap<Name, Vec<IpAddr>>;

impl Builder<'_> {
    /// The names of a service that the local cluster has.
    pub(super) fn local(&self, cluster: usize, service: &Service) -> Result<Entries, InvalidName> {
        let name = self.service_name(&service.namespace, &service.name)?;
        let mut names = Names::new(name.clone());
        if service.kind == Kind::ExternalName {
            names.add(name, Entry::Upstream { cluster });
        } else {
            names.add_local(&name, cluster, service);
        }
        Ok(names.finish())
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
        let name = self.service_name(&first.service.namespace, &first.service.name)?;
        let mut names = Names::new(name.clone());
        if asked.answer == RemoteAnswer::Upstream {
            names.add(name, Entry::Upstream { cluster });
            return Ok((names.finish(), 0));
        }
        let found = find(remotes, asked);
        let pods = pods(&name, &found.endpoints);
        names.add_found(&name, clusters, remotes, &found, pods, self.srv);
        for remote in remotes {
            names.add_hidden_pods(&name, remote.service);
        }
        Ok((names.finish(), found.overlaps))
    }

    pub(super) fn service_name(&self, namespace: &str, name: &str) -> Result<Name, InvalidName> {
        self.service_domain.child(namespace)?.child(name)
    }
}

/// The names so far. A name that does not fit into a message (RFC 1035 §2.3.4) is left out: nobody can ask for it.
pub(super) struct Names {
    /// The name above all others.
    top: Name,
    all: BTreeMap<Name, Entry>,
}

impl Names {
    pub(super) fn new(top: Name) -> Self {
        Self {
            top,
            all: BTreeMap::new(),
        }
    }

    /// Of two with the same name the first counts.
    pub(super) fn add(&mut self, name: Name, entry: Entry) {
        self.all.entry(name).or_insert(entry);
    }

    /// All of them, and whatever stands between them and the first: what has something below it exists (RFC 8020).
    pub(super) fn finish(mut self) -> Entries {
        let mut between = BTreeSet::new();
        for name in self.all.keys() {
            let mut above = name.parent();
            let is_between =
                |name: &Name| *name != self.top && is_under(name.as_wire(), self.top.as_wire());
            while let Some(name) = above.filter(is_between) {
                above = name.parent();
                if self.all.contains_key(&name) || !between.insert(name) {
                    break;
                }
            }
        }
        let between = between.into_iter().map(|name| (name, Entry::Inner));
        self.all.extend(between);
        self.all.into_iter().collect()
    }

    /// A service that the local cluster has, at `name`.
    pub(super) fn add_local(&mut self, name: &Name, cluster: usize, service: &Service) {
        let host = Host {
            origin: Origin::Local,
            clusters: [cluster].into(),
            ..Host::default()
        };
        match &service.kind {
            Kind::ExternalName => {}
            Kind::ClusterIp(addresses) => {
                let host = host.with(addresses.iter().copied());
                self.add_service(name, host, &service.ports, None);
            }
            Kind::Headless(endpoints) => {
                let pods = pods(name, endpoints);
                self.add_headless(name, &host, pods, [], &service.ports);
            }
        }
    }

    /// A service that peers have, at `name`.
    pub(super) fn add_found(
        &mut self,
        name: &Name,
        clusters: Box<[usize]>,
        remotes: &[Remote<'_>],
        found: &Found,
        pods: Pods,
        srv: SrvPort,
    ) {
        let mut ports: Vec<Port> = Vec::new();
        for port in remotes.iter().flat_map(|remote| &remote.service.ports) {
            if !ports.contains(port) {
                ports.push(port.clone());
            }
        }
        let host = Host {
            origin: found.origin,
            clusters,
            ..Host::default()
        };
        let addresses = found.addresses.iter().copied();
        if !pods.is_empty() {
            self.add_headless(name, &host, pods, addresses, &ports);
            return;
        }
        // A client may use any address with any port of the answer. The service's own port is good for all of them, as a
        // sidecar routes a gateway's address by it; a gateway's port only where every address has it.
        let at_gateway = srv == SrvPort::Gateway
            && found.origin == Origin::Gateway
            && found.only_gateways
            && found.gateway_ports.len() <= 1;
        let numbers = at_gateway.then_some(&found.gateway_ports);
        let host = Host {
            any_will_do: true,
            ..host.with(addresses)
        };
        self.add_service(name, host, &ports, numbers);
    }

    /// Endpoints whose addresses are of no use here: they exist all the same.
    pub(super) fn add_hidden_pods(&mut self, name: &Name, service: &Service) {
        if let Kind::Headless(endpoints) = &service.kind {
            for pod in pods(name, endpoints).into_keys() {
                let host = Host {
                    origin: Origin::ClusterIp,
                    ..Host::default()
                };
                self.add(pod, Entry::Host(host));
            }
        }
    }

    /// A service whose locations are at its own name. `numbers` are given instead of the ports' own.
    pub(super) fn add_service(
        &mut self,
        name: &Name,
        mut host: Host,
        ports: &[Port],
        numbers: Option<&BTreeSet<u16>>,
    ) {
        host.locations = self.add_locations(name, ports, numbers, std::slice::from_ref(name));
        self.add(name.clone(), Entry::Host(host));
    }

    /// A service whose locations are its endpoints. `more` are addresses of the service besides.
    pub(super) fn add_headless(
        &mut self,
        name: &Name,
        host: &Host,
        pods: Pods,
        more: impl IntoIterator<Item = IpAddr>,
        ports: &[Port],
    ) {
        let targets: Vec<Name> = pods.keys().cloned().collect();
        let locations = self.add_locations(name, ports, None, &targets);
        let addresses = pods.values().flatten().copied();
        let mut service = host.clone().with(addresses.chain(more));
        service.locations = locations;
        self.add(name.clone(), Entry::Host(service));
        for (pod, addresses) in pods {
            self.add(pod, Entry::Host(host.clone().with(addresses)));
        }
    }

    /// The SRV names of a service, `_port._protocol` below it (Kubernetes DNS specification, §2.3.2), and the locations over
    /// all ports. A name without a location still exists.
    fn add_locations(
        &mut self,
        service: &Name,
        ports: &[Port],
        numbers: Option<&BTreeSet<u16>>,
        targets: &[Name],
    ) -> Box<[Location]> {
        let mut found: BTreeMap<Name, BTreeSet<u16>> = BTreeMap::new();
        let mut all = BTreeSet::new();
        for port in ports {
            let own = BTreeSet::from([port.number]);
            let numbers = numbers.unwrap_or(&own);
            all.extend(numbers);
            let Some(name) = &port.name else { continue };
            let transport = match port.protocol {
                Protocol::Udp => "_udp",
                Protocol::Http | Protocol::Tcp => "_tcp",
            };
            let transport = service.child(transport);
            let name = transport.and_then(|transport| transport.child(&format!("_{name}")));
            if let Ok(name) = name {
                found.entry(name).or_default().extend(numbers);
            }
        }
        for (name, numbers) in found {
            self.add(name, Entry::Service(locations(&numbers, targets)));
        }
        locations(&all, targets).into()
    }
}

fn locations(ports: &BTreeSet<u16>, targets: &[Name]) -> Vec<Location> {
    let count = u16::try_from(ports.len() * targets.len()).unwrap_or(u16::MAX);
    let weight = (100 / count.max(1)).max(1);
    let locations = ports.iter().flat_map(|&port| {
        targets.iter().map(move |target| Location {
            port,
            weight,
            target: target.clone(),
        })
    });
    locations.collect()
}

/// The names and addresses of the endpoints that are ready, below `name`.
pub(super) fn pods(name: &Name, endpoints: &[Endpoint]) -> Pods {
    let mut pods = Pods::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.ready) {
        if let Ok(name) = name.child(&label(endpoint)) {
            pods.entry(name).or_default().push(endpoint.address);
        }
    }
    pods
}

/// The name of an endpoint; of one that has none its address with dashes, as CoreDNS makes it.
pub(super) fn label(endpoint: &Endpoint) -> String {
    let hostname = endpoint.hostname.clone();
    hostname.unwrap_or_else(|| endpoint.address.to_string().replace(['.', ':'], "-"))
}
