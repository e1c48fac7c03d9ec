//! `crossmesh dns explain`.

mod search;
mod text;
mod why;

use std::net::IpAddr;

use crossmesh_proto::admin::v1 as wire;
use serde::Serialize;

use super::cluster::Cluster;
use super::fetch::{Unanswered, try_get};
use super::gateway::Gateway;
use crate::End;
use crate::args::{Agent, DnsExplain, Format};
use crate::output::Output;
use search::Search;

/// Asks an agent why it answers a name as it does, and prints that.
///
/// # Errors
/// If the agent cannot be asked, or what answers is no agent; or when nothing can be written.
pub(crate) fn run(args: &DnsExplain, output: &Output) -> anyhow::Result<End> {
    let search = match &args.namespace {
        Some(namespace) => Search::new(args, namespace),
        None => explain(&args.agent, &args.name, &args.rtype).map(Search::of_one),
    };
    let search = match search {
        Ok(search) => search,
        Err(Unanswered::Wrong(why)) => {
            output.note(format_args!("error: {why}"))?;
            return Ok(End::Wrong);
        }
        Err(why) => return Err(why.of(&args.agent.address)),
    };
    match args.agent.format() {
        Format::Text => output.result(&search)?,
        Format::Json => output.json(&search)?,
    }
    Ok(End::Good)
}

fn explain(agent: &Agent, name: &str, rtype: &str) -> Result<Explanation, Unanswered> {
    // What goes into a path as it is; whether it is a name, the agent says.
    let plain = |text: &str| {
        let fits = |c: char| c.is_ascii_graphic() && !"/?#%".contains(c);
        !text.is_empty() && text.chars().all(fits)
    };
    if !plain(name) || !plain(rtype) {
        return Err(Unanswered::Wrong(format!(
            "{name:?} of type {rtype:?} is no question; give a name such as catalog.shop.svc.cluster.local, and a type \
             such as A"
        )));
    }
    let told: wire::Explanation = try_get(agent, &format!("/v1/explain/{rtype}/{name}"))?;
    Explanation::try_from(told).map_err(Unanswered::NoAgent)
}

/// Why a name is answered as it is. As JSON, a public contract: fields are added, never renamed. Words are the agent's, and
/// stand in `proto/schema/crossmesh/admin/v1/explain.proto`.
#[derive(Debug, Serialize)]
struct Explanation {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    /// The sentence that the text begins with.
    because: String,
    answer: Answer,
    /// In shadow mode, what a client would get otherwise.
    ours: Option<Answer>,
    mode: String,
    cluster_domain: String,
    local_cluster: String,
    /// None: the name is of no service.
    subject: Option<Subject>,
    /// What the service's ports speak together; none when no cluster's service counts.
    class: Option<String>,
    policy: Option<Policy>,
    /// Of a name of the cluster set, the local cluster's ServiceImport.
    import: Option<Import>,
    clusters: Vec<View>,
}

#[derive(Debug, Serialize)]
struct Import {
    headless: bool,
    addresses: Vec<IpAddr>,
    /// Whether it says what the name stands for; otherwise what clusters export does.
    decides: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Answer {
    /// Of the agent's own.
    Reply {
        outcome: String,
        records: Vec<String>,
        reason: String,
        extended_error: Option<String>,
        ttl_seconds: u32,
        /// How many of the records a client gets at a time, by turns; none: all.
        at_a_time: Option<u32>,
    },
    /// Somebody else's.
    Forward {
        to: String,
        servers: Vec<String>,
        in_doubt: bool,
        /// When a denial is turned into SERVFAIL; none: never.
        doubt: Option<String>,
        why: String,
        kept: Option<Kept>,
    },
}

#[derive(Debug, Serialize)]
struct Kept {
    outcome: String,
    addresses: Vec<IpAddr>,
    age_seconds: u32,
}

#[derive(Debug, Serialize)]
struct Subject {
    kind: String,
    namespace: Option<String>,
    service: Option<String>,
    /// Whether it is a name of the cluster set.
    in_set: bool,
}

#[derive(Debug, Serialize)]
struct Policy {
    answer: String,
    answer_by: String,
    failover: bool,
    failover_by: String,
    /// Whether a local service without a ready endpoint is answered from peers.
    failover_when_empty: bool,
    failover_when_empty_by: String,
}

#[derive(Debug, Serialize)]
struct View {
    cluster: Cluster,
    local: bool,
    service: Option<Service>,
    fate: String,
    gives: Option<String>,
    because: Option<String>,
    addresses: Vec<IpAddr>,
    overlaps: u32,
    same_network: bool,
    gateways: Vec<Gateway>,
    /// Those that are not given, because they serve ambient meshes alone.
    hbone_gateways: Vec<String>,
    /// Of a local service without a ready endpoint, why its own address is given all the same.
    stays: Option<String>,
}

#[derive(Debug, Serialize)]
struct Service {
    kind: String,
    addresses: Vec<IpAddr>,
    ports: Vec<Port>,
    exported: bool,
    /// Whether its cluster gives it to the cluster set.
    in_set: bool,
    /// Whether it has no ready endpoint for sure; only known where an answer depends on it.
    is_empty: bool,
}

#[derive(Debug, Serialize)]
struct Port {
    name: Option<String>,
    number: u32,
    protocol: String,
}

impl TryFrom<wire::Explanation> for Explanation {
    type Error = String;

    fn try_from(told: wire::Explanation) -> Result<Self, String> {
        let wire::Explanation {
            name,
            r#type,
            cluster_domain,
            local_cluster,
            mode,
            answer,
            ours,
            subject,
            views,
            class,
            policy,
            import,
        } = told;
        let mut explanation = Self {
            name,
            rtype: r#type,
            because: String::new(),
            answer: answer.ok_or("it tells no answer")?.try_into()?,
            ours: ours.map(Answer::try_from).transpose()?,
            mode,
            cluster_domain,
            local_cluster,
            subject: subject.map(Subject::from),
            class: some(class),
            policy: policy.map(Policy::from),
            import: import.map(Import::try_from).transpose()?,
            clusters: views
                .into_iter()
                .map(View::try_from)
                .collect::<Result<_, _>>()?,
        };
        explanation.because = why::sentence(&explanation);
        Ok(explanation)
    }
}

impl TryFrom<wire::Answer> for Answer {
    type Error = String;

    fn try_from(answer: wire::Answer) -> Result<Self, String> {
        Ok(match answer.kind.ok_or("it tells no answer")? {
            wire::answer::Kind::Reply(wire::Reply {
                outcome,
                records,
                reason,
                extended_error,
                ttl_seconds,
                at_a_time,
            }) => Self::Reply {
                outcome,
                records,
                reason,
                extended_error: some(extended_error),
                ttl_seconds,
                at_a_time: (at_a_time > 0).then_some(at_a_time),
            },
            wire::answer::Kind::Forward(wire::Forward {
                to,
                servers,
                in_doubt,
                why,
                kept,
                doubt,
            }) => Self::Forward {
                to,
                servers,
                in_doubt,
                doubt: some(doubt),
                why,
                kept: kept.map(Kept::try_from).transpose()?,
            },
        })
    }
}

impl TryFrom<wire::Kept> for Kept {
    type Error = String;

    fn try_from(kept: wire::Kept) -> Result<Self, String> {
        let wire::Kept {
            outcome,
            addresses,
            age_seconds,
        } = kept;
        Ok(Self {
            outcome,
            addresses: all_addresses(addresses)?,
            age_seconds,
        })
    }
}

impl TryFrom<wire::Import> for Import {
    type Error = String;

    fn try_from(import: wire::Import) -> Result<Self, String> {
        let wire::Import {
            headless,
            addresses,
            decides,
        } = import;
        Ok(Self {
            headless,
            addresses: all_addresses(addresses)?,
            decides,
        })
    }
}

impl From<wire::Subject> for Subject {
    fn from(subject: wire::Subject) -> Self {
        let wire::Subject {
            kind,
            namespace,
            service,
            in_set,
        } = subject;
        Self {
            kind,
            namespace: some(namespace),
            service: some(service),
            in_set,
        }
    }
}

impl From<wire::Policy> for Policy {
    fn from(policy: wire::Policy) -> Self {
        let wire::Policy {
            answer,
            answer_by,
            failover,
            failover_by,
            failover_when_empty,
            failover_when_empty_by,
        } = policy;
        Self {
            answer,
            answer_by,
            failover,
            failover_by,
            failover_when_empty,
            failover_when_empty_by,
        }
    }
}

impl TryFrom<wire::View> for View {
    type Error = String;

    fn try_from(view: wire::View) -> Result<Self, String> {
        let wire::View {
            cluster,
            local,
            service,
            fate,
            gives,
            because,
            addresses,
            overlaps,
            same_network,
            gateways,
            hbone_gateways,
            stays,
        } = view;
        Ok(Self {
            cluster: cluster.ok_or("a view names no cluster")?.into(),
            local,
            service: service.map(Service::try_from).transpose()?,
            fate,
            gives: some(gives),
            because: some(because),
            addresses: all_addresses(addresses)?,
            overlaps,
            same_network,
            hbone_gateways,
            stays: some(stays),
            gateways: gateways
                .into_iter()
                .map(Gateway::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<wire::Service> for Service {
    type Error = String;

    fn try_from(service: wire::Service) -> Result<Self, String> {
        let wire::Service {
            kind,
            addresses,
            ports,
            exported,
            in_set,
            is_empty,
        } = service;
        let port = |port: wire::ServicePort| {
            let wire::ServicePort {
                name,
                number,
                protocol,
            } = port;
            Port {
                name: some(name),
                number,
                protocol,
            }
        };
        Ok(Self {
            kind,
            addresses: all_addresses(addresses)?,
            ports: ports.into_iter().map(port).collect(),
            exported,
            in_set,
            is_empty,
        })
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn all_addresses(all: Vec<String>) -> Result<Vec<IpAddr>, String> {
    let address = |text: String| {
        text.parse()
            .map_err(|_| format!("{text:?} stands where an address must"))
    };
    all.into_iter().map(address).collect()
}
