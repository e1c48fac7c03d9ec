//! One TCP connection: read, decide, act, and decide again when the policy changes.
//!
//! Decided is at the first bytes in either direction, never when the connection is accepted: the TLS handshake has not
//! begun then, and Envoy may remember that there was no certificate. Nor can the connection be held at its beginning
//! until the handshake is over, for `tcp_proxy` stops reading from the client, and with that the handshake, until it has
//! connected to the server (seen in Envoy 1.40).
//!
//! So a server that speaks first may speak before its client is known, or has shown that the certificate is its own: whom the
//! policy refuses by such a certificate is refused at once, and nobody is told to be admitted before he has spoken, which he
//! can only after the handshake. As long as no certificate is there, what the server says is held back, but in a dry run; Envoy hands
//! it over again with the server's next bytes or after the client's first ones. A protocol in which the client waits for the
//! server's greeting needs a `tcp_proxy` that connects only after the handshake: `upstream_connect_mode:
//! ON_DOWNSTREAM_TLS_HANDSHAKE` with `max_early_data_bytes`. Whether the handshake is over Envoy does not tell: where no client
//! certificate is asked for, the server waits for the client in any case.

mod registry;
mod takes_on;

use std::rc::Rc;

use crossmesh_policy::{Decision, Mode, Protocol, Request, SourceClass, Verdict};

use crate::host::{self, Action, Failure, Level};
use crate::identities::Identity;
use crate::line::Line;
use crate::peer::{self, End, Heard};
use crate::reads;
use crate::root::{self, Active};
use registry::State;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use registry::open;
pub(crate) use takes_on::{configured, tick};

/// Whose bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Client,
    Server,
}

/// Envoy accepted a connection.
pub(crate) fn on_new_connection(context: u32) -> Action {
    let Some((root, active)) = root::of_beginning(context) else {
        // Envoy makes no connection for a plugin that it could not configure; were it to, nothing passes.
        return close(None);
    };
    let now = host::now().ok();
    takes_on::begins(root, &active, now);
    let opened = now.filter(|_| active.policy.telemetry().duration);
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
        state = match judge(context, &active, heard, false) {
            Ok(state) => state,
            Err(failure) => undecided(&active, &failure),
        };
        registry::set(context, state);
        if matches!(state, State::Refused(_)) {
            return close(Some(&active));
        }
    }
    match state {
        State::Refused(_) | State::CutOff(_) => Action::Pause,
        // A dry run holds nothing back: before the handshake is over Envoy writes to nobody in any case.
        State::Undecided if active.policy.mode() == Mode::Enforce => Action::Pause,
        State::Own => {
            if speaker == Speaker::Server && tag_upstream(&active) {
                registry::set(context, State::Passed(None));
            }
            Action::Continue
        }
        State::Passed(_) | State::Unproven | State::Undecided => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            match speaker {
                Speaker::Client => registry::count(context, size, 0),
                Speaker::Server => registry::count(context, 0, size),
            }
            Action::Continue
        }
    }
}

/// Decides about a connection, or `again` about one on which something has passed, and records the decision.
fn judge(context: u32, active: &Active, heard: Heard, again: bool) -> Result<State, Failure> {
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
        // It was counted when it began, if anybody was let in then; its bytes stay with that.
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
