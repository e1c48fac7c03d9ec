//! Between a cluster's catalog and the message that is kept of it. What was kept is checked as anything from outside is.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossmesh_proto::snapshot::v1 as kept;
use prost::Message as _;

use super::Restored;
use crate::{
    catalog::{
        Catalog, Cluster, Endpoint, External, Gateway, GatewayHost, Kind, MeshGateway, MeshNetwork,
        MeshNetworks, Namespace, Port, Protocol, Service,
    },
    name::is_kubernetes_label,
};

/// What is kept of a cluster, as bytes.
pub(super) fn encode(cluster: &Cluster, discovered: bool) -> Vec<u8> {
    let read_at = cluster.read_at.unwrap_or(UNIX_EPOCH);
    let since = read_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nothing = Catalog::default();
    let Catalog {
        network,
        namespaces,
        gateways,
        external,
        mesh_networks,
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
            })
            .collect(),
        gateways: gateways.iter().map(gateway).collect(),
        external: external.collect(),
        mesh_networks: networks.collect(),
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
    }
}

fn endpoint(endpoint: &Endpoint) -> kept::Endpoint {
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

fn port(port: &Port) -> kept::Port {
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
    } = gateway;
    kept::Gateway {
        network: network.as_deref().map(str::to_owned),
        host: Some(host(at)),
        port: (*port).into(),
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

fn bytes(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Reads what [`encode`] wrote: the cluster and what is known of it.
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
        all.insert(name, Arc::new(Namespace::new(services?)));
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
    })
}

fn read_endpoint(endpoint: kept::Endpoint) -> Result<Endpoint, String> {
    Ok(Endpoint {
        address: read_address(&endpoint.address)?,
        hostname: match endpoint.hostname {
            Some(hostname) => Some(label(&hostname)?.to_owned()),
            None => None,
        },
        ready: endpoint.ready,
    })
}

fn read_port(port: kept::Port) -> Result<Port, String> {
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
    })
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

fn read_address(bytes: &[u8]) -> Result<IpAddr, String> {
    let four: Option<[u8; 4]> = bytes.try_into().ok();
    let sixteen: Option<[u8; 16]> = bytes.try_into().ok();
    let address = four.map(IpAddr::from).or(sixteen.map(IpAddr::from));
    address.ok_or_else(|| format!("an address has {} bytes", bytes.len()))
}

fn label(text: &str) -> Result<&str, String> {
    is_kubernetes_label(text)
        .then_some(text)
        .ok_or_else(|| format!("\"{text}\" is no label"))
}

fn number(port: u32) -> Result<u16, String> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "a port is out of range".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::{Import, SyncState};

    fn cluster() -> Cluster {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let port = |name: Option<&str>, number, protocol| Port {
            name: name.map(str::to_owned),
            number,
            protocol,
        };
        let service = |name: &str, kind, ports, exported| Service {
            name: name.into(),
            namespace: "shop".into(),
            kind,
            ports,
            exported,
        };
        let endpoints = vec![
            Endpoint {
                address: address("10.1.0.1"),
                hostname: Some("db-0".to_owned()),
                ready: true,
            },
            Endpoint {
                address: address("fd00::1"),
                hostname: None,
                ready: false,
            },
        ];
        let mut catalog = Catalog::of([
            service(
                "web",
                Kind::ClusterIp(vec![address("10.0.0.1"), address("fd00::2")]),
                vec![
                    port(Some("http"), 80, Protocol::Http),
                    port(None, 53, Protocol::Udp),
                ],
                true,
            ),
            service(
                "db",
                Kind::Headless(endpoints),
                vec![port(None, 65_535, Protocol::Tcp)],
                false,
            ),
            service("away", Kind::ExternalName, vec![], true),
        ]);
        catalog
            .namespaces
            .insert("empty".into(), Arc::new(Namespace::default()));
        catalog.network = Some("network-1".to_owned());
        let named = Gateway {
            network: Some("network-2".into()),
            host: GatewayHost::parse("gw.example.com").unwrap(),
            port: 15443,
        };
        let addressed = Gateway {
            network: None,
            host: GatewayHost::Address(address("203.0.113.7")),
            port: 31_000,
        };
        catalog.gateways = [named.clone(), addressed.clone()].into();
        let external = External {
            hosts: vec![addressed.host.clone()],
            ports: [(15443, 31_443)].into(),
        };
        let key = ("istio-system".to_owned(), "gateway".to_owned());
        catalog.external = Arc::new([(key, external)].into());
        let network = MeshNetwork {
            clusters: ["cluster-2".to_owned()].into(),
            gateways: vec![
                MeshGateway::At(addressed),
                MeshGateway::Service {
                    namespace: "istio-system".to_owned(),
                    name: "gateway".to_owned(),
                    port: 15443,
                },
            ],
        };
        catalog.mesh_networks = Arc::new(MeshNetworks([("network-2".to_owned(), network)].into()));
        Cluster {
            id: "Cluster/1".into(),
            mesh: "east".into(),
            local: true,
            import: Import::All,
            network: None,
            gateways: None,
            catalog: Some(Arc::new(catalog)),
            state: SyncState::Synced,
            problem: None,
            read_at: UNIX_EPOCH.checked_add(Duration::from_millis(1_700_000_000_123)),
            restored: false,
            not_synced_since: None,
        }
    }

    /// What is kept of some cluster with everything that there can be.
    pub(in crate::snapshot) fn sample() -> Vec<u8> {
        encode(&cluster(), true)
    }

    #[test]
    fn what_was_kept_is_what_was_known() {
        let (id, restored) = decode(&sample()).unwrap();
        let cluster = cluster();
        assert_eq!(id, "Cluster/1");
        assert!(restored.discovered);
        assert_eq!(Some(restored.read_at), cluster.read_at);
        assert_eq!(Some(&restored.catalog), cluster.catalog.as_deref());
    }

    #[test]
    fn a_time_to_come_is_now() {
        let mut cluster = cluster();
        cluster.read_at = Some(SystemTime::now() + Duration::from_secs(3600));
        let (_, restored) = decode(&encode(&cluster, false)).unwrap();
        assert!(restored.read_at <= SystemTime::now());
    }

    #[test]
    fn what_no_agent_would_have_kept_is_refused() {
        let check = |change: fn(&mut kept::Cluster), expected: &str| {
            let mut message = kept::Cluster::decode(&sample()[..]).unwrap();
            change(&mut message);
            assert_eq!(decode(&message.encode_to_vec()).unwrap_err(), expected);
        };
        // The order of the sample: namespaces empty, shop; services away, db, web.
        check(|message| message.id.clear(), "it names no cluster");
        check(
            |message| message.namespaces[1].name = "a.b".into(),
            "\"a.b\" is no label",
        );
        check(
            |message| message.namespaces[1].services[2].kind = None,
            "service shop/web has no addresses",
        );
        check(
            |message| message.namespaces[1].services[2].ports[0].number = 65_536,
            "a port is out of range",
        );
        check(
            |message| message.namespaces[1].services[2].ports[0].protocol = 9,
            "a port has no protocol",
        );
        check(
            |message| {
                let kind = kept::ClusterIp {
                    addresses: vec![vec![1; 5]],
                };
                message.namespaces[1].services[2].kind = Some(kept::service::Kind::ClusterIp(kind));
            },
            "an address has 5 bytes",
        );
        check(
            |message| message.gateways[0].host = None,
            "a gateway is nowhere",
        );
        check(
            |message| message.gateways[0].port = 0,
            "a port is out of range",
        );
    }
}
