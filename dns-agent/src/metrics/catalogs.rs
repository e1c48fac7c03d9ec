//! What is shown of each cluster's catalog, while the cluster is one of ours.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Instant, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::labels::{CatalogLabels, CatalogStateLabels, STATES};
use crate::catalog::Cluster;

/// The state of each cluster's catalog.
#[derive(Debug, Default)]
pub(super) struct CatalogMetrics {
    state: Family<CatalogStateLabels, Gauge>,
    loaded: Family<CatalogLabels, Gauge<f64, AtomicU64>>,
    services: Family<CatalogLabels, Gauge>,
    hbone_gateways: Family<CatalogLabels, Gauge>,
    refused: Family<CatalogLabels, Counter>,
    restored: Family<CatalogLabels, Gauge>,
    problem: Family<CatalogLabels, Gauge>,
    age: Family<CatalogLabels, Gauge<f64, AtomicU64>>,
    /// Since when a cluster's state is not current, by cluster.
    not_synced_since: Mutex<BTreeMap<Arc<str>, Option<Instant>>>,
}

impl CatalogMetrics {
    /// Counts a catalog that was refused.
    pub(super) fn count_refused(&self, cluster: &str) {
        let labels = CatalogLabels {
            cluster: cluster.to_owned(),
        };
        self.refused.get_or_create(&labels).inc();
    }

    /// Shows the clusters as they are now.
    pub(super) fn show(&self, clusters: &[Cluster]) {
        let since = clusters
            .iter()
            .map(|cluster| (Arc::clone(&cluster.id), cluster.not_synced_since));
        *self.lock() = since.collect();
        for cluster in clusters {
            let labels = CatalogLabels {
                cluster: cluster.id.to_string(),
            };
            for state in STATES {
                let labels = CatalogStateLabels {
                    cluster: cluster.id.to_string(),
                    state,
                };
                let now = i64::from(cluster.state == state);
                self.state.get_or_create(&labels).set(now);
            }
            let services = cluster
                .catalog
                .as_ref()
                .map_or(0, |catalog| catalog.service_count());
            self.services
                .get_or_create(&labels)
                .set(i64::try_from(services).unwrap_or(i64::MAX));
            let hbone = cluster.catalog.as_ref();
            let hbone = hbone.map_or(0, |catalog| catalog.hbone_gateways.len());
            self.hbone_gateways
                .get_or_create(&labels)
                .set(i64::try_from(hbone).unwrap_or(i64::MAX));
            let restored = self.restored.get_or_create(&labels);
            restored.set(cluster.restored.into());
            drop(restored);
            let problem = self.problem.get_or_create(&labels);
            problem.set(cluster.problem.is_some().into());
            drop(problem);
            let read_at = cluster
                .read_at
                .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            if let Some(at) = read_at {
                let loaded = self.loaded.get_or_create(&labels);
                loaded.set(at.as_secs_f64());
            }
        }
    }

    /// Takes a cluster out that is none of ours any more.
    pub(super) fn forget(&self, cluster: &str) {
        let labels = CatalogLabels {
            cluster: cluster.to_owned(),
        };
        self.refused.remove(&labels);
        self.restored.remove(&labels);
        self.problem.remove(&labels);
        self.services.remove(&labels);
        self.hbone_gateways.remove(&labels);
        self.loaded.remove(&labels);
        self.age.remove(&labels);
        self.lock().remove(cluster);
        for state in STATES {
            self.state.remove(&CatalogStateLabels {
                cluster: cluster.to_owned(),
                state,
            });
        }
    }

    /// Shows how old the clusters' states are by now.
    pub(super) fn show_ages(&self) {
        for (cluster, since) in &*self.lock() {
            let labels = CatalogLabels {
                cluster: cluster.to_string(),
            };
            let age = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
            self.age.get_or_create(&labels).set(age);
        }
    }

    pub(super) fn register(&self, to: &mut Registry) {
        to.register(
            "restored",
            "1 while a cluster's catalog in use is from the snapshot",
            self.restored.clone(),
        );
        to.register(
            "problem",
            "1 while something is wrong with what a cluster says, or lacking",
            self.problem.clone(),
        );
        to.register(
            "state",
            "1 for the state that a cluster's catalog is in",
            self.state.clone(),
        );
        to.register(
            "loaded_timestamp_seconds",
            "When the catalog in use was read",
            self.loaded.clone(),
        );
        to.register(
            "age_seconds",
            "For how long a cluster's state has not been synced; 0 while it is",
            self.age.clone(),
        );
        to.register(
            "services",
            "Services in the catalog in use",
            self.services.clone(),
        );
        to.register(
            "hbone_gateways",
            "East-west gateways that are not given because they serve ambient meshes alone",
            self.hbone_gateways.clone(),
        );
        to.register(
            "refused",
            "Times that a catalog was not taken over because it was wrong or unreadable",
            self.refused.clone(),
        );
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Option<Instant>>> {
        // The map is whole whoever panicked while holding it.
        let since = self.not_synced_since.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }
}
