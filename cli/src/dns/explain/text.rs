//! An explanation for people: the deciding line first.

use std::fmt;

use super::why::{failover_rule, fate, rule, when_empty_rule};
use super::{Answer, Explanation, Kept, Service, View};
use crate::dns::columns::{columns, listed, printable};
use crate::dns::gateway;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = printable(&self.name);
        writeln!(f, "{name} {}: {}", self.rtype, told(&self.answer))?;
        writeln!(f, "{}\n", self.because)?;
        match &self.answer {
            Answer::Reply {
                reason,
                ttl_seconds,
                extended_error,
                ..
            } => {
                writeln!(f, "reason   {reason}, TTL {ttl_seconds} s")?;
                if let Some(text) = extended_error {
                    writeln!(f, "error    {}", printable(text))?;
                }
            }
            Answer::Forward {
                servers, why, kept, ..
            } => {
                writeln!(f, "reason   {}", printable(why))?;
                writeln!(f, "servers  {}", printable(&listed(servers)))?;
                if let Some(kept) = kept {
                    writeln!(f, "kept     {}", remembered(kept))?;
                }
            }
        }
        // Of what the local cluster has, or nobody, it says nothing.
        let applies = |view: &View| matches!(&*view.fate, "counts" | "kept-local");
        let applied = self.clusters.iter().any(applies);
        if let Some(policy) = self.policy.as_ref().filter(|_| applied) {
            writeln!(f, "policy   {}", rule(self, policy))?;
            if !policy.failover {
                writeln!(f, "         {}", failover_rule(self, policy))?;
            }
            if policy.failover_when_empty {
                writeln!(f, "         {}", when_empty_rule(self, policy))?;
            }
        }
        if let Some(import) = &self.import {
            let what = if import.decides {
                listed(&import.addresses)
            } else {
                "says nothing yet: what clusters export counts".to_owned()
            };
            let kind = if import.headless { "headless, " } else { "" };
            writeln!(f, "import   {kind}{what}")?;
        }
        let has_ports = |view: &View| {
            view.service
                .as_ref()
                .is_some_and(|of| of.kind != "external-name")
        };
        let of_ports = self
            .class
            .as_ref()
            .filter(|_| self.clusters.iter().any(has_ports));
        if let Some(class) = of_ports {
            writeln!(f, "ports    {}", class_of(class))?;
        }
        writeln!(
            f,
            "agent    of {}, mode: {}",
            printable(&self.local_cluster),
            printable(&self.mode)
        )?;
        if self.clusters.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let header = ["CLUSTER", "STATE", "SERVICE", "PORTS", "GIVES", "WHY"];
        columns(f, header, self.clusters.iter().map(row).collect())?;
        let gateways: Vec<_> = self
            .clusters
            .iter()
            .filter(|view| view.gives.as_deref() == Some("gateways"))
            .flat_map(|view| {
                let all = view.gateways.iter();
                all.flat_map(|gateway| gateway.rows(&view.cluster.id))
            })
            .collect();
        if !gateways.is_empty() {
            writeln!(f)?;
            columns(f, gateway::HEADER, gateways)?;
        }
        let problems = self.clusters.iter().filter_map(|view| {
            let problem = view.cluster.problem.as_ref()?;
            Some((&view.cluster.id, problem))
        });
        for (at, (cluster, problem)) in problems.enumerate() {
            if at == 0 {
                writeln!(f)?;
            }
            writeln!(
                f,
                "problem of {}: {}",
                printable(cluster),
                printable(problem)
            )?;
        }
        Ok(())
    }
}

/// An answer in one line.
pub(super) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Reply {
            outcome,
            records,
            at_a_time,
            ..
        } => match &**outcome {
            "noerror" => {
                let all = printable(&records.join(" "));
                match at_a_time {
                    Some(count) => format!("{all} ({count} of them at a time, by turns)"),
                    None => all,
                }
            }
            "nodata" => "no records (NOERROR)".to_owned(),
            other => printable(&other.to_ascii_uppercase()),
        },
        Answer::Forward { to, .. } if to == "cluster" => {
            "what the cluster's own DNS says".to_owned()
        }
        Answer::Forward { .. } => "what the general servers say".to_owned(),
    }
}

fn remembered(kept: &Kept) -> String {
    let what = match &*kept.outcome {
        "noerror" => listed(&kept.addresses),
        other => printable(&other.to_ascii_uppercase()),
    };
    format!("{what}, {} s old; a client gets this now", kept.age_seconds)
}

fn class_of(class: &str) -> String {
    match class {
        "http" => "every one speaks HTTP".to_owned(),
        "tcp" => "none speaks HTTP (undeclared counts as none)".to_owned(),
        "mixed" => "some speak HTTP, some do not".to_owned(),
        other => printable(other),
    }
}

fn row(view: &View) -> [String; 6] {
    let service = view.service.as_ref();
    let gives = match (view.gives.as_deref(), &*view.fate) {
        (Some("own"), _) if !view.addresses.is_empty() => listed(&view.addresses),
        (Some("gateways"), _) if !view.addresses.is_empty() => "gateways".to_owned(),
        (_, "local") => service.map_or_else(String::new, |of| listed(&of.addresses)),
        _ => "-".to_owned(),
    };
    [
        printable(&view.cluster.id),
        view.cluster.since(),
        service.map_or_else(|| "-".to_owned(), kind),
        service.map_or_else(|| "-".to_owned(), ports),
        gives,
        fate(view),
    ]
}

fn kind(service: &Service) -> String {
    match &*service.kind {
        "cluster-ip" => listed(&service.addresses),
        "headless" => format!("headless, {} ready", service.addresses.len()),
        "external-name" => "ExternalName".to_owned(),
        other => printable(other),
    }
}

fn ports(service: &Service) -> String {
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|port| printable(&format!("{}/{}", port.number, port.protocol)))
        .collect();
    listed(&ports)
}
