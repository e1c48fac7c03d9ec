//! Why names are answered as they are: `tests/cases/reasons.yaml`, and that what is explained is what is done.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use crossmesh_dns_agent::{
    admin::{Known, explanation},
    answer::{Answer, Question, Records, answer},
    gateway::{Lifetimes, Report},
    index::{Entry, Index, Origin},
    metrics::Metrics,
    name::Name,
    upstream::Upstream,
    wire::{CLASS_IN, rtype},
};
use crossmesh_proto::admin::v1::{Explanation, View, answer::Kind};

use crate::answers::{World, config, index};

const REASONS: &str = include_str!("../cases/reasons.yaml");
const ANSWERS: &str = include_str!("../cases/answers.yaml");

fn explain(world: &World, index: &Index, asked: &str) -> Explanation {
    let (rtype, name) = asked.split_once(' ').unwrap();
    let name = match name.strip_suffix('.') {
        Some(whole) => whole.to_owned(),
        None => format!("{name}.svc.cluster.local"),
    };
    let general: SocketAddr = ([127, 0, 0, 1], 53).into();
    let upstream = Upstream::new(
        &config(world),
        vec![general],
        "test".to_owned(),
        Arc::new(Metrics::default()),
    );
    let rtype = rtype::parse(rtype).unwrap();
    let name = Name::parse(&name).unwrap();
    let known = Known {
        index,
        upstream: &upstream,
        report: &Report::default(),
        lifetimes: &Lifetimes::default(),
    };
    explanation(known, &name, rtype)
}

fn told(explanation: &Explanation) -> String {
    let Some(subject) = &explanation.subject else {
        return "nothing of ours".to_owned();
    };
    let Some(policy) = &explanation.policy else {
        return subject.kind.clone();
    };
    let view = |view: &View| {
        let mut told = match &*view.fate {
            "counts" => format!("{}({})", view.gives, view.because),
            fate if view.stays.is_empty() => fate.to_owned(),
            fate => format!("{fate}({})", view.stays),
        };
        for address in &view.addresses {
            told = format!("{told} {address}");
        }
        if view.overlaps > 0 {
            told = format!("{told} without {}", view.overlaps);
        }
        told
    };
    let views: Vec<String> = explanation.views.iter().map(view).collect();
    let class = match &*explanation.class {
        "" => "none",
        class => class,
    };
    let when_empty = if policy.failover_when_empty {
        format!(
            ", from peers when empty by {}",
            policy.failover_when_empty_by
        )
    } else {
        String::new()
    };
    let failover = if policy.failover {
        String::new()
    } else {
        format!(", never remote by {}", policy.failover_by)
    };
    let import = match &explanation.import {
        Some(import) if import.decides => format!("; imported {}", import.addresses.join(" ")),
        Some(_) => "; import says nothing".to_owned(),
        None => String::new(),
    };
    format!(
        "{}; {class}; {} by {}{failover}{when_empty}{import}",
        views.join(", "),
        policy.answer,
        policy.answer_by
    )
}

#[test]
fn every_reason_is_as_its_case_says() {
    let worlds: Vec<World> = serde_saphyr::from_str(REASONS).unwrap();
    let mut wrong = Vec::new();
    for world in &worlds {
        let index = index(world);
        for (asked, expected) in &world.answers {
            let found = told(&explain(world, &index, asked));
            if found != *expected {
                wrong.push(format!(
                    "{asked}\n  expected {expected}\n  found    {found}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// For every name of every world of the answers' cases: what the clusters are said to give is what the name has, and the
/// explained answer is the answer.
#[test]
fn what_is_explained_is_what_is_done() {
    let worlds: Vec<World> = serde_saphyr::from_str(ANSWERS).unwrap();
    let (mut remote, mut count) = (0, 0);
    for world in &worlds {
        let index = index(world);
        let names: Vec<(Name, Entry)> = index
            .names()
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        for (name, entry) in names {
            count += 1;
            let explained = explain(world, &index, &format!("A {name}."));
            let question = Question {
                name: name.as_wire(),
                rtype: rtype::A,
                class: CLASS_IN,
            };
            let given: Vec<String> = match answer(&index, question, 0) {
                Answer::Reply(reply) => match reply.records {
                    Records::A { addresses, .. } => {
                        addresses.iter().map(ToString::to_string).collect()
                    }
                    _ => Vec::new(),
                },
                Answer::Forward(_) => vec!["forwarded".to_owned()],
            };
            let told = match explained.answer.unwrap().kind.unwrap() {
                Kind::Reply(reply) => reply.records,
                Kind::Forward(_) => vec!["forwarded".to_owned()],
            };
            assert_eq!(told, given, "{name}");
            let Entry::Host(host) = entry else { continue };
            let subject = explained.subject.unwrap();
            if host.origin == Origin::Local || subject.kind != "service" {
                continue;
            }
            remote += 1;
            let views = explained.views.into_iter();
            let said: BTreeSet<String> = views.flat_map(|view| view.addresses).collect();
            let v4 = host.v4.iter().map(ToString::to_string);
            let v6 = host.v6.iter().map(ToString::to_string);
            assert_eq!(said, v4.chain(v6).collect(), "{}: {name}", world.about);
        }
    }
    assert!(count > 100 && remote > 20, "only {count} and {remote}");
}
