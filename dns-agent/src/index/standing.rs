//! What can be said of a name that no catalog has: above all, whether it is certain that it does not exist.

use std::str::from_utf8;

use super::{
    Entry, Index, Inputs, LeftOut, Part, RemoteAnswer, below::Below, context::Peer, doubts::unread,
    inputs::inputs_of, rules::Rules,
};
use crate::{
    catalog::{Cluster, Import, Service, SyncState},
    name::{Name, is_kubernetes_label, is_under},
};

/// How a name stands that is not in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not exist, and nothing below it does: what the local cluster says is current, and leaves no room for it.
    Absent,
    /// No catalog has it. The cluster's own DNS may have more than catalogs do.
    Unclaimed,
    /// Only the cluster's own DNS knows.
    Elsewhere,
    /// The cluster's own DNS makes such names from pods' addresses.
    Pod,
    /// A catalog that may have it was never read.
    InDoubt,
    /// So it is if its namespace exists in the local cluster, which was never read either: peers are not needed for others.
    InDoubtIfHere,
}

impl Index {
    /// How a name below one of our zones stands, in wire form and lower case, given that it has no entry.
    pub fn standing(&self, name: &[u8]) -> Standing {
        if self.is_passed_through(name) {
            return Standing::Elsewhere;
        }
        if let Some(below) = Below::read(name, &self.service_domain) {
            return self.standing_of_service(&below);
        }
        if is_under(name, self.settings.cluster_set_domain.as_wire()) {
            return self.standing_in_set(name);
        }
        // The cluster's DNS has a few of its own.
        let Some(below) = Below::read(name, &self.settings.cluster_domain) else {
            return Standing::Elsewhere;
        };
        match below.namespace {
            _ if below.zonal => Standing::Elsewhere,
            None => Standing::Elsewhere,
            Some(b"pod") => Standing::Pod,
            Some(b"dns" | b"dns-version") => Standing::Unclaimed,
            Some(_) => self.absent(),
        }
    }

    /// The name of the namespace that a name below one of our zones is in, as the cluster's own DNS knows it.
    pub fn namespace_of(&self, name: &[u8]) -> Option<Name> {
        let below = Below::read(name, &self.service_domain);
        let below = below.or_else(|| Below::read(name, &self.set_domain))?;
        let label = from_utf8(below.namespace?).ok()?;
        self.service_domain.child(label).ok()
    }

    /// Whether a name looks like a service's and is not left to the cluster's DNS: of these alone a failure is told where a
    /// denial may be untrue, as it ends the search of some resolvers (musl), and outside names look like endpoints.
    pub fn may_be_service(&self, name: &[u8]) -> bool {
        let domains = [&self.service_domain, &self.set_domain];
        let mut below = domains.iter().filter_map(|of| Below::read(name, of));
        below.any(|below| below.is_of_service()) && !self.is_passed_through(name)
    }

    /// Whether the local cluster is what its source says now, so that what it does not have can be denied: an older state may
    /// lack what came since, and one from the disk all the more.
    pub fn is_current(&self) -> bool {
        let mut clusters = self.clusters.iter();
        let local = clusters.find(|cluster| cluster.local);
        local.is_some_and(|local| local.state == SyncState::Synced)
    }

    /// With a resolver's search list, outside names are asked with our domain behind them, and services' names with the
    /// domain behind them twice. What of that is in no namespace, however many labels it has, can be denied here.
    fn standing_of_service(&self, below: &Below<'_>) -> Standing {
        if below.zonal {
            return Standing::Elsewhere;
        }
        let Some(namespace) = below.namespace else {
            return Standing::Unclaimed;
        };
        let here = self.namespaces.get(namespace);
        let part = below.service.and_then(|service| {
            let services = &here?.services;
            services.get(service)
        });
        if part.is_some_and(|part| part.is_upstream()) {
            return Standing::Elsewhere;
        }
        // What one peer has of a service says nothing of what another may have of it.
        if part.is_some_and(|part| part.local) {
            return Standing::Unclaimed;
        }
        // Where no cluster can have such a name, whatever it is may still be the cluster's DNS's own.
        let possible = below.is_possible();
        if possible && self.is_in_doubt(below) {
            // Only names that look like a service: a failure would end the search of some resolvers (musl), and outside
            // names look like endpoints.
            return if below.is_of_service() {
                Standing::InDoubt
            } else {
                Standing::Elsewhere
            };
        }
        if possible
            && self.doubts.here
            && !self.is_known_here(namespace)
            && below.is_of_service()
            && service_of(below).is_some_and(|(namespace, name)| self.may_come(namespace, name))
        {
            return Standing::InDoubtIfHere;
        }
        match here {
            None if self.context.local.is_none() => Standing::Elsewhere,
            // Of a namespace that exists the cluster's DNS may know more than catalogs do, and a moment before us.
            Some(_) => Standing::Unclaimed,
            None if self.doubts.elsewhere || self.is_imported(namespace) => Standing::Unclaimed,
            None => self.absent(),
        }
    }

    fn standing_in_set(&self, name: &[u8]) -> Standing {
        let otherwise = match self.context.local {
            None => Standing::Elsewhere,
            Some(_) => Standing::Unclaimed,
        };
        let Some(below) = Below::read(name, &self.set_domain) else {
            return otherwise;
        };
        let here = below
            .namespace
            .and_then(|namespace| self.namespaces.get(namespace));
        let part = below.service.and_then(|service| here?.set.get(service));
        if below.zonal || part.is_some_and(|part| part.is_upstream()) {
            return Standing::Elsewhere;
        }
        let Some((namespace, name)) = service_of(&below) else {
            return otherwise;
        };
        let in_doubt = self.set_doubts.contain(namespace, name)
            || self.is_held_back(namespace, name, |rules, peer, service| {
                rules.left_out_of_set(peer, service, true)
            });
        let if_here = self.set_doubts.here && !self.is_known_here(namespace.as_bytes());
        let of_service = below.is_of_service();
        // What the local cluster gives or says is all that the service itself is; each peer's part has a name below it.
        let decided = of_service && part.is_some_and(|part| self.is_decided_here(part));
        if decided || !(in_doubt || if_here) || !self.may_come_in_set(namespace, name) {
            return otherwise;
        }
        match (of_service, in_doubt) {
            (true, true) => Standing::InDoubt,
            (true, false) => Standing::InDoubtIfHere,
            (false, true) => Standing::Elsewhere,
            (false, false) => otherwise,
        }
    }

    /// Whether a service that no catalog has may still turn out to exist, so that none of its names can be denied.
    fn is_in_doubt(&self, below: &Below<'_>) -> bool {
        let Some(namespace) = below.namespace else {
            return false;
        };
        if below.service.is_none() {
            return from_utf8(namespace).is_ok_and(|namespace| self.doubts.reach(namespace));
        }
        service_of(below).is_some_and(|(namespace, name)| {
            let in_doubt = || {
                self.doubts.contain(namespace, name)
                    // Whether its namespace has the label that it may need nobody knows either.
                    || self.is_held_back(namespace, name, |rules, peer, service| {
                        rules.left_out(peer, service, true)
                    })
                    || self.is_withheld(namespace, name)
            };
            in_doubt() && self.may_come(namespace, name)
        })
    }

    /// Whether it changes anything if a peer turns out to have a service: not if it stays in its cluster, and not if no
    /// address of a peer's is given for it.
    fn may_come(&self, namespace: &str, name: &str) -> bool {
        self.gives_addresses(namespace, name)
            && !self.context.cluster_local.contains(namespace, name)
            && !self.was_local(namespace, name)
    }

    /// The same of the cluster set and of peers' own domains. What the configuration keeps in its cluster is there.
    fn may_come_in_set(&self, namespace: &str, name: &str) -> bool {
        self.gives_addresses(namespace, name)
            && !self.context.always_local.contains(namespace, name)
    }

    fn gives_addresses(&self, namespace: &str, name: &str) -> bool {
        let (answer, _) = self.settings.remote.answer(namespace, name);
        !matches!(answer, RemoteAnswer::NoData | RemoteAnswer::Upstream)
    }

    /// Whether the local cluster is known to have a namespace, or was when it was read.
    fn is_known_here(&self, namespace: &[u8]) -> bool {
        let inputs = self.namespaces.get(namespace).map(|of| &of.inputs);
        let here = inputs.and_then(|of| of.get(self.context.local?)?.as_ref());
        here.is_some()
    }

    /// Whether the local cluster alone says what a name of the cluster set is.
    fn is_decided_here(&self, part: &Part) -> bool {
        let import = part.import.as_ref();
        let mut exporters = part.inputs.iter().map(|(at, _)| *at);
        import.is_some_and(|import| import.imported.says_something())
            || exporters.any(|at| Some(at) == self.context.local)
    }

    /// Whether a peer has the service, and is not given for it only because the mesh configuration was not read yet.
    fn is_withheld(&self, namespace: &str, name: &str) -> bool {
        self.context.cluster_local.incomplete
            && self.would_come(namespace, name, |rules, inputs, peer, service| {
                let reached = rules.reach(inputs);
                rules.left_out(peer, service, reached) == Some(LeftOut::MeshUnread)
            })
    }

    /// Whether a name in the domain of peers that have their own may still turn out to exist: in one that was never read or not
    /// even discovered, or in one that is read but not answered from before the local cluster is known.
    pub fn is_in_doubt_elsewhere(&self, name: &[u8]) -> bool {
        let mut domains = self.other_domains.iter().enumerate();
        let found = domains.find_map(|(at, domain)| Some((at, Below::read(name, domain)?)));
        let Some((at, below)) = found.filter(|(_, below)| below.is_of_service()) else {
            return false;
        };
        let Some((namespace, name)) = service_of(&below) else {
            return false;
        };
        if !self.may_come_in_set(namespace, name) {
            return false;
        }
        let domain = self.settings.other_domains.get(at);
        let mut peers = unread(&self.clusters, &self.discoveries);
        let has =
            |peer: &Cluster| peer.domain.as_ref() == domain && peer.import.allows(namespace, name);
        peers.any(has) && self.reaches(namespace)
            || self.is_held_back(namespace, name, |rules, peer, service| {
                rules.left_out_of_domain(at, peer, service, true)
            })
    }

    /// Whether a namespace may be answered from peers, as far as anybody knows.
    fn reaches(&self, namespace: &str) -> bool {
        let rules = Rules::new(&self.settings, &self.context);
        self.context.local.is_none() || rules.reach(&inputs_of(&self.clusters, namespace))
    }

    /// Whether a peer gives a service, which is not answered while the local cluster is not known: nobody can say yet that it
    /// exists only there. `left_out` says which never count.
    fn is_held_back(
        &self,
        namespace: &str,
        name: &str,
        left_out: impl Fn(&Rules<'_>, &Peer, &Service) -> Option<LeftOut>,
    ) -> bool {
        self.context.local.is_none()
            && self.would_come(namespace, name, |rules, _, peer, service| {
                left_out(rules, peer, service).is_none()
            })
    }

    /// Whether a peer has a service that counts.
    fn would_come(
        &self,
        namespace: &str,
        name: &str,
        counts: impl Fn(&Rules<'_>, &Inputs, &Peer, &Service) -> bool,
    ) -> bool {
        let rules = Rules::new(&self.settings, &self.context);
        let inputs = inputs_of(&self.clusters, namespace);
        let counts = |peer: &Peer, service: &Service| counts(&rules, &inputs, peer, service);
        rules.peers_with(name, &inputs, counts).next().is_some()
    }

    /// Whether a service was local once and may never become remote.
    fn was_local(&self, namespace: &str, name: &str) -> bool {
        let failover = self.settings.remote.failover(namespace, name).0;
        !failover && self.once_local.contains(&(namespace.into(), name.into()))
    }

    /// Whether a peer is said to have a namespace, or has it, so that its names may come.
    fn is_imported(&self, namespace: &[u8]) -> bool {
        let Ok(namespace) = from_utf8(namespace) else {
            return false;
        };
        let ours = |cluster: &&Cluster| !cluster.local && cluster.domain.is_none();
        let mut peers = self.clusters.iter().filter(ours);
        peers.any(|peer| {
            let catalog = peer.catalog.as_ref();
            match &peer.import {
                Import::Only {
                    every_namespace: false,
                    ..
                } => peer.import.reaches(namespace),
                _ => catalog.is_some_and(|catalog| catalog.namespaces.contains_key(namespace)),
            }
        })
    }

    /// Only a local cluster whose namespaces are all known, as they are now, leaves no room.
    fn absent(&self) -> Standing {
        let local = self
            .context
            .local
            .and_then(|place| self.clusters.get(place));
        let Some(local) = local else {
            return Standing::Elsewhere;
        };
        let catalog = local.catalog.as_ref();
        let complete = catalog.is_some_and(|catalog| catalog.every_namespace);
        if complete && self.is_current() {
            Standing::Absent
        } else {
            Standing::Unclaimed
        }
    }

    /// Whether the name is one of those that the configuration leaves to the cluster's DNS, or is above one: who denies a
    /// name denies everything below it (RFC 8020).
    fn is_passed_through(&self, name: &[u8]) -> bool {
        let mut all = self.settings.passthrough.iter();
        all.any(|passed| is_under(name, passed.as_wire()) || is_under(passed.as_wire(), name))
    }
}

/// The namespace and the name of the service that a name is of, or is below; `None`: no service has such a name.
fn service_of<'n>(below: &Below<'n>) -> Option<(&'n str, &'n str)> {
    label(below.namespace).zip(label(below.service))
}

/// A label that a service or a namespace can have.
fn label(label: Option<&[u8]>) -> Option<&str> {
    from_utf8(label?)
        .ok()
        .filter(|text| is_kubernetes_label(text))
}

impl Part {
    /// Whether only the cluster's own DNS knows the service, and so everything below it.
    fn is_upstream(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(_, entry)| matches!(entry, Entry::Upstream { .. }))
    }
}
