//! From a cluster's catalog to the message that is kept of it.

use std::{net::IpAddr, time::UNIX_EPOCH};

use crossmesh_proto::snapshot::v1 as kept;
use prost::Message as _;

use super::imports;
use crate::catalog::{
    Catalog, Cluster, Endpoint, Gateway, GatewayHost, Kind, Locality, MeshGateway, Port, Protocol,
    Service,
};

/// What is kept of a cluster, as bytes.
pub(super) fn encode(cluster: &Cluster, discovered: bool) -> Vec<u8> {
    let read_at = cluster.read_at.unwrap_or(UNIX_EPOCH);
    let since = read_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nothing = Catalog::default();
    let Catalog {
        network,
        namespaces,
        every_namespace,
        gateways,
        external,
        mesh_networks,
        cluster_local_hosts,
        // Such a catalog is not kept: it is not current.
        mesh_unread: _,
        node,
        service_ranges,
        // Nothing is answered by them.
        hbone_gateways: _,
    } = cluster.catalog.as_deref().unwrap_or(&nothing);
    let external = external
        .iter()
        .map(|((namespace, name), external)| kept::External {
            namespace: namespace.clone(),
            name: name.clone(),
            hosts: external.hosts.iter().map(host).collect(),
            ports: external.ports.iter().map(port_there).collect(),
        });
    let networks = mesh_networks.0.iter().map(|(name, network)| kept::Network {
        name: name.clone(),
        clusters: network.clusters.iter().cloned().collect(),
        ranges: network.ranges.iter().map(ToString::to_string).collect(),
        gateways: network.gateways.iter().map(mesh_gateway).collect(),
    });
    let message = kept::Cluster {
        id: cluster.id.to_string(),
        discovered,
        read_at_milliseconds: u64::try_from(since.as_millis()).unwrap_or_default(),
        network: network.clone(),
        namespaces: namespaces
            .iter()
            .map(|(name, namespace)| kept::Namespace {
                name: name.to_string(),
                services: namespace
                    .services()
                    .values()
                    .map(|of| service(of))
                    .collect(),
                remote: namespace.remote(),
                imports: namespace
                    .imports()
                    .values()
                    .map(|of| imports::encode(of))
                    .collect(),
            })
            .collect(),
        gateways: gateways.iter().map(gateway).collect(),
        external: external.collect(),
        mesh_networks: networks.collect(),
        every_namespace: *every_namespace,
        cluster_local_hosts: cluster_local_hosts
            .iter()
            .map(|(host, local)| kept::ClusterLocalHost {
                host: host.clone(),
                local: *local,
            })
            .collect(),
        node: node.as_ref().map(locality),
        service_ranges: service_ranges.iter().map(ToString::to_string).collect(),
    };
    message.encode_to_vec()
}

fn service(service: &Service) -> kept::Service {
    let Service {
        name,
        namespace: _,
        kind,
        ports,
        exported,
        in_cluster_set,
        // Of the moment.
        is_empty: _,
    } = service;
    use kept::service::Kind as K;
    kept::Service {
        name: name.to_string(),
        kind: Some(match kind {
            Kind::ClusterIp(addresses) => K::ClusterIp(kept::ClusterIp {
                addresses: addresses.iter().map(bytes).collect(),
            }),
            Kind::Headless(endpoints) => K::Headless(kept::Headless {
                endpoints: endpoints.iter().map(endpoint).collect(),
            }),
            Kind::ExternalName => K::ExternalName(kept::ExternalName {}),
        }),
        ports: ports.iter().map(port).collect(),
        exported: *exported,
        in_cluster_set: *in_cluster_set,
    }
}

pub(super) fn endpoint(endpoint: &Endpoint) -> kept::Endpoint {
    let Endpoint {
        address,
        hostname,
        ready,
    } = endpoint;
    kept::Endpoint {
        address: bytes(address),
        hostname: hostname.clone(),
        ready: *ready,
    }
}

pub(super) fn port(port: &Port) -> kept::Port {
    let Port {
        name,
        number,
        protocol,
    } = port;
    kept::Port {
        name: name.clone(),
        number: (*number).into(),
        protocol: match protocol {
            Protocol::Http => kept::Protocol::Http,
            Protocol::Tcp => kept::Protocol::Tcp,
            Protocol::Udp => kept::Protocol::Udp,
        }
        .into(),
    }
}

fn gateway(gateway: &Gateway) -> kept::Gateway {
    let Gateway {
        network,
        host: at,
        port,
        locality: place,
    } = gateway;
    kept::Gateway {
        network: network.as_deref().map(str::to_owned),
        host: Some(host(at)),
        port: (*port).into(),
        locality: place.as_ref().map(locality),
    }
}

fn locality(locality: &Locality) -> kept::Locality {
    let Locality { region, zone } = locality;
    kept::Locality {
        region: region.clone(),
        zone: zone.clone(),
    }
}

fn host(host: &GatewayHost) -> kept::Host {
    kept::Host {
        host: Some(match host {
            GatewayHost::Address(address) => kept::host::Host::Address(bytes(address)),
            GatewayHost::Name(name) => kept::host::Host::Name(name.to_string()),
        }),
    }
}

fn port_there((port, there): (&u16, &u16)) -> kept::PortThere {
    kept::PortThere {
        port: (*port).into(),
        there: (*there).into(),
    }
}

fn mesh_gateway(of: &MeshGateway) -> kept::MeshGateway {
    use kept::mesh_gateway::Gateway as G;
    kept::MeshGateway {
        gateway: Some(match of {
            MeshGateway::At(at) => G::At(gateway(at)),
            MeshGateway::Service {
                namespace,
                name,
                port,
            } => G::Service(kept::ServiceGateway {
                namespace: namespace.clone(),
                name: name.clone(),
                port: (*port).into(),
            }),
        }),
    }
}

pub(super) fn bytes(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
