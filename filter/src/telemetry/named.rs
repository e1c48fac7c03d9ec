//! Which label values have metrics of their own.
//!
//! A metric lives as long as its VM, for Envoy forgets none. So does what is remembered here: were each configuration to
//! count anew, meshes and rules that are renamed again and again would make metrics without end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    /// By what is bounded.
    static NAMED: RefCell<BTreeMap<String, BTreeSet<String>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Whether a value has metrics of its own: it has some already, or fewer than `most` values have.
pub(super) fn admits(bounded: &str, value: &str, most: u16) -> bool {
    NAMED.with_borrow_mut(|named| {
        let named = named.entry(bounded.to_owned()).or_default();
        named.contains(value) || (named.len() < usize::from(most) && named.insert(value.to_owned()))
    })
}
