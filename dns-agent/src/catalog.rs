//! What a cluster says about itself: its services and its gateways. Independent of where it was read.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

/// Everything known of one cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The network that the cluster's addresses belong to; `None` is a network of its own.
    pub network: Option<String>,
    /// At most one for each namespace and name.
    pub services: Vec<Service>,
    /// The cluster's east-west gateways.
    pub gateways: Vec<SocketAddr>,
}

/// One Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A label.
    pub name: String,
    /// A label.
    pub namespace: String,
    /// What its name stands for.
    pub kind: Kind,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// What a service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its cluster IPs; never empty.
    ClusterIp(Vec<IpAddr>),
    /// Its endpoints themselves.
    Headless(Vec<Endpoint>),
    /// A name elsewhere, which only the cluster's own DNS follows.
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

impl Service {
    /// Whether every port speaks HTTP, so that a gateway's address carries all its traffic. A service that declares no
    /// port does not.
    pub fn is_http(&self) -> bool {
        !self.ports.is_empty()
            && self
                .ports
                .iter()
                .all(|port| port.protocol == Protocol::Http)
    }
}

/// One configured cluster with what is known of it now.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Unique among the configured clusters.
    pub id: Arc<str>,
    /// The mesh that the configuration puts it in.
    pub mesh: Arc<str>,
    /// Whether it is the cluster that this agent serves.
    pub local: bool,
    /// What may be taken from it.
    pub import: Import,
    /// The last good catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// How current that is.
    pub state: SyncState,
    /// Why the state is not [`SyncState::Synced`].
    pub problem: Option<String>,
    /// When the catalog in use was taken over.
    pub read_at: Option<SystemTime>,
}

/// How current a cluster's catalog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncState {
    /// It is what the source says now.
    Synced,
    /// The source cannot be read or is wrong; the last good catalog is kept.
    Stale,
    /// Never read; names that may need it are not denied yet.
    Pending,
    /// Never read in the time allowed: it counts as empty until it can be read.
    TimedOut,
}

impl SyncState {
    /// The word for logs, metrics and status pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Stale => "stale",
            Self::Pending => "pending",
            Self::TimedOut => "timed-out",
        }
    }
}

/// Which of a peer's services may be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// All: the local cluster, and peers of the same mesh.
    All,
    /// What is named: peers of another mesh.
    Only {
        /// Every namespace (`"*"`).
        every_namespace: bool,
        /// All services of these namespaces.
        namespaces: BTreeSet<String>,
        /// Single services, as (namespace, name).
        services: BTreeSet<(String, String)>,
    },
}

impl Import {
    /// Whether a service may be taken over.
    pub fn allows(&self, namespace: &str, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only {
                every_namespace,
                namespaces,
                services,
            } => {
                *every_namespace
                    || namespaces.contains(namespace)
                    || services.contains(&(namespace.to_owned(), name.to_owned()))
            }
        }
    }

    /// Whether a namespace that exists locally may have services in this peer.
    pub fn reaches_every_namespace(&self) -> bool {
        match self {
            Self::All => true,
            Self::Only {
                every_namespace, ..
            } => *every_namespace,
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
