//! How open connections take on the configuration that is their plugin's.
//!
//! Envoy tells of a configuration when it makes a root context for it, and never that it went back to one: it keeps a root
//! context as long as a listener has its configuration or a stream of it is open, and takes it again for the same bytes. That
//! shows only in that connections begin with it. But so they do while a listener is not done with taking on the next one, which
//! each does in its own time.

use std::rc::Rc;
use std::time::Duration;

use super::registry::{self, State};
use super::{close, judge, undecided};
use crate::host::{self, Failure, Level};
use crate::peer::Heard;
use crate::root::{self, Active, Standing};

/// After a configuration the open connections take it on in this time: soon, but not while Envoy is still distributing
/// it.
const AFTER_MILLISECONDS: u32 = 100;

/// A configuration with which no connection has begun for so long may be one that Envoy went back from. Longer than Envoy lets
/// a listener wait for what it needs (`initial_fetch_timeout`, 15 s).
const SILENT: Duration = Duration::from_secs(30);

/// A root context has a configuration. Connections of others of the same plugin will take it on, those too that begin while
/// Envoy is still distributing it; of the same one there is nothing to take on.
pub(crate) fn configured(root: u32, active: &Rc<Active>) {
    match active.standing.get() {
        Standing::Current => {}
        // That root context may go before its tick.
        Standing::Coming => tick_soon(root, active),
        Standing::Former => {
            let others = root::others(active);
            let newest = others.iter().map(|other| other.order.get()).max();
            active
                .order
                .set(newest.unwrap_or_default().saturating_add(1));
            if others.is_empty() && registry::outdated(active).is_empty() {
                active.standing.set(Standing::Current);
            } else {
                comes(root, active);
            }
        }
    }
}

/// A connection begins with a configuration, now. Should another that was configured later be in use, it takes on that one,
/// unless no connection began with that for long: then Envoy went back.
pub(super) fn begins(root: u32, active: &Rc<Active>, now: Option<u64>) {
    match active.standing.get() {
        Standing::Current => {}
        Standing::Coming => tick_soon(root, active),
        Standing::Former => match root::in_use(active) {
            Some(next) if next.order > active.order && !is_silent(&next, now) => {
                if !root::ticks(&next) {
                    tick_soon(root, active);
                }
            }
            _ => comes(root, active),
        },
    }
    active.begun.set(now);
}

/// Whether connections began with a configuration, and none any more for long. Not where nobody can tell.
fn is_silent(active: &Active, now: Option<u64>) -> bool {
    let since = active.begun.get().and_then(|begun| now?.checked_sub(begun));
    since.is_some_and(|nanoseconds| Duration::from_nanos(nanoseconds) >= SILENT)
}

/// Makes a configuration that of its plugin.
fn comes(root: u32, active: &Rc<Active>) {
    for other in root::others(active) {
        other.standing.set(Standing::Former);
    }
    active.standing.set(Standing::Coming);
    active.begun.set(None);
    tick_soon(root, active);
}

/// Has a root context tick, of which the context that speaks is a stream, or which it is. Asked for again, the tick would begin to
/// wait again. Should this fail, the next connection tries again.
fn tick_soon(root: u32, active: &Active) {
    if root::is_to_tick(root) {
        return;
    }
    match host::set_tick_period(AFTER_MILLISECONDS) {
        Ok(()) => root::set_to_tick(root, true),
        Err(failure) => active.telemetry.failed(&failure, Level::Error),
    }
}

/// The tick of a root context: lets the connections of other configurations take on the one that is in use, mostly this root's.
/// Whom it refuses is cut off.
pub(crate) fn tick(root: u32, active: &Rc<Active>) {
    root::set_to_tick(root, false);
    active.telemetry.tell(host::set_tick_period(0));
    let Some(next) = root::in_use(active) else {
        return;
    };
    next.standing.set(Standing::Current);
    for context in registry::outdated(&next) {
        if let Err(failure) = take_on(context, &next) {
            next.standing.set(Standing::Coming);
            next.telemetry.failed(&failure, Level::Error);
        }
    }
}

fn take_on(context: u32, active: &Rc<Active>) -> Result<(), Failure> {
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
        // A dry run let its server speak.
        State::Undecided if registry::has_sent(context) => (Heard::Server, None),
        _ => {
            registry::take_on(context, active);
            return Ok(());
        }
    };
    // First: one that cannot be spoken of keeps its configuration, and so is tried again.
    host::speak_of(context)?;
    registry::take_on(context, active);
    let judged =
        judge(context, active, heard, true).unwrap_or_else(|failure| undecided(active, &failure));
    if let State::Refused(now) = judged {
        registry::set(context, State::CutOff(counted.or(now)));
        close(Some(active));
    }
    Ok(())
}
