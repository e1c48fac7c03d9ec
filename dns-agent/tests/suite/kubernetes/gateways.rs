//! Gateways, as clusters tell of them and as they are reached.

use tokio::net::TcpListener;

use super::*;
use crate::support::{
    api::{GATEWAYS, MESH, NODES},
    gateway::{Gateway, SNI},
};

#[tokio::test]
async fn gateways_follow_their_service_and_the_mesh_configuration() {
    let world = World::new();
    let agent = world.agent().await;
    let catalog = name("catalog.shop");
    world
        .peer
        .gateway("network-2", json!({"ip": "203.0.113.8"}), 15443);
    agent.eventually(&catalog, &["203.0.113.8"]).await;
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    agent.eventually(&catalog, &[]).await;
    let networks = "networks: {network-2: {gateways: [{address: 203.0.113.9, port: 443}]}}";
    world.local.put(
        MESH,
        "istio-system",
        "istio",
        json!({"data": {"meshNetworks": networks}}),
    );
    agent.eventually(&catalog, &["203.0.113.9"]).await;
    let networks = "networks: {network-2: {gateways: [{port: 443}]}}";
    world.local.put(
        MESH,
        "istio-system",
        "istio",
        json!({"data": {"meshNetworks": networks}}),
    );
    // What is wrong there is told and changes nothing.
    agent
        .readyz_says("catalog cluster-1: synced: the ConfigMap istio: meshNetworks: the network \"network-2\"")
        .await;
    assert_eq!(agent.answers(&catalog).await, ["203.0.113.9"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_gateway_at_nodes_follows_its_nodes_which_are_watched_only_for_that() {
    let world = World::new();
    let node = |address: &str| {
        let addresses = json!([{"type": "ExternalIP", "address": address}]);
        json!({"metadata": {"labels": {"pool": "edge"}}, "status": {"addresses": addresses}})
    };
    world.peer.put(NODES, "", "one", node("198.51.100.1"));
    let files = world.files("gatewayProbe: {enabled: false}\nsrv: gateway\n");
    let agent = Agent::start_with(files.await).await;
    let catalog = name("catalog.shop");
    agent.eventually(&catalog, &[GATEWAY]).await;
    assert_eq!(world.peer.asked(NODES), 0);

    world.peer.put(
        SERVICES,
        "istio-system",
        "eastwest",
        json!({
            "metadata": {
                "labels": {"topology.istio.io/network": "network-2"},
                "annotations": {"traffic.istio.io/nodeSelector": "{\"pool\": \"edge\"}"}
            },
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.9.9.9",
                "ports": [{"name": "tls", "port": 15443, "nodePort": 31443}]
            }
        }),
    );
    // The load balancer's address stays until the nodes are known: there is no moment without a gateway.
    let clients = Clients::start(&agent, "catalog.shop", &[&[GATEWAY], &["198.51.100.1"]]);
    agent.eventually(&catalog, &["198.51.100.1"]).await;
    clients.stop().await;
    let ports = name("_http._tcp.catalog.shop").rtype(33);
    let target = "0 100 31443 catalog.shop.svc.cluster.local.";
    agent.eventually(&ports, &[target]).await;
    world.peer.put(NODES, "", "two", node("198.51.100.2"));
    world.peer.delete(NODES, "", "one");
    agent.eventually(&catalog, &["198.51.100.2"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn gateway_objects_are_followed_once_somebody_has_defined_them() {
    let world = World::new();
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    world.peer.define(GATEWAYS, false);
    let agent = world.agent().await;
    let catalog = name("catalog.shop");
    assert!(agent.answers(&catalog).await.is_empty());
    world.peer.define(GATEWAYS, true);
    world.peer.gateway_object("198.51.100.1");
    agent.eventually(&catalog, &["198.51.100.1"]).await;
    world.peer.gateway_object("198.51.100.2");
    agent.eventually(&catalog, &["198.51.100.2"]).await;

    // Something in front of the API server has nothing at all: that says nothing of gateways.
    world.peer.set_fault(Fault::NotFound);
    agent.readyz_says("catalog cluster-2: stale: ").await;
    agent.readyz_says("gateways: ").await;
    assert_eq!(agent.answers(&catalog).await, ["198.51.100.2"]);
    world.peer.set_fault(Fault::None);
    agent.readyz_says("catalog cluster-2: synced\n").await;
    // The definition goes, and with it all objects.
    world.peer.define(GATEWAYS, false);
    agent.eventually(&catalog, &[]).await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_is_not_answered_until_it_can() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world
        .peer
        .gateway("network-2", json!({"ip": "127.0.0.1"}), address.port());
    let probe = "gatewayProbe: {interval: 100ms, failures: 2, successes: 2}\n";
    let agent = Agent::start_with(world.files(probe).await).await;
    let catalog = name("catalog.shop");
    agent.eventually(&catalog, &["127.0.0.1"]).await;
    drop(listener);
    agent.eventually(&catalog, &[]).await;
    let reply = agent.ask(&catalog).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    let metric = format!("crossmesh_dns_gateway_healthy{{address=\"{address}\"}}");
    assert_eq!(agent.metric(&metric).await, Some(0.0));
    let _listener = TcpListener::bind(address).await.unwrap();
    agent.eventually(&catalog, &["127.0.0.1"]).await;
    agent.stop().await;
}

/// The bound for an end of the gateway that nobody tells: `interval × failures + 1 s`.
async fn check_that_it_leaves_in_time(probe: &str, end: fn(&mut Gateway)) {
    let world = World::new();
    let mut gateway = Gateway::start().await;
    let port = gateway.address.port();
    world
        .peer
        .gateway("network-2", json!({"ip": "127.0.0.1"}), port);
    let probe = format!("gatewayProbe: {{interval: 300ms, failures: 2, successes: 2{probe}}}\n");
    let bound = 2 * Duration::from_millis(300) + Duration::from_secs(1);
    let agent = Agent::start_with(world.files(&probe).await).await;
    let catalog = name("catalog.shop");
    agent.eventually(&catalog, &["127.0.0.1"]).await;
    // Long enough for a judgement by probes, were they wrong.
    let stays = Instant::now();
    while stays.elapsed() < bound {
        assert_eq!(agent.answers(&catalog).await, ["127.0.0.1"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end(&mut gateway);
    let since = Instant::now();
    agent.eventually(&catalog, &[]).await;
    let took = since.elapsed();
    println!("{probe}: out of the answers after {took:?}, at most {bound:?}");
    assert!(took < bound, "{took:?} of {bound:?}");
    gateway.serve();
    agent.eventually(&catalog, &["127.0.0.1"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_gateway_that_nothing_reaches_leaves_the_answers_in_time_and_returns() {
    check_that_it_leaves_in_time("", Gateway::be_a_hole).await;
}

#[tokio::test]
async fn a_gateway_that_takes_connections_and_no_tls_leaves_the_answers_in_time_and_returns() {
    let probe = format!(", serverName: {SNI}");
    check_that_it_leaves_in_time(&probe, Gateway::be_mute).await;
    check_that_it_leaves_in_time(&probe, Gateway::be_a_hole).await;
}

#[tokio::test]
async fn gateways_for_hbone_only_are_not_given_and_that_is_told() {
    let world = World::new();
    let agent = world.agent().await;
    let catalog = name("catalog.shop");
    let told = "crossmesh_dns_catalog_hbone_gateways{cluster=\"cluster-2\"}";
    agent.metric_becomes(told, 0.0).await;
    let service = |port: u16| {
        json!({
            "metadata": {"labels": {"topology.istio.io/network": "network-2"}},
            "spec": {"clusterIP": "10.9.9.9", "ports": [{"name": "hbone", "port": 15008}, {"name": "tls", "port": port}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.40"}]}}
        })
    };
    let put = |of| world.peer.put(SERVICES, "istio-system", "eastwest", of);
    put(service(15012));
    agent.eventually(&catalog, &[]).await;
    agent.metric_becomes(told, 1.0).await;
    let object = json!({
        "metadata": {"labels": {"topology.istio.io/network": "network-2"}},
        "spec": {
            "gatewayClassName": "istio-east-west",
            "addresses": [{"value": "203.0.113.41"}],
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE", "tls": {"mode": "Terminate"}}]
        }
    });
    world.peer.put(GATEWAYS, "istio-system", "ambient", object);
    agent.metric_becomes(told, 2.0).await;
    assert_eq!(agent.answers(&catalog).await, [""; 0]);
    let (_, status) = agent.page("/v1/status").await;
    let status = <crossmesh_proto::admin::v1::Status as prost::Message>::decode(&*status).unwrap();
    assert_eq!(
        status.clusters[1].hbone_gateways,
        [
            "Gateway istio-system/ambient",
            "Service istio-system/eastwest"
        ]
    );
    // One with the port for passthrough besides is one for everybody, at that port.
    put(service(15443));
    agent.eventually(&catalog, &["203.0.113.40"]).await;
    agent.metric_becomes(told, 1.0).await;
    agent.stop().await;
}

#[tokio::test]
async fn endpoints_are_on_our_network_by_their_addresses_where_nobody_else_says_so() {
    let world = World::new();
    // Of no network by its label.
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    world.peer.put(NAMESPACES, "", "istio-system", json!({}));
    let spec = json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]});
    world
        .peer
        .put(SERVICES, "shop", "pods", json!({"spec": spec}));
    let slice = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "pods", "service.kubernetes.io/headless": ""}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.2.5.1"], "hostname": "near"}, {"addresses": ["10.3.5.1"], "hostname": "far"}]
    });
    world.peer.put(SLICES, "shop", "pods-x", slice);
    let own = json!({"metadata": {"labels": {"topology.istio.io/network": "network-1"}}});
    world.local.put(NAMESPACES, "", "istio-system", own);
    let agent = world.agent().await;
    let pods = name("pods.shop");
    assert_eq!(agent.answers(&pods).await, [""; 0]);
    let networks = "networks: {network-1: {endpoints: [{fromCidr: 10.2.0.0/16}]}, \
                    other: {endpoints: [{fromCidr: 10.0.0.0/8}]}}";
    let mesh = |text: &str| json!({"data": {"meshNetworks": text}});
    world
        .local
        .put(MESH, "istio-system", "istio", mesh(networks));
    agent.eventually(&pods, &["10.2.5.1"]).await;
    let far = agent.ask(&name("far.pods.shop")).await;
    assert_eq!(far.metadata.response_code, ResponseCode::NoError);
    assert!(far.answers.is_empty());
    // The cluster's own network goes before ranges.
    let of_registry = networks.replace("fromCidr: 10.0.0.0/8", "fromRegistry: cluster-2");
    world
        .local
        .put(MESH, "istio-system", "istio", mesh(&of_registry));
    agent.eventually(&pods, &[]).await;
    agent.stop().await;
}
