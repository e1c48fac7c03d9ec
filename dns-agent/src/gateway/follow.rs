//! Looks gateways' names up and probes their addresses, for as long as anybody wants them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Damping, Health, Probed, Report, Seen, SharedLifetimes, SharedReport, Target, probe};
use crate::{
    catalog::GatewayHost, config::GatewayProbe, metrics::SharedMetrics, upstream::Addresses,
};

/// What a name was found to be, or that nobody could tell.
pub type Lookup = Result<Addresses, String>;

/// A name's addresses, once it was looked up.
type Known = Option<Arc<[IpAddr]>>;
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;
type LookUp = Box<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Lookup> + Send>> + Send>;
/// Whether an address can be reached, by whom behind it, within a time.
type Reach = Box<
    dyn Fn(SocketAddr, Option<Arc<str>>, Duration) -> Pin<Box<dyn Future<Output = bool> + Send>>
        + Send,
>;

/// The shortest and the longest time between two look-ups of a name that has addresses.
const LOOKUPS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// How soon a look-up is tried again that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Tells one turn of a gateway from the next: what is under way when a gateway goes must not count when it comes back.
type Turn = u64;

enum Done {
    LookedUp(Turn, Arc<str>, Lookup),
    Probed(Turn, SocketAddr, Instant, bool),
}

/// Follows the gateways that are wanted.
pub struct Follower {
    wanted: watch::Receiver<BTreeSet<Target>>,
    look_up: LookUp,
    reach: Reach,
    probe: Option<GatewayProbe>,
    metrics: SharedMetrics,
    names: BTreeMap<Arc<str>, (Turn, Known)>,
    probes: BTreeMap<SocketAddr, (Turn, Health)>,
    /// When the last probe of an address began, and whether it reached it.
    last: BTreeMap<SocketAddr, (Instant, bool)>,
    /// Why the last look-up of a name failed.
    problems: BTreeMap<Arc<str>, String>,
    report: SharedReport,
    lifetimes: SharedLifetimes,
    turns: Turn,
    work: FuturesUnordered<Work>,
}

impl Follower {
    /// Follows what `wanted` says; names are looked up by `look_up`. Without `probe` every address counts as healthy.
    pub fn new(
        wanted: watch::Receiver<BTreeSet<Target>>,
        look_up: impl Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Lookup> + Send>> + Send + 'static,
        probe: Option<GatewayProbe>,
        metrics: SharedMetrics,
    ) -> Self {
        Self {
            wanted,
            look_up: Box::new(look_up),
            reach: Box::new(|address, name, patience| {
                Box::pin(async move { probe::reached(address, name.as_deref(), patience).await })
            }),
            probe,
            metrics,
            names: BTreeMap::new(),
            probes: BTreeMap::new(),
            last: BTreeMap::new(),
            problems: BTreeMap::new(),
            report: SharedReport::default(),
            lifetimes: SharedLifetimes::default(),
            turns: 0,
            work: FuturesUnordered::new(),
        }
    }

    /// Where the last probes and look-ups are told.
    pub fn report(&self) -> SharedReport {
        Arc::clone(&self.report)
    }

    /// Where it is told for how long looked-up addresses are good.
    pub fn lifetimes(&self) -> SharedLifetimes {
        Arc::clone(&self.lifetimes)
    }

    /// Tells every change to `tell`, until `stop`.
    pub async fn run(mut self, stop: CancellationToken, tell: impl Fn(Seen)) {
        let mut told = Seen::default();
        loop {
            self.reconcile();
            self.show();
            let seen = self.seen();
            if seen != told {
                told = seen.clone();
                tell(seen);
                // New addresses of names are probed as well.
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.wanted.changed() => if changed.is_err() {
                    return;
                },
                Some(done) = self.work.next() => self.take(done),
            }
        }
    }

    /// Begins what is wanted and not under way, forgets what is not wanted.
    fn reconcile(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let names: BTreeSet<Arc<str>> = wanted
            .iter()
            .filter_map(|target| match &target.host {
                GatewayHost::Name(name) => Some(Arc::clone(name)),
                GatewayHost::Address(_) => None,
            })
            .collect();
        self.names.retain(|name, _| names.contains(name));
        self.problems.retain(|name, _| names.contains(name));
        for name in names {
            if !self.names.contains_key(&name) {
                self.turns += 1;
                self.names.insert(Arc::clone(&name), (self.turns, None));
                self.begin_lookup(self.turns, name, Instant::now());
            }
        }
        if self.probe.is_none() {
            return;
        }
        let seen = self.seen();
        let addresses: BTreeSet<SocketAddr> = wanted
            .iter()
            .flat_map(|target| seen.addresses_of(target))
            .collect();
        self.probes.retain(|address, _| addresses.contains(address));
        self.last.retain(|address, _| addresses.contains(address));
        for address in addresses {
            if !self.probes.contains_key(&address) {
                self.turns += 1;
                self.probes.insert(address, (self.turns, Health::default()));
                self.begin_probe(self.turns, address, Instant::now());
            }
        }
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::LookedUp(turn, name, result) => self.looked_up(turn, name, result),
            Done::Probed(turn, address, began, reached) => {
                let entry = self
                    .probes
                    .get_mut(&address)
                    .filter(|entry| entry.0 == turn);
                let (Some((_, health)), Some(probe)) = (entry, &self.probe) else {
                    return;
                };
                self.last.insert(address, (began, reached));
                let damping = Damping {
                    failures: probe.failures,
                    successes: probe.successes,
                };
                if health.observe(reached, damping) {
                    if reached {
                        info!(gateway = %address, "gateway can be reached again");
                    } else {
                        warn!(gateway = %address, "gateway cannot be reached");
                    }
                }
                let next = began + probe.interval;
                self.begin_probe(turn, address, next);
            }
        }
    }

    fn looked_up(&mut self, turn: Turn, name: Arc<str>, result: Lookup) {
        let entry = self.names.get_mut(&name).filter(|entry| entry.0 == turn);
        let Some((_, addresses)) = entry else {
            return;
        };
        let (again, problem) = match result {
            Ok(Addresses {
                all: mut found,
                lasts,
                untold,
            }) => {
                let now = Instant::now();
                let mut lifetimes = self.lifetimes.load().with(&found, now + lasts, now);
                let again = lasts.clamp(LOOKUPS.0, LOOKUPS.1);
                let (again, problem) = match untold {
                    None => (again, None),
                    // Those of this family that are known are kept, but nobody says for how long they are good.
                    Some((family, problem)) => {
                        let known = addresses.iter().flat_map(|known| known.iter().copied());
                        let kept: Vec<_> = known.filter(|address| family.has(address)).collect();
                        lifetimes = lifetimes.with(&kept, now, now);
                        found.extend(kept);
                        let problem = ("gateway cannot be looked up in full", problem);
                        (again.min(RETRY), Some(problem))
                    }
                };
                self.lifetimes.store(Arc::new(lifetimes));
                found.sort_unstable();
                found.dedup();
                if addresses.as_deref() != Some(&found[..]) {
                    info!(gateway = %name, addresses = ?found, "gateway looked up");
                    *addresses = Some(found.into());
                }
                (again, problem)
            }
            // Those that are known are kept.
            Err(problem) => (RETRY, Some(("gateway cannot be looked up", problem))),
        };
        match problem {
            None => {
                self.problems.remove(&name);
            }
            Some((what, problem)) => {
                warn!(gateway = %name, problem, "{what}");
                self.metrics.gateway_lookup_failures.inc();
                self.problems.insert(Arc::clone(&name), problem);
            }
        }
        self.begin_lookup(turn, name, Instant::now() + again);
    }

    fn begin_lookup(&self, turn: Turn, name: Arc<str>, at: Instant) {
        let look_up = (self.look_up)(Arc::clone(&name));
        self.work.push(Box::pin(async move {
            sleep_until(at).await;
            Done::LookedUp(turn, name, look_up.await)
        }));
    }

    fn begin_probe(&self, turn: Turn, address: SocketAddr, at: Instant) {
        let Some(probe) = &self.probe else { return };
        let (patience, name) = (probe.timeout, probe.server_name.clone());
        // It begins when it is first polled.
        let reached = (self.reach)(address, name, patience);
        self.work.push(Box::pin(async move {
            sleep_until(at).await;
            let began = Instant::now();
            let reached = reached.await;
            Done::Probed(turn, address, began, reached)
        }));
    }

    fn seen(&self) -> Seen {
        let names = self.names.iter();
        let unhealthy = self
            .probes
            .iter()
            .filter(|(_, (_, health))| !health.is_healthy());
        Seen {
            addresses: names
                .filter_map(|(name, (_, found))| {
                    Some((Arc::clone(name), Arc::clone(found.as_ref()?)))
                })
                .collect(),
            unhealthy: unhealthy.map(|(address, _)| *address).collect(),
        }
    }

    fn show(&self) {
        let all = self.probes.iter();
        self.metrics
            .show_gateways(all.map(|(address, (_, health))| (*address, health.is_healthy())));
        let probes = self.probes.iter().map(|(address, (_, health))| {
            let probed = Probed {
                healthy: health.is_healthy(),
                last: self.last.get(address).copied(),
            };
            (*address, probed)
        });
        self.report.store(Arc::new(Report {
            probes: probes.collect(),
            problems: self.problems.clone(),
        }));
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("names", &self.names)
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
