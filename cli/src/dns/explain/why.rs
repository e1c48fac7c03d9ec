//! The sentences: what decided, and what became of each cluster's service.

mod set;

use super::{Answer, Explanation, Policy, Subject, View};
use crate::dns::columns::{listed, printable};

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

/// The same, where no rule of the configuration says so.
fn stays_by(word: &str) -> String {
    let sentence = match word {
        "not-asked" => "failoverWhenEmpty is false",
        "kept-local" => "failover is false",
        "no-peer" => "no peer has one that counts",
        "empty-too" => "none is ready in the peers either",
        "not-as-good" => {
            "not every port speaks HTTP, and no peer on our own network gives its own address"
        }
        "lacks-port" => "a port of it is in no peer",
        "no-address" => "what peers have gives no address",
        other => return printable(other),
    };
    sentence.to_owned()
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

/// Why a peer that counts gives no address.
fn empty(view: &View) -> String {
    let headless = view
        .service
        .as_ref()
        .is_some_and(|service| service.kind == "headless");
    match view.gives.as_deref() {
        Some("nothing") => "the policy gives nothing".to_owned(),
        _ if view.because.as_deref() == Some("farther") => gift(view),
        Some("gateways") if view.gateways.is_empty() && !view.hbone_gateways.is_empty() => {
            "its gateways are for HBONE only, which clients reach through an ambient mesh alone"
                .to_owned()
        }
        Some("gateways") if view.gateways.is_empty() => "it has no gateway".to_owned(),
        Some("gateways") => {
            let mut all = view.gateways.iter().flat_map(|gateway| &gateway.addresses);
            if all.all(|at| at.health == "unhealthy") {
                "none of its gateways can be reached".to_owned()
            } else if view.overlaps > 0 {
                "its gateways' addresses are local ones here (cluster.ranges)".to_owned()
            } else {
                "its gateways have no address of a family that this cluster has".to_owned()
            }
        }
        _ if view.overlaps > 0 => "its addresses are local ones here (cluster.ranges)".to_owned(),
        _ if headless && !view.same_network => {
            "its pods' addresses mean nothing on another network".to_owned()
        }
        _ if headless => "it has no ready endpoint".to_owned(),
        _ => "it has no address of a family that this cluster has".to_owned(),
    }
}

fn elsewhere(explanation: &Explanation, why: &str, doubt: Option<&str>, to: &str) -> String {
    let whom = if to == "cluster" {
        "the cluster's own DNS"
    } else {
        "the general servers"
    };
    let doubt = match doubt {
        None => String::new(),
        Some("unless-by-zone") => {
            " A denial becomes SERVFAIL unless the cluster's own zone denies it, because what is known of the local cluster is \
             not current."
                .to_owned()
        }
        Some(when) => format!(
            " A denial becomes SERVFAIL{}, because {}.",
            match when {
                "if-namespace-exists" => " if its namespace exists here",
                _ => "",
            },
            not_known(explanation)
        ),
    };
    let service = service(explanation);
    let sentence = match why {
        "outside" => format!(
            "It is not below {}: {whom} know.",
            explanation.cluster_domain
        ),
        "reverse" => format!("It is an address's name, which {whom} knows or passes on."),
        "pod" => format!("It is a pod's name, which {whom} makes."),
        "upstream" if explanation.clusters.iter().any(|view| view.fate == "local") => {
            format!("The local cluster has {service} in a form whose answer only {whom} knows.")
        }
        "upstream" => match &explanation.policy {
            Some(policy) => format!(
                "Only peers have {service}, and {} leaves it to {whom}.",
                rule(explanation, policy)
            ),
            None => format!("Its answer is left to {whom}."),
        },
        "not-found" => format!(
            "No {} it{}: {whom} is asked.",
            if is_in_set(explanation) {
                "cluster gives"
            } else {
                "catalog has"
            },
            but(explanation)
        ),
        "shadow" => match &explanation.ours {
            Some(ours) => format!(
                "mode: shadow leaves the answer to {whom}. Otherwise it would be {}.",
                super::text::told(ours)
            ),
            None => format!("mode: shadow leaves the answer to {whom}."),
        },
        other => format!("{whom} is asked, for the reason {other}."),
    };
    sentence + &doubt
}

/// Who may have a name, as far as anybody knows.
fn not_known(explanation: &Explanation) -> String {
    let are = |fate: &str| of(explanation, |view| view.fate == fate);
    let (unread, withheld) = (are("unread"), are("mesh-unread"));
    if !unread.is_empty() {
        format!("{} may have it and was never read", listed(&unread))
    } else if !withheld.is_empty() {
        format!(
            "{} has it, and whether it stays there the mesh configuration says, which could not be read yet",
            listed(&withheld)
        )
    } else {
        "peers that may have it are still to be discovered".to_owned()
    }
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

/// What became of a cluster's service.
pub(super) fn fate(view: &View) -> String {
    match &*view.fate {
        "unread" => "the cluster was never read".to_owned(),
        "absent" => "it has no such service".to_owned(),
        "local" => match &view.stays {
            Some(stays) => format!("it has no ready endpoint, but {}", stays_by(stays)),
            None => "it is the local cluster".to_owned(),
        },
        "gave-way" => "it has no ready endpoint, and failoverWhenEmpty is true".to_owned(),
        "behind-import" => "the local cluster's ServiceImport decides".to_owned(),
        "not-in-set" => "it is not exported to the cluster set there (no ServiceExport)".to_owned(),
        "behind" => "the local cluster has it".to_owned(),
        "local-unread" => "the local cluster was never read".to_owned(),
        "not-exported" => "it is not exported there".to_owned(),
        "external-name" => "it is an ExternalName, which means something only there".to_owned(),
        "not-imported" => "the import of its entry does not name it".to_owned(),
        "cluster-local" => "it never comes from a peer (clusterLocal)".to_owned(),
        "mesh-unread" => {
            "it may have to stay: the mesh configuration of the local cluster could not be read yet"
                .to_owned()
        }
        "other-domain" => {
            "its names are below another domain (clusterDomain of its entry)".to_owned()
        }
        "not-labelled" => {
            "the label of its namespace keeps peers away (remote.namespaces)".to_owned()
        }
        "kept-local" => "it was local once, and failover is false".to_owned(),
        "counts" if view.addresses.is_empty() => empty(view),
        "counts" => gift(view),
        other => printable(other),
    }
}

/// Why a peer gives what it gives.
fn gift(view: &View) -> String {
    match view.because.as_deref() {
        Some("policy") => "the policy names them".to_owned(),
        Some("same-network") => "it is on our own network".to_owned(),
        Some("only-http") => "every port speaks HTTP".to_owned(),
        Some("not-only-http") => "not every port speaks HTTP".to_owned(),
        Some("farther") => "others are nearer to the node".to_owned(),
        Some("overlap") => "its own addresses are local ones here (cluster.ranges)".to_owned(),
        other => printable(other.unwrap_or("-")),
    }
}

#[cfg(test)]
mod tests {
    use crossmesh_proto::admin::v1 as wire;

    use super::*;

    fn explanation(views: Vec<wire::View>, reason: &str, records: &[&str]) -> Explanation {
        let reply = wire::Reply {
            outcome: if records.is_empty() {
                "nodata"
            } else {
                "noerror"
            }
            .to_owned(),
            records: records.iter().map(ToString::to_string).collect(),
            reason: reason.to_owned(),
            at_a_time: if records.len() > 1 { 1 } else { 0 },
            ..wire::Reply::default()
        };
        let told = wire::Explanation {
            name: "web.shop.svc.cluster.local".to_owned(),
            r#type: "A".to_owned(),
            local_cluster: "cluster-1".to_owned(),
            answer: Some(wire::Answer {
                kind: Some(wire::answer::Kind::Reply(reply)),
            }),
            subject: Some(wire::Subject {
                kind: "service".to_owned(),
                namespace: "shop".to_owned(),
                service: "web".to_owned(),
                in_set: false,
            }),
            policy: Some(wire::Policy {
                answer: "auto".to_owned(),
                answer_by: "default".to_owned(),
                failover: true,
                failover_by: "default".to_owned(),
                failover_when_empty: true,
                failover_when_empty_by: "namespace".to_owned(),
            }),
            views,
            ..wire::Explanation::default()
        };
        Explanation::try_from(told).unwrap()
    }

    fn view(cluster: &str, fate: &str, gives: &str) -> wire::View {
        wire::View {
            cluster: Some(wire::Cluster {
                id: cluster.to_owned(),
                ..wire::Cluster::default()
            }),
            fate: fate.to_owned(),
            gives: gives.to_owned(),
            because: if gives.is_empty() { "" } else { "only-http" }.to_owned(),
            service: Some(wire::Service {
                kind: "cluster-ip".to_owned(),
                is_empty: fate == "gave-way",
                ..wire::Service::default()
            }),
            ..wire::View::default()
        }
    }

    #[test]
    fn a_local_service_that_gave_way_is_named() {
        let peer = wire::View {
            addresses: vec!["203.0.113.7".to_owned()],
            ..view("cluster-2", "counts", "gateways")
        };
        let views = vec![view("cluster-1", "gave-way", ""), peer];
        let said = explanation(views, "gateway", &["203.0.113.7", "203.0.113.8"]).to_string();
        for part in [
            "A: 203.0.113.7 203.0.113.8 (1 of them at a time, by turns)",
            "shop/web has no ready endpoint in the local cluster cluster-1, and peers have it (cluster-2)",
            "remote.rules {namespace: shop, failoverWhenEmpty: true}",
            "it has no ready endpoint, and failoverWhenEmpty is true",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_local_service_that_is_empty_and_stays_says_why() {
        let check = |stays: &str, parts: [&str; 2]| {
            let local = wire::View {
                stays: stays.to_owned(),
                ..view("cluster-1", "local", "")
            };
            let said = explanation(vec![local], "local", &["10.1.0.1"]).to_string();
            for part in parts {
                assert!(said.contains(part), "{part}: {said}");
            }
        };
        check(
            "lacks-port",
            [
                "The local cluster cluster-1 has shop/web without a ready endpoint, and its own address is given all the same: a \
                 port of it is in no peer.",
                "it has no ready endpoint, but a port of it is in no peer",
            ],
        );
        check(
            "not-asked",
            [
                "remote.rules {namespace: shop, failoverWhenEmpty: true}",
                "it has no ready endpoint, but failoverWhenEmpty is false",
            ],
        );
        check(
            "kept-local",
            [
                "all the same: remote.failover: true (default) keeps it.",
                "it has no ready endpoint, but failover is false",
            ],
        );
    }

    #[test]
    fn a_doubt_is_told_with_its_reason() {
        let check = |views: Vec<wire::View>, doubt: &str, part: &str| {
            let forward = wire::Forward {
                to: "cluster".to_owned(),
                in_doubt: true,
                doubt: doubt.to_owned(),
                why: "not-found".to_owned(),
                ..wire::Forward::default()
            };
            let told = wire::Explanation {
                answer: Some(wire::Answer {
                    kind: Some(wire::answer::Kind::Forward(forward)),
                }),
                views,
                ..wire::Explanation::default()
            };
            let said = Explanation::try_from(told).unwrap().to_string();
            assert!(said.contains(part), "{part}: {said}");
        };
        check(
            vec![view("cluster-2", "unread", "")],
            "always",
            " A denial becomes SERVFAIL, because cluster-2 may have it and was never read.",
        );
        check(
            vec![view("cluster-2", "unread", "")],
            "if-namespace-exists",
            " A denial becomes SERVFAIL if its namespace exists here, because cluster-2 may have it",
        );
        check(
            vec![view("cluster-2", "mesh-unread", "")],
            "always",
            "because cluster-2 has it, and whether it stays there the mesh configuration says",
        );
        check(
            Vec::new(),
            "always",
            "because peers that may have it are still to be discovered.",
        );
        check(
            Vec::new(),
            "unless-by-zone",
            "unless the cluster's own zone denies it, because what is known of the local cluster is not current.",
        );
        let said = explanation(Vec::new(), "not-synced", &[]).to_string();
        let part =
            "It cannot be denied, because peers that may have it are still to be discovered.";
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn gateways_for_hbone_only_are_a_reason() {
        let peer = wire::View {
            hbone_gateways: vec!["Gateway istio-system/eastwest".to_owned()],
            ..view("cluster-2", "counts", "gateways")
        };
        let said = explanation(vec![peer], "nodata", &[]).to_string();
        let why = "its gateways are for HBONE only";
        assert!(said.contains(why), "{said}");
    }
}
