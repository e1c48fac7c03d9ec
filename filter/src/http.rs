//! One HTTP request: read, decide, act.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crossmesh_policy::{Decision, HttpRequest, Mode, Protocol, Request, Verdict};

use crate::encoding::{self, Pair};
use crate::host::{self, Action, Failure, Level, Map};
use crate::identities::Identity;
use crate::line::Line;
use crate::peer::{self, End};
use crate::reads;
use crate::root::{self, Active};
use crate::telemetry::{self, SourceLabel};

/// What a refused client reads: neither the rule nor the policy.
const DENIED_BODY: &str = "access denied by mesh policy\n";
/// What a client reads when no decision could be made.
const FAILED_BODY: &str = "access could not be decided\n";

/// What has to be remembered of a request until its end. Of most there is nothing: only the request is looked at, so that a
/// local reply of its own, which Envoy sends through the response callbacks too, is nothing to it.
#[derive(Debug)]
struct Stream {
    active: Rc<Active>,
    seen: Seen,
}

/// What a stream turned out to be.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// A request of the workload's own.
    Own,
    /// A request that was counted so.
    Judged(SourceLabel, Verdict),
    /// A request that could not be judged, and passes all the same if the policy is a dry run.
    Undecided,
}

thread_local! {
    static STREAMS: RefCell<BTreeMap<u32, Stream>> = const { RefCell::new(BTreeMap::new()) };
}

/// The request's headers are there; nothing else of it if this is its `end`.
pub(crate) fn request_headers(context: u32, end: bool) -> Action {
    // Envoy makes no stream for a plugin that it could not configure; were it to, nothing passes.
    let Some((_, active)) = root::of_beginning(context) else {
        return reply(500, telemetry::UNCONFIGURED_DETAILS, FAILED_BODY);
    };
    let (action, seen) = judge(&active).unwrap_or_else(|failure| {
        let action = undecided(&active, &failure, Map::RequestHeaders);
        (action, Seen::Undecided)
    });
    let more_to_come = match seen {
        Seen::Own => true,
        Seen::Judged(..) => !end || active.telemetry.asks_at_end(),
        Seen::Undecided => !end,
    };
    if more_to_come {
        let stream = Stream { active, seen };
        STREAMS.with_borrow_mut(|streams| streams.insert(context, stream));
    }
    action
}

/// What pretends to come from this filter does not pass behind the body either: there are applications that take
/// trailers for headers.
pub(crate) fn request_trailers(context: u32) -> Action {
    if let Some((Seen::Judged(..) | Seen::Undecided, active)) = find(context)
        && let Err(failure) = remove_all_reserved(Map::RequestTrailers)
    {
        return undecided(&active, &failure, Map::RequestTrailers);
    }
    Action::Continue
}

/// On the client's side now is known who answers: that is told, and nothing decided.
pub(crate) fn response_headers(context: u32) {
    if let Some((Seen::Own, active)) = find(context) {
        tag_upstream(&active);
    }
}

/// The context is gone, and with it its request, if it was one. Told here, where Envoy calls in any case, and not in
/// `on_log`, for which every request would pay, whether or not its policy asks for this.
pub(crate) fn deleted(context: u32) {
    let stream = STREAMS.with_borrow_mut(|streams| streams.remove(&context));
    if let Some(Stream { active, seen }) = stream
        && let Seen::Judged(label, verdict) = seen
    {
        active.telemetry.request_over(label, verdict);
    }
}

fn find(context: u32) -> Option<(Seen, Rc<Active>)> {
    STREAMS.with_borrow(|streams| {
        let stream = streams.get(&context)?;
        Some((stream.seen, Rc::clone(&stream.active)))
    })
}

/// How many requests are remembered.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn remembered() -> usize {
    STREAMS.with_borrow(BTreeMap::len)
}

/// Decides about the request and does what follows.
fn judge(active: &Active) -> Result<(Action, Seen), Failure> {
    let identity = match peer::of_request(active)? {
        // Of a request the handshake is over.
        End::Peer(identity) | End::Claimed(identity) => identity,
        End::Own | End::NotYetKnown | End::PlaintextOrPassthrough => {
            return Ok((Action::Continue, Seen::Own));
        }
    };
    // One call for all headers costs less than two for one header each, and only so can every header be seen that
    // pretends to be one of ours, and every line of a header that a rule asks about.
    let encoded = host::lines(Map::RequestHeaders)?;
    let headers =
        encoding::pairs(&encoded).ok_or(Failure::malformed("proxy_get_header_map_pairs"))?;
    let Read {
        request: http,
        pretends,
    } = read(&headers);

    let policy = &active.policy;
    let identity = active
        .identities
        .behind_forwarder(policy, identity, &http)?;
    let needs = identity.needs;
    let sni = reads::only_if(needs.sni, reads::sni)?;
    let request = Request {
        source_ip: reads::only_if(needs.source_ip, reads::source_ip)?,
        port: reads::only_if(needs.port, reads::port)?,
        sni: sni.as_deref(),
        protocol: Protocol::Http(http),
    };
    let decision = policy.decide(&identity.source, &request);

    let denied = decision.verdict == Verdict::Deny;
    let refused = denied && policy.mode() == Mode::Enforce;
    active
        .telemetry
        .request(policy, &identity, &decision, refused);
    let seen = Seen::Judged(identity.label, decision.verdict);
    let line = |what: &str| log_line(what, active, &identity, &decision, &http);
    for rule in &decision.audits {
        line(&format!("audit rule:{rule}"));
    }
    if refused {
        line("refused");
        let details = telemetry::denied_details(&decision.decided_by);
        return Ok((reply(403, &details, denied_body(&headers)), seen));
    }
    if denied {
        line("would be refused, but the policy is a dry run");
    }
    if pretends {
        remove_reserved(Map::RequestHeaders, &headers)?;
    }
    tell_application(active, &identity);
    Ok((Action::Continue, seen))
}

/// Tells which mesh the workload's own request went to.
fn tag_upstream(active: &Active) {
    match peer::of_upstream(active) {
        Ok(None) => {}
        Ok(Some(server)) => active.telemetry.upstream(&active.policy, &server.source),
        Err(failure) => active.telemetry.failed(&failure, Level::Warn),
    }
}

/// Adds what comes from this filter, if the policy wants it.
fn tell_application(active: &Active, identity: &Identity) {
    if active.policy.telemetry().headers {
        let source_mesh = telemetry::source_mesh(&identity.source);
        for (name, value) in [
            (telemetry::HEADER_SOURCE_MESH, source_mesh),
            (telemetry::HEADER_DESTINATION_MESH, active.policy.mesh()),
        ] {
            active
                .telemetry
                .tell(host::replace_request_header(name, value));
        }
    }
}

/// Removes what pretends to come from this filter.
fn remove_all_reserved(map: Map) -> Result<(), Failure> {
    let encoded = host::lines(map)?;
    let lines =
        encoding::pairs(&encoded).ok_or(Failure::malformed("proxy_get_header_map_pairs"))?;
    remove_reserved(map, &lines)
}

fn remove_reserved(map: Map, lines: &[Pair<'_>]) -> Result<(), Failure> {
    for (name, _) in lines {
        if telemetry::is_reserved_header(name) {
            host::remove(map, name)?;
        }
    }
    Ok(())
}

/// No answer of Envoy's may open what a policy closes; a dry run refuses nothing whatever happens.
fn undecided(active: &Active, failure: &Failure, map: Map) -> Action {
    active.telemetry.failed(failure, Level::Error);
    match active.policy.mode() {
        Mode::Enforce => reply(500, &telemetry::failed_details(failure), FAILED_BODY),
        Mode::DryRun => {
            // What must not come from the client goes all the same. If it cannot be seen what that is, at least what this
            // filter would have set does, however it is spelt.
            if remove_all_reserved(map).is_err() {
                for name in telemetry::spellings_of_own_headers() {
                    active.telemetry.tell(host::remove(map, &name));
                }
            }
            Action::Continue
        }
    }
}

/// Answers in the application's place. Paused even if the answer cannot be sent: then the request hangs rather than
/// pass.
fn reply(status: u32, details: &str, body: &str) -> Action {
    if let Err(failure) = host::send_local_response(status, details, body) {
        host::log(Level::Error, &failure.to_string());
    }
    Action::Pause
}

fn log_line(
    what: &str,
    active: &Active,
    identity: &Identity,
    decision: &Decision<'_>,
    request: &HttpRequest<'_>,
) {
    if host::log_enabled(Level::Info) {
        let line = Line {
            what,
            identity,
            destination_mesh: active.policy.mesh(),
            decision,
            request: Some(request),
        };
        host::log(Level::Info, &line.to_string());
    }
}

/// What one look at each header tells.
struct Read<'a> {
    request: HttpRequest<'a>,
    /// Whether a header pretends to come from this filter.
    pretends: bool,
}

fn read<'a>(headers: &'a [Pair<'a>]) -> Read<'a> {
    let mut request = HttpRequest {
        headers,
        ..HttpRequest::default()
    };
    let mut pretends = false;
    for (name, value) in headers {
        let field = match *name {
            b":authority" => &mut request.host,
            b":method" => &mut request.method,
            b":path" => &mut request.path,
            other => {
                pretends |= telemetry::is_reserved_header(other);
                continue;
            }
        };
        // An empty value and none are the same, as in every attribute.
        *field = (!value.is_empty()).then_some(*value);
    }
    Read { request, pretends }
}

/// In a gRPC reply the body becomes the status message, where a line's end has no place.
fn denied_body(headers: &[Pair<'_>]) -> &'static str {
    let grpc = headers
        .iter()
        .any(|(name, value)| *name == b"content-type" && value.starts_with(b"application/grpc"));
    if grpc {
        DENIED_BODY.trim_end()
    } else {
        DENIED_BODY
    }
}
