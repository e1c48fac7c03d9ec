//! Why a service is answered as it is: the rules that build the index, asked once more about one service. Nothing of this
//! is kept, so it costs only whoever asks.

use std::{net::IpAddr, sync::Arc};

use super::{
    Because, Cluster, Give, Index, Inputs, LeftOut, RemoteAnswer, Scope, Stays,
    context::Peer,
    inputs::inputs_of,
    remote::{Asked, Found, Remote, find},
    rules::{Rules, service},
};
use crate::catalog::{Class, Service, ServiceImport};

/// What a name below one of our domains speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'n> {
    /// The service domain itself.
    Domain,
    /// A namespace, by its label.
    Namespace(&'n [u8]),
    /// A service, or something below it.
    Service {
        /// The namespace's label.
        namespace: &'n [u8],
        /// The service's label.
        service: &'n [u8],
        /// Whether it is something below the service.
        below: bool,
        /// Whether it is a name of the cluster set.
        in_set: bool,
        /// Below which of [`Settings::other_domains`](super::Settings::other_domains) it is, if it is below any.
        domain: Option<usize>,
    },
}

/// What decides the answers for one service.
#[derive(Debug)]
pub struct Why {
    /// What every cluster has of it, in the order of [`Index::clusters`].
    pub views: Vec<View>,
    /// What its ports speak together; `None` when no cluster's service counts.
    pub class: Option<Class>,
    /// The answer that the policy gives services that only peers have, and who says so.
    pub answer: (RemoteAnswer, Scope),
    /// Whether it may become remote once it was local, and who says so.
    pub failover: (bool, Scope),
    /// Whether a local service without a ready endpoint is answered from peers, and who says so.
    pub failover_when_empty: (bool, Scope),
    /// Why a local service without a ready endpoint is answered with its own address all the same, if it is.
    pub stays: Option<Stays>,
    /// Of a name of the cluster set, what the local cluster itself says of it.
    pub import: Option<Arc<ServiceImport>>,
}

/// One cluster's part.
#[derive(Debug)]
pub struct View {
    /// The service as the cluster has it.
    pub service: Option<Arc<Service>>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether the cluster is on the local one's network.
    pub same_network: bool,
}

/// What becomes of one cluster's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The cluster was never read.
    Unread,
    /// The cluster has no such service.
    Absent,
    /// It is local, and so the only one that counts; in the cluster set beside those of others, if it is headless.
    Local,
    /// It is local and does not count: it has no ready endpoint, and the policy gives what peers have then.
    GaveWay,
    /// It does not count, because the local cluster has a service of this name.
    Behind,
    /// It does not count, because the local cluster itself says what the name stands for in the cluster set.
    BehindImport,
    /// It does not count yet, because nobody knows what the local cluster has.
    LocalUnread,
    /// It does not count for what it is.
    LeftOut(LeftOut),
    /// It does not count any more: the service was local once, and the policy keeps it there.
    KeptLocal,
    /// It counts.
    Counts {
        /// Whose addresses it gives.
        give: Give,
        /// Why.
        because: Because,
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// How many of its addresses are not given because they are local ones here.
        overlaps: usize,
    },
}

impl Index {
    /// Why a service is answered as it is.
    pub fn why(&self, namespace: &str, name: &str) -> Why {
        let rules = Rules::new(&self.settings, &self.context);
        let inputs = inputs_of(&self.clusters, namespace);
        let parts = rules.clusters_of(name, &inputs);
        let remotes = rules.remotes(&parts);
        let reached = rules.reach(&inputs);
        let asked = rules.asked(namespace, name);
        // What all give together: only what is nearest.
        let given = find(&remotes, &asked).addresses;
        let class = Class::of(parts.iter().map(|(_, service)| &***service));
        let kept = self
            .once_local
            .iter()
            .any(|(of, service)| **of == *namespace && **service == *name);
        let local = self.context.local;
        let local_has_it = local.is_some_and(|at| service(&inputs, at, name).is_some());
        let fate = |at: usize, cluster: &Cluster, peer: &Peer, service: &Arc<Service>| {
            if let Some(why) = (!cluster.local)
                .then(|| rules.left_out(peer, service, reached))
                .flatten()
            {
                return Fate::LeftOut(why);
            }
            let part = parts.iter().position(|(counted, _)| *counted == at);
            match part.and_then(|part| remotes.get(part)) {
                Some(_) if cluster.local => Fate::Local,
                Some(_) if kept => Fate::KeptLocal,
                Some(remote) => counts(remote, class, &asked, &given),
                None if cluster.local && local_has_it => Fate::GaveWay,
                None if local_has_it => Fate::Behind,
                None => Fate::LocalUnread,
            }
        };
        Why {
            views: self.views(name, &inputs, fate),
            class: (!parts.is_empty()).then_some(class),
            answer: self.settings.remote.answer(namespace, name),
            failover: self.settings.remote.failover(namespace, name),
            failover_when_empty: self.settings.remote.failover_when_empty(namespace, name),
            stays: rules.stays(name, &inputs),
            import: None,
        }
    }

    /// Why a service below the domain of peers that have their own is answered as it is.
    pub fn why_in_domain(&self, domain: usize, namespace: &str, name: &str) -> Why {
        let rules = Rules::new(&self.settings, &self.context);
        let inputs = inputs_of(&self.clusters, namespace);
        let parts = rules.clusters_of_domain(domain, name, &inputs);
        let remotes = rules.remotes(&parts);
        let reached = rules.reach(&inputs);
        let asked = rules.asked(namespace, name);
        let given = find(&remotes, &asked).addresses;
        let class = Class::of(parts.iter().map(|(_, service)| &***service));
        let fate = |at: usize, _: &Cluster, peer: &Peer, service: &Arc<Service>| {
            if let Some(why) = rules.left_out_of_domain(domain, peer, service, reached) {
                return Fate::LeftOut(why);
            }
            let part = parts.iter().position(|(counted, _)| *counted == at);
            match part.and_then(|part| remotes.get(part)) {
                Some(remote) => counts(remote, class, &asked, &given),
                None => Fate::LocalUnread,
            }
        };
        Why {
            views: self.views(name, &inputs, fate),
            class: (!parts.is_empty()).then_some(class),
            answer: self.settings.remote.answer(namespace, name),
            failover: (true, Scope::Default),
            failover_when_empty: (false, Scope::Default),
            stays: None,
            import: None,
        }
    }

    /// What each cluster has of a service, and what becomes of it: `fate` says so where there is something.
    pub(super) fn views(
        &self,
        name: &str,
        inputs: &Inputs,
        fate: impl Fn(usize, &Cluster, &Peer, &Arc<Service>) -> Fate,
    ) -> Vec<View> {
        let clusters = self.clusters.iter().enumerate();
        let view = |(at, cluster): (usize, &Cluster)| {
            let service = service(inputs, at, name);
            let peer = self.context.peers.get(at);
            View {
                service: service.cloned(),
                fate: match (peer, service) {
                    (Some(peer), Some(service)) => fate(at, cluster, peer, service),
                    (Some(_), None) if cluster.catalog.is_none() => Fate::Unread,
                    _ => Fate::Absent,
                },
                same_network: peer.is_some_and(|peer| peer.same_network),
            }
        };
        clusters.map(view).collect()
    }
}

/// A peer's part, where all together give these addresses.
pub(super) fn counts(
    remote: &Remote<'_>,
    class: Class,
    asked: &Asked<'_>,
    given: &[IpAddr],
) -> Fate {
    let mut found = Found::default();
    let (give, mut because) = found.add(remote, class, asked);
    let mut found = found.finish();
    if !found.addresses.is_empty() {
        found.addresses.retain(|address| given.contains(address));
        if found.addresses.is_empty() {
            because = Because::Farther;
        }
    }
    let pods = found.endpoints.iter().filter(|endpoint| endpoint.ready);
    let pods = pods.map(|endpoint| endpoint.address);
    Fate::Counts {
        give,
        because,
        addresses: pods.chain(found.addresses.iter().copied()).collect(),
        overlaps: found.overlaps,
    }
}
