//! The callbacks of a network filter, which Envoy calls directly.
//!
//! Not through the SDK. It wants to know of a context when it is made whether it is a request or a connection, and ends
//! the VM when a callback of the other kind follows (proxy-wasm 0.2.5, `src/dispatcher.rs`). But Envoy does not say:
//! `proxy_on_context_create` is the same for both, no attribute answers for less than a request can afford, and one
//! plugin configuration can be that of an HTTP filter and of a network filter at once, with one root context. So to the
//! SDK every context is a request's, which costs nothing, and what a context really is Envoy tells by what it calls.
//!
//! The SDK exports functions with Envoy's names for these. `cargo xtask wasm` removes them and gives these here their
//! names (its list of exports says which).

use proxy_wasm::types::Action;

use crate::tcp;

#[unsafe(no_mangle)]
extern "C" fn crossmesh_on_new_connection(context: u32) -> Action {
    tcp::on_new_connection(context)
}

#[unsafe(no_mangle)]
extern "C" fn crossmesh_on_downstream_data(context: u32, size: usize, _end: bool) -> Action {
    tcp::on_downstream_data(context, size)
}

#[unsafe(no_mangle)]
extern "C" fn crossmesh_on_upstream_data(context: u32, size: usize, _end: bool) -> Action {
    tcp::on_upstream_data(context, size)
}
