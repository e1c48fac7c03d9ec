//! Clusters whose catalogs are files.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Watched,
    board::{Board, Seat},
    file::{self, Expected},
};
use crate::{
    catalog::Catalog,
    config::{Config, Entry, Source},
    fault::Faults,
};

/// How often the files are looked at. A change is taken over in the second look that sees it.
const PERIOD: Duration = Duration::from_millis(50);

/// Follows the files.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Followed>);

/// One cluster and its file.
#[derive(Debug)]
struct Followed {
    file: PathBuf,
    watched: Watched,
    seat: Seat,
    mesh: String,
    /// What the configuration says of its network.
    network: Option<String>,
}

impl Files {
    /// Reads the catalog of an entry of the configuration, if it is a file. The local one must be good; a peer's may be
    /// missing or wrong.
    pub(super) fn add(
        &mut self,
        config: &Config,
        entry: &Entry,
        board: &Arc<Board>,
    ) -> Result<(), Faults> {
        let Source::File(file) = &entry.source else {
            return Ok(());
        };
        let mut watched = Watched::new(file.clone());
        let content = watched.first();
        let followed = Followed {
            file: file.clone(),
            watched,
            seat: board.seat(entry.cluster()),
            mesh: entry.mesh.clone(),
            network: config.network_of(entry).map(str::to_owned),
        };
        if entry.local {
            followed.seat.synced(followed.read(content)?);
        } else {
            followed.take(content);
        }
        self.0.push(followed);
        Ok(())
    }

    /// Follows the files until `stop`. Reading happens on a thread where it may take its time: with many services it
    /// would hold up the queries of a worker.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), JoinError> {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            if self.0.is_empty() {
                stop.cancelled().await;
                return Ok(());
            }
            self = spawn_blocking(|| {
                for followed in &mut self.0 {
                    if let Some(content) = followed.watched.look_now() {
                        followed.take(content);
                    }
                }
                self
            })
            .await?;
        }
    }
}

impl Followed {
    /// Takes a new content over, or says why not and keeps what there is.
    fn take(&self, content: Result<String, String>) {
        let cluster = self.seat.id();
        match self.read(content) {
            Ok(catalog) => {
                let services = catalog.service_count();
                info!(%cluster, services, file = %self.file.display(), "catalog read");
                self.seat.synced(catalog);
            }
            Err(faults) => {
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
                self.seat.failed(faults.one_line());
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
            cluster: self.seat.id(),
            mesh: &self.mesh,
            network: self.network.as_deref(),
        };
        file::parse(&self.file, &text, expected)
    }
}
