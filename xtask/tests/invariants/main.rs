#![cfg(test)]
//! The invariants of the code, held by tests: which crate may know which, and how files look.
//!
//! Each test collects every violation before it fails; each violation names its place and the mend.

mod continuous_integration;
mod crates;
mod files;
mod host_calls;
mod lock;
mod sources;

/// Fails if there is any violation, telling all of them.
#[track_caller]
fn none(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n  {}\n",
        violations.len(),
        violations.join("\n  ")
    );
}
