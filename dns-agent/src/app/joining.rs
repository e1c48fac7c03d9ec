//! Taking addresses over from another agent: not before this one knows as much, but at once when the other has gone.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    catalog::{Catalog, SyncState},
    readiness::Readiness,
    server::{Pair, Place, join, take},
    sources::Published,
};

/// How often is looked whether an address can be taken.
const PERIOD: Duration = Duration::from_millis(50);
/// How long an address may be nobody's of us and yet not free: whoever has it then stays there.
const FOREIGN: Duration = Duration::from_secs(5);

/// An address is in other hands.
#[derive(Debug, Error)]
#[error(
    "cannot listen for queries on {address}: {error}; ss -lnptu tells which process does: end it, or change listen"
)]
pub(super) struct Taken {
    address: SocketAddr,
    error: io::Error,
}

/// What is waited for before an address is taken over.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) readiness: Readiness,
    pub(super) index: Published,
    /// The name of the guard that joining itself makes superfluous.
    pub(super) own_guard: &'static str,
}

impl Joining {
    /// Gives every address as it is taken, until `stop`.
    pub(super) async fn run(
        self,
        mut awaited: Vec<SocketAddr>,
        taken: mpsc::Sender<Pair>,
        stop: CancellationToken,
    ) -> Result<(), Taken> {
        if !awaited.is_empty() {
            info!(
                ?awaited,
                "another agent answers there; joining once this one knows as much"
            );
        }
        let mut refused_since = None;
        while !awaited.is_empty() {
            let mut left = Vec::new();
            for address in awaited {
                match self.attempt(address).await {
                    Ok(Some(pair)) => {
                        refused_since = None;
                        // Whoever is not there any more is stopping.
                        let _ = taken.send(pair).await;
                    }
                    Ok(None) => left.push(address),
                    Err(error) => {
                        let since = *refused_since.get_or_insert_with(|| {
                            warn!(%address, %error, "cannot join");
                            Instant::now()
                        });
                        if since.elapsed() > FOREIGN {
                            return Err(Taken { address, error });
                        }
                        left.push(address);
                    }
                }
            }
            awaited = left;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        stop.cancelled().await;
        Ok(())
    }

    async fn attempt(&self, address: SocketAddr) -> io::Result<Option<Pair>> {
        match take(address).await? {
            Place::Held(pair) => {
                info!(%address, "the other agent has gone");
                Ok(Some(pair))
            }
            Place::Awaited(_) if self.knows_enough() => {
                let pair = join(address)?;
                info!(%address, "joined the other agent");
                Ok(Some(pair))
            }
            Place::Awaited(_) => Ok(None),
        }
    }

    /// Whoever answers now may know more than an agent that merely gave up waiting: the local cluster must have been read,
    /// and of the others all that can be read in the time allowed. A snapshot is not enough: it is the other agent's own
    /// memory, and where this one may not read its cluster, a rolling upgrade must stop here.
    fn knows_enough(&self) -> bool {
        let pending = self.readiness.pending();
        let waits_for_nothing_else = pending.iter().all(|name| **name == *self.own_guard);
        let index = self.index.load();
        let mut clusters = index.clusters().iter();
        let local = clusters.find(|cluster| cluster.local);
        let known = |state| matches!(state, SyncState::Synced | SyncState::Stale);
        let whole = |catalog: &Arc<Catalog>| !catalog.mesh_unread;
        waits_for_nothing_else
            && local.is_some_and(|cluster| {
                let catalog = cluster.catalog.as_ref();
                known(cluster.state) && !cluster.restored && catalog.is_some_and(whole)
            })
    }
}
