//! The one writer: follows every cluster's catalog and publishes a whole new index when one of them changes.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Watched,
    file::{self, Expected},
};
use crate::{
    catalog::{Catalog, Cluster, SyncState},
    config::{CatalogFile, Config},
    fault::Faults,
    index::{Index, Settings},
    metrics::SharedMetrics,
    readiness::{Guard, Readiness},
};

/// How often the files are looked at. A change is taken over in the second look that sees it.
const PERIOD: Duration = Duration::from_millis(50);

/// What readers read; they take one `Arc` for each request.
pub type Published = Arc<ArcSwap<Index>>;

/// Follows the catalogs and publishes.
#[derive(Debug)]
pub struct Publisher {
    settings: Settings,
    members: Vec<Member>,
    began: Instant,
    peer_sync_timeout: Duration,
    published: Published,
    serial: u32,
    metrics: SharedMetrics,
}

/// One cluster and its file.
#[derive(Debug)]
struct Member {
    file: PathBuf,
    watched: Watched,
    cluster: Cluster,
    /// What the configuration says of its network.
    network: Option<String>,
    /// Held until the catalog is known or not waited for any more.
    guard: Option<Guard>,
}

impl Publisher {
    /// Reads every catalog once. The local one must be good; a peer's may be missing or wrong.
    pub fn new(
        config: &Config,
        readiness: &Readiness,
        metrics: SharedMetrics,
    ) -> Result<Self, Faults> {
        let members = config
            .catalogs
            .iter()
            .map(|entry| Member::first(config, entry, readiness, &metrics))
            .collect::<Result<Vec<_>, _>>()?;
        let serial = unix_time();
        let index = Index::build(config.settings.clone(), clusters(&members), serial);
        let publisher = Self {
            settings: config.settings.clone(),
            members,
            began: Instant::now(),
            peer_sync_timeout: config.peer_sync_timeout,
            published: Arc::new(ArcSwap::from_pointee(index)),
            serial,
            metrics,
        };
        publisher.show(&publisher.published.load());
        Ok(publisher)
    }

    /// Where the indexes appear.
    pub fn published(&self) -> Published {
        Arc::clone(&self.published)
    }

    /// Follows the files until `stop`. Reading and building happen on a thread where they may take their time: with many
    /// services they would hold up the queries of a worker.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), JoinError> {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            self = spawn_blocking(|| {
                self.look();
                self
            })
            .await?;
        }
    }

    /// All changes of one look become one publish.
    fn look(&mut self) {
        let mut changed = false;
        let began = Instant::now();
        for member in &mut self.members {
            if let Some(content) = member.watched.look_now() {
                member.take(content, &self.metrics);
                changed = true;
            }
        }
        changed |= self.stop_waiting();
        if changed {
            self.publish(began);
        }
    }

    /// Peers that were never read count as empty after a while: they must not hold back denials for ever.
    fn stop_waiting(&mut self) -> bool {
        if self.began.elapsed() < self.peer_sync_timeout {
            return false;
        }
        let mut changed = false;
        for member in &mut self.members {
            if member.cluster.state == SyncState::Pending {
                member.cluster.state = SyncState::TimedOut;
                member.guard = None;
                changed = true;
                warn!(
                    cluster = %member.cluster.id,
                    problem = member.cluster.problem.as_deref().unwrap_or_default(),
                    "no catalog in the time allowed; the cluster counts as empty"
                );
            }
        }
        changed
    }

    fn publish(&mut self, began: Instant) {
        self.serial = unix_time().max(self.serial.wrapping_add(1));
        let index = Index::build(self.settings.clone(), clusters(&self.members), self.serial);
        let changed = index.changed_names(&self.published.load());
        if changed > 0 {
            self.metrics.last_change.set(f64::from(unix_time()));
        }
        self.show(&index);
        let names = index.names().count();
        self.published.store(Arc::new(index));
        self.metrics.publishes.inc();
        let microseconds = began.elapsed().as_micros();
        info!(changed, names, microseconds, "published");
    }

    fn show(&self, index: &Index) {
        self.metrics.show_clusters(index.clusters());
        let names = i64::try_from(index.names().count()).unwrap_or(i64::MAX);
        self.metrics.names.set(names);
    }
}

impl Member {
    fn first(
        config: &Config,
        entry: &CatalogFile,
        readiness: &Readiness,
        metrics: &SharedMetrics,
    ) -> Result<Self, Faults> {
        let mut watched = Watched::new(entry.file.clone());
        let content = watched.first();
        let mut member = Self {
            file: entry.file.clone(),
            watched,
            cluster: Cluster {
                id: entry.cluster.as_str().into(),
                mesh: entry.mesh.as_str().into(),
                local: entry.local,
                import: entry.import.clone(),
                catalog: None,
                state: SyncState::Pending,
                problem: None,
                read_at: None,
            },
            network: config.network_of(entry).map(str::to_owned),
            guard: Some(readiness.guard(format!("catalog {}", entry.cluster))),
        };
        if entry.local {
            let catalog = member.read(content)?;
            member.synced(catalog);
        } else {
            member.take(content, metrics);
        }
        Ok(member)
    }

    /// Takes a new content over, or says why not and keeps what there is.
    fn take(&mut self, content: Result<String, String>, metrics: &SharedMetrics) {
        let cluster = &self.cluster.id;
        match self.read(content) {
            Ok(catalog) => {
                let services = catalog.services.len();
                info!(%cluster, services, file = %self.file.display(), "catalog read");
                self.synced(catalog);
            }
            Err(faults) => {
                metrics.count_refused_catalog(cluster);
                for fault in faults.iter() {
                    warn!(
                        %cluster,
                        file = %fault.file.display(),
                        line = fault.line,
                        field = fault.field,
                        problem = fault.problem,
                        mend = fault.mend,
                        "catalog refused"
                    );
                }
                self.cluster.problem = Some(faults.one_line());
                if self.cluster.state == SyncState::Synced {
                    self.cluster.state = SyncState::Stale;
                }
            }
        }
    }

    fn read(&self, content: Result<String, String>) -> Result<Catalog, Faults> {
        let text = content.map_err(|error| {
            Faults::whole_file(
                &self.file,
                format!("the catalog cannot be read: {error}"),
                "make it a readable file",
            )
        })?;
        let expected = Expected {
            cluster: &self.cluster.id,
            mesh: &self.cluster.mesh,
            network: self.network.as_deref(),
        };
        file::parse(&self.file, &text, expected)
    }

    fn synced(&mut self, catalog: Catalog) {
        self.cluster.catalog = Some(Arc::new(catalog));
        self.cluster.state = SyncState::Synced;
        self.cluster.problem = None;
        self.cluster.read_at = Some(SystemTime::now());
        self.guard = None;
    }
}

fn clusters(members: &[Member]) -> Vec<Cluster> {
    let clusters = members.iter().map(|member| member.cluster.clone());
    clusters.collect()
}

/// Seconds since 1970, as far as 32 bits go.
fn unix_time() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}
