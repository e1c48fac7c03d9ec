//! What a cluster says about itself: its services and its gateways. Independent of where it was read.

mod cluster;
mod gateway;
mod locality;
mod service_import;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::address_range::AddressRange;
pub use cluster::{Cluster, Import, SyncState};
pub use gateway::{External, Gateway, GatewayHost, MeshGateway, MeshNetwork, MeshNetworks};
pub use locality::{ELSEWHERE, Locality, REGION, ZONE};
pub use service_import::{Imported, ImportedEndpoint, ServiceImport};

/// Everything known of one cluster at one moment. What two catalogs have in common they share, so that a change costs
/// what changed and comparing two costs little.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The network that the cluster's addresses belong to; `None` is a network of its own.
    pub network: Option<String>,
    /// The namespaces that exist, also those without services.
    pub namespaces: BTreeMap<Arc<str>, Arc<Namespace>>,
    /// Whether there are no other namespaces, so that what would be in one is known not to exist.
    pub every_namespace: bool,
    /// The east-west gateways that the cluster has.
    pub gateways: Arc<[Gateway]>,
    /// Where services can be reached from outside the cluster, by namespace and name: what a gateway that is named as a
    /// service stands for.
    pub external: Arc<BTreeMap<(String, String), External>>,
    /// What the cluster's mesh configuration says of all networks.
    pub mesh_networks: Arc<MeshNetworks>,
    /// Hosts of which the cluster's mesh configuration says whether they stay in their cluster, as it writes them.
    pub cluster_local_hosts: Arc<[(String, bool)]>,
    /// Whether that mesh configuration is there and could not be read yet: then every host may be one that stays.
    pub mesh_unread: bool,
    /// Where the agent's own node is, if the cluster says so.
    pub node: Option<Locality>,
    /// The ranges that the cluster gives its services' addresses from, as far as it says so.
    pub service_ranges: Arc<[AddressRange]>,
    /// East-west gateways that serve ambient meshes alone (HBONE), as people name them: they are not given.
    pub hbone_gateways: Arc<[String]>,
}

/// The services of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    services: BTreeMap<Arc<str>, Arc<Service>>,
    imports: BTreeMap<Arc<str>, Arc<ServiceImport>>,
    remote: Option<bool>,
    /// Whether any cluster IP is IPv4, and whether any is IPv6.
    families: (bool, bool),
}

/// One Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A label.
    pub name: Arc<str>,
    /// A label.
    pub namespace: Arc<str>,
    /// What its name stands for.
    pub kind: Kind,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Whether other clusters may have it.
    pub exported: bool,
    /// Whether a ServiceExport gives it to the cluster set (KEP-1645).
    pub in_cluster_set: bool,
    /// Whether it has no ready endpoint for sure; only known where an answer depends on it.
    pub is_empty: bool,
}

/// What a service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its cluster IPs; never empty.
    ClusterIp(Vec<IpAddr>),
    /// Its endpoints themselves.
    Headless(Vec<Endpoint>),
    /// Only the cluster's own DNS knows: a name elsewhere.
    ExternalName,
}

/// One pod of a headless service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's address.
    pub address: IpAddr,
    /// The pod's own name below the service's.
    pub hostname: Option<String>,
    /// Whether it takes traffic.
    pub ready: bool,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// A label; a port without a name has no SRV record.
    pub name: Option<String>,
    /// Never 0.
    pub number: u16,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// As much of a port's protocol as decides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP in any version, or gRPC: a sidecar routes it by the request's host, whatever address was dialled.
    Http,
    /// Anything else over TCP, TLS included: a sidecar routes it by the address dialled.
    Tcp,
    /// Anything over UDP.
    Udp,
}

impl Protocol {
    /// Reads a protocol as Istio does: any of its names, or an `appProtocol` that Kubernetes defines. `None` for any
    /// other text. Source: Istio, "Protocol Selection".
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" | "http2" | "http_proxy" | "grpc" | "grpc-web" | "kubernetes.io/h2c"
            | "kubernetes.io/ws" => Some(Self::Http),
            "tcp" | "tls" | "https" | "mongo" | "mysql" | "redis" | "kubernetes.io/wss" => {
                Some(Self::Tcp)
            }
            "udp" => Some(Self::Udp),
            _ => None,
        }
    }

    /// Reads the protocol that a port's name begins with, such as `http` or `tcp-admin`.
    pub fn of_port_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if lower == "grpc-web" || lower.starts_with("grpc-web-") {
            return Some(Self::Http);
        }
        Self::parse(lower.split('-').next().unwrap_or_default())
    }
}

impl Catalog {
    /// A catalog of these services, without gateways. Of several with the same namespace and name the last counts.
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        let mut namespaces: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Service>>> = BTreeMap::new();
        for service in services {
            let namespace = namespaces
                .entry(Arc::clone(&service.namespace))
                .or_default();
            namespace.insert(Arc::clone(&service.name), Arc::new(service));
        }
        let namespaces = namespaces.into_iter();
        Self {
            namespaces: namespaces
                .map(|(name, services)| (name, Arc::new(Namespace::new(services))))
                .collect(),
            ..Self::default()
        }
    }

    /// How many services there are.
    pub fn service_count(&self) -> usize {
        let namespaces = self.namespaces.values();
        namespaces.map(|namespace| namespace.services.len()).sum()
    }

    /// Takes over from `before` every part that is equal, so that whoever compares by address sees what changed.
    pub fn share(&mut self, before: &Self) {
        for (name, namespace) in &mut self.namespaces {
            let Some(before) = before.namespaces.get(name) else {
                continue;
            };
            if namespace == before {
                *namespace = Arc::clone(before);
                continue;
            }
            let mut shared = Namespace::clone(namespace);
            share_parts(&mut shared.services, &before.services);
            share_parts(&mut shared.imports, &before.imports);
            *namespace = Arc::new(shared);
        }
    }
}

fn share_parts<T: PartialEq>(
    parts: &mut BTreeMap<Arc<str>, Arc<T>>,
    before: &BTreeMap<Arc<str>, Arc<T>>,
) {
    for (name, part) in parts {
        if let Some(before) = before.get(name).filter(|before| *before == part) {
            *part = Arc::clone(before);
        }
    }
}

impl Namespace {
    /// A namespace of these services, by name.
    pub fn new(services: BTreeMap<Arc<str>, Arc<Service>>) -> Self {
        let mut families = (false, false);
        for service in services.values() {
            if let Kind::ClusterIp(addresses) = &service.kind {
                families.0 |= addresses.iter().any(IpAddr::is_ipv4);
                families.1 |= addresses.iter().any(IpAddr::is_ipv6);
            }
        }
        Self {
            services,
            families,
            ..Self::default()
        }
    }

    /// The same with these ServiceImports, by name.
    #[must_use]
    pub fn with_imports(self, imports: BTreeMap<Arc<str>, Arc<ServiceImport>>) -> Self {
        Self { imports, ..self }
    }

    /// The same with what its label says of remote answers.
    #[must_use]
    pub fn with_remote(self, remote: Option<bool>) -> Self {
        Self { remote, ..self }
    }

    /// The services by name.
    pub fn services(&self) -> &BTreeMap<Arc<str>, Arc<Service>> {
        &self.services
    }

    /// The ServiceImports by name.
    pub fn imports(&self) -> &BTreeMap<Arc<str>, Arc<ServiceImport>> {
        &self.imports
    }

    /// Whether names of this namespace may be answered from peers, where its label says so.
    pub fn remote(&self) -> Option<bool> {
        self.remote
    }

    /// Whether any cluster IP is IPv4, and whether any is IPv6.
    pub fn families(&self) -> (bool, bool) {
        self.families
    }
}

/// What a service's ports speak together: an answer has no port, so one answer must do for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every port speaks HTTP, so that a gateway's address carries all its traffic.
    Http,
    /// No port does; a service that declares no port is here.
    Tcp,
    /// Some do.
    Mixed,
}

impl Class {
    /// The class of a service that several clusters have.
    pub fn of<'s>(services: impl Iterator<Item = &'s Service>) -> Self {
        let (mut http, mut other) = (false, false);
        for service in services {
            other |= service.ports.is_empty();
            for port in &service.ports {
                http |= port.protocol == Protocol::Http;
                other |= port.protocol != Protocol::Http;
            }
        }
        match (http, other) {
            (true, false) => Self::Http,
            (false, _) => Self::Tcp,
            (true, true) => Self::Mixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_name_tells_its_protocol_by_what_it_begins_with() {
        let check = |name: &str, expected: Option<Protocol>| {
            assert_eq!(Protocol::of_port_name(name), expected, "{name}");
        };
        check("http", Some(Protocol::Http));
        check("http-web", Some(Protocol::Http));
        check("GRPC-api", Some(Protocol::Http));
        check("grpc-web", Some(Protocol::Http));
        check("https", Some(Protocol::Tcp));
        check("tls-admin", Some(Protocol::Tcp));
        check("udp-dns", Some(Protocol::Udp));
        check("httpd", None);
        check("web", None);
    }
}
