//! The one writer: publishes a whole new index when anything that is known changes.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use crate::{
    gateway::{Target, of_clusters},
    index::{Index, Settings},
    metrics::SharedMetrics,
    name::Name,
};

/// Changes within so long become one publish.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// What readers read; they take one `Arc` for each request.
pub type Published = Arc<ArcSwap<Index>>;

/// Publishes what is on the board.
#[derive(Debug)]
pub struct Publisher {
    board: Arc<Board>,
    published: Published,
    /// The gateways that somebody should look after.
    wanted: watch::Sender<BTreeSet<Target>>,
    serial: u32,
    metrics: SharedMetrics,
}

impl Publisher {
    /// Publishes for the first time.
    pub fn new(settings: Settings, board: Arc<Board>, metrics: SharedMetrics) -> Self {
        let serial = unix_time();
        // The files were read before; whoever is known already is not waited for.
        let (known, _) = board.known();
        let index = Index::build(settings, known, serial);
        let targets = of_clusters(index.clusters()).into_iter().flatten();
        let (wanted, _) = watch::channel(targets.map(|(target, _)| target).collect());
        let publisher = Self {
            board,
            published: Arc::new(ArcSwap::from_pointee(index)),
            wanted,
            serial,
            metrics,
        };
        let first = publisher.published.load();
        publisher.show(&first);
        tell_overlaps(&first, 0);
        drop(first);
        publisher
    }

    /// Where the indexes appear.
    pub fn published(&self) -> Published {
        Arc::clone(&self.published)
    }

    /// The gateways of all clusters.
    pub fn wanted_gateways(&self) -> watch::Receiver<BTreeSet<Target>> {
        self.wanted.subscribe()
    }

    /// Publishes every change until `stop`, on a thread where building may take its time. Names that are not ours to answer
    /// any more are told to `leave`, before anybody else is asked for them.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        leave: impl Fn(&[&Name]) + Send + Sync + 'static,
    ) -> Result<(), JoinError> {
        let leave = Arc::new(leave);
        loop {
            let change = async {
                self.board.changed().await;
                tokio::time::sleep(DEBOUNCE).await;
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = change => {}
            }
            let leave = Arc::clone(&leave);
            self = spawn_blocking(move || {
                self.publish(&*leave);
                self
            })
            .await?;
        }
    }

    fn publish(&mut self, leave: &impl Fn(&[&Name])) {
        let began = Instant::now();
        self.serial = unix_time().max(self.serial.wrapping_add(1));
        let before = self.published.load_full();
        // Before the rest: what is told in between counts with the next publish, never too early.
        let changed_at = self.board.changed_at();
        let (known, released) = self.board.known();
        let index = before.next(known, self.serial);
        let changed = index.changed_names(&before);
        if changed > 0 {
            self.metrics.last_change.set(f64::from(unix_time()));
        }
        let targets: BTreeSet<Target> = of_clusters(index.clusters())
            .into_iter()
            .flatten()
            .map(|(target, _)| target)
            .collect();
        self.wanted.send_if_modified(|wanted| {
            let other = *wanted != targets;
            *wanted = targets;
            other
        });
        self.show(&index);
        tell_overlaps(&index, before.overlaps());
        let (_, told) = index.local_ranges();
        if told != before.local_ranges().1 {
            let ranges: Vec<String> = told.iter().map(ToString::to_string).collect();
            let ranges = ranges.join(", ");
            info!(
                ranges,
                "the local cluster tells the ranges of its services' addresses"
            );
        }
        let names = index.name_count();
        leave(&index.left(&before).collect::<Vec<_>>());
        self.published.store(Arc::new(index));
        if let Some(at) = changed_at.filter(|_| changed > 0) {
            let seconds = at.elapsed().as_secs_f64();
            self.metrics.change_seconds.observe(seconds);
        }
        // Only now is anybody answered by it.
        drop(released);
        self.metrics.publishes.inc();
        let elapsed = began.elapsed();
        self.metrics.publish_seconds.observe(elapsed.as_secs_f64());
        let microseconds = elapsed.as_micros();
        info!(changed, names, microseconds, "published");
    }

    fn show(&self, index: &Index) {
        self.metrics.show_clusters(index.clusters());
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.names.set(number(index.name_count()));
        self.metrics.overlaps.set(number(index.overlaps()));
    }
}

/// Tells how many remote addresses are refused for being local ones, if there are more than before.
fn tell_overlaps(index: &Index, before: usize) {
    let addresses = index.overlaps();
    if addresses > before {
        warn!(
            addresses,
            "remote addresses are also local ones here and are not given; see cluster.ranges"
        );
    }
}

/// Seconds since 1970, as far as 32 bits go.
fn unix_time() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}
