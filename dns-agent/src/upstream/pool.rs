//! A set of servers and what is remembered of their failures.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    path::{Agent, Path},
    realm::{REALMS, Realm},
};
use crate::metrics::{Exchange, ServerCounters, ServerMetrics};

/// How long a server that failed once is passed over while others do not fail; doubled with every failure more.
const REST: Duration = Duration::from_millis(500);
/// So many rounds without anything that came back make it certain that no way leads back any more: of a server whose every
/// second way does, one in a million times they do not see it.
const ROUNDS: u8 = 20;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Pool {
    servers: Vec<Server>,
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    began: Instant,
    /// Failures since the last reply.
    failures: AtomicU32,
    /// Milliseconds after `began`.
    rests_until: AtomicU64,
    /// The kinds of names for which it sends our questions back to us, a bit for each.
    leads_back: AtomicU8,
    /// The agents that it leads to, by the kind of names.
    leads_to: Mutex<BTreeMap<Realm, Lead>>,
    /// By the kind of names: for how many rounds more some of its ways count as leading back.
    leads_back_partly: [AtomicU8; REALMS.len()],
    counters: ServerCounters,
}

/// Whom a server asks that is an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    /// The nearest; it may be us.
    pub(super) agent: Agent,
    pub(super) path: Path,
    /// Whether what it is asked comes back to us.
    pub(super) back: bool,
}

impl Pool {
    pub(super) fn new(servers: Vec<SocketAddr>, metrics: &ServerMetrics) -> Self {
        let began = Instant::now();
        let servers = servers.into_iter().map(|address| Server {
            address,
            began,
            failures: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            leads_back: AtomicU8::new(0),
            leads_to: Mutex::default(),
            leads_back_partly: Default::default(),
            counters: metrics.of(address),
        });
        Self {
            servers: servers.collect(),
        }
    }

    /// Every server.
    pub(super) fn all(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// The servers as configured.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// The servers that do not lead back to us for these names, from a random one on, those that failed lately last: one dead
    /// server must not cost every query its timeout, and none is given up.
    pub(super) fn in_order(&self, realm: Realm) -> Vec<&Server> {
        let count = self.servers.len().max(1);
        let first = getrandom::u32().unwrap_or_default() as usize % count;
        let (before, from) = self.servers.split_at_checked(first).unwrap_or_default();
        let all = from.iter().chain(before);
        let mut all: Vec<&Server> = all.filter(|server| !server.leads_back(realm)).collect();
        let now = Instant::now();
        all.sort_by_key(|server| server.rests(now));
        all
    }
}

impl Server {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.rests_until.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = (REST * 2_u32.saturating_pow(before)).min(LONGEST_REST);
        let until = (self.began.elapsed() + rest).as_millis();
        self.rests_until
            .store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the last failure was the first in a row: the moment to say so.
    pub(super) fn has_just_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) == 1
    }

    pub(super) fn leads_back(&self, realm: Realm) -> bool {
        self.leads_back.load(Ordering::Relaxed) & bit(realm) != 0
    }

    /// The agent that it leads to for these names.
    pub(super) fn lead(&self, realm: Realm) -> Option<Lead> {
        self.leads().get(&realm).cloned()
    }

    /// Sets that agent; gives the one before.
    pub(super) fn set_lead(&self, realm: Realm, lead: Option<Lead>) -> Option<Lead> {
        let mut leads = self.leads();
        if lead.as_ref().is_some_and(|lead| lead.back) {
            self.leads_back.fetch_or(bit(realm), Ordering::Relaxed);
            self.partly(realm).store(0, Ordering::Relaxed);
        } else {
            self.leads_back.fetch_and(!bit(realm), Ordering::Relaxed);
        }
        match lead {
            Some(lead) => leads.insert(realm, lead),
            None => leads.remove(&realm),
        }
    }

    /// Whether some of its ways lead back for these names.
    pub(super) fn leads_back_partly(&self, realm: Realm) -> bool {
        self.partly(realm).load(Ordering::Relaxed) > 0
    }

    /// Keeps in mind that some of its ways lead back. False: that was known.
    pub(super) fn came_back_partly(&self, realm: Realm) -> bool {
        self.partly(realm).swap(ROUNDS, Ordering::Relaxed) == 0
    }

    /// A round in which nothing came back. True: that was the last one before none of its ways counts as leading back.
    pub(super) fn did_not_come_back(&self, realm: Realm) -> bool {
        let left = self.partly(realm).load(Ordering::Relaxed);
        self.partly(realm)
            .store(left.saturating_sub(1), Ordering::Relaxed);
        left == 1
    }

    fn partly(&self, realm: Realm) -> &AtomicU8 {
        let [outside, reverse, domain, set] = &self.leads_back_partly;
        match realm {
            Realm::Outside => outside,
            Realm::Reverse => reverse,
            Realm::Domain => domain,
            Realm::Set => set,
        }
    }

    pub(super) fn count(&self, result: Exchange) {
        self.counters.count(result);
    }

    fn leads(&self) -> MutexGuard<'_, BTreeMap<Realm, Lead>> {
        // Every operation leaves the map whole.
        self.leads_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, now: Instant) -> bool {
        let at = now.duration_since(self.began).as_millis();
        at < u128::from(self.rests_until.load(Ordering::Relaxed))
    }
}

fn bit(realm: Realm) -> u8 {
    1 << realm as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ports: &[u16]) -> Pool {
        let address = |port: &u16| ([127, 0, 0, 1], *port).into();
        Pool::new(
            ports.iter().map(address).collect(),
            &ServerMetrics::default(),
        )
    }

    fn addresses(pool: &Pool) -> Vec<u16> {
        let order = pool.in_order(Realm::Outside);
        order.iter().map(|server| server.address.port()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_server_goes_last_until_it_has_rested() {
        let pool = pool(&[1, 2]);
        pool.servers[0].failed();
        for _ in 0..20 {
            assert_eq!(addresses(&pool), [2, 1]);
        }
        tokio::time::advance(REST).await;
        let firsts: Vec<u16> = (0..200).map(|_| addresses(&pool)[0]).collect();
        assert!(firsts.contains(&1) && firsts.contains(&2));
    }

    #[test]
    fn some_ways_lead_back_until_none_has_for_many_rounds() {
        let pool = pool(&[1]);
        let server = &pool.servers[0];
        let realm = Realm::Reverse;
        assert!(!server.did_not_come_back(realm) && !server.leads_back_partly(realm));
        assert!(server.came_back_partly(realm));
        assert!(!server.did_not_come_back(realm) && !server.came_back_partly(realm));
        assert!(!server.leads_back_partly(Realm::Outside));
        for _ in 1..ROUNDS {
            assert!(!server.did_not_come_back(realm) && server.leads_back_partly(realm));
        }
        assert!(server.did_not_come_back(realm) && !server.leads_back_partly(realm));
        assert!(!server.did_not_come_back(realm), "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn rests_grow_to_a_limit_and_a_reply_ends_them() {
        let pool = pool(&[1]);
        let server = &pool.servers[0];
        for _ in 0..100 {
            server.failed();
        }
        tokio::time::advance(LONGEST_REST - Duration::from_millis(1)).await;
        assert!(server.rests(Instant::now()));
        server.answered();
        assert!(!server.rests(Instant::now()));
    }
}
