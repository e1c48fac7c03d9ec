//! A cluster: how current its catalog is, and what may be taken from it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{Catalog, Gateway};
use crate::name::Name;

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
    /// Its cluster domain, if that is another than the local cluster's: then its names are below that, and not below ours.
    pub domain: Option<Name>,
    /// The network that the configuration puts it in; otherwise its catalog says.
    pub network: Option<Arc<str>>,
    /// The gateways that the configuration gives it, instead of those that are found.
    pub gateways: Option<Arc<[Gateway]>>,
    /// The last good catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// How current that is.
    pub state: SyncState,
    /// Why the state is not [`SyncState::Synced`], or what else is wrong.
    pub problem: Option<String>,
    /// When the catalog in use was taken over.
    pub read_at: Option<SystemTime>,
    /// Whether the catalog in use is from the disk: this process has not read the source yet. It answers, but denies nothing
    /// for sure.
    pub restored: bool,
    /// Since when the state is not [`SyncState::Synced`]; `None` while it is.
    pub not_synced_since: Option<Instant>,
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

    /// Whether a namespace may have services that may be taken over.
    pub fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only {
                every_namespace,
                namespaces,
                services,
            } => {
                *every_namespace
                    || namespaces.contains(namespace)
                    || services.iter().any(|(of, _)| of == namespace)
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
