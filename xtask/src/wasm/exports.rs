//! What the filter exports: Envoy calls every callback among it, whether or not it does anything, and each call costs.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

/// Every export, and no other. `filter/src/host/callbacks.rs` says why these.
const EXPORTS: [&str; 14] = [
    // What is no callback: memory and who fills it, what runs first, by which Envoy knows the ABI.
    "memory",
    "malloc",
    "_initialize",
    "proxy_abi_version_0_2_1",
    // Every context's.
    "proxy_on_context_create",
    "proxy_on_delete",
    // The root context's.
    "proxy_on_configure",
    "proxy_on_tick",
    // A request's.
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    // A connection's.
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
];

/// What the linker exports besides: two addresses, which Envoy does not look for.
const LINKERS: [&str; 2] = ["__data_end", "__heap_base"];

/// What Envoy may see.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EXPORTS.into_iter()
}

/// That a module exports what it must, and nothing else.
pub(super) fn check(exports: &[String]) -> Result<()> {
    let exports: BTreeSet<&str> = exports.iter().map(String::as_str).collect();
    for name in EXPORTS {
        ensure!(
            exports.contains(name),
            "the filter does not export {name}: without it Envoy would not load the module, or never call what the filter \
             does there"
        );
    }
    let known = |name: &&str| EXPORTS.contains(name) || LINKERS.contains(name);
    let unknown: Vec<&str> = exports.into_iter().filter(|name| !known(name)).collect();
    ensure!(
        unknown.is_empty(),
        "the filter exports {}, which xtask/src/wasm/exports.rs does not list: were it a callback, every request would pay for \
         it",
        unknown.join(", ")
    );
    Ok(())
}
