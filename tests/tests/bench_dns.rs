//! The measurements of the agent, a short slice of each: that they run and that what they print is whole.
#![cfg(test)]

use crossmesh_e2e::bench::{changes, memory};

#[tokio::test]
async fn the_time_of_changes_is_measured() {
    let report = changes::measure(3).await.unwrap();
    assert_eq!(report.changes, 3);
    assert!(report.deleted.p50_ms > 0.0 && report.deleted.p99_ms >= report.deleted.p50_ms);
    assert!(report.created.p50_ms > 0.0 && report.queries > 6 * 20);
    println!("{report}");
}

#[tokio::test]
async fn the_memory_of_names_is_measured_from_files_and_from_api_servers() {
    let plan = [
        (memory::Source::Files, 30),
        (memory::Source::ApiServers, 30),
    ];
    let report = memory::measure(&plan).await.unwrap();
    for row in &report.rows {
        assert!(row.names >= 90, "{row:?}");
        assert!(row.resident_mib > 0.0, "{row:?}");
    }
    println!("{report}");
}
