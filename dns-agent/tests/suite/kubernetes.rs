//! Clusters behind API servers: what changes, what fails, and that answers stay right meanwhile. The API servers are small
//! ones of the tests'; real ones are in the end-to-end tests.

mod access;
mod empty;
mod gateways;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::op::{Message, ResponseCode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    agent::{Agent, Files, PATIENCE, ask_udp, data},
    api::{Api, Fault, NAMESPACES, SERVICES, SLICES},
    message::{Draft, query},
    servers::{Hickory, good, nobody},
};

pub(crate) const GATEWAY: &str = "203.0.113.7";

/// A local cluster with reviews.shop, a peer with reviews.shop and catalog.shop behind a gateway.
pub(crate) struct World {
    pub(crate) local: Api,
    pub(crate) peer: Api,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            local: Api::start(),
            peer: Api::start(),
        };
        world.local.service("shop", "reviews", "10.1.0.9", "http");
        world.peer.service("shop", "reviews", "10.2.0.9", "http");
        world.peer.service("shop", "catalog", "10.2.0.7", "http");
        world.peer.service("shop", "redis", "10.2.0.8", "tcp");
        world
            .peer
            .gateway("network-2", json!({"ip": GATEWAY}), 15443);
        world
    }

    pub(crate) async fn files(&self, more: &str) -> Files {
        let files = Files::bare(&format!(
            "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
             - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
             - {{cluster: cluster-2, kubeconfig: peer.kubeconfig}}\n\
             upstreams: {{servers: [\"{}\"]}}\n{more}",
            nobody().await
        ));
        files.write("local.kubeconfig", &self.local.kubeconfig());
        files.write("peer.kubeconfig", &self.peer.kubeconfig());
        files
    }

    /// An agent that knows both clusters.
    pub(crate) async fn agent(&self) -> Agent {
        let files = self.files("gatewayProbe: {enabled: false}\n").await;
        let agent = Agent::start_with(files).await;
        agent.readyz_says("catalog cluster-2: synced").await;
        agent.readyz_says("catalog cluster-1: synced").await;
        // A moment after the states are told.
        agent.readyz_says("ready\ncatalog").await;
        agent
    }
}

pub(crate) fn name(service: &str) -> Draft {
    query(&format!("{service}.svc.cluster.local"))
}

/// Asks all the time, and counts the answers that are not these.
struct Clients {
    done: Arc<AtomicBool>,
    running: JoinSet<usize>,
}

impl Clients {
    fn start(agent: &Agent, service: &str, right: &'static [&'static [&'static str]]) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let (stop, server, query) = (Arc::clone(&done), agent.dns, name(service).bytes());
        running.spawn(async move {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                let found = data(&Message::from_vec(&ask_udp(server, &query).await).unwrap());
                assert!(right.iter().any(|right| found == *right), "{found:?}");
                answered += 1;
            }
            answered
        });
        Self { done, running }
    }

    async fn stop(self) {
        self.done.store(true, Ordering::Relaxed);
        let answered: usize = self.running.join_all().await.iter().sum();
        assert!(answered > 10, "only {answered} queries were asked");
    }
}

#[tokio::test]
async fn a_deleted_service_is_answered_by_the_peers_gateway_and_back_again() {
    let world = World::new();
    let agent = world.agent().await;
    let clients = Clients::start(&agent, "reviews.shop", &[&["10.1.0.9"], &[GATEWAY]]);
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    assert_eq!(agent.answers(&name("redis.shop")).await, ["10.2.0.8"]);
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    for _ in 0..3 {
        world.local.delete(SERVICES, "shop", "reviews");
        agent.eventually(&name("reviews.shop"), &[GATEWAY]).await;
        world.local.service("shop", "reviews", "10.1.0.9", "http");
        agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    }
    clients.stop().await;
    agent.stop().await;
}

#[tokio::test]
async fn no_relist_and_no_cut_watch_opens_a_window_of_wrong_answers() {
    let world = World::new();
    for at in 0..20 {
        world
            .local
            .service("crowd", &format!("s{at}"), "10.1.1.1", "http");
    }
    let agent = world.agent().await;
    let steady = Clients::start(&agent, "reviews.shop", &[&["10.1.0.9"]]);
    let remote = Clients::start(&agent, "catalog.shop", &[&[GATEWAY]]);
    for round in 0..4 {
        let before = world.local.lists();
        world.local.expire();
        world.peer.cut();
        // Whatever happened meanwhile is known afterwards.
        let address = format!("10.1.2.{round}");
        world.local.service("crowd", "s0", &address, "http");
        agent.eventually(&name("s0.crowd"), &[&address]).await;
        assert!(world.local.lists() > before, "nothing was listed anew");
    }
    steady.stop().await;
    remote.stop().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_peer_that_fails_is_named_and_keeps_its_last_state_until_it_is_well() {
    let mut world = World::new();
    let agent = world.agent().await;
    let faults = [
        (
            Fault::Unauthorised,
            "services: the API server says 401: no such token",
        ),
        (Fault::Garbage, "the reply is not understood"),
        (
            Fault::Endless,
            // An event or a reply, by what was asked for just then.
            " is longer than any object can be",
        ),
        (Fault::Expired, "the API server says 410: too old"),
    ];
    for (fault, problem) in faults {
        // That alone ends all watches, so that each is taken up again under the fault: were they told besides that their
        // version is too old, some might list before it.
        world.peer.set_fault(fault);
        let text = agent.readyz_says("catalog cluster-2: stale: ").await;
        assert!(text.starts_with("ready\n"), "{text}");
        agent.readyz_says(problem).await;
        let state = "crossmesh_dns_catalog_state{cluster=\"cluster-2\",state=\"stale\"}";
        agent.metric_becomes(state, 1.0).await;
        assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
        // The other cluster is not concerned.
        let address = format!("10.1.3.{}", fault as u8);
        world.local.service("shop", "reviews", &address, "http");
        agent.eventually(&name("reviews.shop"), &[&address]).await;
        world.peer.set_fault(Fault::None);
        agent.readyz_says("catalog cluster-2: synced\n").await;
    }
    world.peer.kill();
    agent.readyz_says("catalog cluster-2: stale: ").await;
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    world.peer.service("shop", "late", "10.2.0.20", "tcp");
    world.peer.run();
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.eventually(&name("late.shop"), &["10.2.0.20"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_list_that_never_ends_is_given_up_and_the_last_state_kept() {
    let world = World::new();
    let agent = world.agent().await;
    world.peer.set_fault(Fault::NeverDone);
    world.peer.expire();
    agent
        .readyz_says("catalog cluster-2: stale: services: there are more than 200000 objects")
        .await;
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    world.peer.set_fault(Fault::None);
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.stop().await;
}

#[tokio::test]
async fn a_watch_that_tells_too_much_is_given_up_and_what_is_listed_then_counts() {
    let world = World::new();
    let agent = world.agent().await;
    let faults = [
        (
            Fault::Giant,
            "the reply is not understood: an event is longer than any object can be",
        ),
        (Fault::Flood, "there are more than 200000 objects"),
    ];
    for (fault, problem) in faults {
        world.peer.set_fault(fault);
        let problem = format!("catalog cluster-2: stale: endpointslices: {problem}");
        agent.readyz_says(&problem).await;
        assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
        // The other cluster is not concerned.
        let address = format!("10.1.3.{}", fault as u8);
        world.local.service("shop", "new", &address, "http");
        agent.eventually(&name("new.shop"), &[&address]).await;
        world.peer.set_fault(Fault::None);
        agent.readyz_says("catalog cluster-2: synced\n").await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_local_api_server_may_be_killed_and_come_back() {
    let mut world = World::new();
    let agent = world.agent().await;
    let clients = Clients::start(&agent, "reviews.shop", &[&["10.1.0.9"]]);
    world.local.kill();
    agent.readyz_says("catalog cluster-1: stale: ").await;
    clients.stop().await;
    world.local.delete(SERVICES, "shop", "reviews");
    world.local.run();
    agent.eventually(&name("reviews.shop"), &[GATEWAY]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_peer_that_never_replies_delays_nothing_and_counts_as_empty_after_a_while() {
    let world = World::new();
    world.peer.set_fault(Fault::Slow);
    let hickory = Hickory::start().await;
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
         - {{cluster: cluster-2, kubeconfig: peer.kubeconfig}}\n\
         upstreams: {{servers: [\"{}\"]}}\npeerSyncTimeout: 2s\n",
        hickory.address
    ));
    files.write("local.kubeconfig", &world.local.kubeconfig());
    files.write("peer.kubeconfig", &world.peer.kubeconfig());
    let began = Instant::now();
    let agent = Agent::start_with(files).await;
    // Other names do not wait for anybody.
    assert_eq!(
        agent.answers(&query("www.example.com")).await,
        ["192.0.2.1"]
    );
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    // What the peer may have is not denied; what it cannot have is.
    if began.elapsed() < Duration::from_secs(1) {
        let reply = agent.ask(&name("catalog.shop")).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    let reply = agent.ask(&name("www.example.org.nowhere")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    // Ready a moment after the state is told.
    agent
        .readyz_says("ready\ncatalog cluster-1: synced\ncatalog cluster-2: timed-out")
        .await;
    let reply = agent.ask(&name("catalog.shop")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    agent.stop().await;
}

#[tokio::test]
async fn what_search_lists_make_is_denied_only_while_the_local_cluster_is_heard() {
    let world = World::new();
    let upstream = good().await;
    let files = world.files("gatewayProbe: {enabled: false}\n").await;
    let text = fs::read_to_string(files.path("dns.yaml")).unwrap();
    let (before, _) = text.split_once("upstreams:").unwrap();
    let servers = format!("upstreams: {{servers: [\"{}\"]}}\n", upstream.address);
    files.write("dns.yaml", &format!("{before}{servers}"));
    let agent = Agent::start_with(files).await;
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    let garbage = name("www.example.com");
    let reply = agent.ask(&garbage).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    // All watches end, as they do from time to time, and do not come back: no error says so.
    world.local.set_fault(Fault::Slow);
    agent.eventually(&garbage, &["192.0.2.1"]).await;
    agent
        .readyz_says("catalog cluster-1: stale: services: nothing is heard of changes now")
        .await;
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    // A peer says nothing of what exists here.
    world.local.set_fault(Fault::None);
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.eventually(&garbage, &[]).await;
    world.peer.set_fault(Fault::Slow);
    agent.readyz_says("catalog cluster-2: stale: ").await;
    let reply = agent.ask(&garbage).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    agent.stop().await;
}

#[tokio::test]
async fn where_a_server_does_not_speak_http2_the_kernel_asks_whether_it_is_there() {
    let world = World::new();
    let agent = world.agent().await;
    // As the kernel shows them: in hexadecimal, the address as it is in memory, and of a timer its kind and hundredths of a
    // second (Linux, Documentation/networking/proc_net_tcp.rst).
    let address = format!("0100007F:{:04X}", world.local.address.port());
    let timers = || {
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let rows = table.lines().map(|row| row.split_whitespace().collect());
        let ours = rows.filter(|row: &Vec<&str>| row[2] == address && row[3] == "01");
        ours.map(|row| row[5].to_owned()).collect::<Vec<_>>()
    };
    let is_asked = |timer: &String| {
        let (kind, after) = timer.split_once(':').unwrap();
        kind == "02" && u32::from_str_radix(after, 16).unwrap() <= 1000
    };
    let until = Instant::now() + PATIENCE;
    while timers().is_empty() || !timers().iter().all(is_asked) {
        assert!(Instant::now() < until, "{:?}", timers());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn nothing_remote_is_answered_before_the_local_cluster_is_known() {
    let world = World::new();
    world.local.set_fault(Fault::Unauthorised);
    let files = world.files("gatewayProbe: {enabled: false}\n").await;
    let agent = Agent::start_with(files).await;
    agent.readyz_says("catalog cluster-2: synced").await;
    let reply = agent.ask(&name("catalog.shop")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    world.local.set_fault(Fault::None);
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_headless_service_has_its_ready_endpoints() {
    let world = World::new();
    let spec = json!({"clusterIP": "None", "ports": [{"name": "tcp-db", "port": 5432}]});
    world
        .local
        .put(SERVICES, "shop", "db", json!({"spec": spec}));
    let agent = world.agent().await;
    // Without a marked slice only the cluster's own DNS knows; here it is silent.
    let reply = agent.ask(&name("db.shop")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let slice = |ready: bool| {
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "db", "service.kubernetes.io/headless": ""}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.5.1"], "conditions": {"ready": true}, "hostname": "db-0"},
                {"addresses": ["10.1.5.2"], "conditions": {"ready": ready}}
            ]
        })
    };
    world.local.put(SLICES, "shop", "db-x", slice(false));
    agent.eventually(&name("db.shop"), &["10.1.5.1"]).await;
    assert_eq!(agent.answers(&name("db-0.db.shop")).await, ["10.1.5.1"]);
    world.local.put(SLICES, "shop", "db-x", slice(true));
    agent
        .eventually(&name("10-1-5-2.db.shop"), &["10.1.5.2"])
        .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_namespace_exists_with_its_cluster() {
    let world = World::new();
    world.local.put(NAMESPACES, "", "empty", json!({}));
    let agent = world.agent().await;
    let reply = agent.ask(&name("empty")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert!(reply.metadata.authoritative);
    world.local.delete(NAMESPACES, "", "empty");
    let gone = agent.folder().to_owned();
    for _ in 0..4000 {
        let reply = agent.ask(&name("empty")).await;
        if reply.metadata.response_code == ResponseCode::NXDomain {
            assert!(reply.metadata.authoritative);
            agent.stop().await;
            return;
        }
    }
    panic!("the namespace stayed: {}", gone.display());
}

#[tokio::test]
async fn what_was_local_once_stays_local_where_failover_is_off() {
    let world = World::new();
    let policy = "gatewayProbe: {enabled: false}\nremote: {rules: [{service: shop/reviews, failover: false}]}\n";
    let agent = Agent::start_with(world.files(policy).await).await;
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    agent.eventually(&name("catalog.shop"), &[GATEWAY]).await;
    world.local.service("shop", "marker", "10.1.0.50", "http");
    world.local.delete(SERVICES, "shop", "reviews");
    agent.eventually(&name("reviews.shop"), &[]).await;
    world.local.delete(SERVICES, "shop", "marker");
    world.local.service("shop", "marker", "10.1.0.51", "http");
    agent.eventually(&name("marker.shop"), &["10.1.0.51"]).await;
    assert!(agent.answers(&name("reviews.shop")).await.is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn many_changes_at_once_become_few_publishes() {
    let world = World::new();
    let agent = world.agent().await;
    let publishes = async || agent.metric("crossmesh_dns_publishes_total").await.unwrap();
    let before = publishes().await;
    for at in 0..500 {
        let (high, low) = (at / 250, at % 250);
        world.local.service(
            "crowd",
            &format!("s{at}"),
            &format!("10.1.{high}.{low}"),
            "http",
        );
    }
    agent.eventually(&name("s499.crowd"), &["10.1.1.249"]).await;
    let needed = publishes().await - before;
    assert!(needed < 100.0, "{needed} publishes for 500 changes");
    agent.stop().await;
}
