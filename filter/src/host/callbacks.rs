//! Every callback that Envoy makes, and the memory that it asks for: what this module exports, and all of it.
//!
//! Not through the SDK. Envoy calls whatever a module exports, and each call costs every request, but the SDK exports all
//! that the ABI knows. It keeps a context for each stream, in two maps, where most requests have nothing to remember. It wants
//! to know of a context when it is made whether it is a request or a connection, which Envoy does not say: one plugin
//! configuration can be that of an HTTP filter and of a network filter at once, with one root context. And where
//! anything is not as it expects, it panics, which ends the VM (proxy-wasm 0.2.5, `src/dispatcher.rs`).
//!
//! Signatures: proxy-wasm ABI 0.2.1, <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>. There is neither
//! `proxy_on_log` nor `proxy_on_done`: what is told at a stream's end is told in `proxy_on_delete`. Without
//! `proxy_on_vm_start` Envoy takes the start for granted.
#![expect(unsafe_code, reason = "the ABI's functions have C names")]

use super::memory;
use crate::host::{self, Action, Level};
use crate::{contexts, http, root, tcp};

/// By this Envoy knows the ABI.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Runs before anything else.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn _initialize() {
    // Never meant to run. Should a panic slip through, Envoy's log says where it was instead of only that the VM ended.
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| {
            host::log(Level::Critical, &panic.to_string());
        }));
    }
}

/// Memory for what a call of ours returns. Envoy looks for `malloc`
/// first, a name that is taken wherever there is a C library.
#[cfg_attr(target_arch = "wasm32", unsafe(export_name = "malloc"))]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub(crate) extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::allocate(size)
}

/// A root context (which has no other above it), a request or a connection begins.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    // Of a root context there is nothing to know before it is configured.
    if root != 0 {
        contexts::created(context, root);
    }
}

/// A context ends, of whichever kind. Envoy makes no other callback at every stream's end whatever became of it.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    contexts::deleted(context);
    http::deleted(context);
    tcp::deleted(context);
    root::deleted(context);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    u32::from(root::configure(root, size))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    root::tick(root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end: u32) -> Action {
    http::request_headers(context, end != 0)
}

/// Called only where there are trailers.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> Action {
    http::request_trailers(context)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, _end: u32) -> Action {
    http::response_headers(context);
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_new_connection(context: u32) -> Action {
    tcp::on_new_connection(context)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_data(context: u32, size: usize, _end: u32) -> Action {
    tcp::on_downstream_data(context, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_upstream_data(context: u32, size: usize, _end: u32) -> Action {
    tcp::on_upstream_data(context, size)
}
