//! The connections of this VM. Kept here and not in the contexts that the SDK holds, so that a new configuration, which
//! is another root context, finds them, and so that nothing is borrowed while Envoy is called: it may call back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::root::Active;
use crate::telemetry::Counted;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) active: Rc<Active>,
    pub(super) state: State,
    /// Bytes that passed.
    pub(super) received: i64,
    pub(super) sent: i64,
    /// When it began, if that was asked for; nanoseconds since 1970.
    pub(super) opened: Option<u64>,
}

/// How far the filter is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has passed.
    Undecided,
    /// It may pass; how it was counted, if it was.
    Passed(Option<Counted>),
    /// It is the workload's own; which mesh it goes to is not known yet.
    Own,
    /// It is being closed, and nothing has passed.
    Refused,
    /// It is being closed, and something has passed; how it was counted, if it was.
    CutOff(Option<Counted>),
}

thread_local! {
    /// The context made last and its root: when a connection is accepted, that is it.
    static NEWEST: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    static ROOTS: RefCell<BTreeMap<u32, Rc<Active>>> = const { RefCell::new(BTreeMap::new()) };
    static CONNECTIONS: RefCell<BTreeMap<u32, Connection>> = const { RefCell::new(BTreeMap::new()) };
}

/// Envoy made a context, be it a request's or a connection's.
pub(crate) fn context_created(context: u32, root: u32) {
    NEWEST.set((context, root));
}

/// A root context has a (new) configuration.
pub(super) fn configured(root: u32, active: &Rc<Active>) {
    ROOTS.with_borrow_mut(|roots| roots.insert(root, Rc::clone(active)));
}

/// A root context is gone.
pub(crate) fn removed(root: u32) {
    let _ = ROOTS.try_with(|roots| {
        let mut roots = roots.try_borrow_mut().ok()?;
        roots.remove(&root)
    });
}

/// A connection begins: the configuration of its root context.
pub(super) fn accepted(context: u32) -> Option<Rc<Active>> {
    let (newest, root) = NEWEST.get();
    if newest != context {
        return None;
    }
    let active = ROOTS.with_borrow(|roots| roots.get(&root).cloned())?;
    let connection = Connection {
        active: Rc::clone(&active),
        state: State::Undecided,
        received: 0,
        sent: 0,
        opened: None,
    };
    CONNECTIONS.with_borrow_mut(|connections| connections.insert(context, connection));
    Some(active)
}

/// What is known of a connection.
pub(super) fn find(context: u32) -> Option<(Rc<Active>, State)> {
    CONNECTIONS.with_borrow(|connections| {
        let connection = connections.get(&context)?;
        Some((Rc::clone(&connection.active), connection.state))
    })
}

pub(super) fn set(context: u32, state: State) {
    change(context, |connection| connection.state = state);
}

pub(super) fn opened_at(context: u32, now: u64) {
    change(context, |connection| connection.opened = Some(now));
}

pub(super) fn count(context: u32, received: i64, sent: i64) {
    change(context, |connection| {
        connection.received = connection.received.saturating_add(received);
        connection.sent = connection.sent.saturating_add(sent);
    });
}

/// Removes a connection, if the context is one.
pub(super) fn forget(context: u32) -> Option<Connection> {
    // At the end of a thread, which a VM never sees, this may be gone already.
    CONNECTIONS
        .try_with(|connections| connections.try_borrow_mut().ok()?.remove(&context))
        .ok()
        .flatten()
}

/// The connections that began with another configuration of the same plugin, in the order in which they began.
pub(super) fn outdated(active: &Rc<Active>) -> Vec<u32> {
    let is_outdated = |connection: &Connection| {
        active.plugin.is_some()
            && connection.active.plugin == active.plugin
            && !Rc::ptr_eq(&connection.active, active)
    };
    CONNECTIONS.with_borrow(|connections| {
        let outdated = connections.iter().filter(|(_, c)| is_outdated(c));
        outdated.map(|(context, _)| *context).collect()
    })
}

/// Gives a connection another configuration; its state so far.
pub(super) fn take_on(context: u32, active: &Rc<Active>) -> Option<State> {
    CONNECTIONS.with_borrow_mut(|connections| {
        let connection = connections.get_mut(&context)?;
        connection.active = Rc::clone(active);
        Some(connection.state)
    })
}

/// How many connections are known.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn open() -> usize {
    CONNECTIONS.with_borrow(BTreeMap::len)
}

fn change(context: u32, how: impl FnOnce(&mut Connection)) {
    CONNECTIONS.with_borrow_mut(|connections| connections.get_mut(&context).map(how));
}
