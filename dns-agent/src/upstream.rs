//! Asking other servers: which, how often, for how long. Replies stay bytes.

mod exchange;
mod flights;
mod look_up;
mod loops;
mod path;
mod pool;
mod realm;
mod resolv_conf;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use crate::{
    answer::Servers,
    cache::{Cache, Kept, Key},
    config,
    metrics::{Exchange, SharedMetrics},
    name::Name,
    wire::{Ede, Message, Rcode},
};
use exchange::{Failed, Got, exchange};
use flights::{Flights, Seat};
use loops::Loops;
use pool::{Pool, Server};
use realm::{Realm, Realms};

pub use look_up::{Addresses, Family};
pub use loops::{LeadsTo, Told};
pub use resolv_conf::{ResolvConf, read as read_resolv_conf};

/// How long a server is waited for that sends questions back to us: what it knows itself it says at once.
const LOOPING: Duration = Duration::from_millis(500);

/// Forwards questions, keeps the replies, and lets identical questions share one exchange.
#[derive(Debug)]
pub struct Upstream {
    general: ArcSwap<Pool>,
    cluster: Option<Pool>,
    cache: Cache,
    flights: Flights<Kept>,
    permits: Semaphore,
    timeout: Duration,
    deadline: Duration,
    cluster_negative_ttl: Duration,
    realms: Realms,
    loops: Loops,
    metrics: SharedMetrics,
}

/// Why nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many questions are under way.
    Overload,
    /// No server replied in time.
    Silent,
    /// No server can be reached.
    Unreachable,
    /// Every server leads back here.
    Loop,
}

impl Failure {
    /// What to tell the client (RFC 8914 §4.23, §4.24).
    pub fn ede(self) -> Ede {
        match self {
            Self::Overload => Ede {
                code: 0,
                text: "too many queries are under way",
            },
            Self::Silent => Ede {
                code: 22,
                text: "no upstream server replied in time",
            },
            Self::Unreachable => Ede {
                code: 23,
                text: "no upstream server can be reached",
            },
            Self::Loop => Ede {
                code: 23,
                text: "a forwarding loop: every upstream server leads back here",
            },
        }
    }
}

/// How far one server brought us.
enum Attempt {
    Answered(Message),
    /// A reply that the next server may better; whether it is worth keeping.
    Declined(Message),
    Failed(Failure),
}

impl Upstream {
    /// Servers as configured; `general` are the general ones, from the configuration or resolv.conf. `name` tells people
    /// which agent this is.
    pub fn new(
        config: &config::Config,
        general: Vec<SocketAddr>,
        name: String,
        metrics: SharedMetrics,
    ) -> Self {
        let upstreams = &config.upstreams;
        let pool = |servers| Pool::new(servers, &metrics.servers);
        let cluster =
            (!upstreams.cluster_zone.is_empty()).then(|| pool(upstreams.cluster_zone.clone()));
        Self {
            general: ArcSwap::from_pointee(pool(general)),
            cluster,
            cache: Cache::new(&config.cache),
            flights: Flights::default(),
            permits: Semaphore::new(upstreams.max_concurrent),
            timeout: upstreams.timeout,
            deadline: upstreams.deadline,
            realms: Realms::new(config),
            loops: Loops::new(name),
            cluster_negative_ttl: Duration::from_secs(u64::from(config.settings.ttl)),
            metrics,
        }
    }

    /// Replaces the general servers.
    pub fn set_general(&self, servers: Vec<SocketAddr>) {
        let new = Arc::new(Pool::new(servers, &self.metrics.servers));
        let old = self.general.swap(Arc::clone(&new));
        let kept: Vec<SocketAddr> = [Some(&*new), self.cluster.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(Pool::addresses)
            .collect();
        for gone in old.addresses() {
            if !kept.contains(&gone) {
                self.metrics.servers.forget(gone);
            }
        }
        self.look_again();
    }

    /// The servers that are asked.
    pub fn servers(&self, to: Servers) -> Vec<SocketAddr> {
        match (to, &self.cluster) {
            (Servers::Cluster, Some(pool)) => pool.addresses(),
            _ => self.general.load().addresses(),
        }
    }

    /// What is kept for a question, and its age in seconds.
    pub fn kept(&self, key: &Key) -> Option<(Kept, u32)> {
        self.cache.get(key)
    }

    /// Forgets what is kept of these names.
    pub fn forget(&self, names: &[&Name]) {
        self.cache
            .forget(&names.iter().map(|name| name.as_wire()).collect());
    }

    /// Asks for a reply, or waits for the one that somebody else is asking for.
    pub async fn ask(&self, key: Key, to: Servers) -> Kept {
        let flight = loop {
            match self.flights.board(&key) {
                Seat::Passenger(arrival) => {
                    self.metrics.coalesced.inc();
                    // Where the pilot gave up, as it needs the reply no more, another is found.
                    if let Ok(kept) = arrival.await {
                        return kept;
                    }
                }
                Seat::Pilot(flight) => break flight,
            }
        };
        // Between the look into the cache and here, another flight may have landed.
        let result = match self.cache.get(&key) {
            Some((kept, _)) => kept,
            None => self.fly(&key, to).await,
        };
        flight.land(&result);
        result
    }

    /// Asks as ever, but where too many questions are under way waits for a place, as long as clients wait for a reply.
    pub async fn ask_in_turn(&self, key: Key, to: Servers) -> Kept {
        let deadline = Instant::now() + self.deadline;
        loop {
            let kept = self.ask(key.clone(), to).await;
            let place = match &kept {
                Err(Failure::Overload) => timeout_at(deadline, self.permits.acquire()).await,
                _ => return kept,
            };
            // Given back at once: whoever asks takes one.
            let Ok(Ok(_)) = place else {
                return kept;
            };
        }
    }

    /// Asks anew, whatever is kept, and keeps nothing: clients do not notice. For whoever asks few questions at a time.
    pub async fn ask_again(&self, key: &Key, to: Servers) -> Kept {
        self.ask_servers(key, to).await.map(Arc::new)
    }

    async fn fly(&self, key: &Key, to: Servers) -> Kept {
        let Ok(_permit) = self.permits.try_acquire() else {
            self.metrics.overloaded.inc();
            return Err(Failure::Overload);
        };
        let began = Instant::now();
        let result = self.ask_servers(key, to).await;
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.upstream_seconds.observe(seconds);
        let kept = result.map(Arc::new);
        // Services come and go faster than other names.
        let max_negative = (to == Servers::Cluster).then_some(self.cluster_negative_ttl);
        self.cache.put(key.clone(), &kept, max_negative);
        let entries = i64::try_from(self.cache.len()).unwrap_or(i64::MAX);
        self.metrics.cache_entries.set(entries);
        kept
    }

    async fn ask_servers(&self, key: &Key, to: Servers) -> Result<Message, Failure> {
        let began = Instant::now();
        let general = self.general.load_full();
        let pool = match (to, &self.cluster) {
            (Servers::Cluster, Some(pool)) => pool,
            _ => &general,
        };
        let realm = self.realms.of(to, key.name());
        let servers = pool.in_order(realm);
        match to {
            Servers::General if servers.is_empty() => Err(Failure::Loop),
            Servers::Cluster if servers.is_empty() => self.try_looping(key, pool, realm).await,
            _ => self.try_all(key, realm, servers, began).await,
        }
    }

    /// Servers that send names back to us that they do not know may yet have the cluster's own, and tell those at once. What
    /// comes back waits for its own answer, goes round no further, and must not cost the client the whole deadline.
    async fn try_looping(&self, key: &Key, pool: &Pool, realm: Realm) -> Result<Message, Failure> {
        for server in pool.all() {
            let until = Instant::now() + self.timeout.min(LOOPING);
            if let Attempt::Answered(message) = self.attempt(key, realm, server, until).await {
                return Ok(message);
            }
        }
        Err(Failure::Loop)
    }

    /// Every server in turn, the ones that stayed silent a second time, until one answers or time is up. When none
    /// does, a reply that was cut, or else one that declined, is still better than none of ours: it is the server's own
    /// word.
    async fn try_all(
        &self,
        key: &Key,
        realm: Realm,
        servers: Vec<&Server>,
        began: Instant,
    ) -> Result<Message, Failure> {
        let deadline = began + self.deadline;
        let mut declined = None;
        let mut failure = Failure::Unreachable;
        let mut left = servers;
        for _ in 0..2 {
            let mut again = Vec::new();
            for server in left {
                if Instant::now() >= deadline {
                    break;
                }
                let until = deadline.min(Instant::now() + self.timeout);
                match self.attempt(key, realm, server, until).await {
                    Attempt::Answered(message) => return Ok(message),
                    Attempt::Declined(message) => {
                        let is_cut = |message: &Message| message.flags().truncated();
                        if !declined.as_ref().is_some_and(is_cut) {
                            declined = Some(message);
                        }
                    }
                    Attempt::Failed(why) => {
                        failure = why;
                        again.push(server);
                    }
                }
            }
            if declined.is_some() {
                break;
            }
            left = again;
        }
        declined.ok_or(failure)
    }

    async fn attempt(&self, key: &Key, realm: Realm, server: &Server, until: Instant) -> Attempt {
        let (attempt, label) = match exchange(key, server.address(), until).await {
            Ok(Got { message, was_cut }) => {
                server.answered();
                if was_cut {
                    server.count(Exchange::Truncated);
                }
                if is_declined(&message) {
                    (Attempt::Declined(message), Exchange::Declined)
                } else {
                    (Attempt::Answered(message), Exchange::Answered)
                }
            }
            Err(Failed::Network(error)) => {
                server.failed();
                debug!(server = %server.address(), %error, "upstream");
                (Attempt::Failed(Failure::Unreachable), Exchange::Unreachable)
            }
            Err(Failed::Silent) => {
                server.failed();
                (Attempt::Failed(Failure::Silent), Exchange::TimedOut)
            }
        };
        let is_news = server.has_just_failed() && !server.leads_back(realm);
        if let (Attempt::Failed(failure), true) = (&attempt, is_news) {
            warn!(server = %server.address(), ?failure, "upstream server does not answer");
        }
        server.count(label);
        attempt
    }
}

/// Whether another server may do better: with a failure, and with a reply that stayed cut although TCP was tried.
fn is_declined(message: &Message) -> bool {
    let failures = [
        Rcode::FormErr,
        Rcode::ServFail,
        Rcode::NotImp,
        Rcode::Refused,
        Rcode::BadVers,
    ];
    let rcode = message.rcode();
    message.flags().truncated() || failures.iter().any(|failure| *failure as u16 == rcode)
}
