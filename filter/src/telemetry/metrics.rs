//! Defining metrics, each once in a VM.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host::{self, Counter, Failure, Histogram, Level};

thread_local! {
    /// The metrics that this VM has defined. Envoy gives a new number to each definition and keeps them all, so defining
    /// anew at each configuration would grow without end.
    static COUNTERS: RefCell<BTreeMap<String, Counter>> = const { RefCell::new(BTreeMap::new()) };
    static HISTOGRAMS: RefCell<BTreeMap<String, Histogram>> = const { RefCell::new(BTreeMap::new()) };
}

/// The counter of this name; none if Envoy refuses to define it. That is never a reason to refuse a configuration: were
/// one worker alone to refuse it, Envoy would run that worker without the filter.
pub(super) fn counter(name: &str) -> Option<Counter> {
    let known = COUNTERS.with_borrow(|counters| counters.get(name).copied());
    let counter = known.or_else(|| defined(name, host::define_counter(name)))?;
    COUNTERS.with_borrow_mut(|counters| remember(counters, name, counter));
    Some(counter)
}

/// The histogram of this name, likewise.
pub(super) fn histogram(name: &str) -> Option<Histogram> {
    let known = HISTOGRAMS.with_borrow(|histograms| histograms.get(name).copied());
    let histogram = known.or_else(|| defined(name, host::define_histogram(name)))?;
    HISTOGRAMS.with_borrow_mut(|histograms| remember(histograms, name, histogram));
    Some(histogram)
}

fn remember<T>(known: &mut BTreeMap<String, T>, name: &str, metric: T) {
    if !known.contains_key(name) {
        known.insert(name.to_owned(), metric);
    }
}

fn defined<T>(name: &str, definition: Result<T, Failure>) -> Option<T> {
    match definition {
        Ok(metric) => Some(metric),
        Err(failure) => {
            host::log(
                Level::Error,
                &format!("the metric {name} is missing: {failure}"),
            );
            None
        }
    }
}
