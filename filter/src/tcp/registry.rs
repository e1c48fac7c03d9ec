//! The connections of this VM, where a new configuration, which is another root context, finds them. Nothing is borrowed
//! while Envoy is called: it may call back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::root::Active;
use crate::telemetry::Counted;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) active: Rc<Active>,
    pub(super) state: State,
    /// Whether the client's first bytes may have been the beginning of TLS; true as well as long as nobody has looked.
    pub(super) like_tls: bool,
    /// Bytes that passed.
    pub(super) received: i64,
    pub(super) sent: i64,
    /// When it began, if that was asked for; nanoseconds since 1970.
    pub(super) opened: Option<u64>,
}

/// How far the filter is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody knows whose it is. Nothing has passed, but in a dry run what the server says.
    Undecided,
    /// What the server says may pass to the holder of a certificate, who has yet to prove that it is his: Envoy writes to him
    /// only then. Nothing is told of it before he speaks.
    Unproven,
    /// It may pass; how it was counted, if it was.
    Passed(Option<Counted>),
    /// It is the workload's own; which mesh it goes to is not known yet.
    Own,
    /// It is being closed, and nothing has passed; how it was counted, if it was.
    Refused(Option<Counted>),
    /// It is being closed, and something has passed; how it was counted, if it was.
    CutOff(Option<Counted>),
}

thread_local! {
    static CONNECTIONS: RefCell<BTreeMap<u32, Connection>> = const { RefCell::new(BTreeMap::new()) };
}

/// A connection begins.
pub(super) fn accepted(context: u32, active: Rc<Active>, opened: Option<u64>) {
    let connection = Connection {
        active,
        state: State::Undecided,
        like_tls: true,
        received: 0,
        sent: 0,
        opened,
    };
    CONNECTIONS.with_borrow_mut(|connections| connections.insert(context, connection));
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

/// Whether the client's first bytes may have been the beginning of TLS.
pub(super) fn is_like_tls(context: u32) -> bool {
    CONNECTIONS.with_borrow(|connections| connections.get(&context).is_none_or(|c| c.like_tls))
}

pub(super) fn set_like_tls(context: u32, like_tls: bool) {
    change(context, |connection| connection.like_tls = like_tls);
}

/// Whether something passed that the server said.
pub(super) fn has_sent(context: u32) -> bool {
    CONNECTIONS.with_borrow(|connections| connections.get(&context).is_some_and(|c| c.sent > 0))
}

pub(super) fn count(context: u32, received: i64, sent: i64) {
    change(context, |connection| {
        connection.received = connection.received.saturating_add(received);
        connection.sent = connection.sent.saturating_add(sent);
    });
}

/// Removes a connection, if the context is one.
pub(super) fn forget(context: u32) -> Option<Connection> {
    CONNECTIONS.with_borrow_mut(|connections| connections.remove(&context))
}

/// The connections that have another configuration of the same plugin, in the order in which they began.
pub(super) fn outdated(active: &Rc<Active>) -> Vec<u32> {
    let is_outdated = |connection: &Connection| {
        connection.active.is_of_plugin(active) && !Rc::ptr_eq(&connection.active, active)
    };
    CONNECTIONS.with_borrow(|connections| {
        let outdated = connections.iter().filter(|(_, c)| is_outdated(c));
        outdated.map(|(context, _)| *context).collect()
    })
}

/// Gives a connection another configuration.
pub(super) fn take_on(context: u32, active: &Rc<Active>) {
    change(context, |connection| {
        connection.active = Rc::clone(active);
    });
}

/// How many connections are known.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn open() -> usize {
    CONNECTIONS.with_borrow(BTreeMap::len)
}

fn change(context: u32, how: impl FnOnce(&mut Connection)) {
    CONNECTIONS.with_borrow_mut(|connections| connections.get_mut(&context).map(how));
}
