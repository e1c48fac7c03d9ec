//! Fuzz targets: each takes any bytes, and panics only where the policy or the filter is wrong.
//!
//! `cargo xtask fuzz` runs them under libFuzzer, guided by coverage; the inputs that it kept are in `corpus/`, a folder
//! for each target, and `cargo test` runs those again. A target asks for more than that nothing panics: what else must
//! hold for every input stands beside it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a find is told"
)]

mod configuration;
mod forwarded;
mod spiffe_id;

/// A name, as the corpus and the command line have it, and what takes the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("configuration", configuration::configuration),
    ("spiffe_id", spiffe_id::spiffe_id),
    ("forwarded", forwarded::forwarded),
    ("certificate", crossmesh_filter::fuzz::certificate),
    ("encodings", crossmesh_filter::fuzz::encodings),
    ("callbacks", crossmesh_filter::fuzz::callbacks),
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(named, _)| *named == name)
}
