//! The cross-mesh policy filter: reads who asks and what is asked from Envoy, lets [`crossmesh_policy`] decide, acts.
//!
//! It is thin on purpose. All calls to and from Envoy are in `host`; a request is in `http`, a connection in `tcp`; what Envoy
//! answers is decoded in `encoding`; names that others rely on (metrics, filter state, headers, response details) are in
//! `telemetry`.
//!
//! Nothing here may trap: a panic ends the VM, and with it every stream of the worker. So the SDK is not used: its host
//! calls panic on a status that they do not know and on bytes that are not UTF-8 (proxy-wasm 0.2.5, `src/hostcalls.rs`), its
//! callbacks on contexts that they do not expect (`host::callbacks` says more).
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        reason = "a test that panics fails, and nothing else"
    )
)]

mod certificate;
mod contexts;
mod encoding;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod host;
mod http;
mod identities;
mod line;
#[cfg(any(test, feature = "fuzz"))]
mod mock_host;
mod node;
mod peer;
mod reads;
mod root;
mod tcp;
mod telemetry;

#[cfg(test)]
mod tests;
