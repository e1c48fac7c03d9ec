//! How services that only peers have are answered: the policy, and what it gives for one service.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Families, Origin, context::ByAddress};
use crate::{
    address_range::AddressRange,
    catalog::{Class, Endpoint, Kind, Namespace, Service},
    gateway::Way,
};

/// The answer for a service that only peers have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteAnswer {
    /// What carries the service's traffic: gateways for HTTP, its own addresses otherwise and on our own network.
    #[default]
    Auto,
    /// Always the gateways'.
    Gateway,
    /// Always its own addresses.
    ClusterIp,
    /// It exists, without addresses.
    NoData,
    /// Whatever the cluster's own DNS says.
    Upstream,
}

/// What differs for a namespace or a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteRule {
    /// The answer; `None`: as outside.
    pub answer: Option<RemoteAnswer>,
    /// Whether a service that was local once may become remote; `None`: as outside.
    pub failover: Option<bool>,
    /// Whether a local service without a ready endpoint is answered as if it were not local; `None`: as outside.
    pub failover_when_empty: Option<bool>,
}

/// The answers by namespace and service. A service's rule goes before its namespace's, that before the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePolicy {
    /// For all that nothing else is said of.
    pub everywhere: RemoteRule,
    /// By namespace.
    pub namespaces: HashMap<String, RemoteRule>,
    /// By (namespace, name).
    pub services: HashMap<(String, String), RemoteRule>,
    /// Whether a namespace is answered from peers only if its label says so.
    pub labelled_only: bool,
    /// Whether peers' services count only if a label says that they are given to other clusters.
    pub only_exported: bool,
}

/// The services that a rule may concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    Everything,
    /// Those of these namespaces.
    Namespaces(BTreeSet<Arc<str>>),
}

/// Which part of the policy says something of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A rule for this service.
    Service,
    /// A rule for its namespace.
    Namespace,
    /// What is said for all.
    Everywhere,
    /// None: what goes without saying.
    Default,
}

impl RemotePolicy {
    /// The answer for a service, and who says so.
    pub fn answer(&self, namespace: &str, name: &str) -> (RemoteAnswer, Scope) {
        self.first(namespace, name, RemoteAnswer::Auto, |rule| rule.answer)
    }

    /// Whether a service that was local once may become remote, and who says so.
    pub fn failover(&self, namespace: &str, name: &str) -> (bool, Scope) {
        self.first(namespace, name, true, |rule| rule.failover)
    }

    /// Whether a local service without a ready endpoint is answered from peers, and who says so.
    pub fn failover_when_empty(&self, namespace: &str, name: &str) -> (bool, Scope) {
        self.first(namespace, name, false, |rule| rule.failover_when_empty)
    }

    /// Of which services it matters whether they have a ready endpoint; `None`: of none.
    pub fn reach_when_empty(&self) -> Option<Reach> {
        let wants = |rule: &RemoteRule| rule.failover_when_empty == Some(true);
        if wants(&self.everywhere) {
            return Some(Reach::Everything);
        }
        let namespaces = self.namespaces.iter();
        let services = self.services.iter().map(|((of, _), rule)| (of, rule));
        let all: BTreeSet<Arc<str>> = namespaces
            .chain(services)
            .filter(|(_, rule)| wants(rule))
            .map(|(of, _)| of.as_str().into())
            .collect();
        (!all.is_empty()).then_some(Reach::Namespaces(all))
    }

    /// Whether names of a namespace, as the local cluster has it, may be answered from peers. Its label says so, either
    /// way; one without the label is as the configuration says.
    pub fn reaches(&self, here: Option<&Namespace>) -> bool {
        let said = here.and_then(Namespace::remote);
        said.unwrap_or(!self.labelled_only)
    }

    fn first<T>(
        &self,
        namespace: &str,
        name: &str,
        otherwise: T,
        part: impl Fn(&RemoteRule) -> Option<T>,
    ) -> (T, Scope) {
        let service = || {
            if self.services.is_empty() {
                return None;
            }
            self.services.get(&(namespace.to_owned(), name.to_owned()))
        };
        let of = |rule: Option<&RemoteRule>, scope| Some((rule.and_then(&part)?, scope));
        of(service(), Scope::Service)
            .or_else(|| of(self.namespaces.get(namespace), Scope::Namespace))
            .or_else(|| of(Some(&self.everywhere), Scope::Everywhere))
            .unwrap_or((otherwise, Scope::Default))
    }
}

/// One peer's part in a service.
#[derive(Clone, Copy)]
pub(super) struct Remote<'c> {
    pub(super) service: &'c Service,
    pub(super) gateways: &'c [Way],
    /// Its own addresses can be reached from here.
    pub(super) same_network: bool,
    /// Or those of single endpoints.
    pub(super) by_address: Option<&'c ByAddress>,
    /// How far it is from the node.
    pub(super) distance: u8,
}

impl Remote<'_> {
    /// Whether an endpoint's own address can be reached from here.
    fn is_near(&self, endpoint: &Endpoint) -> bool {
        let by_address = self.by_address;
        self.same_network || by_address.is_some_and(|of| of.is_near(endpoint.address))
    }

    /// Whether the service's own addresses can be reached from here, or any of its endpoints.
    pub(super) fn has_near(&self) -> bool {
        match &self.service.kind {
            Kind::Headless(pods) => pods.iter().any(|pod| self.is_near(pod)) || self.same_network,
            Kind::ClusterIp(_) | Kind::ExternalName => self.same_network,
        }
    }
}

/// What a remote service is answered with.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) origin: Origin,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) gateway_ports: BTreeSet<u16>,
    /// No address is a service's own.
    pub(super) only_gateways: bool,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) overlaps: usize,
    /// The services' own addresses so far, with their clusters' distances.
    own: Vec<(u8, IpAddr)>,
    /// The gateways so far, with their distances.
    gateways: Vec<(u8, SocketAddr)>,
}

/// Whose addresses one peer gives for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    /// Nobody's.
    Nothing,
    /// Its gateways'.
    Gateways,
    /// The service's own there.
    Own,
}

/// Why a peer gives these addresses and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The policy names them.
    Policy,
    /// It is on our own network.
    SameNetwork,
    /// Every port speaks HTTP, which a sidecar routes by its host.
    OnlyHttp,
    /// Not every port does: a sidecar listens on the service's own address there and on nothing else.
    NotOnlyHttp,
    /// The service's own addresses are local ones here, and some ports speak HTTP.
    Overlap,
    /// It would give some, but those of others are nearer to the node.
    Farther,
}

/// What is asked of the peers.
#[derive(Clone, Copy)]
pub(super) struct Asked<'s> {
    pub(super) answer: RemoteAnswer,
    pub(super) families: Families,
    pub(super) local_ranges: &'s [AddressRange],
    /// Gateways that cannot be used are better than none: the client named the cluster itself.
    pub(super) even_unhealthy: bool,
}

/// Applies the policy to all peers.
pub(super) fn find(remotes: &[Remote<'_>], asked: &Asked<'_>) -> Found {
    let class = Class::of(remotes.iter().map(|remote| remote.service));
    let mut found = Found::default();
    for remote in remotes {
        found.add(remote, class, asked);
    }
    found.finish()
}

fn give(answer: RemoteAnswer, class: Class, same_network: bool) -> (Give, Because) {
    match answer {
        RemoteAnswer::NoData | RemoteAnswer::Upstream => (Give::Nothing, Because::Policy),
        RemoteAnswer::Gateway => (Give::Gateways, Because::Policy),
        RemoteAnswer::ClusterIp => (Give::Own, Because::Policy),
        RemoteAnswer::Auto if same_network => (Give::Own, Because::SameNetwork),
        RemoteAnswer::Auto if class == Class::Http => (Give::Gateways, Because::OnlyHttp),
        RemoteAnswer::Auto => (Give::Own, Because::NotOnlyHttp),
    }
}

impl Default for Found {
    fn default() -> Self {
        Self {
            origin: Origin::ClusterIp,
            addresses: Vec::new(),
            gateway_ports: BTreeSet::new(),
            only_gateways: true,
            endpoints: Vec::new(),
            overlaps: 0,
            own: Vec::new(),
            gateways: Vec::new(),
        }
    }
}

impl Found {
    /// Adds what one peer gives; `class` is that of the service in all peers. Tells what that is and why.
    pub(super) fn add(
        &mut self,
        remote: &Remote<'_>,
        class: Class,
        asked: &Asked<'_>,
    ) -> (Give, Because) {
        let answer = asked.answer;
        let (give, because) = give(answer, class, remote.has_near());
        match give {
            Give::Nothing => return (give, because),
            Give::Gateways => {
                self.add_gateways(remote, asked);
                return (give, because);
            }
            Give::Own => {}
        }
        let refused = match &remote.service.kind {
            Kind::ClusterIp(addresses) => self.add_own(remote.distance, addresses, asked),
            Kind::Headless(pods) => self.add_pods(remote, pods, asked),
            Kind::ExternalName => false,
        };
        // What has none has no other way than its own addresses on our network.
        let has_gateways = !remote.same_network || !remote.gateways.is_empty();
        let by_gateways = answer == RemoteAnswer::Auto && class != Class::Tcp && has_gateways;
        if refused && by_gateways {
            self.add_gateways(remote, asked);
            return (Give::Gateways, Because::Overlap);
        }
        (give, because)
    }

    /// Whether all were refused for being local addresses here: while there are others, those are the service's pods. Pods'
    /// addresses mean nothing on another network.
    fn add_pods(&mut self, remote: &Remote<'_>, pods: &[Endpoint], asked: &Asked<'_>) -> bool {
        let usable =
            |pod: &&Endpoint| pod.ready && remote.is_near(pod) && asked.families.has(pod.address);
        let before = (self.overlaps, self.endpoints.len());
        for pod in pods.iter().filter(usable) {
            if asked.is_local(pod.address) {
                self.overlaps += 1;
            } else {
                self.endpoints.push(pod.clone());
            }
        }
        self.overlaps > before.0 && self.endpoints.len() == before.1
    }

    /// Whether any was refused for being a local address here.
    fn add_own(&mut self, distance: u8, addresses: &[IpAddr], asked: &Asked<'_>) -> bool {
        let before = self.overlaps;
        let usable = |address: &&IpAddr| asked.families.has(**address);
        for address in addresses.iter().filter(usable) {
            if asked.is_local(*address) {
                self.overlaps += 1;
            } else {
                self.own.push((distance, *address));
                self.only_gateways = false;
            }
        }
        self.overlaps > before
    }

    fn add_gateways(&mut self, remote: &Remote<'_>, asked: &Asked<'_>) {
        self.origin = Origin::Gateway;
        let any_health = asked.even_unhealthy && remote.gateways.iter().all(|way| !way.healthy);
        let ways = remote.gateways.iter();
        for way in ways.filter(|way| way.healthy || any_health) {
            if !asked.families.has(way.address.ip()) {
                continue;
            }
            if asked.is_local(way.address.ip()) {
                self.overlaps += 1;
                continue;
            }
            self.gateways.push((way.distance, way.address));
        }
    }

    /// Of own addresses only those of the nearest clusters are given, and of gateways only the nearest; of each family those,
    /// as a client may have but one.
    pub(super) fn finish(mut self) -> Self {
        let own = nearest(&self.own, IpAddr::is_ipv4);
        self.addresses.extend(own);
        for address in nearest(&self.gateways, SocketAddr::is_ipv4) {
            self.addresses.push(address.ip());
            self.gateway_ports.insert(address.port());
        }
        self
    }
}

/// What is nearest, of each family.
fn nearest<T: Copy>(all: &[(u8, T)], is_v4: fn(&T) -> bool) -> Vec<T> {
    let of = |v4: bool| {
        let family = all.iter().filter(move |(_, address)| is_v4(address) == v4);
        let nearest = family.clone().map(|(distance, _)| *distance).min();
        let found = family.filter(move |(distance, _)| Some(*distance) == nearest);
        found.map(|(_, address)| *address)
    };
    of(true).chain(of(false)).collect()
}

impl Asked<'_> {
    fn is_local(&self, address: IpAddr) -> bool {
        let mut ranges = self.local_ranges.iter();
        ranges.any(|range| range.contains(address))
    }
}
