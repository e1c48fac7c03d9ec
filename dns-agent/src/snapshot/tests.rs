//! What is kept against what was known, and against what no agent would have kept.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossmesh_proto::snapshot::v1 as kept;
use prost::Message as _;

use super::{decode::decode, encode::encode, imports};
use crate::address_range::AddressRange;
use crate::catalog::{
    Catalog, Cluster, Endpoint, External, Gateway, GatewayHost, Import, Kind, Locality,
    MeshGateway, MeshNetwork, MeshNetworks, Port, Protocol, Service, SyncState,
};

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
        in_cluster_set: exported,
        is_empty: false,
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
        .insert("empty".into(), Arc::new(imports::tests::namespace()));
    catalog.every_namespace = true;
    catalog.cluster_local_hosts = [("*.vault.svc.cluster.local".to_owned(), true)].into();
    catalog.node = Locality::parse("eu");
    let range = |text| AddressRange::parse(text).unwrap();
    catalog.service_ranges = [range("10.96.0.0/12"), range("fd00:10:96::/108")].into();
    catalog.network = Some("network-1".to_owned());
    let named = Gateway {
        network: Some("network-2".into()),
        host: GatewayHost::parse("gw.example.com").unwrap(),
        port: 15443,
        locality: Locality::parse("eu/a"),
    };
    let addressed = Gateway {
        network: None,
        host: GatewayHost::Address(address("203.0.113.7")),
        port: 31_000,
        locality: None,
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
        ranges: vec![range("10.2.0.0/16")],
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
        domain: None,
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
pub(super) fn sample() -> Vec<u8> {
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
