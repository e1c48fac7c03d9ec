//! The sentences: what decided, and what became of each cluster's service.

mod elsewhere;
mod fate;
mod set;

use super::{Answer, Explanation, Policy, Subject, View};
use crate::dns::columns::{listed, printable};
use elsewhere::{elsewhere, not_known};
pub(super) use fate::fate;
use fate::{empty, gift, stays_by};

/// What decided.
pub(super) fn sentence(explanation: &Explanation) -> String {
    match &explanation.answer {
        Answer::Reply {
            reason, outcome, ..
        } => own(explanation, reason, outcome),
        Answer::Forward { why, doubt, to, .. } => elsewhere(explanation, why, doubt.as_deref(), to),
    }
}

fn own(explanation: &Explanation, reason: &str, outcome: &str) -> String {
    if let Some(sentence) = set::own(explanation, reason) {
        return sentence;
    }
    let service = service(explanation);
    let local = &explanation.local_cluster;
    let peers = listed(&of(explanation, |view| view.fate == "counts"));
    match reason {
        "local" => match &explanation.subject {
            Some(Subject { kind, .. }) if kind == "service" && stays(explanation).is_some() => {
                format!(
                    "The local cluster {local} has {service} without a ready endpoint, and its own address is given all the same: {}.",
                    stays(explanation).unwrap_or_default()
                )
            }
            Some(Subject { kind, .. }) if kind == "service" => format!(
                "The local cluster {local} has {service}; what peers have of that name does not count."
            ),
            _ => format!("It is of {service}, which the local cluster {local} has."),
        },
        "gateway" => format!(
            "{} ({peers}); {}: the addresses are their gateways'.",
            whose(explanation),
            because(explanation, "gateways")
        ),
        "cluster-ip" => format!(
            "{} ({peers}); {}: the addresses are its own there.",
            whose(explanation),
            because(explanation, "own")
        ),
        "nodata" => nothing(explanation),
        "any" => "All types at once are answered with the least there is (RFC 8482).".to_owned(),
        "not-found" => format!(
            "No {} it{}, and mode: {} denies what no catalog has.",
            if is_in_set(explanation) {
                "cluster gives"
            } else {
                "catalog has"
            },
            but(explanation),
            explanation.mode
        ),
        "not-synced" => format!("It cannot be denied, because {}.", not_known(explanation)),
        other => format!("The agent says {outcome} for the reason {other}."),
    }
}

/// Whose service it is, when peers' addresses are given.
fn whose(explanation: &Explanation) -> String {
    let service = service(explanation);
    let mut views = explanation.clusters.iter();
    if views.any(|view| view.fate == "gave-way") {
        let local = &explanation.local_cluster;
        return format!(
            "{service} has no ready endpoint in the local cluster {local}, and peers have it"
        );
    }
    format!("Only peers have {service}")
}

/// Why a local service without a ready endpoint stays local, if it does.
fn stays(explanation: &Explanation) -> Option<String> {
    let mut views = explanation.clusters.iter();
    let word = views.find_map(|view| view.stays.as_deref())?;
    let rule = |rule: fn(&Explanation, &Policy) -> String| {
        let policy = explanation.policy.as_ref();
        policy.map(|policy| rule(explanation, policy))
    };
    Some(match word {
        "not-asked" => rule(when_empty_rule)?,
        "kept-local" => format!("{} keeps it", rule(failover_rule)?),
        other => stays_by(other),
    })
}

/// The name exists and has nothing of this type.
fn nothing(explanation: &Explanation) -> String {
    let rtype = &explanation.rtype;
    let service = service(explanation);
    match &explanation.subject {
        Some(subject) if subject.kind == "namespace" => {
            let namespace = subject.namespace.as_deref().unwrap_or_default();
            return format!(
                "{} is a namespace; it exists, and has no records.",
                printable(namespace)
            );
        }
        Some(subject) if subject.kind == "domain" => {
            return "It is the domain of all services; it exists, and has no records.".to_owned();
        }
        Some(subject) if subject.kind == "below" => {
            return format!("It is below {service} and exists, and has no {rtype} record.");
        }
        _ => {}
    }
    let addresses = matches!(&**rtype, "A" | "AAAA");
    if !addresses {
        return format!(
            "{service} exists, and its name has no {rtype} record; a name that exists is never denied."
        );
    }
    if let Some(view) = explanation
        .clusters
        .iter()
        .find(|view| view.fate == "local")
    {
        let headless = view.service.as_ref();
        let idle = headless.is_some_and(|of| of.kind == "headless" && of.addresses.is_empty());
        return if idle {
            format!("The local cluster has {service}, which is headless and has no ready endpoint.")
        } else {
            format!(
                "The local cluster has {service}, and that has no address of type {rtype}; none is taken from peers."
            )
        };
    }
    let counted = || {
        explanation
            .clusters
            .iter()
            .filter(|view| view.fate == "counts")
    };
    if counted().any(|view| !view.addresses.is_empty()) {
        return format!(
            "{}, and no address of type {rtype} can be given for it.",
            whose(explanation)
        );
    }
    let reasons: Vec<String> = counted()
        .map(|view| format!("{} ({})", printable(&view.cluster.id), empty(view)))
        .collect();
    format!(
        "Only peers have {service}, and none gives an address: {}.",
        reasons.join("; ")
    )
}

/// The policy's rule as it stands in the configuration.
pub(super) fn rule(explanation: &Explanation, policy: &Policy) -> String {
    by(
        explanation,
        &policy.answer_by,
        "remote.answer",
        &policy.answer,
    )
}

/// The same for `failoverWhenEmpty`.
pub(super) fn when_empty_rule(explanation: &Explanation, policy: &Policy) -> String {
    let value = policy.failover_when_empty.to_string();
    let field = "remote.failoverWhenEmpty";
    by(explanation, &policy.failover_when_empty_by, field, &value)
}

/// The same for `failover`.
pub(super) fn failover_rule(explanation: &Explanation, policy: &Policy) -> String {
    let value = policy.failover.to_string();
    by(explanation, &policy.failover_by, "remote.failover", &value)
}

fn by(explanation: &Explanation, scope: &str, field: &str, value: &str) -> String {
    let (_, short) = field.rsplit_once('.').unwrap_or(("", field));
    match scope {
        "service" => format!(
            "remote.rules {{service: {}, {short}: {value}}}",
            service(explanation)
        ),
        "namespace" => {
            let subject = explanation.subject.as_ref();
            let namespace = subject.and_then(|subject| subject.namespace.as_deref());
            let namespace = printable(namespace.unwrap_or_default());
            format!("remote.rules {{namespace: {namespace}, {short}: {value}}}")
        }
        "everywhere" => format!("{field}: {value}"),
        _ => format!("{field}: {value} (default)"),
    }
}

/// Whether it is of a service of the cluster set.
fn is_in_set(explanation: &Explanation) -> bool {
    let subject = explanation.subject.as_ref();
    subject.is_some_and(|subject| subject.in_set)
}

fn service(explanation: &Explanation) -> String {
    match &explanation.subject {
        Some(Subject {
            namespace: Some(namespace),
            service: Some(service),
            ..
        }) => printable(&format!("{namespace}/{service}")),
        _ => printable(&explanation.name),
    }
}

/// The clusters whose view is so.
fn of(explanation: &Explanation, so: impl Fn(&View) -> bool) -> Vec<String> {
    let views = explanation.clusters.iter().filter(|view| so(view));
    views.map(|view| printable(&view.cluster.id)).collect()
}

/// Which clusters have it although it does not count.
fn but(explanation: &Explanation) -> String {
    let left = explanation
        .clusters
        .iter()
        .filter(|view| view.service.is_some() && view.fate != "counts" && view.fate != "local");
    let left: Vec<String> = left
        .map(|view| format!("{}: {}", printable(&view.cluster.id), fate(view)))
        .collect();
    if left.is_empty() {
        String::new()
    } else {
        format!(" that counts ({})", left.join("; "))
    }
}

/// Why the peers give these.
fn because(explanation: &Explanation, gives: &str) -> String {
    let view = explanation.clusters.iter();
    let mut view = view.filter(|view| view.gives.as_deref() == Some(gives));
    match (view.next(), &explanation.policy) {
        (Some(view), Some(policy)) if view.because.as_deref() == Some("policy") => {
            format!("{} applies", rule(explanation, policy))
        }
        (Some(view), _) => gift(view),
        (None, _) => "so says the policy".to_owned(),
    }
}

#[cfg(test)]
mod tests;
