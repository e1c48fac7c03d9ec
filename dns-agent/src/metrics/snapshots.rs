//! What is counted of what is kept on disk.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::labels::{WriteLabels, Written};

/// Counts of what is kept on disk.
#[derive(Debug)]
pub struct SnapshotMetrics {
    written: Counter,
    failed: Counter,
    writes: Family<WriteLabels, Counter>,
    /// Files that were not understood.
    pub refused: Counter,
}

impl Default for SnapshotMetrics {
    fn default() -> Self {
        let writes: Family<WriteLabels, Counter> = Family::default();
        let of = |result| writes.get_or_create_owned(&WriteLabels { result });
        Self {
            written: of(Written::Written),
            failed: of(Written::Failed),
            writes,
            refused: Counter::default(),
        }
    }
}

impl SnapshotMetrics {
    /// Counts one writing of one cluster.
    pub fn count(&self, well: bool) {
        if well {
            self.written.inc();
        } else {
            self.failed.inc();
        }
    }

    pub(super) fn register(&self, to: &mut Registry) {
        to.register(
            "snapshot_writes",
            "Snapshots of clusters written, and those that could not be",
            self.writes.clone(),
        );
        to.register(
            "snapshot_refused",
            "Snapshots that were found and not understood",
            self.refused.clone(),
        );
    }
}
