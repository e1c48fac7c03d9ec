//! Two agents at one address, as while one takes the other's place; and strangers, with whom none is shared.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossmesh_dns_agent::{
    app::App,
    config::Config,
    probe::{At, probe},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    agent::{Agent, Files, PATIENCE, ask_udp, data, upstream},
    api::{Api, Fault, SERVICES},
    message::{Draft, query},
    servers::nobody,
};

fn name(service: &str) -> Draft {
    query(&format!("{service}.svc.cluster.local"))
}

/// Where agents listen here. No other test's do: what one leaves for a moment, nobody else is given meanwhile.
const LISTEN: &str = "listen: [127.0.0.98:0]";

fn config(files: &Files) -> Config {
    Config::load(&files.path("dns.yaml")).unwrap()
}

/// The files of a later agent at the addresses of an earlier one, with everything else as in `files`.
fn beside(files: &Files, agent: &Agent, socket: &str) {
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let text = text.replace(LISTEN, &format!("listen: [\"{}\"]", agent.dns));
    let admin = format!("admin: {}\nadminSocket: {socket}\n", agent.admin);
    files.write("dns.yaml", &text.replace("admin: 127.0.0.1:0\n", &admin));
}

/// An API server with one service, and the files of an agent that follows it.
async fn cluster() -> (Api, Files) {
    let api = Api::start();
    api.service("shop", "reviews", "10.1.0.9", "http");
    let files = Files::bare(&format!(
        "adminSocket: first.sock\ncluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\npeerSyncTimeout: 100ms\n\
         upstreams: {{servers: [\"{}\"]}}\n",
        nobody().await
    ));
    files.write("local.kubeconfig", &api.kubeconfig());
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let text = text.replace("listen: [127.0.0.1:0]", LISTEN);
    files.write("dns.yaml", &text);
    (api, files)
}

/// Asks an agent at its admin socket until it says something.
async fn probed(files: &Files, wanted: impl Fn(&str, bool) -> bool) -> (String, bool) {
    let asking = async {
        loop {
            let at = At::Socket(config(files).admin_socket.unwrap());
            let asked = tokio::task::spawn_blocking(move || probe(&at, "/readyz"));
            let (page, ready) = asked.await.unwrap().unwrap();
            if wanted(&page, ready) {
                return (page, ready);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// A page of the admin interface at a socket.
async fn at_socket(socket: &std::path::Path, path: &str) -> (u16, String) {
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: agent\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Waits until somebody serves the admin port again.
pub(crate) async fn admin_port_is_taken_over(by: &Agent) {
    let connecting = async {
        while tokio::net::TcpStream::connect(by.admin).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connecting).await.unwrap();
}

/// How many of these queries, each from a port of its own, an agent answered.
async fn answered(agent: &Agent, queries: usize) -> f64 {
    let count =
        "crossmesh_dns_queries_total{transport=\"udp\",source=\"catalog\",outcome=\"noerror\"}";
    let before = agent.metric(count).await.unwrap();
    for _ in 0..queries {
        let reply = ask_udp(agent.dns, &name("reviews.shop").bytes()).await;
        let reply = hickory_proto::op::Message::from_vec(&reply).unwrap();
        assert_eq!(data(&reply), ["10.1.0.9"]);
    }
    agent.metric(count).await.unwrap() - before
}

#[tokio::test]
async fn a_later_agent_joins_when_it_knows_the_cluster_and_stays_when_the_earlier_one_goes() {
    let (api, files) = cluster().await;
    let first = Agent::start_in(&files).await;
    first.readyz_says("ready\ncatalog cluster-1: synced").await;

    // The second one cannot read the cluster, not even after it has given up waiting.
    api.set_fault(Fault::Unauthorised);
    let later = Files(tempfile::tempdir().unwrap());
    for file in ["dns.yaml", "local.kubeconfig"] {
        later.write(file, &std::fs::read_to_string(files.path(file)).unwrap());
    }
    let text = std::fs::read_to_string(later.path("dns.yaml")).unwrap();
    later.write("dns.yaml", &text.replace("adminSocket: first.sock\n", ""));
    beside(&later, &first, "second.sock");
    let second = Agent::start_in(&later).await;
    let (page, ready) = probed(&later, |page, _| page.contains("timed-out")).await;
    assert!(!ready && page.contains("pending: listeners"), "{page}");
    assert_eq!(answered(&first, 20).await, 20.0, "the first has all");
    // Its admin interface is up at the socket, whole; the port is the first one's alone.
    for (path, status, part) in [
        ("/livez", 200, "alive"),
        ("/readyz", 503, "catalog cluster-1: timed-out"),
        (
            "/metrics",
            200,
            "crossmesh_dns_catalog_state{cluster=\"cluster-1\",state=\"timed-out\"} 1",
        ),
        ("/v1/status", 200, ""),
        ("/v1/table", 200, ""),
    ] {
        let (found, body) = at_socket(&later.path("second.sock"), path).await;
        assert!(
            found == status && body.contains(part),
            "{path}: {found} {body}"
        );
    }
    for _ in 0..20 {
        let (_, page) = first.text("/readyz").await;
        assert!(page.starts_with("ready\ncatalog cluster-1: "), "{page}");
    }

    // Once it can, both answer.
    api.set_fault(Fault::None);
    probed(&later, |_, ready| ready).await;
    let shared = answered(&first, 60).await;
    assert!(
        shared > 0.0 && shared < 60.0,
        "the first has {shared} of 60"
    );

    // The admin port is the first one's until it has gone.
    first.stop().await;
    admin_port_is_taken_over(&second).await;
    second.readyz_says("ready\ncatalog cluster-1: synced").await;
    assert_eq!(answered(&second, 20).await, 20.0, "the second has all");
    api.delete(SERVICES, "shop", "reviews");
    second.eventually(&name("reviews.shop"), &[]).await;
    second.stop().await;
    assert!(!later.path("second.sock").exists());
}

#[tokio::test]
async fn a_later_agent_takes_over_at_once_when_the_earlier_one_has_gone() {
    let (api, files) = cluster().await;
    let first = Agent::start_in(&files).await;
    first.readyz_says("ready\ncatalog cluster-1: synced").await;
    api.set_fault(Fault::Unauthorised);
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    files.write("dns.yaml", &text.replace("adminSocket: first.sock\n", ""));
    beside(&files, &first, "second.sock");
    let second = Agent::start_in(&files).await;
    first.stop().await;
    admin_port_is_taken_over(&second).await;
    // Nobody else is there: a failure that says why, and names elsewhere relayed, are better than silence.
    second
        .readyz_says("ready\ncatalog cluster-1: timed-out")
        .await;
    let reply = second.ask(&name("reviews.shop")).await;
    assert_eq!(u16::from(reply.metadata.response_code), 2);
    second.stop().await;
}

#[tokio::test]
async fn a_later_agent_that_may_not_read_its_cluster_is_no_wiser_by_a_snapshot_and_takes_over_from_it()
 {
    let (api, files) = cluster().await;
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let snapshot = "snapshot: {directory: kept, interval: 100ms}\npeerSyncTimeout";
    files.write("dns.yaml", &text.replace("peerSyncTimeout", snapshot));
    let first = Agent::start_in(&files).await;
    first.readyz_says("ready\ncatalog cluster-1: synced").await;
    let kept = files.path("kept").join("cluster-1.snapshot");
    let written = async {
        while !kept.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();

    // What the later one finds on the disk is the earlier one's own memory.
    api.set_fault(Fault::Unauthorised);
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    files.write("dns.yaml", &text.replace("adminSocket: first.sock\n", ""));
    beside(&files, &first, "second.sock");
    let second = Agent::start_in(&files).await;
    let refused = "stale: services: the API server says 401";
    let (page, ready) = probed(&files, |page, _| page.contains(refused)).await;
    assert!(!ready && page.contains("pending: listeners"), "{page}");
    assert_eq!(answered(&first, 60).await, 60.0, "the first has all");
    let (_, ready) = probed(&files, |page, _| page.contains(refused)).await;
    assert!(!ready, "it joined");

    // When nobody else is there, it is better than silence, and right as far as anybody knows.
    let done = Arc::new(AtomicBool::new(false));
    let (server, asked) = (first.dns, name("reviews.shop").bytes());
    let mut clients = tokio::task::JoinSet::new();
    let stop = Arc::clone(&done);
    clients.spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            // Between the end of the one and the beginning of the other nobody answers.
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(server).await.unwrap();
            let _ = socket.send(&asked).await;
            let mut buffer = vec![0; 4096];
            let patience = Duration::from_millis(50);
            if let Ok(Ok(length)) = tokio::time::timeout(patience, socket.recv(&mut buffer)).await {
                buffer.truncate(length);
                let reply = hickory_proto::op::Message::from_vec(&buffer).unwrap();
                assert_eq!(data(&reply), ["10.1.0.9"]);
            }
        }
    });
    first.stop().await;
    let (page, ready) = probed(&files, |_, ready| ready).await;
    assert!(ready && page.contains(refused), "{page}");
    admin_port_is_taken_over(&second).await;
    done.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_eq!(answered(&second, 20).await, 20.0, "the second has all");
    // And it is wise again as soon as it may be.
    api.set_fault(Fault::None);
    api.delete(SERVICES, "shop", "reviews");
    second.eventually(&name("reviews.shop"), &[]).await;
    second.stop().await;
}

/// Starts an agent that must not start; why not.
async fn refused(files: &Files) -> String {
    match App::bind(config(files)).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn an_address_of_somebody_who_is_no_agent_is_not_shared() {
    let files = Files::new(&upstream(nobody().await));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let listen = |address: SocketAddr| {
        text.replace("listen: [127.0.0.1:0]", &format!("listen: [\"{address}\"]"))
    };
    // Of the same user, and willing to share with anybody.
    let stranger = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    stranger.set_reuse_port(true).unwrap();
    stranger
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let address = stranger.local_addr().unwrap().as_socket().unwrap();
    files.write("dns.yaml", &listen(address));
    let said = refused(&files).await;
    assert!(
        said.starts_with(&format!(
            "cannot listen for queries on {address} (ss -lnptu"
        )),
        "{said}"
    );
    drop(stranger);
    // Nor the TCP half alone.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    files.write("dns.yaml", &listen(stranger.local_addr().unwrap()));
    let said = refused(&files).await;
    assert!(said.contains("in use"), "{said}");
}

#[tokio::test]
async fn without_an_admin_socket_two_agents_do_not_share_an_admin_port() {
    let first = Agent::start(&upstream(nobody().await)).await;
    let files = Files::new(&upstream(nobody().await));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let admin = format!("admin: {}\n", first.admin);
    files.write("dns.yaml", &text.replace("admin: 127.0.0.1:0\n", &admin));
    let said = refused(&files).await;
    assert!(
        said.contains("another agent has it; end that, or write adminSocket"),
        "{said}"
    );
    first.stop().await;
}

#[tokio::test]
async fn a_socket_that_a_killed_agent_left_is_taken_and_one_in_use_is_not() {
    let files = Files::new(&format!(
        "{}adminSocket: admin.sock\n",
        upstream(nobody().await)
    ));
    drop(std::os::unix::net::UnixListener::bind(files.path("admin.sock")).unwrap());
    let agent = Agent::start_in(&files).await;
    let said = refused(&files).await;
    assert!(said.contains("another process serves it"), "{said}");
    agent.stop().await;
}
