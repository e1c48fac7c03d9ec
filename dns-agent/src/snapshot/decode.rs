//! From the message that was kept of a cluster to its catalog. It is checked as anything from outside is.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossmesh_proto::snapshot::v1 as kept;
use prost::Message as _;

use super::{Restored, imports};
use crate::{
    address_range::AddressRange,
    catalog::{
        Catalog, Endpoint, External, Gateway, GatewayHost, Kind, Locality, MeshGateway,
        MeshNetwork, MeshNetworks, Namespace, Port, Protocol, Service,
    },
    name::is_kubernetes_label,
};

/// Reads what was encoded: the cluster and what is known of it.
pub(super) fn decode(bytes: &[u8]) -> Result<(String, Restored), String> {
    let message = kept::Cluster::decode(bytes)
        .map_err(|error| format!("it cannot be understood: {error}"))?;
    let kept::Cluster {
        id,
        discovered,
        read_at_milliseconds,
        network,
        namespaces,
        gateways,
        external,
        mesh_networks,
        every_namespace,
        cluster_local_hosts,
        node,
        service_ranges,
    } = message;
    if id.is_empty() {
        return Err("it names no cluster".to_owned());
    }
    let read_at = UNIX_EPOCH.checked_add(Duration::from_millis(read_at_milliseconds));
    let mut all = BTreeMap::new();
    for namespace in namespaces {
        let name: Arc<str> = label(&namespace.name)?.into();
        let services = namespace.services.into_iter();
        let services: Result<BTreeMap<_, _>, String> = services
            .map(|service| {
                let service = read_service(service, &name)?;
                Ok((Arc::clone(&service.name), Arc::new(service)))
            })
            .collect();
        let read = Namespace::new(services?)
            .with_remote(namespace.remote)
            .with_imports(imports::decode(namespace.imports, &name)?);
        all.insert(name, Arc::new(read));
    }
    let gateways: Result<Vec<Gateway>, String> = gateways.into_iter().map(read_gateway).collect();
    let external: Result<BTreeMap<_, _>, String> = external
        .into_iter()
        .map(|external| {
            let hosts: Result<Vec<GatewayHost>, String> =
                external.hosts.into_iter().map(read_host).collect();
            let ports = external.ports.iter();
            let ports: Result<BTreeMap<u16, u16>, String> = ports
                .map(|pair| Ok((number(pair.port)?, number(pair.there)?)))
                .collect();
            let read = External {
                hosts: hosts?,
                ports: ports?,
            };
            Ok(((external.namespace, external.name), read))
        })
        .collect();
    let networks: Result<BTreeMap<_, _>, String> = mesh_networks
        .into_iter()
        .map(|network| {
            let gateways = network.gateways.into_iter().map(read_mesh_gateway);
            let read = MeshNetwork {
                clusters: network.clusters.into_iter().collect(),
                ranges: network
                    .ranges
                    .iter()
                    .map(|text| read_range(text))
                    .collect::<Result<_, _>>()?,
                gateways: gateways.collect::<Result<_, String>>()?,
            };
            Ok((network.name, read))
        })
        .collect();
    let restored = Restored {
        discovered,
        // A clock that was wrong must not make it look younger than it can be.
        read_at: read_at.unwrap_or(UNIX_EPOCH).min(SystemTime::now()),
        catalog: Catalog {
            network,
            namespaces: all,
            gateways: gateways?.into(),
            external: Arc::new(external?),
            mesh_networks: Arc::new(MeshNetworks(networks?)),
            every_namespace,
            mesh_unread: false,
            hbone_gateways: Arc::default(),
            cluster_local_hosts: cluster_local_hosts
                .into_iter()
                .map(|host| (host.host, host.local))
                .collect(),
            node: node.map(read_locality).transpose()?,
            service_ranges: service_ranges
                .iter()
                .map(|text| read_range(text))
                .collect::<Result<_, _>>()?,
        },
    };
    Ok((id, restored))
}

fn read_service(service: kept::Service, namespace: &Arc<str>) -> Result<Service, String> {
    use kept::service::Kind as K;
    let kept::Service {
        name,
        kind,
        ports,
        exported,
        in_cluster_set,
    } = service;
    let kind = match kind {
        Some(K::ClusterIp(of)) if !of.addresses.is_empty() => Kind::ClusterIp(
            of.addresses
                .iter()
                .map(|bytes| read_address(bytes))
                .collect::<Result<_, _>>()?,
        ),
        Some(K::Headless(of)) => Kind::Headless(
            of.endpoints
                .into_iter()
                .map(read_endpoint)
                .collect::<Result<_, _>>()?,
        ),
        Some(K::ExternalName(_)) => Kind::ExternalName,
        Some(K::ClusterIp(_)) | None => {
            return Err(format!("service {namespace}/{name} has no addresses"));
        }
    };
    Ok(Service {
        name: label(&name)?.into(),
        namespace: Arc::clone(namespace),
        kind,
        ports: ports.into_iter().map(read_port).collect::<Result<_, _>>()?,
        exported,
        in_cluster_set,
        is_empty: false,
    })
}

pub(super) fn read_endpoint(endpoint: kept::Endpoint) -> Result<Endpoint, String> {
    Ok(Endpoint {
        address: read_address(&endpoint.address)?,
        hostname: match endpoint.hostname {
            Some(hostname) => Some(label(&hostname)?.to_owned()),
            None => None,
        },
        ready: endpoint.ready,
    })
}

pub(super) fn read_port(port: kept::Port) -> Result<Port, String> {
    let protocol = match port.protocol() {
        kept::Protocol::Http => Protocol::Http,
        kept::Protocol::Tcp => Protocol::Tcp,
        kept::Protocol::Udp => Protocol::Udp,
        kept::Protocol::Unspecified => return Err("a port has no protocol".to_owned()),
    };
    Ok(Port {
        number: number(port.number)?,
        name: match port.name {
            Some(name) => Some(label(&name)?.to_owned()),
            None => None,
        },
        protocol,
    })
}

fn read_gateway(gateway: kept::Gateway) -> Result<Gateway, String> {
    let host = gateway.host.ok_or("a gateway is nowhere")?;
    Ok(Gateway {
        network: gateway.network.map(Into::into),
        host: read_host(host)?,
        port: number(gateway.port)?,
        locality: gateway.locality.map(read_locality).transpose()?,
    })
}

fn read_range(text: &str) -> Result<AddressRange, String> {
    AddressRange::parse(text).ok_or_else(|| format!("\"{text}\" is no range"))
}

fn read_locality(locality: kept::Locality) -> Result<Locality, String> {
    Locality::written(Some(&locality.region), locality.zone.as_deref())
        .ok_or_else(|| "a place has no region".to_owned())
}

fn read_host(host: kept::Host) -> Result<GatewayHost, String> {
    match host.host {
        Some(kept::host::Host::Address(bytes)) => Ok(GatewayHost::Address(read_address(&bytes)?)),
        Some(kept::host::Host::Name(name)) => {
            GatewayHost::parse(&name).ok_or_else(|| format!("\"{name}\" is no gateway's name"))
        }
        None => Err("a gateway is nowhere".to_owned()),
    }
}

fn read_mesh_gateway(of: kept::MeshGateway) -> Result<MeshGateway, String> {
    use kept::mesh_gateway::Gateway as G;
    match of.gateway {
        Some(G::At(gateway)) => Ok(MeshGateway::At(read_gateway(gateway)?)),
        Some(G::Service(service)) => Ok(MeshGateway::Service {
            namespace: service.namespace,
            name: service.name,
            port: number(service.port)?,
        }),
        None => Err("a gateway is nowhere".to_owned()),
    }
}

pub(super) fn read_address(bytes: &[u8]) -> Result<IpAddr, String> {
    let four: Option<[u8; 4]> = bytes.try_into().ok();
    let sixteen: Option<[u8; 16]> = bytes.try_into().ok();
    let address = four.map(IpAddr::from).or(sixteen.map(IpAddr::from));
    address.ok_or_else(|| format!("an address has {} bytes", bytes.len()))
}

pub(super) fn label(text: &str) -> Result<&str, String> {
    is_kubernetes_label(text)
        .then_some(text)
        .ok_or_else(|| format!("\"{text}\" is no label"))
}

fn number(port: u32) -> Result<u16, String> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "a port is out of range".to_owned())
}
