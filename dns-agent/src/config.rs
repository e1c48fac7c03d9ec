//! The agent's configuration: what the file means. What is written there is read in `config/written.rs`.

mod read;
mod written;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    address_range::AddressRange,
    catalog::{Cluster, Gateway, Import, SyncState},
    fault::Faults,
    index::Settings,
    name::Name,
};

/// The schema that a configuration names in its first field.
pub const SCHEMA: &str = "crossmesh-dns/v1";

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where queries are answered, each over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Where the admin interface is served.
    pub admin: SocketAddr,
    /// Where it is served too, for whoever shares the agent's file system alone: while two agents overlap, only one has
    /// `admin`.
    pub admin_socket: Option<PathBuf>,
    /// Whose queries are answered.
    pub allow_from: Vec<AddressRange>,
    /// What decides answers besides the catalogs.
    pub settings: Settings,
    /// The configured clusters; exactly one is local.
    pub catalogs: Vec<Entry>,
    /// Where further clusters are discovered.
    pub remote_secrets: Option<RemoteSecrets>,
    /// The node that the agent runs on, whose labels tell where it is; the command line says it, not the file.
    pub node: Option<String>,
    /// How gateways are probed; `None`: they are not.
    pub gateway_probe: Option<GatewayProbe>,
    /// How long a peer that was never read is waited for.
    pub peer_sync_timeout: Duration,
    /// Where what sources said last is kept; `None`: nowhere.
    pub snapshot: Option<Snapshot>,
    /// In shadow mode, for how long a difference must stand to count.
    pub shadow_settle: Duration,
    /// Where other names are asked.
    pub upstreams: Upstreams,
    /// What is kept of their replies.
    pub cache: Cache,
    /// Bounds of the TCP server.
    pub tcp: Tcp,
    /// What is logged.
    pub log: Log,
}

/// One cluster and where its catalog comes from.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The cluster's identifier.
    pub cluster: String,
    /// The mesh it belongs to.
    pub mesh: String,
    /// Whether it is the cluster that this agent serves.
    pub local: bool,
    /// Where its catalog comes from.
    pub source: Source,
    /// What may be taken from it.
    pub import: Import,
    /// Its cluster domain, if it is another than the local cluster's.
    pub domain: Option<Name>,
    /// The network it belongs to, if the configuration says so.
    pub network: Option<String>,
    /// Its gateways, if the configuration gives them.
    pub gateways: Option<Vec<Gateway>>,
}

/// Where a cluster's catalog comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The API server of the cluster that the agent runs in, with the account of its pod.
    InCluster,
    /// The API server that a kubeconfig file names.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Which of its contexts; `None`: the current one.
        context: Option<String>,
    },
    /// An API server that a remote secret names.
    Discovered,
}

/// Where further clusters are discovered: Istio's remote secrets in a namespace of the local cluster.
#[derive(Clone, Debug)]
pub struct RemoteSecrets {
    /// The namespace.
    pub namespace: String,
    /// What is said of single clusters; all others are of the local cluster's mesh.
    pub clusters: Vec<Entry>,
}

/// How gateways are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayProbe {
    /// From the beginning of a probe to that of the next.
    pub interval: Duration,
    /// How long a connection may take.
    pub timeout: Duration,
    /// Who must show a certificate there; `None`: a connection is enough.
    pub server_name: Option<Arc<str>>,
    /// Failures in a row that take an address out of the answers.
    pub failures: u32,
    /// Successes in a row that take it back.
    pub successes: u32,
}

/// Where what sources said last is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder, of the agent alone.
    pub directory: PathBuf,
    /// The least time from one writing of a cluster to the next.
    pub interval: Duration,
}

/// Where other names are asked.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// The general servers.
    pub general: Servers,
    /// The cluster's own DNS; empty: the general servers know its names too.
    pub cluster_zone: Vec<SocketAddr>,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How long a query may take in all; less than a client waits.
    pub deadline: Duration,
    /// How many queries may be under way to servers at a time.
    pub max_concurrent: usize,
}

/// The general servers, or where they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// As given; never empty.
    Given(Vec<SocketAddr>),
    /// The `nameserver` lines of a file in the form of resolv.conf(5).
    ResolvConf(PathBuf),
}

/// What is kept of upstream replies.
#[derive(Clone, Debug)]
pub struct Cache {
    /// How many replies; 0: none.
    pub entries: usize,
    /// How much memory they may take, in bytes.
    pub max_bytes: usize,
    /// The longest time for a reply with data.
    pub max_ttl: Duration,
    /// The longest time for a denial.
    pub max_negative_ttl: Duration,
}

/// Bounds of the TCP server.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// How many connections may be open at a time.
    pub max_connections: usize,
    /// How long a connection may be silent.
    pub idle_timeout: Duration,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form.
    pub format: LogFormat,
    /// The least severe level.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the usual names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The word that log filters know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// Reads a configuration file.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        let text = fs::read_to_string(file).map_err(|error| {
            Faults::whole_file(
                file,
                format!("the configuration cannot be read: {error}"),
                "give the path of a readable file",
            )
        })?;
        Self::parse(file, &text)
    }

    /// Reads a configuration from `text`; relative paths in it start at the folder of `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Faults> {
        read::config(file, text)
    }

    /// Where peers' addresses are not compared with the local cluster's, because the configuration does not say which these
    /// are: what that means.
    pub fn unguarded(&self) -> Option<&'static str> {
        let has_peers = self.remote_secrets.is_some() || self.catalogs.len() > 1;
        if !has_peers || !self.settings.local_ranges.is_empty() {
            return None;
        }
        let local = self.catalogs.iter().find(|entry| entry.local);
        let from_file = local.is_some_and(|local| matches!(local.source, Source::File(_)));
        Some(if from_file {
            "the list is empty: a peer's address that is a local one here would be given, and lead to somebody else; list the \
             ranges of this cluster's services and pods"
        } else {
            "the list is empty: a peer's address that a pod has here would be given, and lead to that pod; one that a service \
             has, only if the API server does not tell the services' ranges (ServiceCIDR, Kubernetes 1.33 and later); list \
             the ranges of this cluster's services and pods"
        })
    }

    /// The network that a cluster must belong to: only of the local one the configuration knows it.
    pub fn network_of<'c>(&'c self, entry: &'c Entry) -> Option<&'c str> {
        if entry.local {
            self.settings.network.as_deref()
        } else {
            entry.network.as_deref()
        }
    }

    /// The entry of a cluster that was discovered.
    pub fn discovered(&self, cluster: &str) -> Entry {
        let secrets = self.remote_secrets.iter();
        let mut told = secrets.flat_map(|secrets| &secrets.clusters);
        let entry = told.find(|entry| entry.cluster == cluster).cloned();
        let local = self.catalogs.iter().find(|entry| entry.local);
        entry.unwrap_or_else(|| Entry {
            cluster: cluster.to_owned(),
            mesh: local.map_or_else(String::new, |local| local.mesh.clone()),
            local: false,
            source: Source::Discovered,
            import: Import::All,
            domain: None,
            network: None,
            gateways: None,
        })
    }
}

impl Entry {
    /// The cluster before anything is known of it.
    pub fn cluster(&self) -> Cluster {
        Cluster {
            id: self.cluster.as_str().into(),
            mesh: self.mesh.as_str().into(),
            local: self.local,
            import: self.import.clone(),
            domain: self.domain.clone(),
            network: self.network.as_deref().map(Into::into),
            gateways: self.gateways.as_deref().map(Arc::from),
            catalog: None,
            state: SyncState::Pending,
            problem: None,
            read_at: None,
            restored: false,
            not_synced_since: None,
        }
    }
}
