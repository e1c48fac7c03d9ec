//! The cross-mesh policy filter: reads who asks and what is asked from Envoy, lets [`crossmesh_policy`] decide, acts.
//!
//! It is thin on purpose. All calls to Envoy are in `host`, a request is in `http`, a connection in `tcp`; what they answer is decoded in `encoding`; names that
//! others rely on (metrics, filter state, headers, response details) are in `telemetry`.
//!
//! Nothing here may trap: a panic ends the VM, and with it every stream of the worker. So the SDK is used to dispatch
//! callbacks and for nothing else: its host calls panic on a status that they do not know and on bytes that are not
//! UTF-8 (proxy-wasm 0.2.5, `src/hostcalls.rs`).
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
#![expect(
    missing_docs,
    reason = "the one public item is what the SDK's main! makes, without a word"
)]

mod certificate;
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
mod root;
mod tcp;
mod telemetry;

#[cfg(test)]
mod tests;

proxy_wasm::main! {{
    // Never meant to run. Should a panic slip through, Envoy's log says where it was instead of only that the VM ended.
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| {
            host::log(host::Level::Critical, &panic.to_string());
        }));
    }
    proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
}}
