//! Which clusters' services count for a name, and what is asked of peers: for whoever builds the index, and for whoever
//! explains it.

use std::sync::Arc;

use super::{
    ClusterLocal, Context, Families, Inputs, RemoteAnswer, Settings,
    context::Peer,
    remote::{Asked, Found, Give, Remote, find},
};
use crate::catalog::{Class, Kind, Namespace, Port, Protocol, Service};

/// What decides besides the services themselves.
pub(super) struct Rules<'b> {
    pub(super) settings: &'b Settings,
    pub(super) context: &'b Context,
}

/// Services of one name that count, each with the place of its cluster.
pub(super) type Counted<'i> = Vec<(usize, &'i Arc<Service>)>;

/// Why a peer's service does not count for its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The peer keeps it to itself.
    NotExported,
    /// Its cluster does not give it to the cluster set; of names of that.
    NotInSet,
    /// It stands for another name, which is relative to the peer.
    ExternalName,
    /// What may be taken from this peer does not name it.
    NotImported,
    /// It never comes from a peer.
    ClusterLocal,
    /// That may be so: the mesh configuration that would say it could not be read yet.
    MeshUnread,
    /// Its cluster's names are below another domain.
    OtherDomain,
    /// Its namespace is answered from no peer: the label of the local one says so, or is missing where it is needed.
    NotLabelled,
}

/// Why a local service without a ready endpoint is answered with its own address all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// The policy does not have peers stand in for it (`failoverWhenEmpty`).
    NotAsked,
    /// The policy keeps it (`failover: false`).
    KeptLocal,
    /// No peer has a service of this name that counts.
    NoPeer,
    /// None is ready in the peers either.
    EmptyToo,
    /// Not every port speaks HTTP, and no peer on our own network gives its own address.
    NotAsGood,
    /// A port of it is in no peer.
    LacksPort,
    /// What the peers have gives no address.
    NoAddress,
}

impl<'b> Rules<'b> {
    pub(super) fn new(settings: &'b Settings, context: &'b Context) -> Self {
        Self { settings, context }
    }

    /// What the local cluster has of a namespace.
    pub(super) fn here<'i>(&self, inputs: &'i Inputs) -> Option<&'i Arc<Namespace>> {
        inputs.get(self.context.local?)?.as_ref()
    }

    /// Whether a namespace may be answered from peers.
    pub(super) fn reach(&self, inputs: &Inputs) -> bool {
        let here = self.here(inputs).map(|here| &**here);
        self.settings.remote.reaches(here)
    }

    /// The clusters whose services count for a name: the local one alone where it has it.
    pub(super) fn clusters_of<'i>(&self, name: &str, inputs: &'i Inputs) -> Counted<'i> {
        let Some(local) = self.context.local else {
            return Vec::new();
        };
        match service(inputs, local, name) {
            None => self.peers_that_count(name, inputs),
            Some(here) => match self.stand_ins(here, inputs) {
                Some(Ok(peers)) => peers,
                _ => vec![(local, here)],
            },
        }
    }

    /// Why a service that the local cluster has stays there although it has no ready endpoint, if that is so.
    pub(super) fn stays(&self, name: &str, inputs: &Inputs) -> Option<Stays> {
        let here = service(inputs, self.context.local?, name)?;
        self.stand_ins(here, inputs)?.err()
    }

    fn peers_that_count<'i>(&self, name: &str, inputs: &'i Inputs) -> Counted<'i> {
        let reached = self.reach(inputs);
        let counts =
            |peer: &Peer, service: &Service| self.left_out(peer, service, reached).is_none();
        self.peers_with(name, inputs, counts).collect()
    }

    /// The peers that a service which the local cluster has is answered from, because it has no ready endpoint here, or why
    /// from none; `None`: it has one, or is of a kind that never gives way.
    fn stand_ins<'i>(
        &self,
        here: &Service,
        inputs: &'i Inputs,
    ) -> Option<Result<Counted<'i>, Stays>> {
        let Service {
            namespace,
            name,
            kind,
            is_empty,
            ..
        } = here;
        if !is_empty || !matches!(kind, Kind::ClusterIp(_)) {
            return None;
        }
        let policy = &self.settings.remote;
        if !policy.failover_when_empty(namespace, name).0 {
            return Some(Err(Stays::NotAsked));
        }
        if !policy.failover(namespace, name).0 {
            return Some(Err(Stays::KeptLocal));
        }
        let mut peers = self.peers_that_count(name, inputs);
        if peers.is_empty() {
            return Some(Err(Stays::NoPeer));
        }
        // Of a peer that is read from a file that is known.
        peers.retain(|(_, service)| !service.is_empty);
        if peers.is_empty() {
            return Some(Err(Stays::EmptyToo));
        }
        let peers = self.as_good(here, peers);
        Some(if peers.is_empty() {
            Err(Stays::NotAsGood)
        } else if !have_its_ports(here, &peers) {
            Err(Stays::LacksPort)
        } else if !self.give_an_address(&peers) {
            Err(Stays::NoAddress)
        } else {
            Ok(peers)
        })
    }

    /// Those of the peers whose addresses are as good as the one here. As long as the service is here, a sidecar listens on its
    /// address here and, for all that is not HTTP, on no peer's: what only carries traffic where it does leads nowhere.
    fn as_good<'i>(&self, here: &Service, mut peers: Counted<'i>) -> Counted<'i> {
        let services = peers.iter().map(|(_, service)| &***service);
        let class = Class::of(services.chain([here]));
        let asked = self.asked(&here.namespace, &here.name);
        let gives_own = |(at, service): &(usize, &'i Arc<Service>)| {
            let peer = self.context.peers.get(*at);
            let part = peer.map(|peer| peer.part(service));
            part.is_some_and(|part| {
                let (give, _) = Found::default().add(&part, class, &asked);
                part.has_near() && give == Give::Own
            })
        };
        if asked.answer == RemoteAnswer::Auto && class != Class::Http {
            peers.retain(gives_own);
        }
        peers
    }

    /// Whether anything can be reached by what these peers give together: otherwise the local address is no worse.
    fn give_an_address(&self, peers: &[(usize, &Arc<Service>)]) -> bool {
        let Some((_, first)) = peers.first() else {
            return false;
        };
        let asked = self.asked(&first.namespace, &first.name);
        let found = find(&self.remotes(peers), &asked);
        !found.addresses.is_empty() || found.endpoints.iter().any(|endpoint| endpoint.ready)
    }

    /// The clusters that give a service to the cluster set.
    pub(super) fn exporters_of<'i>(&self, name: &str, inputs: &'i Inputs) -> Counted<'i> {
        let Some(local) = self.context.local else {
            return Vec::new();
        };
        let here = service(inputs, local, name);
        let reached = self.reach(inputs);
        let counts =
            |peer: &Peer, service: &Service| self.left_out_of_set(peer, service, reached).is_none();
        let of_local = self.context.peers.get(local);
        let here = here.filter(|here| of_local.is_some_and(|of| counts(of, here)));
        let peers = self.peers_with(name, inputs, counts);
        here.map(|here| (local, here))
            .into_iter()
            .chain(peers)
            .collect()
    }

    /// The peers that have a service which counts.
    pub(super) fn peers_with<'i>(
        &self,
        name: &str,
        inputs: &'i Inputs,
        counts: impl Fn(&Peer, &Service) -> bool,
    ) -> impl Iterator<Item = (usize, &'i Arc<Service>)> {
        let peers = self.context.peers.iter().enumerate();
        let peers = peers.filter(|(_, peer)| !peer.local);
        peers.filter_map(move |(at, peer)| {
            let service = service(inputs, at, name)?;
            counts(peer, service).then_some((at, service))
        })
    }

    /// Why a peer's service does not count; `None`: it does, where the local cluster has none of its name. `reached` says
    /// whether the namespace may be answered from peers.
    pub(super) fn left_out(
        &self,
        peer: &Peer,
        service: &Service,
        reached: bool,
    ) -> Option<LeftOut> {
        if peer.domain.is_some() {
            return Some(LeftOut::OtherDomain);
        }
        left_out_by(&self.context.cluster_local, peer, service, reached)
    }

    /// Why a cluster's service has no name below the domain at `domain` of those that are peers' own; `None`: it has. Which
    /// names are cluster-local by configuration says nothing of them: they are no names of this cluster.
    pub(super) fn left_out_of_domain(
        &self,
        domain: usize,
        peer: &Peer,
        service: &Service,
        reached: bool,
    ) -> Option<LeftOut> {
        if peer.domain != Some(domain) {
            return Some(LeftOut::OtherDomain);
        }
        left_out_by(&self.context.always_local, peer, service, reached)
    }

    /// The peers whose services have a name below such a domain.
    pub(super) fn clusters_of_domain<'i>(
        &self,
        domain: usize,
        name: &str,
        inputs: &'i Inputs,
    ) -> Counted<'i> {
        if self.context.local.is_none() {
            return Vec::new();
        }
        let reached = self.reach(inputs);
        let counts = |peer: &Peer, service: &Service| {
            let left_out = self.left_out_of_domain(domain, peer, service, reached);
            left_out.is_none()
        };
        self.peers_with(name, inputs, counts).collect()
    }

    /// Why a cluster's service is not given to the cluster set; `None`: it is. Which names are cluster-local by configuration
    /// says nothing of them: who exports a service means it.
    pub(super) fn left_out_of_set(
        &self,
        peer: &Peer,
        service: &Service,
        reached: bool,
    ) -> Option<LeftOut> {
        if !service.in_cluster_set {
            Some(LeftOut::NotInSet)
        } else if peer.local {
            (service.kind == Kind::ExternalName).then_some(LeftOut::ExternalName)
        } else {
            left_out_by(&self.context.always_local, peer, service, reached)
        }
    }

    /// The parts that peers have in a service.
    pub(super) fn remotes<'s>(&'s self, parts: &[(usize, &'s Arc<Service>)]) -> Vec<Remote<'s>> {
        let parts = parts.iter().filter_map(|(at, service)| {
            let peer = self.context.peers.get(*at)?;
            Some(peer.part(service))
        });
        parts.collect()
    }

    /// What is asked of the peers that have a service.
    pub(super) fn asked(&self, namespace: &str, name: &str) -> Asked<'_> {
        Asked {
            answer: self.settings.remote.answer(namespace, name).0,
            families: self.context.families.unwrap_or(Families::BOTH),
            local_ranges: &self.context.local_ranges,
            even_unhealthy: false,
        }
    }
}

pub(super) fn service<'i>(inputs: &'i Inputs, at: usize, name: &str) -> Option<&'i Arc<Service>> {
    let namespace = inputs.get(at).and_then(Option::as_deref)?;
    namespace.services().get(name)
}

/// Whether these have together all ports of a service: of one that they lack its SRV name would be no name any more.
fn have_its_ports(here: &Service, peers: &[(usize, &Arc<Service>)]) -> bool {
    let same = |one: &Port, other: &Port| {
        let is_udp = |port: &Port| port.protocol == Protocol::Udp;
        one.name == other.name && one.number == other.number && is_udp(one) == is_udp(other)
    };
    here.ports.iter().all(|port| {
        let mut others = peers.iter().flat_map(|(_, service)| &service.ports);
        others.any(|other| same(port, other))
    })
}

fn left_out_by(
    cluster_local: &ClusterLocal,
    peer: &Peer,
    service: &Service,
    reached: bool,
) -> Option<LeftOut> {
    let Service {
        namespace, name, ..
    } = service;
    if !service.exported {
        Some(LeftOut::NotExported)
    } else if service.kind == Kind::ExternalName {
        Some(LeftOut::ExternalName)
    } else if !peer.import.allows(namespace, name) {
        Some(LeftOut::NotImported)
    } else if cluster_local.contains(namespace, name) {
        Some(LeftOut::ClusterLocal)
    } else if !reached {
        Some(LeftOut::NotLabelled)
    } else if cluster_local.incomplete {
        // The last, because it alone will pass.
        Some(LeftOut::MeshUnread)
    } else {
        None
    }
}
