//! Where sources say what they know, each of its own clusters, and where the publisher takes it all. What is said is a
//! level: the last word counts, and a word lost is made good by the next.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};
use tracing::{info, warn};

use crate::{
    catalog::{Catalog, Cluster, SyncState},
    gateway::Seen,
    index::{Discovery, Known, OnceLocal},
    metrics::SharedMetrics,
    readiness::{Guard, Readiness},
};

/// What all sources know.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: Notify,
    /// How long a cluster that was never read is waited for.
    patience: Duration,
    readiness: Readiness,
    metrics: SharedMetrics,
}

#[derive(Debug, Default)]
struct State {
    /// By their places, which is their order.
    members: BTreeMap<u64, Member>,
    /// Those of the configuration come before, those that are discovered after the discoveries.
    next: u64,
    discoveries: BTreeMap<u64, Discovering>,
    gateways: Arc<Seen>,
    once_local: Arc<OnceLocal>,
    /// When somebody told of the first change that was not taken yet.
    changed_at: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    cluster: Cluster,
    waited: Waited,
}

#[derive(Debug)]
struct Discovering {
    name: Arc<str>,
    problem: Option<String>,
    /// Whether clusters may still come of which nothing is known.
    pending: bool,
    expected: Arc<[Cluster]>,
    waited: Waited,
}

/// Something that is waited for, but not for ever.
#[derive(Debug)]
struct Waited {
    until: Instant,
    /// Held until it is there or not waited for any more, and has been published as such.
    guard: Option<Guard>,
}

/// Guards of what is known; to be dropped once it is published.
pub(super) type Released = Vec<Guard>;

/// A source's seat on the board, for one cluster.
#[derive(Debug)]
pub(super) struct Seat {
    board: Arc<Board>,
    place: u64,
    id: Arc<str>,
}

/// A discoverer's seat on the board.
#[derive(Debug)]
pub(super) struct Discoverer {
    board: Arc<Board>,
    place: u64,
}

impl Board {
    /// A board of nothing.
    pub fn new(patience: Duration, readiness: Readiness, metrics: SharedMetrics) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Notify::new(),
            patience,
            readiness,
            metrics,
        })
    }

    /// Gives a cluster its place, behind all others.
    pub(super) fn seat(self: &Arc<Self>, mut cluster: Cluster) -> Seat {
        let id = Arc::clone(&cluster.id);
        cluster.not_synced_since = Some(std::time::Instant::now());
        // Readiness never goes back: a cluster that is discovered later is waited for, but not by whoever sends traffic.
        let mut waited = self.wait();
        if !self.readiness.is_ready() {
            waited.guard = Some(self.readiness.guard(format!("catalog {id}")));
        }
        let mut state = self.lock();
        let place = state.place();
        state.members.insert(place, Member { cluster, waited });
        drop(state);
        self.changed.notify_one();
        Seat {
            board: Arc::clone(self),
            place,
            id,
        }
    }

    /// Announces that clusters will be discovered; `expected` are those of which something is said before.
    pub(super) fn discoverer(self: &Arc<Self>, name: &str, expected: Arc<[Cluster]>) -> Discoverer {
        let mut waited = self.wait();
        waited.guard = Some(self.readiness.guard(name));
        let mut state = self.lock();
        let place = state.place();
        let discovering = Discovering {
            name: name.into(),
            problem: None,
            pending: true,
            expected,
            waited,
        };
        state.discoveries.insert(place, discovering);
        drop(state);
        Discoverer {
            board: Arc::clone(self),
            place,
        }
    }

    /// Says which services were local before this process began, or while another agent answered, and must never become
    /// remote since. They come to those that were said before.
    pub fn remember(&self, once_local: OnceLocal) {
        let mut state = self.lock();
        Arc::make_mut(&mut state.once_local).extend(once_local);
        state.has_changed();
        drop(state);
        self.changed.notify_one();
    }

    /// Says what is known of gateways' addresses.
    pub fn set_gateways(&self, seen: Seen) {
        let mut state = self.lock();
        state.gateways = Arc::new(seen);
        state.has_changed();
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until something was said, or until somebody is not to be waited for any more.
    pub async fn changed(&self) {
        let next = {
            let state = self.lock();
            let members = state.members.values();
            let members = members.filter(|member| member.is_pending());
            let discoveries = state.discoveries.values();
            let discoveries = discoveries.filter(|discovering| discovering.pending);
            let waited = members.map(|member| &member.waited);
            let waited = waited.chain(discoveries.map(|discovering| &discovering.waited));
            waited.map(|waited| waited.until).min()
        };
        let late = async {
            match next {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = late => {}
        }
    }

    /// When somebody told of the first change since this was asked last.
    pub(super) fn changed_at(&self) -> Option<Instant> {
        self.lock().changed_at.take()
    }

    /// All that is known now. Clusters that were waited for long enough count as empty from now on: they must not hold
    /// back denials for ever.
    pub(super) fn known(&self) -> (Known, Released) {
        let mut state = self.lock();
        let now = Instant::now();
        let mut known = Known {
            gateways: Arc::clone(&state.gateways),
            once_local: Arc::clone(&state.once_local),
            ..Known::default()
        };
        let mut released = Released::new();
        for member in state.members.values_mut() {
            if member.is_pending() && now >= member.waited.until {
                member.cluster.state = SyncState::TimedOut;
                warn!(
                    cluster = %member.cluster.id,
                    problem = member.cluster.problem.as_deref().unwrap_or_default(),
                    "no catalog in the time allowed; the cluster counts as empty"
                );
            }
            if !member.is_pending() {
                released.extend(member.waited.guard.take());
            }
            known.clusters.push(member.cluster.clone());
        }
        for discovering in state.discoveries.values_mut() {
            if discovering.pending && now >= discovering.waited.until {
                discovering.pending = false;
                warn!(
                    discovery = %discovering.name,
                    problem = discovering.problem.as_deref().unwrap_or_default(),
                    "peers were not discovered in the time allowed; there are none for now"
                );
            }
            if !discovering.pending {
                released.extend(discovering.waited.guard.take());
            }
            known.discoveries.push(Discovery {
                name: Arc::clone(&discovering.name),
                pending: discovering.pending,
                expected: Arc::clone(&discovering.expected),
                problem: discovering.problem.clone(),
            });
        }
        (known, released)
    }

    fn wait(&self) -> Waited {
        Waited {
            until: Instant::now() + self.patience,
            guard: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_changed(&mut self) {
        self.changed_at.get_or_insert_with(Instant::now);
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Member {
    fn is_pending(&self) -> bool {
        self.cluster.state == SyncState::Pending
    }
}

impl Seat {
    /// The cluster's identifier.
    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What is known of the cluster.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        let state = self.board.lock();
        state.members.get(&self.place)?.cluster.catalog.clone()
    }

    /// The cluster's catalog as it is now.
    pub(super) fn synced(&self, catalog: Catalog) {
        self.take(catalog, true, None);
    }

    /// As much as is known of the cluster, whether all of that is current, and what is wrong.
    pub(super) fn take(&self, mut catalog: Catalog, current: bool, problem: Option<String>) {
        self.change(|member| {
            let cluster = &mut member.cluster;
            if let Some(before) = &cluster.catalog {
                catalog.share(before);
            }
            let state = if current {
                SyncState::Synced
            } else {
                SyncState::Stale
            };
            if cluster.state != state || cluster.problem != problem {
                let services = catalog.service_count();
                match &problem {
                    None => info!(cluster = %cluster.id, services, state = state.as_str(), "cluster read"),
                    Some(problem) => {
                        warn!(cluster = %cluster.id, services, state = state.as_str(), problem, "cluster read in part");
                    }
                }
            }
            cluster.catalog = Some(Arc::new(catalog));
            cluster.state = state;
            cluster.problem = problem;
            cluster.read_at = Some(SystemTime::now());
            cluster.restored = false;
            if current {
                cluster.not_synced_since = None;
            } else {
                cluster.not_synced_since.get_or_insert_with(std::time::Instant::now);
            }
        });
    }

    /// What was known of the cluster before this process began. It answers until the source has been read.
    pub(super) fn restored(&self, catalog: Catalog, read_at: SystemTime) {
        self.change(|member| {
            let cluster = &mut member.cluster;
            let services = catalog.service_count();
            let age = read_at.elapsed().unwrap_or_default().as_secs();
            warn!(cluster = %cluster.id, services, age_seconds = age, "cluster restored from its snapshot; it may have changed");
            cluster.catalog = Some(Arc::new(catalog));
            cluster.state = SyncState::Stale;
            cluster.problem = Some("restored from the snapshot; not read yet".to_owned());
            cluster.read_at = Some(read_at);
            cluster.restored = true;
            cluster.not_synced_since.get_or_insert_with(std::time::Instant::now);
        });
    }

    /// The cluster cannot be read now; what is known of it is kept. Tells the log, once for each problem.
    pub(super) fn failed(&self, problem: String) {
        self.change(|member| {
            let cluster = &mut member.cluster;
            self.board.metrics.count_refused_catalog(&self.id);
            if cluster.problem.as_ref() != Some(&problem) {
                warn!(cluster = %cluster.id, problem, "cluster cannot be read; its last state is kept");
            }
            cluster.problem = Some(problem);
            cluster.not_synced_since.get_or_insert_with(std::time::Instant::now);
            if cluster.state == SyncState::Synced {
                cluster.state = SyncState::Stale;
            }
        });
    }

    /// The cluster is no cluster of ours any more: it is forgotten at once.
    pub(super) fn leave(&self) {
        let mut state = self.board.lock();
        state.members.remove(&self.place);
        state.has_changed();
        drop(state);
        self.board.metrics.forget_cluster(&self.id);
        info!(cluster = %self.id, "cluster forgotten");
        self.board.changed.notify_one();
    }

    fn change(&self, change: impl FnOnce(&mut Member)) {
        let mut state = self.board.lock();
        state.has_changed();
        if let Some(member) = state.members.get_mut(&self.place) {
            change(member);
        }
        drop(state);
        self.board.changed.notify_one();
    }
}

impl Discoverer {
    /// All clusters that there are have their seats.
    pub(super) fn listed(&self) {
        self.change(|discovering| {
            discovering.problem = None;
            discovering.pending = false;
        });
    }

    /// The clusters that there were before this process began have their seats; others are not waited for.
    pub(super) fn restored(&self) {
        self.change(|discovering| {
            discovering.problem = Some("restored from the snapshot; not read yet".to_owned());
            discovering.pending = false;
        });
    }

    /// It cannot be said which clusters there are; those that are known stay.
    pub(super) fn failed(&self, problem: String) {
        self.change(|discovering| {
            if discovering.problem.as_ref() != Some(&problem) {
                warn!(discovery = %discovering.name, problem, "peers cannot be discovered; those known are kept");
            }
            discovering.problem = Some(problem);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Discovering)) {
        if let Some(discovering) = self.board.lock().discoveries.get_mut(&self.place) {
            change(discovering);
        }
        self.board.changed.notify_one();
    }
}
