//! A service of the cluster set as an importing cluster has it: Kubernetes' Multi-Cluster Services API (KEP-1645).

use std::{net::IpAddr, sync::Arc};

use super::{Endpoint, Port};

/// One ServiceImport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImport {
    /// A label.
    pub name: Arc<str>,
    /// A label.
    pub namespace: Arc<str>,
    /// What its name stands for in this cluster.
    pub imported: Imported,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// What an imported service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// Its addresses for the whole cluster set; none as long as nobody has given it any.
    ClusterSetIp(Vec<IpAddr>),
    /// Its endpoints themselves; none as long as nobody has written any.
    Headless(Vec<ImportedEndpoint>),
}

impl Imported {
    /// Whether it says anything: otherwise what clusters export counts.
    pub fn says_something(&self) -> bool {
        match self {
            Self::ClusterSetIp(addresses) => !addresses.is_empty(),
            Self::Headless(endpoints) => !endpoints.is_empty(),
        }
    }

    /// What it gives: its addresses, or those of its ready endpoints.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::ClusterSetIp(addresses) => addresses.clone(),
            Self::Headless(endpoints) => endpoints
                .iter()
                .filter(|imported| imported.endpoint.ready)
                .map(|imported| imported.endpoint.address)
                .collect(),
        }
    }
}

/// One pod of an imported headless service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedEndpoint {
    /// The cluster that it runs in, by the name that the cluster set has for it.
    pub cluster: Option<String>,
    /// The pod.
    pub endpoint: Endpoint,
}
