//! The domains, and names that are treated apart.

use super::Reading;
use crate::{
    config::Entry,
    index::ClusterLocal,
    name::{Name, is_under},
    yaml::{Written, line},
};

/// The longest cluster domain on the wire, in bytes, below which `pod.service.namespace.svc` always fits into a name.
const MAX_DOMAIN: usize = 255 - 3 * 64 - 4;

impl Reading<'_> {
    pub(super) fn cluster_domain(&mut self, written: Option<&Written<String>>) -> Option<Name> {
        self.domain(
            written,
            "clusterDomain",
            "cluster.local",
            "the cluster's domain",
        )
    }

    /// The two domains have nothing in common, so that a name is in one of them at most.
    pub(super) fn cluster_set_domain(
        &mut self,
        written: Option<&Written<String>>,
        cluster_domain: Option<&Name>,
    ) -> Option<Name> {
        const FIELD: &str = "clusterSetDomain";
        let found = self.domain(
            written,
            FIELD,
            "clusterset.local",
            "the domain of the cluster set",
        )?;
        let overlap = cluster_domain.is_some_and(|domain| {
            let (one, other) = (domain.as_wire(), found.as_wire());
            is_under(one, other) || is_under(other, one)
        });
        if overlap {
            self.faults.add(
                written.map_or(0, line),
                FIELD,
                format!("\"{found}\" is the cluster's domain, or above or below it"),
                "write the domain of the cluster set, such as clusterset.local",
            );
            return None;
        }
        Some(found)
    }

    /// The cluster domain of a peer, whose names are below it and nowhere else.
    pub(super) fn domain_of_peer(
        &mut self,
        written: &Written<String>,
        field: &str,
        is_local: bool,
    ) -> Option<Name> {
        if is_local {
            self.faults.add(
                line(written),
                field,
                "is the local cluster's",
                "write it as clusterDomain, at the top",
            );
            return None;
        }
        self.domain(Some(written), field, "", "the peer's cluster domain")
    }

    /// The cluster domains of peers that are others than the local cluster's. A name is below one of all domains at most.
    pub(super) fn other_domains<'e>(
        &mut self,
        peers: impl Iterator<Item = &'e mut Entry>,
        (domain, set_domain): (&Name, &Name),
    ) -> Vec<Name> {
        let mut all: Vec<Name> = Vec::new();
        for peer in peers {
            if peer.domain.as_ref() == Some(domain) {
                peer.domain = None;
            }
            let Some(found) = &peer.domain else { continue };
            if all.contains(found) {
                continue;
            }
            let overlaps = |other: &&Name| {
                let (one, other) = (found.as_wire(), other.as_wire());
                is_under(one, other) || is_under(other, one)
            };
            let mut others = [domain, set_domain].into_iter().chain(&all);
            let other = others.find(overlaps).cloned();
            drop(others);
            if let Some(other) = other {
                self.faults.add(
                    0,
                    "catalogs",
                    format!(
                        "clusterDomain \"{found}\" of the cluster \"{}\" is \"{other}\", or above or below it",
                        peer.cluster
                    ),
                    "no name may be below two domains; leave it out where the peer's domain is our own",
                );
                continue;
            }
            all.push(found.clone());
        }
        all
    }

    fn domain(
        &mut self,
        written: Option<&Written<String>>,
        field: &str,
        default: &str,
        what: &str,
    ) -> Option<Name> {
        let text = written.map_or(default, |domain| &domain.value);
        let problem = match Name::parse(text) {
            Ok(name) if name.as_wire().len() == 1 => "is the root".to_owned(),
            Ok(name) if name.as_wire().len() > MAX_DOMAIN => {
                "leaves no room for the names below it".to_owned()
            }
            Ok(name) => return Some(name),
            Err(error) => format!("is no name: {error}"),
        };
        self.faults.add(
            written.map_or(0, line),
            field,
            format!("\"{text}\" {problem}"),
            format!("write {what}, at most {} characters", MAX_DOMAIN - 2),
        );
        None
    }

    /// What is never from a peer, besides what is always so.
    pub(super) fn cluster_local(
        &mut self,
        written: &[Written<String>],
        domain: &Name,
    ) -> ClusterLocal {
        let mut all = ClusterLocal::default();
        for (at, text) in written.iter().enumerate() {
            if !all.set(&text.value, domain, true) {
                self.faults.add(
                    line(text),
                    format!("clusterLocal[{at}]"),
                    format!("\"{}\" names no service of this cluster", text.value),
                    format!(
                        "write NAME.NAMESPACE.svc.{domain}, *.NAMESPACE.svc.{domain} or *.svc.{domain}"
                    ),
                );
            }
        }
        all
    }

    /// Names that only the cluster's own DNS has, with all that is below them.
    pub(super) fn passthrough_names(
        &mut self,
        written: &[Written<String>],
        (domain, set_domain): (&Name, &Name),
    ) -> Vec<Name> {
        let mut all: Vec<Name> = Vec::new();
        for (at, text) in written.iter().enumerate() {
            let field = format!("passthroughNames[{at}]");
            let name = Name::parse(&text.value).ok().filter(|name| {
                let mut zones = [domain, set_domain].into_iter();
                zones.any(|zone| name != zone && is_under(name.as_wire(), zone.as_wire()))
            });
            match name {
                Some(name) if all.contains(&name) => self.faults.add(
                    line(text),
                    field,
                    format!("\"{}\" is listed twice", text.value),
                    "remove one of them",
                ),
                Some(name) => all.push(name),
                None => self.faults.add(
                    line(text),
                    field,
                    format!(
                        "\"{}\" is no name below {domain} or {set_domain}",
                        text.value
                    ),
                    format!("write a name such as corp.{domain}; other names are never ours"),
                ),
            }
        }
        all
    }
}
