//! What every source said last, on disk, so that a node that starts while API servers are away answers at once.
//!
//! One file a cluster, so that a change costs what changed. Nothing here can hurt serving: what cannot be read is ignored,
//! what cannot be written is tried again, and both are told.

mod decode;
mod encode;
mod file;
mod imports;
mod once_local;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use file::Unread;
use once_local::{Memory, OnDisk};

use crate::{
    catalog::{Catalog, Cluster, SyncState},
    config::{Config, Snapshot as Settings, Source},
    index::OnceLocal,
    metrics::SharedMetrics,
    sources::Published,
};

/// How often is looked whether anything is to be written.
const PERIOD: Duration = Duration::from_millis(200);
/// How long the disk may take to give what it has; an agent does not start later than that.
const PATIENCE: Duration = Duration::from_secs(3);

/// One cluster as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Whether a remote secret named it.
    pub discovered: bool,
    /// When its source was read.
    pub read_at: SystemTime,
    /// What it said.
    pub catalog: Catalog,
}

/// What was kept of clusters.
pub type Kept = BTreeMap<String, Restored>;

/// Everything that was kept.
#[derive(Debug, Default)]
pub struct Found {
    /// By cluster.
    pub clusters: Kept,
    /// Services that must never become remote since they were local.
    pub once_local: OnceLocal,
    /// What the file of these has, which may be more: the configuration may have changed. `None`: nobody knows what.
    once_local_on_disk: Option<OnDisk>,
}

/// Reads what is kept of clusters that are still ours. What is kept of others is removed; what cannot be understood is told
/// and ignored.
pub fn restore(config: &Config, metrics: &SharedMetrics) -> Found {
    let Some(settings) = &config.snapshot else {
        return Found::default();
    };
    let directory = settings.directory.clone();
    let (tell, told) = sync_channel(1);
    let reading = thread::Builder::new()
        .name("snapshot".into())
        .spawn(move || {
            // Nobody listens any more when it took too long.
            file::remove_abandoned(&directory);
            let _ = tell.send((file::read_all(&directory), once_local::read(&directory)));
        });
    let all = reading.ok().and_then(|_| told.recv_timeout(PATIENCE).ok());
    let Some((all, once_local)) = all else {
        let directory = settings.directory.display();
        warn!(%directory, "the snapshot cannot be read: the disk does not answer; look at it");
        return Found::default();
    };
    let mut kept = Kept::new();
    for (path, read) in all {
        match read {
            Ok((cluster, restored)) if is_ours(config, &cluster, restored.discovered) => {
                kept.insert(cluster, restored);
            }
            Ok((cluster, _)) => {
                info!(%cluster, file = %path.display(), "snapshot of a cluster that is none of ours any more: removed");
                // If that fails, the next start tries again.
                let _ = std::fs::remove_file(&path);
            }
            Err(problem) => {
                metrics.snapshots.refused.inc();
                warn!(
                    file = %path.display(),
                    problem,
                    "snapshot ignored; it is written anew once the cluster is read"
                );
            }
        }
    }
    let on_disk = once_local.inspect_err(|problem| {
        metrics.snapshots.refused.inc();
        let then = match problem {
            Unread::Failed(_) => "read as soon as it can be",
            Unread::Version(_) => "set aside",
            Unread::NotUnderstood(_) => "written anew",
        };
        warn!(
            directory = %settings.directory.display(),
            %problem,
            "which services were local once is not known: its file is ignored now, and {then}"
        );
    });
    let on_disk = on_disk.ok();
    let services = on_disk.as_ref().map(|on_disk| on_disk.services.clone());
    Found {
        clusters: kept,
        once_local: once_local::pruned(services.unwrap_or_default(), &config.settings.remote),
        once_local_on_disk: on_disk,
    }
}

fn is_ours(config: &Config, cluster: &str, discovered: bool) -> bool {
    let entry = config
        .catalogs
        .iter()
        .find(|entry| entry.cluster == cluster);
    match entry {
        Some(entry) => !discovered && !matches!(entry.source, Source::File(_)),
        None => discovered && config.remote_secrets.is_some(),
    }
}

/// Writes what changes.
#[derive(Debug)]
pub struct Saver {
    settings: Settings,
    /// Clusters of the configuration, and whether there is any use in keeping them: a file is on disk already.
    configured: BTreeMap<String, bool>,
    saved: BTreeMap<Arc<str>, Saved>,
    once_local: Memory,
    /// The last failure, so that each is told once.
    problem: Option<String>,
    metrics: SharedMetrics,
}

#[derive(Debug)]
struct Saved {
    /// `None`: writing it failed, or it was there before.
    catalog: Option<Arc<Catalog>>,
    tried: Instant,
}

impl Saver {
    /// A saver that has found this on disk; `None` when the configuration has no place for a snapshot.
    pub fn new(config: &Config, found: &Found, metrics: SharedMetrics) -> Option<Self> {
        let entries = config.catalogs.iter();
        let kept = found.clusters.keys().map(|cluster| {
            let saved = Saved {
                catalog: None,
                tried: Instant::now(),
            };
            (cluster.as_str().into(), saved)
        });
        Some(Self {
            settings: config.snapshot.clone()?,
            configured: entries
                .map(|entry| {
                    let useful = !matches!(entry.source, Source::File(_));
                    (entry.cluster.clone(), useful)
                })
                .collect(),
            saved: kept.collect(),
            once_local: Memory::new(
                config.settings.remote.clone(),
                found.once_local_on_disk.clone(),
            ),
            problem: None,
            metrics,
        })
    }

    /// Writes until `stop`, and then once more. What another agent had written of services that were local once, it is told
    /// to `remember`.
    pub async fn run(
        mut self,
        published: Published,
        stop: CancellationToken,
        remember: impl Fn(OnceLocal),
    ) -> Result<(), JoinError> {
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            let index = published.load_full();
            let due = self.due(index.clusters(), stopped);
            let gone = self.gone(index.clusters());
            let interval = (!stopped).then_some(self.settings.interval);
            let once_local = Some(index.once_local());
            let once_local = once_local.filter(|of| self.once_local.is_due(of, interval));
            if !due.is_empty() || !gone.is_empty() || once_local.is_some() {
                let once_local = once_local.cloned();
                // A disk may take its time.
                let others;
                (self, others) = spawn_blocking(move || {
                    self.remove(&gone);
                    let others = self.write(&due, once_local);
                    (self, others)
                })
                .await?;
                if !others.is_empty() {
                    remember(others);
                }
            }
            if stopped {
                return Ok(());
            }
        }
    }

    /// The clusters that are not on disk as they are now, each at most once in an interval unless it is the `last` time.
    fn due(&mut self, clusters: &[Cluster], last: bool) -> Vec<Cluster> {
        let mut due = Vec::new();
        for cluster in clusters {
            let useful = self.configured.get(&*cluster.id).copied().unwrap_or(true);
            // What was restored is on disk, and what a source failed to say is not worth to be kept.
            if !useful || cluster.state != SyncState::Synced {
                continue;
            }
            let Some(catalog) = &cluster.catalog else {
                continue;
            };
            if let Some(saved) = self.saved.get_mut(&cluster.id) {
                let same = saved
                    .catalog
                    .as_ref()
                    .is_some_and(|saved| Arc::ptr_eq(saved, catalog) || saved == catalog);
                if same {
                    saved.catalog = Some(Arc::clone(catalog));
                    continue;
                }
                if !last && saved.tried.elapsed() < self.settings.interval {
                    continue;
                }
            }
            due.push(cluster.clone());
        }
        due
    }

    /// The clusters that were kept and are none of ours any more.
    fn gone(&mut self, clusters: &[Cluster]) -> BTreeSet<Arc<str>> {
        let here: BTreeSet<&Arc<str>> = clusters.iter().map(|cluster| &cluster.id).collect();
        let gone = self.saved.keys().filter(|id| !here.contains(id));
        let gone: BTreeSet<Arc<str>> = gone.cloned().collect();
        self.saved.retain(|id, _| !gone.contains(id));
        gone
    }

    fn remove(&self, gone: &BTreeSet<Arc<str>>) {
        for cluster in gone {
            if let Err(error) = file::remove(&self.settings.directory, cluster) {
                warn!(%cluster, %error, "the snapshot of a cluster that has gone cannot be removed");
            }
        }
    }

    /// Gives what another agent wrote of services that were local once.
    fn write(&mut self, due: &[Cluster], once_local: Option<Arc<OnceLocal>>) -> OnceLocal {
        let mut others = OnceLocal::new();
        let mut problem = None;
        if let Some(services) = &once_local {
            let written = self.once_local.write(&self.settings.directory, services);
            if !matches!(&written, Ok(written) if !written.kept) {
                self.metrics.snapshots.count(written.is_ok());
            }
            match written {
                Ok(written) => others = written.others,
                Err(error) => problem = Some(format!("services that were local once: {error}")),
            }
        }
        for cluster in due {
            let discovered = !self.configured.contains_key(&*cluster.id);
            let bytes = encode::encode(cluster, discovered);
            let written = file::write(&self.settings.directory, &cluster.id, &bytes);
            let well = written.is_ok();
            self.metrics.snapshots.count(well);
            if let Err(error) = written {
                problem = Some(format!("cluster {}: {error}", cluster.id));
            }
            let saved = Saved {
                catalog: cluster.catalog.clone().filter(|_| well),
                tried: Instant::now(),
            };
            self.saved.insert(Arc::clone(&cluster.id), saved);
        }
        let tried = !due.is_empty() || once_local.is_some();
        let directory: PathBuf = self.settings.directory.clone();
        match (&problem, &self.problem) {
            (Some(problem), before) if before.as_ref() != Some(problem) => warn!(
                directory = %directory.display(),
                problem,
                "snapshot not written; it is tried again, and answers do not need it"
            ),
            (None, Some(_)) if tried => {
                info!(directory = %directory.display(), "snapshot written again");
            }
            _ => {}
        }
        if tried {
            self.problem = problem;
        }
        others
    }
}
