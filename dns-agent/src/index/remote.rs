//! How services that only peers have are answered: the policy, and what it gives for one service.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{Families, Origin};
use crate::{
    address_range::AddressRange,
    catalog::{Class, Endpoint, Kind, Service},
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
}

impl RemotePolicy {
    /// The answer for a service.
    pub fn answer(&self, namespace: &str, name: &str) -> RemoteAnswer {
        let answer = self.first(namespace, name, |rule| rule.answer);
        answer.unwrap_or_default()
    }

    /// Whether a service that was local once may become remote.
    pub fn failover(&self, namespace: &str, name: &str) -> bool {
        let failover = self.first(namespace, name, |rule| rule.failover);
        failover.unwrap_or(true)
    }

    fn first<T>(
        &self,
        namespace: &str,
        name: &str,
        part: impl Fn(&RemoteRule) -> Option<T>,
    ) -> Option<T> {
        let service = || {
            if self.services.is_empty() {
                return None;
            }
            self.services.get(&(namespace.to_owned(), name.to_owned()))
        };
        service()
            .and_then(&part)
            .or_else(|| self.namespaces.get(namespace).and_then(&part))
            .or_else(|| part(&self.everywhere))
    }
}

/// One peer's part in a service that the local cluster does not have.
pub(super) struct Remote<'c> {
    pub(super) service: &'c Service,
    /// Those that can be used now.
    pub(super) gateways: &'c [SocketAddr],
    /// Its own addresses can be reached from here.
    pub(super) same_network: bool,
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
}

/// Whose addresses one peer gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Give {
    Gateway,
    Own,
}

/// Applies the policy. HTTP goes to gateways, because a sidecar routes it by host; for anything else the sidecar listens
/// on the service's own address there and on nothing else.
pub(super) fn find(
    answer: RemoteAnswer,
    remotes: &[Remote<'_>],
    families: Families,
    local_ranges: &[AddressRange],
) -> Found {
    let class = Class::of(remotes.iter().map(|remote| remote.service));
    let mut found = Found {
        origin: Origin::ClusterIp,
        addresses: Vec::new(),
        gateway_ports: BTreeSet::new(),
        only_gateways: true,
        endpoints: Vec::new(),
        overlaps: 0,
    };
    for remote in remotes {
        let give = match answer {
            RemoteAnswer::NoData | RemoteAnswer::Upstream => continue,
            RemoteAnswer::Gateway => Give::Gateway,
            RemoteAnswer::ClusterIp => Give::Own,
            RemoteAnswer::Auto if remote.same_network => Give::Own,
            RemoteAnswer::Auto if class == Class::Http => Give::Gateway,
            RemoteAnswer::Auto => Give::Own,
        };
        if give == Give::Gateway {
            found.add_gateways(remote, families, local_ranges);
            continue;
        }
        match &remote.service.kind {
            Kind::ClusterIp(addresses) => {
                let refused = found.add_own(addresses, families, local_ranges);
                let rescue = refused
                    && answer == RemoteAnswer::Auto
                    && class != Class::Tcp
                    && !remote.same_network;
                if rescue {
                    found.add_gateways(remote, families, local_ranges);
                }
            }
            // Pods' addresses mean nothing on another network.
            Kind::Headless(pods) if remote.same_network => {
                let usable = pods.iter().filter(|pod| families.has(pod.address));
                found.endpoints.extend(usable.cloned());
            }
            Kind::Headless(_) | Kind::ExternalName => {}
        }
    }
    found
}

impl Found {
    /// Whether any was refused for being a local address here.
    fn add_own(
        &mut self,
        addresses: &[IpAddr],
        families: Families,
        local_ranges: &[AddressRange],
    ) -> bool {
        let before = self.overlaps;
        for address in addresses.iter().filter(|address| families.has(**address)) {
            if is_local(*address, local_ranges) {
                self.overlaps += 1;
            } else {
                self.addresses.push(*address);
                self.only_gateways = false;
            }
        }
        self.overlaps > before
    }

    fn add_gateways(
        &mut self,
        remote: &Remote<'_>,
        families: Families,
        local_ranges: &[AddressRange],
    ) {
        self.origin = Origin::Gateway;
        for gateway in remote.gateways {
            if !families.has(gateway.ip()) {
                continue;
            }
            if is_local(gateway.ip(), local_ranges) {
                self.overlaps += 1;
                continue;
            }
            self.addresses.push(gateway.ip());
            self.gateway_ports.insert(gateway.port());
        }
    }
}

fn is_local(address: IpAddr, ranges: &[AddressRange]) -> bool {
    ranges.iter().any(|range| range.contains(address))
}
