//! Which root context, and so which configuration, a request or a connection belongs to. Envoy tells when it makes the
//! context and never again; it is asked for once, when the request or connection begins.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// How many that have not begun are remembered. Envoy makes a context only for what begins at once; were one neither to
/// begin nor to be deleted, nothing else here would forget it.
const MOST_WAITING: usize = 1024;

thread_local! {
    /// The context made last and its root, as long as it has not begun: with Envoy, that is what begins next.
    static NEWEST: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
    /// Others that have not begun.
    static WAITING: RefCell<BTreeMap<u32, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Envoy made a context, be it a request's or a connection's.
pub(crate) fn created(context: u32, root: u32) {
    if let Some((waiting, root)) = NEWEST.replace(Some((context, root))) {
        WAITING.with_borrow_mut(|all| {
            all.insert(waiting, root);
            if all.len() > MOST_WAITING {
                // The oldest, for contexts are numbered upwards. Should it begin after all, it is refused.
                all.pop_first();
            }
        });
    }
}

/// The root of a context that begins. None of one that Envoy never made, that has begun, or that waited for too long.
pub(crate) fn begins(context: u32) -> Option<u32> {
    match NEWEST.get() {
        Some((newest, root)) if newest == context => {
            NEWEST.set(None);
            Some(root)
        }
        _ => WAITING.with_borrow_mut(|all| all.remove(&context)),
    }
}

/// A context is gone, begun or not.
pub(crate) fn deleted(context: u32) {
    begins(context);
}

/// How many have not begun.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn waiting() -> usize {
    let newest = usize::from(NEWEST.get().is_some());
    WAITING.with_borrow(BTreeMap::len).saturating_add(newest)
}
