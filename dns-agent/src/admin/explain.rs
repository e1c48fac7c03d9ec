//! Why a name is answered as it is, as the admin interface tells it. The answer is the answer function's own, and the
//! reasons come from the rules that built the index.

use crossmesh_proto::admin::v1 as proto;

use super::{
    gateways::{gateways, hbone},
    table::cluster,
};
use crate::{
    answer::{Answer, Doubt, Forward, Question, Records, Reply, Servers, answer, in_shadow},
    cache::Key,
    catalog::{Class, Imported, Kind, Protocol, Service, ServiceImport},
    encode::ttl,
    gateway::{Lifetimes, Report, of_clusters},
    index::{
        Because, Fate, Give, Index, LeftOut, Mode, RemoteAnswer, Scope, Stays, Subject, View, Why,
    },
    metrics::Outcome,
    name::Name,
    upstream::{Failure, Upstream},
    wire::{CLASS_IN, rtype},
};

/// What an explanation is made from.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    /// One index.
    pub index: &'k Index,
    /// Who is asked for other names.
    pub upstream: &'k Upstream,
    /// What the last probes and look-ups of gateways found.
    pub report: &'k Report,
    /// For how long gateways' addresses are good.
    pub lifetimes: &'k Lifetimes,
}

/// Explains a name of a type in class IN.
pub fn explanation(known: Known<'_>, name: &Name, rtype: u16) -> proto::Explanation {
    let Known {
        index,
        upstream,
        report,
        lifetimes,
    } = known;
    let question = Question {
        name: name.as_wire(),
        rtype,
        class: CLASS_IN,
    };
    let ours = answer(index, question, 0);
    let shadow = index.settings().mode == Mode::Shadow;
    let given = if shadow {
        in_shadow(&ours)
    } else {
        ours.clone()
    };
    let told = |answer: &Answer<'_>| proto::Answer {
        kind: Some(match answer {
            Answer::Reply(reply) => {
                proto::answer::Kind::Reply(self::reply(index, lifetimes, reply))
            }
            Answer::Forward(to) => {
                proto::answer::Kind::Forward(forward(upstream, &Key::own(name, rtype), *to))
            }
        }),
    };
    let subject = index.subject(name.as_wire());
    let why = subject.and_then(|subject| why(index, subject));
    proto::Explanation {
        name: name.to_string(),
        r#type: rtype::name(rtype).into_owned(),
        cluster_domain: index.settings().cluster_domain.to_string(),
        local_cluster: index.local_cluster().to_owned(),
        mode: index.settings().mode.as_str().to_owned(),
        answer: Some(told(&given)),
        ours: (given != ours).then(|| told(&ours)),
        subject: subject.map(|subject| subject_of(subject)),
        class: why
            .as_ref()
            .and_then(|why| why.class)
            .map_or("", class)
            .to_owned(),
        policy: why.as_ref().map(policy),
        import: why
            .as_ref()
            .and_then(|why| why.import.as_deref())
            .map(import),
        views: why.map_or_else(Vec::new, |why| views(index, report, &why)),
    }
}

fn why(index: &Index, subject: Subject<'_>) -> Option<Why> {
    let Subject::Service {
        namespace,
        service,
        in_set,
        domain,
        ..
    } = subject
    else {
        return None;
    };
    let text = |label| std::str::from_utf8(label).ok();
    let (namespace, service) = (text(namespace)?, text(service)?);
    Some(match domain {
        Some(domain) => index.why_in_domain(domain, namespace, service),
        None if in_set => index.why_in_set(namespace, service),
        None => index.why(namespace, service),
    })
}

fn reply(index: &Index, lifetimes: &Lifetimes, reply: &Reply<'_>) -> proto::Reply {
    let records = match &reply.records {
        Records::None => Vec::new(),
        Records::A { addresses, .. } => addresses.iter().map(ToString::to_string).collect(),
        Records::Aaaa { addresses, .. } => addresses.iter().map(ToString::to_string).collect(),
        Records::Srv { locations, .. } => locations
            .iter()
            .map(|at| format!("0 {} {} {}", at.weight, at.port, at.target))
            .collect(),
        Records::Soa => vec!["the zone's SOA".to_owned()],
        Records::Ns => vec![index.server().to_string()],
        Records::Version => vec!["the version of the specification".to_owned()],
        Records::Hinfo => vec!["HINFO RFC8482".to_owned()],
    };
    let at_a_time = match reply.records {
        Records::A { turn, .. } | Records::Aaaa { turn, .. } if turn.count < records.len() => {
            u32::try_from(turn.count).unwrap_or(u32::MAX)
        }
        _ => 0,
    };
    let ede = reply.ede.map_or("", |ede| ede.text);
    proto::Reply {
        outcome: Outcome::of(reply.rcode as u16, reply.has_records())
            .as_str()
            .to_owned(),
        records,
        reason: reply.reason.as_str().to_owned(),
        extended_error: ede.to_owned(),
        ttl_seconds: ttl(index, reply, lifetimes),
        at_a_time,
    }
}

fn forward(upstream: &Upstream, key: &Key, to: Forward) -> proto::Forward {
    let kept = upstream.kept(key).map(|(kept, age_seconds)| match kept {
        Ok(message) => proto::Kept {
            outcome: Outcome::of(message.rcode(), message.has_answers())
                .as_str()
                .to_owned(),
            addresses: message
                .addresses()
                .map(|address| address.to_string())
                .collect(),
            age_seconds,
        },
        Err(failure) => proto::Kept {
            outcome: match failure {
                Failure::Overload | Failure::Silent => "silent",
                Failure::Unreachable | Failure::Loop => "unreachable",
            }
            .to_owned(),
            addresses: Vec::new(),
            age_seconds,
        },
    });
    proto::Forward {
        to: match to.to {
            Servers::Cluster => "cluster",
            Servers::General => "general",
        }
        .to_owned(),
        servers: upstream
            .servers(to.to)
            .iter()
            .map(ToString::to_string)
            .collect(),
        in_doubt: to.doubt != Doubt::None,
        doubt: match to.doubt {
            Doubt::None => "",
            Doubt::Some => "always",
            Doubt::IfNamespaceExists => "if-namespace-exists",
            Doubt::UnlessByZone => "unless-by-zone",
        }
        .to_owned(),
        why: to.why.as_str().to_owned(),
        kept,
    }
}

fn subject_of(subject: Subject<'_>) -> proto::Subject {
    let text = |label| String::from_utf8_lossy(label).into_owned();
    match subject {
        Subject::Domain => proto::Subject {
            kind: "domain".to_owned(),
            ..proto::Subject::default()
        },
        Subject::Namespace(namespace) => proto::Subject {
            kind: "namespace".to_owned(),
            namespace: text(namespace),
            ..proto::Subject::default()
        },
        Subject::Service {
            namespace,
            service,
            below,
            in_set,
            domain: _,
        } => proto::Subject {
            kind: if below { "below" } else { "service" }.to_owned(),
            namespace: text(namespace),
            service: text(service),
            in_set,
        },
    }
}

fn import(import: &ServiceImport) -> proto::Import {
    let addresses = import.imported.addresses();
    proto::Import {
        headless: matches!(import.imported, Imported::Headless(_)),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        decides: import.imported.says_something(),
    }
}

fn policy(why: &Why) -> proto::Policy {
    let (answer, answer_by) = why.answer;
    let (failover, failover_by) = why.failover;
    let (failover_when_empty, when_empty_by) = why.failover_when_empty;
    proto::Policy {
        answer: match answer {
            RemoteAnswer::Auto => "auto",
            RemoteAnswer::Gateway => "gateway",
            RemoteAnswer::ClusterIp => "cluster-ip",
            RemoteAnswer::NoData => "nodata",
            RemoteAnswer::Upstream => "upstream",
        }
        .to_owned(),
        answer_by: scope(answer_by).to_owned(),
        failover,
        failover_by: scope(failover_by).to_owned(),
        failover_when_empty,
        failover_when_empty_by: scope(when_empty_by).to_owned(),
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Service => "service",
        Scope::Namespace => "namespace",
        Scope::Everywhere => "everywhere",
        Scope::Default => "default",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Http => "http",
        Class::Tcp => "tcp",
        Class::Mixed => "mixed",
    }
}

fn views(index: &Index, report: &Report, why: &Why) -> Vec<proto::View> {
    let clusters = index.clusters();
    let targets = of_clusters(clusters);
    let all = clusters.iter().zip(targets).zip(&why.views);
    let view = all.map(
        |(
            (of, targets),
            View {
                service,
                fate,
                same_network,
            },
        )| {
            let mut view = proto::View {
                cluster: Some(cluster(of)),
                local: of.local,
                service: service.as_deref().map(service_of),
                fate: self::fate(fate).to_owned(),
                same_network: *same_network,
                hbone_gateways: if of.local { Vec::new() } else { hbone(of) },
                gateways: if of.local {
                    Vec::new()
                } else {
                    gateways(&targets, index.gateways(), report)
                },
                stays: match (fate, why.stays) {
                    (Fate::Local, Some(stays)) => self::stays(stays),
                    _ => "",
                }
                .to_owned(),
                ..proto::View::default()
            };
            if let Fate::Counts {
                give,
                because,
                addresses,
                overlaps,
            } = fate
            {
                view.gives = match give {
                    Give::Nothing => "nothing",
                    Give::Gateways => "gateways",
                    Give::Own => "own",
                }
                .to_owned();
                view.because = match because {
                    Because::Policy => "policy",
                    Because::SameNetwork => "same-network",
                    Because::OnlyHttp => "only-http",
                    Because::NotOnlyHttp => "not-only-http",
                    Because::Overlap => "overlap",
                    Because::Farther => "farther",
                }
                .to_owned();
                view.addresses = addresses.iter().map(ToString::to_string).collect();
                view.overlaps = u32::try_from(*overlaps).unwrap_or(u32::MAX);
            }
            view
        },
    );
    view.collect()
}

fn fate(fate: &Fate) -> &'static str {
    match fate {
        Fate::Unread => "unread",
        Fate::Absent => "absent",
        Fate::Local => "local",
        Fate::GaveWay => "gave-way",
        Fate::Behind => "behind",
        Fate::BehindImport => "behind-import",
        Fate::LocalUnread => "local-unread",
        Fate::LeftOut(LeftOut::NotExported) => "not-exported",
        Fate::LeftOut(LeftOut::NotInSet) => "not-in-set",
        Fate::LeftOut(LeftOut::ExternalName) => "external-name",
        Fate::LeftOut(LeftOut::NotImported) => "not-imported",
        Fate::LeftOut(LeftOut::ClusterLocal) => "cluster-local",
        Fate::LeftOut(LeftOut::MeshUnread) => "mesh-unread",
        Fate::LeftOut(LeftOut::OtherDomain) => "other-domain",
        Fate::LeftOut(LeftOut::NotLabelled) => "not-labelled",
        Fate::KeptLocal => "kept-local",
        Fate::Counts { .. } => "counts",
    }
}

fn stays(stays: Stays) -> &'static str {
    match stays {
        Stays::NotAsked => "not-asked",
        Stays::KeptLocal => "kept-local",
        Stays::NoPeer => "no-peer",
        Stays::EmptyToo => "empty-too",
        Stays::NotAsGood => "not-as-good",
        Stays::LacksPort => "lacks-port",
        Stays::NoAddress => "no-address",
    }
}

fn service_of(service: &Service) -> proto::Service {
    let (kind, addresses) = match &service.kind {
        Kind::ClusterIp(addresses) => ("cluster-ip", addresses.clone()),
        Kind::Headless(endpoints) => {
            let ready = endpoints.iter().filter(|endpoint| endpoint.ready);
            ("headless", ready.map(|endpoint| endpoint.address).collect())
        }
        Kind::ExternalName => ("external-name", Vec::new()),
    };
    let ports = service.ports.iter().map(|port| proto::ServicePort {
        name: port.name.clone().unwrap_or_default(),
        number: port.number.into(),
        protocol: match port.protocol {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
        .to_owned(),
    });
    proto::Service {
        kind: kind.to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        ports: ports.collect(),
        exported: service.exported,
        in_set: service.in_cluster_set,
        is_empty: service.is_empty,
    }
}
