//! Clusters whose catalogs are made from what their API servers say. The only place that knows `kube`.
//!
//! Each resource is listed, then watched. What is listed anew replaces what was known in one step, so that neither a
//! relist nor an expired watch (410) ever leaves a moment in which less is known than before.

mod access;
mod backoff;
mod bounds;
mod cluster;
mod cluster_set;
mod connection;
mod convert;
mod gateways;
mod list;
mod mesh_config;
mod mesh_networks;
mod namespaces;
mod node;
mod objects;
mod offers;
mod queue;
mod ready;
mod reply;
mod secrets;
mod service_ranges;
mod slices;
mod token_file;
mod view;
mod watch;
mod word;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    Watched,
    board::{Board, Discoverer, Seat},
};
use crate::{
    config::{Config, Entry, Source},
    snapshot::Kept,
    tasks::Tasks,
};
use access::Access;
use cluster::About;
use secrets::Secrets;

/// How often a kubeconfig file is looked at, and how soon access that was not to be had is tried again.
const PERIOD: Duration = Duration::from_secs(1);

/// Follows the clusters of the configuration, and those that are discovered.
#[derive(Debug)]
pub(super) struct Kubernetes {
    config: Arc<Config>,
    board: Arc<Board>,
    followed: Vec<(Seat, Access, bool)>,
    discoverer: Option<Discoverer>,
    /// Clusters that were discovered before this process began.
    restored: Vec<Seat>,
}

impl Kubernetes {
    /// Follows nothing yet.
    pub(super) fn new(config: Arc<Config>, board: Arc<Board>) -> Self {
        Self {
            config,
            board,
            followed: Vec::new(),
            discoverer: None,
            restored: Vec::new(),
        }
    }

    /// Gives an entry of the configuration its seat, if an API server is its source, with what is kept of it. Nothing is asked
    /// yet.
    pub(super) fn add(&mut self, entry: &Entry, kept: &mut Kept) {
        let access = match &entry.source {
            Source::InCluster => Access::InCluster,
            Source::Kubeconfig { file, context } => Access::File {
                file: file.clone(),
                context: context.clone(),
            },
            Source::File(_) | Source::Discovered => return,
        };
        let seat = self.board.seat(entry.cluster());
        if let Some(restored) = kept.remove(&entry.cluster) {
            seat.restored(restored.catalog, restored.read_at);
        }
        self.followed.push((seat, access, entry.local));
    }

    /// Announces the clusters that will be discovered, and gives those their seats that are kept from before; after all
    /// others have theirs.
    pub(super) fn announce_discovery(&mut self, kept: Kept) {
        let Some(secrets) = &self.config.remote_secrets else {
            return;
        };
        let name = format!("remote secrets {}", secrets.namespace);
        let expected = secrets.clusters.iter().map(Entry::cluster);
        let discoverer = self.board.discoverer(&name, expected.collect());
        for (cluster, restored) in kept {
            let seat = self.board.seat(self.config.discovered(&cluster).cluster());
            seat.restored(restored.catalog, restored.read_at);
            self.restored.push(seat);
        }
        if !self.restored.is_empty() {
            discoverer.restored();
        }
        self.discoverer = Some(discoverer);
    }

    /// Begins one task for each cluster, and one for those that are discovered.
    pub(super) fn spawn(mut self, tasks: &mut Tasks, stop: &CancellationToken) {
        let local = self.followed.iter().find(|(_, _, local)| *local);
        let access = local.map(|(_, access, _)| access.clone());
        if let (Some(discoverer), Some(access)) = (self.discoverer.take(), access) {
            let secrets = Secrets::new(
                Arc::clone(&self.config),
                Arc::clone(&self.board),
                discoverer,
                self.restored,
            );
            let run = secrets.run(access);
            let stop = stop.clone();
            tasks.spawn("remote secrets", async move {
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    result = run => Ok(result?),
                }
            });
        }
        for (seat, access, local) in self.followed {
            let about = About {
                local,
                istio_namespace: self.config.settings.istio_namespace.clone(),
                node: self.config.node.clone().filter(|_| local),
                patience: patience(&self.config),
                only_labelled: self.config.settings.remote.only_exported,
                ready_of: self
                    .config
                    .settings
                    .remote
                    .reach_when_empty()
                    .filter(|_| local),
            };
            let stop = stop.clone();
            tasks.spawn(format!("cluster {}", seat.id()), async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = follow(&access, &about, &seat) => {}
                }
                Ok(())
            });
        }
    }
}

/// Half of the time that a cluster is waited for, so that what is known of it is told within that.
fn patience(config: &Config) -> Duration {
    config.peer_sync_timeout / 2
}

/// Follows one cluster, for as long as the future is polled.
async fn follow(access: &Access, about: &About, seat: &Seat) {
    loop {
        let changed = access_changes(access);
        let client = access.client().await;
        match client {
            Ok(client) => tokio::select! {
                () = cluster::follow(&client, about, seat) => {}
                () = changed => info!(cluster = %seat.id(), "the way to the cluster changed"),
            },
            Err(problem) => {
                seat.failed(problem);
                match access {
                    Access::InCluster => tokio::time::sleep(PERIOD).await,
                    Access::File { .. } | Access::Text(_) => changed.await,
                }
            }
        }
    }
}

/// Ends when the file that says how to reach the cluster has changed since this was called. To be called before the client is
/// made: what changes while it is made, or was only half written then, makes it anew.
fn access_changes(access: &Access) -> impl Future<Output = ()> + Send + use<> {
    let watched = match access {
        Access::File { file, .. } => {
            let mut watched = Watched::new(PathBuf::clone(file));
            let _ = watched.first();
            Some(watched)
        }
        Access::InCluster | Access::Text(_) => None,
    };
    async {
        let Some(mut watched) = watched else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(PERIOD / 4).await;
            if watched.look().await.is_some() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_changes_while_the_client_is_made_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, "").unwrap();
        let access = Access::File {
            file: file.clone(),
            context: None,
        };
        let changed = access_changes(&access);
        assert!(access.client().await.is_err());
        // The rest of what somebody was writing.
        std::fs::write(&file, "kind: Config").unwrap();
        let seen = tokio::time::timeout(Duration::from_secs(20), changed).await;
        assert!(seen.is_ok(), "the change is never seen");
    }
}
