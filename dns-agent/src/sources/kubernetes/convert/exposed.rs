//! From Kubernetes' objects to where a cluster can be entered from outside: its services, nodes and Gateway objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::warn;

use super::super::objects;
use crate::{
    catalog::{Gateway, GatewayHost, Locality},
    sources::file::GATEWAY_PORT,
};

/// Where gateways of ambient meshes listen.
const HBONE_PORT: u16 = 15008;
/// What the listeners for it have as their protocol.
const HBONE: &str = "HBONE";

/// How a service can be reached from outside its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Exposed {
    /// If it is an east-west gateway: the network whose traffic it takes, and the port for it.
    pub(in super::super) gateway: Option<(Arc<str>, u16)>,
    /// Where in the world it is, if its labels say so.
    pub(in super::super) locality: Option<Locality>,
    /// Its own places.
    pub(in super::super) hosts: Vec<GatewayHost>,
    /// The port there for each of the service's that is another there.
    pub(in super::super) ports: BTreeMap<u16, u16>,
    /// Without places of its own: the labels of the nodes that it is reached at, if it says which; none are those of every
    /// node.
    pub(in super::super) nodes: Option<BTreeMap<String, String>>,
}

/// How a service can be reached from outside its cluster, if it can. A service at nodes that has external addresses is at
/// these, and there too at the nodes' ports, as in Istio (`kube/conversion.go` and `controller/network.go`).
pub(super) fn of_service(object: &objects::Service) -> Option<Exposed> {
    let hosts = hosts(object);
    let annotation = node_selector(object);
    let nodes = annotation.filter(|_| hosts.is_empty());
    (!hosts.is_empty() || nodes.is_some()).then(|| Exposed {
        gateway: gateway(object),
        locality: locality(&object.metadata.labels),
        hosts,
        ports: annotation.map(|_| node_ports(object)).unwrap_or_default(),
        nodes: nodes.map(|written| selector(object, written)),
    })
}

/// The address of a load balancer goes before its name, as in Istio (`kube/conversion.go`).
fn hosts(object: &objects::Service) -> Vec<GatewayHost> {
    let ingress = &object.status.load_balancer.ingress;
    let ingress = ingress.iter().filter_map(|at| {
        at.ip
            .as_ref()
            .filter(|ip| !ip.is_empty())
            .or(at.hostname.as_ref())
    });
    let mut found: Vec<GatewayHost> = ingress
        .chain(&object.spec.external_ips)
        .filter_map(|text| GatewayHost::parse(text))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A service is a gateway by its label and by the port of mTLS passthrough, if it has that port (Istio,
/// `controller/network.go`).
fn gateway(object: &objects::Service) -> Option<(Arc<str>, u16)> {
    let labels = &object.metadata.labels;
    let network = labels.network.as_deref().filter(|name| !name.is_empty())?;
    let has = |number: u16| object.spec.ports.iter().any(|port| port.port == number);
    let port = given_port(labels).unwrap_or(GATEWAY_PORT);
    has(port).then(|| (network.into(), port))
}

/// A service that has a network's label, and the port of HBONE instead of the one for passthrough (Istio, `controller/network.go`,
/// getGatewayDetails): a gateway of an ambient mesh.
pub(in super::super) fn is_only_for_hbone(object: &objects::Service) -> bool {
    let labels = &object.metadata.labels;
    let labelled = labels
        .network
        .as_deref()
        .is_some_and(|name| !name.is_empty());
    let has = |number: u16| object.spec.ports.iter().any(|port| port.port == number);
    labelled && has(HBONE_PORT) && gateway(object).is_none()
}

fn locality(labels: &objects::Labels) -> Option<Locality> {
    Locality::of(labels.region.as_deref(), labels.zone.as_deref())
}

fn given_port(labels: &objects::Labels) -> Option<u16> {
    let given = labels.gateway_port.as_deref();
    given
        .and_then(|port| port.parse().ok())
        .filter(|port| *port > 0)
}

/// What chooses the nodes of a service that is reached at them. Without it a node port is nobody's gateway.
fn node_selector(object: &objects::Service) -> Option<&str> {
    let at_nodes = object.spec.r#type.as_deref() == Some("NodePort");
    let written = object.metadata.annotations.node_selector.as_deref();
    written.filter(|_| at_nodes)
}

/// What cannot be read chooses every node, as in Istio (`controller/util.go`, getNodeSelectorsForService).
fn selector(object: &objects::Service, written: &str) -> BTreeMap<String, String> {
    match written {
        "" => BTreeMap::new(),
        text => serde_json::from_str(text).unwrap_or_else(|error| {
            let objects::Metadata {
                namespace, name, ..
            } = &object.metadata;
            warn!(
                namespace,
                name,
                %error,
                "the annotation traffic.istio.io/nodeSelector is no map of labels: every node counts, as in Istio"
            );
            BTreeMap::new()
        }),
    }
}

fn node_ports(object: &objects::Service) -> BTreeMap<u16, u16> {
    let ports = object.spec.ports.iter();
    let ports = ports.filter_map(|port| Some((port.port, port.node_port.filter(|to| *to > 0)?)));
    ports.collect()
}

/// Where traffic from other networks enters by a Gateway object: at each of its addresses, at each port whose TLS is
/// passed on. `local`: in the cluster that the agent serves, whose objects may stand in for gateways that no API server
/// of ours knows. Source: Istio, `controller/network.go`, handleGatewayResource, and `kube/conversion.go`,
/// IsAutoPassthrough.
pub(in super::super) fn gateways(object: &objects::GatewayObject, local: bool) -> Vec<Gateway> {
    let objects::GatewayObject {
        metadata,
        spec,
        status,
    } = object;
    let labels = &metadata.labels;
    let network = labels.network.as_deref().filter(|name| !name.is_empty());
    let Some(network) = network else {
        return Vec::new();
    };
    if spec.gateway_class_name == "istio-remote" && !local {
        return Vec::new();
    }
    let network: Arc<str> = network.into();
    let given = places(&spec.addresses);
    // What the controller allotted; names in the cluster itself lead nobody there from outside.
    let hosts = if given.is_empty() {
        places(&status.addresses)
            .into_iter()
            .filter(|host| !host.to_string().contains(".svc."))
            .collect()
    } else {
        given
    };
    let passthrough = given_port(labels).unwrap_or(GATEWAY_PORT);
    let listeners = spec
        .listeners
        .iter()
        .filter(|listener| is_passed_on(listener, passthrough));
    let ports = listeners.map(|listener| listener.port);
    let ports: BTreeSet<u16> = ports.filter(|port| *port > 0).collect();
    let at = |port: u16| {
        let network = Arc::clone(&network);
        hosts.iter().map(move |host| Gateway {
            network: Some(Arc::clone(&network)),
            host: host.clone(),
            port,
            locality: locality(labels),
        })
    };
    ports.into_iter().flat_map(at).collect()
}

/// A Gateway object that has a network's label and listeners for HBONE, and none that passes TLS on.
pub(in super::super) fn is_object_only_for_hbone(object: &objects::GatewayObject) -> bool {
    let labels = &object.metadata.labels;
    let labelled = labels
        .network
        .as_deref()
        .is_some_and(|name| !name.is_empty());
    let listeners = &object.spec.listeners;
    let passthrough = given_port(labels).unwrap_or(GATEWAY_PORT);
    let passes_on = |listener: &objects::Listener| is_passed_on(listener, passthrough);
    labelled && listeners.iter().any(|of| of.protocol == HBONE) && !listeners.iter().any(passes_on)
}

fn is_passed_on(listener: &objects::Listener, passthrough: u16) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| tls.options.protocol.as_deref() == Some("auto-passthrough"))
        || tls.is_some() && listener.port == passthrough
}

fn places(addresses: &[objects::GatewayAddress]) -> Vec<GatewayHost> {
    let known = addresses.iter().filter(|address| {
        matches!(
            address.r#type.as_deref(),
            None | Some("IPAddress" | "Hostname")
        )
    });
    let hosts = known.filter_map(|address| GatewayHost::parse(&address.value));
    hosts.collect()
}

/// Where a node can be reached from outside its cluster, as Istio picks it (`controller/controller.go`, onNodeEvent).
pub(in super::super) fn node_address(node: &objects::Node) -> Option<GatewayHost> {
    let addresses = node.status.addresses.iter();
    let mut external = addresses.filter(|at| at.r#type == "ExternalIP" && !at.address.is_empty());
    GatewayHost::parse(&external.next()?.address)
}
