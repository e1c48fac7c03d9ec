//! Whether the agent should get traffic: a set of named guards. Once ready, only the end of the process turns it back.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// The state of all guards; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    pending: Mutex<Vec<Arc<str>>>,
    stopping: AtomicBool,
}

/// Holds readiness back until it is dropped.
#[derive(Debug)]
pub struct Guard {
    name: Arc<str>,
    state: Arc<State>,
}

impl Readiness {
    /// Names something that must happen first.
    pub fn guard(&self, name: impl Into<Arc<str>>) -> Guard {
        let name = name.into();
        self.0.lock().push(Arc::clone(&name));
        Guard {
            name,
            state: Arc::clone(&self.0),
        }
    }

    /// What has not happened yet.
    pub fn pending(&self) -> Vec<Arc<str>> {
        self.0.lock().clone()
    }

    /// Whether the agent should get traffic.
    pub fn is_ready(&self) -> bool {
        !self.is_stopping() && self.0.lock().is_empty()
    }

    /// Whether the process is ending.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Says that the process is ending.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<str>>> {
        // The list is whole whoever panicked while holding it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut pending = self.state.lock();
        if let Some(at) = pending
            .iter()
            .position(|name| Arc::ptr_eq(name, &self.name))
        {
            pending.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_guard_is_dropped_and_until_the_end() {
        let readiness = Readiness::default();
        let listener = readiness.guard("listeners");
        let catalog = readiness.guard("catalog cluster-1");
        drop(listener);
        assert_eq!(readiness.pending(), ["catalog cluster-1".into()]);
        assert!(!readiness.is_ready());
        drop(catalog);
        assert!(readiness.is_ready());
        readiness.stop();
        assert!(!readiness.is_ready());
    }
}
