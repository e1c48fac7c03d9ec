//! What others can see of a decision: counters, filter state, request headers, response details.
//!
//! The names here are a public contract. Counters carry their labels in the name, each as `label=.=value;.;`: that is
//! how Istio's `extraStatTags` reads them (a regular expression `(label=\.=(.*?);\.;)` in the bootstrap's `stats_tags`),
//! because the ABI has no labels. They are defined when the plugin is configured, those of connections at the first one: a
//! definition takes a lock that all workers share, and a metric is never forgotten again. So the policy bounds how many
//! meshes and rules are told apart, over all policies (`named`); what is beyond that is told as `other`.

mod metrics;
mod named;
mod pairs;
mod rules;

use std::cell::{Cell, OnceCell};

use crossmesh_policy::{DecidedBy, Decision, Mode, Policy, Source, SourceClass, Verdict};

use crate::encoding;
use crate::host::{self, Attribute, Counter, Failure, Histogram, Level};
use crate::identities::{Flaw, Identity};
use pairs::{Meshes, Pairs, Traffic};
use rules::Rules;

#[cfg(test)]
mod tests;

/// Filter state: the source's mesh, or its class when it has none. Envoy puts `wasm.` before each of these keys.
pub(crate) const STATE_SOURCE_MESH: &str = "crossmesh_source_mesh";
/// Filter state: this proxy's mesh.
pub(crate) const STATE_DESTINATION_MESH: &str = "crossmesh_destination_mesh";
/// Filter state: the verdict and what decided it, as in `DENY default:peerMesh`.
pub(crate) const STATE_DECISION: &str = "crossmesh_decision";
/// Filter state: `false` where a DENY was not carried out because the policy is a dry run, `true` where a new policy cut an open
/// connection off; else absent.
pub(crate) const STATE_ENFORCED: &str = "crossmesh_enforced";

/// Request header for the application: as [`STATE_SOURCE_MESH`].
pub(crate) const HEADER_SOURCE_MESH: &str = "x-crossmesh-source-mesh";
/// Request header for the application: as [`STATE_DESTINATION_MESH`].
pub(crate) const HEADER_DESTINATION_MESH: &str = "x-crossmesh-destination-mesh";
/// No request header of this prefix passes from outside.
const HEADER_PREFIX: &[u8] = b"x-crossmesh-";

/// Response details of a request that could not be decided because a call to Envoy failed.
pub(crate) fn failed_details(failure: &Failure) -> String {
    format!("crossmesh_failed[{}]", failure.call)
}

/// Response details of a request to a filter that has no policy.
pub(crate) const UNCONFIGURED_DETAILS: &str = "crossmesh_failed[unconfigured]";

/// Response details of a refused request.
pub(crate) fn denied_details(decided_by: &DecidedBy<'_>) -> String {
    format!("crossmesh_denied[{decided_by}]")
}

/// Whether a header is one that only this filter may set. Underscores count as dashes: CGI and its descendants cannot
/// tell `x_crossmesh_source_mesh` from the real one.
pub(crate) fn is_reserved_header(name: &[u8]) -> bool {
    name.get(..HEADER_PREFIX.len()).is_some_and(|start| {
        start.iter().zip(HEADER_PREFIX).all(|(given, reserved)| {
            given.to_ascii_lowercase() == *reserved || (*given == b'_' && *reserved == b'-')
        })
    })
}

/// The request headers of this filter, in every spelling that [`is_reserved_header`] takes for theirs.
pub(crate) fn spellings_of_own_headers() -> Vec<Vec<u8>> {
    let mut spellings = Vec::new();
    for name in [HEADER_SOURCE_MESH, HEADER_DESTINATION_MESH] {
        let mut of_name = vec![Vec::new()];
        for byte in name.bytes() {
            for spelling in &mut of_name {
                spelling.push(byte);
            }
            if byte == b'-' {
                let others = of_name.clone().into_iter();
                of_name.extend(others.map(|mut spelling| {
                    spelling.pop();
                    spelling.push(b'_');
                    spelling
                }));
            }
        }
        spellings.extend(of_name);
    }
    spellings
}

/// How metrics, filter state and headers name a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceLabel {
    /// By its mesh: the number of the mesh in written order.
    Mesh(usize),
    /// By its class, for want of a mesh.
    Class(SourceClass),
}

impl SourceLabel {
    /// The label of a source.
    pub(crate) fn of(source: &Source) -> Self {
        source
            .mesh_index()
            .map_or(Self::Class(source.class()), Self::Mesh)
    }
}

/// The label of a source, in words.
pub(crate) fn source_mesh(source: &Source) -> &str {
    source.mesh().unwrap_or(source.class().as_str())
}

/// The metrics of one policy.
#[derive(Debug)]
pub(crate) struct Telemetry {
    meshes: Meshes,
    requests: Pairs<Counter>,
    request_traffic: Traffic,
    /// Only where there are connections: see [`Telemetry::connections`].
    connections: OnceCell<Connections>,
    audits: Rules,
    dry_run: Option<Rules>,
    candidate: Option<Candidate>,
    /// In the order of [`Flaw::ALL`].
    flaws: [Option<Counter>; Flaw::ALL.len()],
    failures: Option<Counter>,
}

/// The metrics of TCP connections.
#[derive(Debug)]
struct Connections {
    counted: Pairs<Counter>,
    cut_off: Pairs<Counter>,
    traffic: Traffic,
}

/// Where the bytes and the duration of a connection are told once it is over: in the metrics of the policy that counted it,
/// whichever is active by then. None where that policy does not ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    received: Option<Counter>,
    sent: Option<Counter>,
    duration: Option<Histogram>,
}

/// What a candidate would decide, by what the active rules do decide.
#[derive(Debug)]
struct Candidate {
    where_allowed: Rules,
    where_denied: Rules,
}

impl Telemetry {
    /// Defines the metrics of a policy, and the filter state.
    pub(crate) fn define(policy: &Policy) -> Self {
        declare_filter_state();
        let meshes = Meshes::of(policy);
        let most = policy.telemetry().cardinality.rules;
        let candidate = |active: Verdict| {
            let active = active.as_str();
            let rules = policy.candidate_rules()?;
            Some(Rules::deciding(
                rules,
                most,
                &format!("active=.={active};.;crossmesh_candidate_decisions_total"),
            ))
        };
        let candidate = candidate(Verdict::Allow).zip(candidate(Verdict::Deny)).map(
            |(where_allowed, where_denied)| Candidate {
                where_allowed,
                where_denied,
            },
        );
        Self {
            requests: Pairs::counters(policy, &meshes, "crossmesh_requests_total"),
            request_traffic: Traffic::define(
                policy,
                &meshes,
                "crossmesh_request_bytes_total",
                "crossmesh_response_bytes_total",
                "crossmesh_request_duration_milliseconds",
            ),
            meshes,
            connections: OnceCell::new(),
            audits: Rules::auditing(policy.audit_rules(), most, "crossmesh_audit_matches_total"),
            dry_run: (policy.mode() == Mode::DryRun).then(|| {
                Rules::deciding(
                    policy.deciding_rules(),
                    most,
                    "crossmesh_dry_run_decisions_total",
                )
            }),
            candidate,
            flaws: Flaw::ALL.map(|flaw| {
                metrics::counter(&format!(
                    "reason=.={};.;crossmesh_invalid_identities_total",
                    flaw.as_str()
                ))
            }),
            failures: metrics::counter(HOST_FAILURES),
        }
    }

    /// Records a decision about a request: counts it and sets the stream's filter state.
    pub(crate) fn request(
        &self,
        policy: &Policy,
        identity: &Identity,
        decision: &Decision<'_>,
        refused: bool,
    ) {
        self.count(self.requests.get(identity.label, decision.verdict));
        self.decided(policy, identity, decision, refused);
    }

    /// Whether the policy asks for anything at a request's end.
    pub(crate) fn asks_at_end(&self) -> bool {
        self.request_traffic.is_asked_for()
    }

    /// Records that a request is over, as far as the policy asks for that.
    pub(crate) fn request_over(&self, source: SourceLabel, verdict: Verdict) {
        let traffic = &self.request_traffic;
        if let Some(received) = traffic.received(source, verdict) {
            self.add(received, attribute(Attribute::REQUEST_SIZE));
        }
        if let Some(sent) = traffic.sent(source, verdict) {
            self.add(sent, attribute(Attribute::RESPONSE_SIZE));
        }
        if let Some(duration) = traffic.duration(source, verdict)
            // Absent where the client went away in the middle of its request.
            && let Some(lasted) = attribute(Attribute::REQUEST_DURATION)
        {
            self.tell(host::record(duration, milliseconds(lasted.unsigned_abs())));
        }
    }

    /// Records a decision about a connection, likewise. What passes on it is told by what this returns.
    pub(crate) fn connection(
        &self,
        policy: &Policy,
        identity: &Identity,
        decision: &Decision<'_>,
        refused: bool,
    ) -> Counted {
        let connections = self.connections(policy);
        let (label, verdict) = (identity.label, decision.verdict);
        self.count(connections.counted.get(label, verdict));
        self.decided(policy, identity, decision, refused);
        Counted {
            received: connections.traffic.received(label, verdict),
            sent: connections.traffic.sent(label, verdict),
            duration: connections.traffic.duration(label, verdict),
        }
    }

    /// Records that an open connection is cut off by this policy, which is not the one that let it in.
    pub(crate) fn connection_cut_off(
        &self,
        policy: &Policy,
        identity: &Identity,
        decision: &Decision<'_>,
    ) {
        let connections = self.connections(policy);
        self.count(connections.cut_off.get(identity.label, decision.verdict));
        self.is_about(policy, identity, decision);
        // A dry run that let it in said otherwise, and what is there cannot be taken away.
        self.keep(STATE_ENFORCED, "true");
    }

    /// Records that a connection is over, as far as the policy that counted it asks for that. It lasted so many
    /// nanoseconds, if known.
    pub(crate) fn connection_over(
        &self,
        counted: Counted,
        received: i64,
        sent: i64,
        lasted: Option<u64>,
    ) {
        if let Some(counter) = counted.received {
            self.add(counter, Some(received));
        }
        if let Some(counter) = counted.sent {
            self.add(counter, Some(sent));
        }
        if let (Some(duration), Some(lasted)) = (counted.duration, lasted) {
            self.tell(host::record(duration, milliseconds(lasted)));
        }
    }

    /// Tells which mesh something of the workload's own goes to: from this proxy's mesh to its server's.
    pub(crate) fn upstream(&self, policy: &Policy, server: &Source) {
        self.keep(STATE_SOURCE_MESH, policy.mesh());
        self.keep(STATE_DESTINATION_MESH, source_mesh(server));
    }

    /// Records that a call to Envoy failed.
    pub(crate) fn failed(&self, failure: &Failure, level: Level) {
        host::log(level, &failure.to_string());
        if let Some(counter) = self.failures {
            let _ = host::add(counter, 1);
        }
    }

    /// What is the same for requests and connections.
    fn decided(
        &self,
        policy: &Policy,
        identity: &Identity,
        decision: &Decision<'_>,
        refused: bool,
    ) {
        for rule in &decision.audits {
            self.count(self.audits.audit(rule));
        }
        if let Some(rules) = &self.dry_run {
            self.count(rules.decision(&decision.decided_by, decision.verdict));
        }
        if let (Some(rules), Some(candidate)) = (&self.candidate, &decision.candidate) {
            let rules = match decision.verdict {
                Verdict::Allow => &rules.where_allowed,
                Verdict::Deny => &rules.where_denied,
            };
            self.count(rules.decision(&candidate.decided_by, candidate.verdict));
        }
        if let Some(flaw) = identity.flaw {
            let all = Flaw::ALL.iter().zip(self.flaws);
            let counter = all.into_iter().find(|(of, _)| **of == flaw);
            self.count(counter.and_then(|(_, counter)| counter));
        }
        self.is_about(policy, identity, decision);
        if decision.verdict == Verdict::Deny && !refused {
            self.keep(STATE_ENFORCED, "false");
        }
    }

    /// Sets the filter state that every decision has.
    fn is_about(&self, policy: &Policy, identity: &Identity, decision: &Decision<'_>) {
        self.keep(STATE_SOURCE_MESH, source_mesh(&identity.source));
        self.keep(STATE_DESTINATION_MESH, policy.mesh());
        with_text(decision, |text| self.keep(STATE_DECISION, text));
    }

    /// Defined at the first connection: to a plugin that is an HTTP filter there never is one.
    fn connections(&self, policy: &Policy) -> &Connections {
        self.connections.get_or_init(|| Connections {
            counted: Pairs::counters(policy, &self.meshes, "crossmesh_connections_total"),
            cut_off: Pairs::counters(policy, &self.meshes, "crossmesh_connections_cut_off_total"),
            traffic: Traffic::define(
                policy,
                &self.meshes,
                "crossmesh_connection_received_bytes_total",
                "crossmesh_connection_sent_bytes_total",
                "crossmesh_connection_duration_milliseconds",
            ),
        })
    }

    fn count(&self, counter: Option<Counter>) {
        if let Some(counter) = counter {
            self.add(counter, Some(1));
        }
    }

    fn add(&self, counter: Counter, amount: Option<i64>) {
        if let Some(amount) = amount {
            self.tell(host::add(counter, amount));
        }
    }

    fn keep(&self, key: &str, value: &str) {
        self.tell(host::set_filter_state(key, value));
    }

    /// What cannot be told does not change what is decided.
    pub(crate) fn tell(&self, told: Result<(), Failure>) {
        if let Err(failure) = told {
            self.failed(&failure, Level::Warn);
        }
    }
}

/// How metrics name the meshes or rules beyond those that have metrics of their own. One that is called so is counted with
/// them.
const OTHER: &str = "other";

/// Calls to Envoy that failed while a request was handled.
const HOST_FAILURES: &str = "crossmesh_host_failures_total";

fn declare_filter_state() {
    for key in [
        STATE_SOURCE_MESH,
        STATE_DESTINATION_MESH,
        STATE_DECISION,
        STATE_ENFORCED,
    ] {
        if let Err(failure) = host::declare_filter_state(key) {
            host::log(
                Level::Warn,
                &format!("filter state wasm.{key} will be bytes, not text: {failure}"),
            );
        }
    }
}

/// A number at a stream's end. Whatever keeps it from being read is no failure: much is gone by then.
fn attribute(attribute: Attribute) -> Option<i64> {
    encoding::integer(&host::attribute(attribute).ok()??)
}

fn milliseconds(nanoseconds: u64) -> u64 {
    const NANOSECONDS: u64 = 1_000_000;
    nanoseconds.checked_div(NANOSECONDS).unwrap_or_default()
}

thread_local! {
    /// Room for the text of a decision, kept because every request needs it.
    static TEXT: Cell<String> = const { Cell::new(String::new()) };
}

/// Tells a decision as in `DENY default:peerMesh`.
fn with_text(decision: &Decision<'_>, tell: impl FnOnce(&str)) {
    let (kind, name) = match decision.decided_by {
        DecidedBy::Rule(name) => (" rule:", name),
        DecidedBy::Default(class) => (" default:", class.as_str()),
    };
    let mut text = TEXT.take();
    text.clear();
    for part in [decision.verdict.as_str(), kind, name] {
        text.push_str(part);
    }
    tell(&text);
    TEXT.set(text);
}
