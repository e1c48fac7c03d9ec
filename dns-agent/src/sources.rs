//! Where catalogs come from, and the one task that turns them into indexes.

mod board;
pub mod file;
mod files;
mod kubernetes;
mod publisher;
mod watched;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use board::Board;
pub use publisher::{Published, Publisher};
pub use watched::Watched;

use crate::{config::Config, fault::Faults, snapshot::Kept, tasks::Tasks};
use files::Files;
use kubernetes::Kubernetes;

/// The sources of all clusters of a configuration.
#[derive(Debug)]
pub struct Sources {
    files: Files,
    kubernetes: Kubernetes,
}

impl Sources {
    /// Gives every cluster its seat, in the order of the configuration, and reads the files once. The local cluster's
    /// file must be good. API servers are not asked yet: nothing of theirs can delay the start.
    /// What is `kept` of them from before counts until they have been read.
    pub fn new(config: &Arc<Config>, board: &Arc<Board>, mut kept: Kept) -> Result<Self, Faults> {
        let mut files = Files::default();
        let mut kubernetes = Kubernetes::new(Arc::clone(config), Arc::clone(board));
        for entry in &config.catalogs {
            files.add(config, entry, board)?;
            kubernetes.add(entry, &mut kept);
        }
        kubernetes.announce_discovery(kept);
        Ok(Self { files, kubernetes })
    }

    /// Begins to follow all clusters until `stop`.
    pub fn spawn(self, tasks: &mut Tasks, stop: &CancellationToken) {
        let files = self.files.run(stop.clone());
        tasks.spawn("catalog files", async move { Ok(files.await?) });
        self.kubernetes.spawn(tasks, stop);
    }
}
