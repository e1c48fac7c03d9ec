//! Half a minute of `cargo xtask soak filter`: the policy changes under load, and no request fails otherwise than by it.
#![cfg(test)]

use std::time::Duration;

use crossmesh_e2e::soak::{self, Plan};
use tokio::task::LocalSet;

#[tokio::test]
async fn policies_change_under_load_and_nothing_fails_or_grows() {
    let plan = Plan {
        requests: u64::MAX,
        policies: u64::MAX,
        at_most: Duration::from_secs(30),
    };
    let report = LocalSet::new().run_until(soak::run(plan)).await.unwrap();
    report.check().unwrap();
    let (answers, taken, refused) = report.counts();
    // Enough to have met something, on a machine however slow.
    assert!(answers > 300 && taken > 12 && refused > 0, "{report}");
}
