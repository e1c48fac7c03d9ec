//! Forwarding loops: a server that sends our questions back to us, as when a node's resolver is the agent, the agent's
//! is the cluster's DNS, and that one's is the node's.
//!
//! Each server is asked for a name that nobody can know; if that question comes to our own port, the server leads back here.
//! It is then not asked any more until it does not: a question that goes round is answered by nobody, and each would cost
//! its client the whole deadline.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Upstream, exchange::exchange, pool::Pool};
use crate::{
    cache::Key,
    name::{Name, is_under, labels},
    wire::rtype,
};

/// How often all servers are looked at: one question each, so that a loop made later is found too.
const PERIOD: Duration = Duration::from_secs(60);
/// How often those are looked at that lead back here, and how soon those that gave no answer.
const SOON: Duration = Duration::from_secs(5);
/// How often is looked whether there are other servers than before.
const TICK: Duration = Duration::from_millis(250);

/// Below which zone is asked, in text and on the wire. Nobody has it: `internal` is for private use, and what is asked in
/// the reverse tree is no address's name.
struct Zone {
    text: &'static str,
    wire: &'static [u8],
}

const GENERAL: Zone = Zone {
    text: "loop.crossmesh.internal",
    wire: b"\x04loop\x09crossmesh\x08internal\x00",
};
/// The cluster's DNS gets only names of the cluster, which it answers itself, and the reverse tree, which it may pass on.
const CLUSTER: Zone = Zone {
    text: "loop.crossmesh.in-addr.arpa",
    wire: b"\x04loop\x09crossmesh\x07in-addr\x04arpa\x00",
};

/// The questions under way, by their first label, and whether each has come back.
#[derive(Debug, Default)]
pub(super) struct Loops(Mutex<HashMap<Box<[u8]>, bool>>);

impl Loops {
    /// Whether a question that came to our port is one that we sent; notes it.
    pub(super) fn has_come_back(&self, name: &[u8]) -> bool {
        if ![GENERAL.wire, CLUSTER.wire]
            .iter()
            .any(|zone| is_under(name, zone))
        {
            return false;
        }
        let label = labels(name).next().unwrap_or_default();
        match self.lock().get_mut(label) {
            Some(came) => {
                *came = true;
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, bool>> {
        // Every operation leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one look at a server found.
enum Found {
    Loop,
    NoLoop,
    /// It gave no answer, so that nothing can be said.
    Nothing,
}

impl Upstream {
    /// Looks for loops until `stop`.
    pub async fn watch_for_loops(&self, stop: CancellationToken) {
        let mut looked_at: Option<(Arc<Pool>, Instant)> = None;
        let mut wait = PERIOD;
        loop {
            let general = self.general.load_full();
            let due = looked_at
                .as_ref()
                .is_none_or(|(pool, at)| !Arc::ptr_eq(pool, &general) || at.elapsed() >= wait);
            if due {
                let look = async {
                    let first = self.look(&general, &GENERAL).await;
                    let second = match &self.cluster {
                        Some(pool) => self.look(pool, &CLUSTER).await,
                        None => true,
                    };
                    first && second
                };
                let all_well = tokio::select! {
                    () = stop.cancelled() => return,
                    all_well = look => all_well,
                };
                wait = if all_well { PERIOD } else { SOON };
                looked_at = Some((general, Instant::now()));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Looks at every server of a pool; whether all answered and none leads back here.
    async fn look(&self, pool: &Pool, zone: &Zone) -> bool {
        let mut all_well = true;
        for server in pool.all() {
            let address = server.address();
            let found = self.look_at(address, zone).await;
            all_well &= matches!(found, Found::NoLoop);
            let leads_back = match found {
                Found::Loop => true,
                Found::NoLoop => false,
                Found::Nothing => server.leads_back(),
            };
            if leads_back != server.leads_back() {
                server.set_leads_back(leads_back);
                if leads_back {
                    warn!(
                        server = %address,
                        "forwarding loop: this upstream server sends our questions back to us, and is not asked any more; give \
                         it, or the agent, servers that do not lead here (upstreams)"
                    );
                } else {
                    info!(server = %address, "the upstream server does not lead back here any more");
                }
            }
            self.metrics.show_loop(address, leads_back);
        }
        all_well
    }

    async fn look_at(&self, server: SocketAddr, zone: &Zone) -> Found {
        let Ok(number) = getrandom::u64() else {
            return Found::Nothing;
        };
        let label = format!("{number:016x}");
        let Ok(name) = Name::parse(&format!("{label}.{}", zone.text)) else {
            return Found::Nothing;
        };
        self.loops.lock().insert(label.as_bytes().into(), false);
        let until = Instant::now() + self.timeout;
        let answered = exchange(&Key::own(&name, rtype::HINFO), server, until).await;
        let came = self.loops.lock().remove(label.as_bytes());
        match (came, answered) {
            (Some(true), _) => Found::Loop,
            (_, Ok(_)) => Found::NoLoop,
            (_, Err(_)) => Found::Nothing,
        }
    }

    /// Whether a question that came to our port is one that we sent to look for loops.
    pub fn is_own_question(&self, name: &[u8]) -> bool {
        self.loops.has_come_back(name)
    }

    /// The servers that lead back here.
    pub fn loops(&self) -> Vec<SocketAddr> {
        let general = self.general.load();
        let pools = [Some(&**general), self.cluster.as_ref()];
        let servers = pools.into_iter().flatten().flat_map(Pool::all);
        servers
            .filter(|server| server.leads_back())
            .map(|server| server.address())
            .collect()
    }
}
