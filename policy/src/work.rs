//! How much work a decision is: bytes read, values looked up, patterns compared. Tests count it: a client may send much, and a
//! policy may ask much, but no decision may cost the one times the other.

#[cfg(test)]
thread_local! {
    static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// So much has been done.
#[cfg(test)]
pub(crate) fn done(more: usize) {
    DONE.set(DONE.get().saturating_add(more));
}

/// Outside tests nobody counts.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn done(_: usize) {}

/// How much was done on this thread since this was last asked.
#[cfg(test)]
pub(crate) fn take() -> usize {
    DONE.take()
}
