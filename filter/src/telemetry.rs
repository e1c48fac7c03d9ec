//! What others can see of a decision: counters, filter state, request headers, response details.
//!
//! The names here are a public contract. Counters carry their labels in the name, each as `label=.=value;.;`: that is
//! how Istio's `extraStatTags` reads them (a regular expression `(label=\.=(.*?);\.;)` in the bootstrap's `stats_tags`),
//! because the ABI has no labels. All are defined when the plugin is configured: a definition takes a lock that all
//! workers share, and a counter is never forgotten again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crossmesh_policy::{DecidedBy, Decision, Policy, Source, SourceClass, Verdict};

use crate::host::{self, Counter, Failure, Level};
use crate::identities::Identity;

#[cfg(test)]
mod tests;

/// Filter state: the source's mesh, or its class when it has none. Envoy puts `wasm.` before each of these keys.
pub(crate) const STATE_SOURCE_MESH: &str = "crossmesh_source_mesh";
/// Filter state: this proxy's mesh.
pub(crate) const STATE_DESTINATION_MESH: &str = "crossmesh_destination_mesh";
/// Filter state: the verdict and what decided it, as in `DENY default:peerMesh`.
pub(crate) const STATE_DECISION: &str = "crossmesh_decision";
/// Filter state: `false` where a DENY was not carried out because the policy is a dry run; else absent.
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

/// How metrics, filter state and headers name a source.
#[derive(Clone, Copy, Debug)]
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

/// The counters of one policy.
#[derive(Debug)]
pub(crate) struct Telemetry {
    meshes: Vec<Requests>,
    classes: Vec<(SourceClass, Requests)>,
    audits: BTreeMap<String, Option<Counter>>,
    failures: Option<Counter>,
}

/// The two counters of a pair of meshes. None where Envoy refused to define one: then there is a log line, and requests
/// are decided without being counted.
#[derive(Clone, Copy, Debug)]
struct Requests {
    allowed: Option<Counter>,
    denied: Option<Counter>,
}

impl Telemetry {
    /// Defines the counters of a policy, and the filter state.
    pub(crate) fn define(policy: &Policy) -> Self {
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
        let requests = |source: &str| {
            let counter = |verdict| define(&requests_name(source, policy.mesh(), verdict));
            Requests {
                allowed: counter(Verdict::Allow),
                denied: counter(Verdict::Deny),
            }
        };
        Self {
            meshes: policy.meshes().map(requests).collect(),
            classes: SourceClass::ALL
                .into_iter()
                .filter(|class| !matches!(class, SourceClass::SameMesh | SourceClass::PeerMesh))
                .map(|class| (class, requests(class.as_str())))
                .collect(),
            audits: policy
                .audit_rules()
                .map(|rule| (rule.to_owned(), define(&audit_name(rule))))
                .collect(),
            failures: define(HOST_FAILURES),
        }
    }

    /// Records a decision: counts it and sets the stream's filter state.
    pub(crate) fn record(
        &self,
        policy: &Policy,
        identity: &Identity,
        decision: &Decision<'_>,
        refused: bool,
    ) {
        self.count(self.requests(identity.label, decision.verdict));
        for rule in &decision.audits {
            self.count(self.audits.get(*rule).copied().flatten());
        }
        self.keep(STATE_SOURCE_MESH, source_mesh(&identity.source));
        self.keep(STATE_DESTINATION_MESH, policy.mesh());
        self.keep(STATE_DECISION, &decision_text(decision));
        if decision.verdict == Verdict::Deny && !refused {
            self.keep(STATE_ENFORCED, "false");
        }
    }

    /// Records that a call to Envoy failed.
    pub(crate) fn failed(&self, failure: &Failure, level: Level) {
        host::log(level, &failure.to_string());
        if let Some(counter) = self.failures {
            let _ = host::increment(counter);
        }
    }

    fn requests(&self, source: SourceLabel, verdict: Verdict) -> Option<Counter> {
        let requests = match source {
            SourceLabel::Mesh(index) => self.meshes.get(index)?,
            SourceLabel::Class(class) => &self.classes.iter().find(|(of, _)| *of == class)?.1,
        };
        match verdict {
            Verdict::Allow => requests.allowed,
            Verdict::Deny => requests.denied,
        }
    }

    fn count(&self, counter: Option<Counter>) {
        if let Some(counter) = counter {
            self.tell(host::increment(counter));
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

/// Calls to Envoy that failed while a request was handled.
const HOST_FAILURES: &str = "crossmesh_host_failures_total";

/// Requests by pair of meshes and verdict.
fn requests_name(source: &str, destination: &str, verdict: Verdict) -> String {
    let verdict = verdict.as_str();
    format!(
        "source_mesh=.={source};.;destination_mesh=.={destination};.;verdict=.={verdict};.;crossmesh_requests_total"
    )
}

/// Requests that an AUDIT rule matched.
fn audit_name(rule: &str) -> String {
    format!("rule=.={rule};.;crossmesh_audit_matches_total")
}

fn decision_text(decision: &Decision<'_>) -> String {
    format!("{} {}", decision.verdict.as_str(), decision.decided_by)
}

thread_local! {
    /// The counters that this VM has defined. Envoy gives a new number to each definition and keeps them all, so
    /// defining anew at each configuration would grow without end.
    static DEFINED: RefCell<BTreeMap<String, Counter>> = const { RefCell::new(BTreeMap::new()) };
}

/// Never a reason to refuse a configuration: were one worker alone to refuse it, Envoy would run that worker without the
/// filter.
fn define(name: &str) -> Option<Counter> {
    if let Some(known) = DEFINED.with_borrow(|defined| defined.get(name).copied()) {
        return Some(known);
    }
    match host::define_counter(name) {
        Ok(counter) => {
            DEFINED.with_borrow_mut(|defined| defined.insert(name.to_owned(), counter));
            Some(counter)
        }
        Err(failure) => {
            host::log(
                Level::Error,
                &format!("the counter {name} is missing: {failure}"),
            );
            None
        }
    }
}
