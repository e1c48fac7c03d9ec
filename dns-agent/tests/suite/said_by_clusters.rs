//! What clusters say besides their services, and what that does to answers: the cluster set, labels of namespaces, the mesh
//! configuration, the place of the node.

use axum::http::StatusCode;
use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};

use crate::{
    kubernetes::{GATEWAY, World, name},
    support::{
        agent::{Agent, Files},
        api::{
            EXPORTS, GATEWAYS, IMPORTS, MESH, NAMESPACES, NODES, SECRETS, SERVICE_CIDRS, SERVICES,
            SLICES,
        },
        message::{Draft, query},
        servers::Hickory,
    },
};

fn in_set(service: &str) -> Draft {
    query(&format!("{service}.svc.clusterset.local"))
}

const NO_PROBES: &str = "gatewayProbe: {enabled: false}\n";
/// The same, waiting longer than a test.
const WAITS_LONG: &str = "gatewayProbe: {enabled: false}\npeerSyncTimeout: 120s\n";
const WAITS_SHORT: &str = "gatewayProbe: {enabled: false}\npeerSyncTimeout: 2s\n";

#[tokio::test]
async fn the_cluster_set_is_answered_for_once_its_api_is_there() {
    let world = World::new();
    let agent = world.agent().await;
    let unknown = agent.ask(&in_set("catalog.shop")).await;
    assert_eq!(unknown.metadata.response_code, ResponseCode::ServFail);
    world.peer.offer_multicluster(true);
    world.peer.put(EXPORTS, "shop", "catalog", json!({}));
    agent.eventually(&in_set("catalog.shop"), &[GATEWAY]).await;
    let named = in_set("cluster-2.catalog.shop");
    assert_eq!(agent.answers(&named).await, [GATEWAY]);
    // Only what is exported is there.
    let reviews = agent.ask(&in_set("reviews.shop")).await;
    assert_eq!(reviews.metadata.response_code, ResponseCode::ServFail);

    world.local.offer_multicluster(true);
    let spec =
        json!({"spec": {"type": "ClusterSetIP", "ips": ["10.1.9.1"], "ports": [{"port": 80}]}});
    world.local.put(IMPORTS, "shop", "catalog", spec);
    agent
        .eventually(&in_set("catalog.shop"), &["10.1.9.1"])
        .await;
    let headless = json!({"spec": {"type": "Headless", "ports": []}});
    world.local.put(IMPORTS, "shop", "catalog", headless);
    let slice = json!({
        "metadata": {"labels": {"multicluster.kubernetes.io/service-name": "catalog",
            "multicluster.kubernetes.io/source-cluster": "c2"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.2.5.1"], "hostname": "c-0"}]
    });
    world.local.put(SLICES, "shop", "catalog-c2", slice);
    agent
        .eventually(&in_set("c-0.c2.catalog.shop"), &["10.2.5.1"])
        .await;
    world.local.delete(IMPORTS, "shop", "catalog");
    agent.eventually(&in_set("catalog.shop"), &[GATEWAY]).await;
    world.peer.delete(EXPORTS, "shop", "catalog");
    agent.eventually(&in_set("catalog.shop"), &[]).await;
    // The names of the cluster domain never changed by it.
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);

    world.peer.put(EXPORTS, "shop", "catalog", json!({}));
    agent.eventually(&in_set("catalog.shop"), &[GATEWAY]).await;
    world.peer.offer_multicluster(false);
    agent.eventually(&in_set("catalog.shop"), &[]).await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.stop().await;
}

#[tokio::test]
async fn a_namespaces_label_says_whether_peers_answer_for_it() {
    let world = World::new();
    let files = world.files("gatewayProbe: {enabled: false}\nremote: {namespaces: labelled}\n");
    let agent = Agent::start_with(files.await).await;
    let label = |said: &str| json!({"metadata": {"labels": {"crossmesh.io/remote": said}}});
    let catalog = name("catalog.shop");
    world.local.put(NAMESPACES, "", "shop", label("true"));
    agent.eventually(&catalog, &[GATEWAY]).await;
    for no in [label("false"), json!({}), label("yes")] {
        world.local.put(NAMESPACES, "", "shop", no);
        agent.eventually(&catalog, &[]).await;
        world.local.put(NAMESPACES, "", "shop", label("true"));
        agent.eventually(&catalog, &[GATEWAY]).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_mesh_configuration_keeps_services_in_their_cluster() {
    let world = World::new();
    let agent = world.agent().await;
    let mesh = |settings: Value| json!({"data": {"mesh": settings.to_string()}});
    let settings =
        |hosts: &[&str], local: bool| json!({"settings": {"clusterLocal": local}, "hosts": hosts});
    let catalog = name("catalog.shop");
    let all = settings(&["*.svc.cluster.local"], true);
    let one = settings(&["redis.shop.svc.cluster.local"], false);
    let both = mesh(json!({"serviceSettings": [all, one]}));
    world.local.put(MESH, "istio-system", "istio", both);
    agent.eventually(&catalog, &[]).await;
    assert_eq!(agent.answers(&name("redis.shop")).await, ["10.2.0.8"]);
    // What is wrong there is told and changes nothing.
    let wrong = json!({"data": {"mesh": "serviceSettings: 7"}});
    world.local.put(MESH, "istio-system", "istio", wrong);
    agent
        .readyz_says("catalog cluster-1: synced: the ConfigMap istio: mesh: ")
        .await;
    assert!(agent.answers(&catalog).await.is_empty());
    world.local.delete(MESH, "istio-system", "istio");
    agent.eventually(&catalog, &[GATEWAY]).await;
    agent.stop().await;
}

#[tokio::test]
async fn the_gateway_that_is_near_the_node_is_answered() {
    let world = World::new();
    let at = |region: &str, zone: &str| json!({"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone});
    let near = "203.0.113.8";
    let mut labels = at("eu", "a");
    labels["topology.istio.io/network"] = "network-2".into();
    let gateway = json!({
        "metadata": {"labels": labels},
        "spec": {"clusterIP": "10.9.9.8", "clusterIPs": ["10.9.9.8"], "ports": [{"name": "tls", "port": 15443}]},
        "status": {"loadBalancer": {"ingress": [{"ip": near}]}}
    });
    world
        .peer
        .put(SERVICES, "istio-system", "eastwest-a", gateway);
    let node = |labels: Value| json!({"metadata": {"labels": labels}});
    world.local.put(NODES, "", "node-1", node(at("eu", "a")));
    world.local.put(NODES, "", "node-2", node(json!({})));
    let files = world.files(NO_PROBES).await;
    let agent = Agent::start_on(Some("node-1"), files).await;
    let catalog = name("catalog.shop");
    agent.eventually(&catalog, &[near]).await;
    // A node that nobody says a place of is as near to the one as to the other.
    world.local.put(NODES, "", "node-1", node(json!({})));
    let both = async {
        loop {
            let mut found = agent.answers(&catalog).await;
            found.sort();
            if found == [GATEWAY, near] {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::agent::PATIENCE, both)
        .await
        .unwrap();
    agent.stop().await;
}

/// Both clusters, above servers that know no name of theirs.
async fn above(hickory: &Hickory, world: &World, more: &str) -> Files {
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
         - {{cluster: cluster-2, kubeconfig: peer.kubeconfig}}\n\
         upstreams: {{servers: [\"{}\"]}}\n{NO_PROBES}{more}",
        hickory.address
    ));
    files.write("local.kubeconfig", &world.local.kubeconfig());
    files.write("peer.kubeconfig", &world.peer.kubeconfig());
    files
}

#[tokio::test]
async fn nothing_comes_from_peers_while_nobody_knows_what_has_to_stay() {
    let world = World::new();
    let hosts = json!(["catalog.shop.svc.cluster.local"]);
    let settings = json!([{"settings": {"clusterLocal": true}, "hosts": hosts}]);
    let mesh = json!({"data": {"mesh": json!({"serviceSettings": settings}).to_string()}});
    world.local.put(MESH, "istio-system", "istio", mesh);
    world
        .local
        .refuse(MESH, Some(StatusCode::INTERNAL_SERVER_ERROR));
    let hickory = Hickory::start().await;
    let files = above(&hickory, &world, "peerSyncTimeout: 2s\n").await;
    let agent = Agent::start_with(files).await;
    let (catalog, redis) = (name("catalog.shop"), name("redis.shop"));
    let code = async |query: &Draft| agent.ask(query).await.metadata.response_code;
    agent
        .readyz_says(
            "catalog cluster-1: stale: the ConfigMap istio: the API server says 500: not now | ",
        )
        .await;
    // What is here is answered, and what is nowhere is denied as ever; what a peer has is neither given nor denied.
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    assert_eq!(code(&catalog).await, ResponseCode::ServFail);
    assert_eq!(code(&redis).await, ResponseCode::ServFail);
    assert_eq!(code(&name("none.shop")).await, ResponseCode::NXDomain);
    // Readiness does not wait for it for ever.
    let text = agent.readyz_says("ready\n").await;
    assert!(text.starts_with("ready\n"), "{text}");

    world.local.refuse(MESH, None);
    agent.eventually(&redis, &["10.2.0.8"]).await;
    assert_eq!(code(&catalog).await, ResponseCode::NXDomain);
    agent.readyz_says("catalog cluster-1: synced\n").await;
    // What was known stays known.
    world
        .local
        .refuse(MESH, Some(StatusCode::TOO_MANY_REQUESTS));
    world.local.expire();
    agent
        .readyz_says("catalog cluster-1: synced: the ConfigMap istio: ")
        .await;
    assert_eq!(agent.answers(&redis).await, ["10.2.0.8"]);
    assert_eq!(code(&catalog).await, ResponseCode::NXDomain);
    agent.stop().await;
}

#[tokio::test]
async fn a_mesh_configuration_that_the_account_may_not_read_holds_nothing_up() {
    let world = World::new();
    world.local.refuse(MESH, Some(StatusCode::FORBIDDEN));
    let agent = Agent::start_with(world.files(NO_PROBES).await).await;
    agent
        .readyz_says(
            "catalog cluster-1: synced: the ConfigMap istio: the API server says 403: not now\n",
        )
        .await;
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_mesh_configuration_that_is_wrong_from_the_first_read_holds_nothing_up() {
    let stays = "serviceSettings: [{settings: {clusterLocal: true}, hosts: [catalog.shop.svc.cluster.local]}]";
    let twice = format!("trustDomain: a\ntrustDomain: b\n{stays}\n");
    let expected: [(&str, &[&str]); 3] = [
        ("serviceSettings: 7", &[GATEWAY]),
        ("serviceSettings: [", &[GATEWAY]),
        (&twice, &[]),
    ];
    for (mesh, expected) in expected {
        let world = World::new();
        let object = json!({"data": {"mesh": mesh}});
        world.local.put(MESH, "istio-system", "istio", object);
        let agent = Agent::start_with(world.files(NO_PROBES).await).await;
        agent
            .readyz_says("catalog cluster-1: synced: the ConfigMap istio: mesh: ")
            .await;
        let problem = "crossmesh_dns_catalog_problem{cluster=\"cluster-1\"}";
        agent.metric_becomes(problem, 1.0).await;
        agent.eventually(&name("redis.shop"), &["10.2.0.8"]).await;
        assert_eq!(agent.answers(&name("catalog.shop")).await, expected);
        // What was never understood is once it is mended.
        let object = json!({"data": {"mesh": stays}});
        world.local.put(MESH, "istio-system", "istio", object);
        agent.eventually(&name("catalog.shop"), &[]).await;
        agent.metric_becomes(problem, 0.0).await;
        agent.stop().await;
    }
}

/// The peer's gateway is a Gateway object, and its catalog is in the cluster set.
fn gateway_object(world: &World) {
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    world.peer.gateway_object(GATEWAY);
    world.peer.offer_multicluster(true);
    world.peer.put(EXPORTS, "shop", "catalog", json!({}));
}

#[tokio::test]
async fn an_account_that_may_not_ask_what_there_is_asks_for_it_and_waits_for_nothing() {
    let world = World::new();
    gateway_object(&world);
    for cluster in [&world.local, &world.peer] {
        cluster.refuse("/apis", Some(StatusCode::FORBIDDEN));
        for group in [
            "gateway.networking.k8s.io/v1",
            "multicluster.x-k8s.io/v1beta1",
        ] {
            cluster.refuse(&format!("/apis/{group}"), Some(StatusCode::FORBIDDEN));
        }
    }
    let files = world.files(WAITS_LONG);
    let agent = Agent::start_with(files.await).await;
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    agent.eventually(&in_set("catalog.shop"), &[GATEWAY]).await;
    agent.stop().await;
    // Nor may it have them.
    for cluster in [&world.local, &world.peer] {
        for resource in [GATEWAYS, EXPORTS, IMPORTS] {
            cluster.refuse(resource, Some(StatusCode::FORBIDDEN));
        }
        cluster.refuse(
            "/apis/multicluster.x-k8s.io/v1alpha1/serviceexports",
            Some(StatusCode::FORBIDDEN),
        );
    }
    let files = world.files(WAITS_LONG);
    let agent = Agent::start_with(files.await).await;
    agent
        .readyz_says("catalog cluster-2: synced: gateways: the API server says 403: not now | ")
        .await;
    agent.eventually(&name("redis.shop"), &["10.2.0.8"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_group_that_fails_hides_no_other() {
    let world = World::new();
    gateway_object(&world);
    let group = "/apis/multicluster.x-k8s.io/v1beta1";
    world
        .peer
        .refuse(group, Some(StatusCode::INTERNAL_SERVER_ERROR));
    let files = world.files(WAITS_SHORT);
    let agent = Agent::start_with(files.await).await;
    agent
        .readyz_says("catalog cluster-2: synced: serviceexports: whether the API server has any: ")
        .await;
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    world.peer.refuse(group, None);
    agent.eventually(&in_set("catalog.shop"), &[GATEWAY]).await;
    agent.stop().await;
}

#[tokio::test]
async fn gateways_that_cannot_be_listed_now_are_waited_for_but_not_for_ever() {
    let world = World::new();
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    world.peer.gateway_object(GATEWAY);
    let busy = Some(StatusCode::TOO_MANY_REQUESTS);
    world.peer.refuse(GATEWAYS, busy);
    let hickory = Hickory::start().await;
    let agent = Agent::start_with(above(&hickory, &world, "").await).await;
    let catalog = name("catalog.shop");
    agent
        .readyz_says("catalog cluster-2: pending: gateways: the API server says 429: not now")
        .await;
    // A name whose gateways are not known yet is not answered as if it had none.
    let reply = agent.ask(&catalog).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    world.peer.refuse(GATEWAYS, None);
    agent.eventually(&catalog, &[GATEWAY]).await;
    agent.stop().await;

    world.peer.refuse(GATEWAYS, busy);
    let files = above(&hickory, &world, "peerSyncTimeout: 2s\n").await;
    let agent = Agent::start_with(files).await;
    agent
        .readyz_says("catalog cluster-2: synced: gateways: the API server says 429: not now")
        .await;
    agent.eventually(&name("redis.shop"), &["10.2.0.8"]).await;
    agent.stop().await;
}

/// What docs/deploy.md says of watches (Sizing). Slices are asked for twice in the local cluster: of headless services, and of
/// imports.
#[tokio::test]
async fn of_each_cluster_only_what_it_has_and_what_answers_need_is_asked_for() {
    let world = World::new();
    for cluster in [&world.local, &world.peer] {
        cluster.define(GATEWAYS, false);
    }
    world.local.put(NODES, "", "node-1", json!({}));
    let secrets = "  - remoteSecrets: {namespace: istio-system}\n";
    let start = async |node: Option<&str>| {
        let files = world.files(NO_PROBES).await;
        let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
        let text = text.replace("upstreams:", &format!("{secrets}upstreams:"));
        files.write("dns.yaml", &text);
        let agent = Agent::start_on(node, files).await;
        agent.readyz_says("catalog cluster-2: synced\n").await;
        agent.readyz_says("catalog cluster-1: synced\n").await;
        agent
    };
    let mut local = vec![NAMESPACES, MESH, SECRETS, SERVICES, SLICES, SERVICE_CIDRS];
    let mut peer = vec![NAMESPACES, SERVICES, SLICES];
    let agent = start(None).await;
    world.local.is_asked_for(&local).await;
    world.peer.is_asked_for(&peer).await;
    agent.stop().await;

    for cluster in [&world.local, &world.peer] {
        cluster.define(GATEWAYS, true);
        cluster.offer_multicluster(true);
    }
    let agent = start(Some("node-1")).await;
    local.extend([NODES, GATEWAYS, EXPORTS, IMPORTS]);
    local.sort_unstable();
    world.local.is_asked_for(&local).await;
    peer.extend([GATEWAYS, EXPORTS]);
    peer.sort_unstable();
    world.peer.is_asked_for(&peer).await;
    agent.stop().await;
}

/// Which services a peer gives is said by their labels.
#[tokio::test]
async fn with_labelled_services_only_those_are_taken_that_say_so() {
    let world = World::new();
    let labelled = |label: &str| {
        json!({
            "metadata": {"labels": {label: "true"}},
            "spec": {"clusterIP": "10.2.0.7", "ports": [{"name": "http", "port": 80}]}
        })
    };
    let put = |name: &str, of: Value| world.peer.put(SERVICES, "shop", name, of);
    put("global", labelled("istio.io/global"));
    put("exported", labelled("crossmesh.io/export"));
    let hickory = Hickory::start().await;
    let agent =
        Agent::start_with(above(&hickory, &world, "remote: {services: labelled}\n").await).await;
    agent.eventually(&name("global.shop"), &[GATEWAY]).await;
    assert_eq!(agent.answers(&name("exported.shop")).await, [GATEWAY]);
    let catalog = agent.ask(&name("catalog.shop")).await;
    assert_eq!(catalog.metadata.response_code, ResponseCode::NXDomain);
    // A label that comes counts at once.
    put("catalog", labelled("istio.io/global"));
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    agent.stop().await;
}
