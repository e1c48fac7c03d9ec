//! One TCP connection: read, decide, act, and decide again when the policy changes.
//!
//! Decided is at the first bytes in either direction, never when the connection is accepted: the TLS handshake has not
//! begun then, and Envoy may remember that there was no certificate. Nor can the connection be held at its beginning
//! until the handshake is over, for `tcp_proxy` stops reading from the client, and with that the handshake, until it has
//! connected to the server (seen in Envoy 1.40).
//!
//! So a server that speaks first may speak before its client is known, or has shown that the certificate is its own: whom the
//! policy refuses by such a certificate is refused at once, and nobody is told to be admitted before he has spoken, which he
//! can only after the handshake. As long as no certificate is there, what the server says is held back; Envoy hands it over
//! again with the server's next bytes or after the client's first ones. A protocol in which the client waits for the
//! server's greeting needs a `tcp_proxy` that connects only after the handshake: `upstream_connect_mode:
//! ON_DOWNSTREAM_TLS_HANDSHAKE` with `max_early_data_bytes`.

mod registry;

use std::rc::Rc;

use crossmesh_policy::{Decision, Mode, Protocol, Request, SourceClass, Verdict};

use crate::host::{self, Action, Failure, Level};
use crate::identities::Identity;
use crate::line::Line;
use crate::peer::{self, End, Heard};
use crate::reads;
use crate::root::{self, Active, Standing};
use registry::State;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use registry::open;

/// After a configuration the open connections take it on in this time: soon, but not while Envoy is still distributing
/// it.
const TAKE_ON_AFTER_MILLISECONDS: u32 = 100;

/// Whose bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Client,
    Server,
}

/// The root context that speaks has a new configuration. Connections of others of the same plugin will take it on, those too
/// that begin while Envoy is still distributing it.
pub(crate) fn configured(active: &Rc<Active>) {
    if !root::others(active).is_empty() || !registry::outdated(active).is_empty() {
        comes(active);
    }
}

/// A connection begins with a configuration that another came after. If that one has begun a connection, Envoy went back: it
/// keeps a root context as long as a stream of it is open, and takes it again for the same bytes without configuring it. Else
/// it may be that Envoy is only not done with distributing that one, for which a listener may take long: then this
/// connection takes it on too.
fn begins_with_former(active: &Rc<Active>) {
    match root::in_use(active) {
        // At its own tick.
        Some(next) if next.standing.get() == Standing::Coming => {}
        Some(next) if !next.has_begun.get() => tick_soon(active),
        _ => comes(active),
    }
}

/// Makes a configuration that of its plugin. The context that speaks is its root, or a stream, whose tick is its root's.
fn comes(active: &Rc<Active>) {
    for other in root::others(active) {
        other.standing.set(Standing::Former);
    }
    active.standing.set(Standing::Coming);
    tick_soon(active);
}

/// Has the root context tick whose configuration this is. Should that fail, the next connection tries again.
fn tick_soon(active: &Active) {
    if let Err(failure) = host::set_tick_period(TAKE_ON_AFTER_MILLISECONDS) {
        active.standing.set(Standing::Former);
        active.telemetry.failed(&failure, Level::Error);
    }
}

/// Envoy accepted a connection.
pub(crate) fn on_new_connection(context: u32) -> Action {
    let Some(active) = root::of_beginning(context) else {
        // Envoy makes no connection for a plugin that it could not configure; were it to, nothing passes.
        return close(None);
    };
    if active.standing.get() == Standing::Former {
        begins_with_former(&active);
    }
    active.has_begun.set(true);
    let opened = if active.policy.telemetry().duration {
        host::now().ok()
    } else {
        None
    };
    registry::accepted(context, active, opened);
    Action::Continue
}

/// The client sent bytes.
pub(crate) fn on_downstream_data(context: u32, size: usize) -> Action {
    heard(context, Speaker::Client, size)
}

/// The server sent bytes.
pub(crate) fn on_upstream_data(context: u32, size: usize) -> Action {
    heard(context, Speaker::Server, size)
}

/// The context is gone, and with it its connection, if it was one.
pub(crate) fn deleted(context: u32) {
    let Some(connection) = registry::forget(context) else {
        return;
    };
    let (State::Passed(Some(counted))
    | State::Refused(Some(counted))
    | State::CutOff(Some(counted))) = connection.state
    else {
        return;
    };
    let lasted = connection
        .opened
        .and_then(|opened| host::now().ok()?.checked_sub(opened));
    let telemetry = &connection.active.telemetry;
    telemetry.connection_over(counted, connection.received, connection.sent, lasted);
}

/// The tick of a root context: lets the connections of other configurations take on the one that is in use, mostly this root's.
/// Whom it refuses is cut off.
pub(crate) fn take_on(active: &Rc<Active>) {
    active.telemetry.tell(host::set_tick_period(0));
    let next = if active.standing.get() == Standing::Coming {
        active.standing.set(Standing::Current);
        Rc::clone(active)
    } else {
        match root::in_use(active) {
            // It has a tick of its own.
            Some(next) if next.standing.get() == Standing::Coming => return,
            Some(next) => next,
            None => return,
        }
    };
    for context in registry::outdated(&next) {
        if let Err(failure) = take_on_one(context, &next) {
            next.standing.set(Standing::Former);
            next.telemetry.failed(&failure, Level::Error);
        }
    }
}

fn take_on_one(context: u32, active: &Rc<Active>) -> Result<(), Failure> {
    let Some((_, state)) = registry::find(context) else {
        return Ok(());
    };
    let (heard, counted) = match state {
        // Bytes have passed, so the handshake is over.
        State::Passed(counted) => {
            let like_tls = registry::is_like_tls(context);
            (Heard::Earlier { like_tls }, counted)
        }
        State::Unproven => (Heard::Server, None),
        _ => {
            registry::take_on(context, active);
            return Ok(());
        }
    };
    // First: one that cannot be spoken of keeps its configuration, and so is tried again.
    host::speak_of(context)?;
    registry::take_on(context, active);
    let judged =
        judge(context, active, heard).unwrap_or_else(|failure| undecided(active, &failure));
    if let State::Refused(now) = judged {
        registry::set(context, State::CutOff(counted.or(now)));
        close(Some(active));
    }
    Ok(())
}

fn heard(context: u32, speaker: Speaker, size: usize) -> Action {
    let Some((active, mut state)) = registry::find(context) else {
        return close(None);
    };
    let proves = state == State::Unproven && speaker == Speaker::Client;
    if state == State::Undecided || proves {
        let heard = match speaker {
            Speaker::Client => Heard::Client,
            Speaker::Server => Heard::Server,
        };
        state = match judge(context, &active, heard) {
            Ok(state) => state,
            Err(failure) => undecided(&active, &failure),
        };
        registry::set(context, state);
        if matches!(state, State::Refused(_)) {
            return close(Some(&active));
        }
    }
    match state {
        State::Undecided | State::Refused(_) | State::CutOff(_) => Action::Pause,
        State::Own => {
            if speaker == Speaker::Server && tag_upstream(&active) {
                registry::set(context, State::Passed(None));
            }
            Action::Continue
        }
        State::Passed(_) | State::Unproven => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            match speaker {
                Speaker::Client => registry::count(context, size, 0),
                Speaker::Server => registry::count(context, 0, size),
            }
            Action::Continue
        }
    }
}

/// Decides about a connection and records the decision.
fn judge(context: u32, active: &Active, heard: Heard) -> Result<State, Failure> {
    let sni = reads::sni()?;
    let end = peer::of_connection(active, heard, sni.as_deref())?;
    registry::set_like_tls(context, matches!(end, End::PlaintextOrPassthrough));
    let judged = match end {
        End::NotYetKnown => return Ok(State::Undecided),
        End::Own => return Ok(State::Own),
        End::Peer(identity) => {
            let decision = decide(active, &identity, sni.as_deref())?;
            decision.map(|decision| (identity, decision))
        }
        End::Claimed(identity) => match decide(active, &identity, sni.as_deref())? {
            Some(decision) if !is_refused(active, &decision) => return Ok(State::Unproven),
            decision => decision.map(|decision| (identity, decision)),
        },
        End::PlaintextOrPassthrough => decide_as_both(active, sni.as_deref())?,
    };
    let again = matches!(heard, Heard::Earlier { .. });
    Ok(match judged {
        None => State::Passed(None),
        Some((identity, decision)) => act(active, &identity, &decision, again),
    })
}

/// None if that is left to the HTTP filter.
fn decide<'a>(
    active: &'a Active,
    identity: &Identity,
    sni: Option<&[u8]>,
) -> Result<Option<Decision<'a>>, Failure> {
    let request = Request {
        source_ip: reads::only_if(identity.needs.source_ip, reads::source_ip)?,
        // Asked in any case: on some ports the HTTP filter follows.
        port: reads::port()?,
        sni,
        protocol: Protocol::Tcp,
    };
    let policy = &active.policy;
    Ok(policy.decide_connection(&identity.source, &request))
}

/// Decides where nobody can tell whether it is plaintext or TLS that passes through: the policy decides as both, and says which
/// is told.
fn decide_as_both<'a>(
    active: &'a Active,
    sni: Option<&[u8]>,
) -> Result<Option<(Rc<Identity>, Decision<'a>)>, Failure> {
    let (policy, identities) = (&active.policy, &active.identities);
    let passthrough = identities.passthrough(policy);
    let decision = decide(active, &passthrough, sni)?;
    Ok(decision.map(|decision| match decision.source_class {
        SourceClass::Plaintext => (identities.plaintext(policy), decision),
        _ => (passthrough, decision),
    }))
}

/// Whether the decision ends the connection.
fn is_refused(active: &Active, decision: &Decision<'_>) -> bool {
    decision.verdict == Verdict::Deny && active.policy.mode() == Mode::Enforce
}

fn act(active: &Active, identity: &Identity, decision: &Decision<'_>, again: bool) -> State {
    let line = |what: &str| log_line(what, active, identity, decision);
    let denied = decision.verdict == Verdict::Deny;
    let refused = is_refused(active, decision);
    let telemetry = &active.telemetry;
    if again {
        // It was counted when it began; its bytes stay with that.
        if !refused {
            return State::Passed(None);
        }
        line("connection cut off by a new policy");
        telemetry.connection_cut_off(&active.policy, identity, decision);
        return State::Refused(None);
    }
    let counted = telemetry.connection(&active.policy, identity, decision, refused);
    for rule in &decision.audits {
        line(&format!("connection audit rule:{rule}"));
    }
    if refused {
        line("connection refused");
        return State::Refused(Some(counted));
    }
    if denied {
        line("connection would be refused, but the policy is a dry run");
    }
    State::Passed(Some(counted))
}

/// No answer of Envoy's may open what a policy closes; a dry run refuses nothing whatever happens.
fn undecided(active: &Active, failure: &Failure) -> State {
    active.telemetry.failed(failure, Level::Error);
    match active.policy.mode() {
        Mode::Enforce => State::Refused(None),
        Mode::DryRun => State::Passed(None),
    }
}

/// Closes the connection. Paused even if it cannot be closed: then it hangs rather than passes.
fn close(active: Option<&Active>) -> Action {
    if let Err(failure) = host::close_connection() {
        match active {
            Some(active) => active.telemetry.failed(&failure, Level::Error),
            None => host::log(Level::Error, &failure.to_string()),
        }
    }
    Action::Pause
}

/// Tells which mesh the workload's own connection went to. False if that is not known yet.
fn tag_upstream(active: &Active) -> bool {
    match peer::of_upstream(active) {
        Ok(None) => false,
        Ok(Some(server)) => {
            active.telemetry.upstream(&active.policy, &server.source);
            true
        }
        Err(failure) => {
            active.telemetry.failed(&failure, Level::Warn);
            true
        }
    }
}

fn log_line(what: &str, active: &Active, identity: &Identity, decision: &Decision<'_>) {
    if host::log_enabled(Level::Info) {
        let line = Line {
            what,
            identity,
            destination_mesh: active.policy.mesh(),
            decision,
            request: None,
        };
        host::log(Level::Info, &line.to_string());
    }
}
