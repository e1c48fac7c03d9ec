//! The agent's configuration: what the file means. What is written there is read in `config/written.rs`.

mod read;
mod written;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{catalog::Import, fault::Faults, index::Settings};

/// The schema that a configuration names in its first field.
pub const SCHEMA: &str = "crossmesh-dns/v1";

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where queries are answered, each over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Where the admin interface is served.
    pub admin: SocketAddr,
    /// What decides answers besides the catalogs.
    pub settings: Settings,
    /// The configured clusters; exactly one is local.
    pub catalogs: Vec<CatalogFile>,
    /// How long a peer that was never read is waited for.
    pub peer_sync_timeout: Duration,
    /// Where other names are asked.
    pub upstreams: Upstreams,
    /// What is kept of their replies.
    pub cache: Cache,
    /// Bounds of the TCP server.
    pub tcp: Tcp,
    /// What is logged.
    pub log: Log,
}

/// One cluster and the file that its catalog is in.
#[derive(Clone, Debug)]
pub struct CatalogFile {
    /// The cluster's identifier.
    pub cluster: String,
    /// The mesh it belongs to.
    pub mesh: String,
    /// Whether it is the cluster that this agent serves.
    pub local: bool,
    /// The file.
    pub file: PathBuf,
    /// What may be taken from it.
    pub import: Import,
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

    /// The network that a cluster must belong to: only of the local one the configuration knows it.
    pub fn network_of(&self, entry: &CatalogFile) -> Option<&str> {
        self.settings.network.as_deref().filter(|_| entry.local)
    }
}
