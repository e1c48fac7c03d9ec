//! TCP connections through a real Envoy: decided at the first bytes of either side, and again when the policy changes.
#![cfg(test)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossmesh_e2e::access_log::Entry;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::roles::tcp::{GREETING, GREETING_PORT, HELD_BACK_PORT, HTTP_PORT, TcpStand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The frontend may; the batch may not.
const FRONTEND_ONLY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [{"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]}"#;

const BOTH: [&str; 2] = [FRONTEND, BATCH];
const THE_FRONTEND: usize = 0;
const THE_BATCH: usize = 1;

/// Longer than anything takes; over means that it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// For so long the filter waits for connections of a later policy.
const SILENT: Duration = Duration::from_secs(30);

/// As many bytes as are wanted, or all until the end.
async fn read(stream: &mut TcpStream, wanted: usize) -> String {
    read_within(PATIENCE, stream, wanted).await
}

async fn read_within(patience: Duration, stream: &mut TcpStream, wanted: usize) -> String {
    let mut bytes = vec![0; wanted];
    let mut read = 0;
    while read < wanted {
        let more = timeout(patience, stream.read(&mut bytes[read..]));
        match more.await.expect("bytes, or the end") {
            // A reset is an end too.
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    String::from_utf8(bytes[..read].to_vec()).unwrap()
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn say(stream: &mut TcpStream, words: &str) -> String {
    // What cannot be written any more is not answered either.
    let _ = stream.write_all(words.as_bytes()).await;
    read(stream, words.len()).await
}

async fn counted(stand: &TcpStand, metric: &str, verdict: &str) -> u64 {
    let name = format!(
        "wasmcustom.source_mesh=.=east;.;destination_mesh=.=west;.;verdict=.={verdict};.;{metric}"
    );
    stand.envoy.stat(&name).await.unwrap()
}

#[tokio::test]
async fn a_client_that_speaks_first_is_heard_or_cut_off() {
    let stand = TcpStand::start(FRONTEND_ONLY, &BOTH).await.unwrap();
    let mut allowed = connect(stand.of(THE_FRONTEND, SERVICE_PORT)).await;
    assert_eq!(say(&mut allowed, "hello").await, "hello");
    assert_eq!(say(&mut allowed, "again").await, "again");
    drop(allowed);
    let entry = stand.access_log.longer_than(0).await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some("ALLOW rule:frontend"));
    assert_eq!(stand.echo.heard(), 10);

    let mut denied = connect(stand.of(THE_BATCH, SERVICE_PORT)).await;
    assert_eq!(say(&mut denied, "hello").await, "");
    let entry = stand.access_log.longer_than(1).await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some("DENY default:peerMesh"));
    assert_eq!(entry.source_mesh.as_deref(), Some("east"));
    assert_eq!(stand.echo.heard(), 10, "nothing of it arrived");

    for verdict in ["ALLOW", "DENY"] {
        let counted = counted(&stand, "crossmesh_connections_total", verdict).await;
        assert_eq!(counted, 1, "{verdict}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_by_whom_the_policy_lets_in() {
    let stand = TcpStand::start(FRONTEND_ONLY, &BOTH).await.unwrap();
    // Several times, for what the two sides do first is a race.
    for _ in 0..5 {
        let mut allowed = connect(stand.of(THE_FRONTEND, GREETING_PORT)).await;
        assert_eq!(read(&mut allowed, GREETING.len()).await, GREETING);
        assert_eq!(say(&mut allowed, "thanks").await, "thanks");
        let mut denied = connect(stand.of(THE_BATCH, GREETING_PORT)).await;
        assert_eq!(read(&mut denied, GREETING.len()).await, "");
    }
    assert_eq!(stand.greeter.heard(), 30);
}

/// Whichever is first, handshake or greeting: without the settings that connect after the handshake the greeting may wait
/// for the client to speak. It is lost to nobody who may hear it, and reaches nobody else.
#[tokio::test]
async fn a_greeting_before_the_handshake_reaches_nobody_whom_the_policy_refuses() {
    let stand = TcpStand::start(FRONTEND_ONLY, &BOTH).await.unwrap();
    for _ in 0..5 {
        let mut allowed = connect(stand.of(THE_FRONTEND, HELD_BACK_PORT)).await;
        allowed.write_all(b"hello").await.unwrap();
        let whole = format!("{GREETING}hello");
        assert_eq!(read(&mut allowed, whole.len()).await, whole);
        let mut denied = connect(stand.of(THE_BATCH, HELD_BACK_PORT)).await;
        let _ = denied.write_all(b"hello").await;
        assert_eq!(read(&mut denied, 1).await, "");
    }
    assert_eq!(
        stand.greeter.heard(),
        25,
        "nothing of the refused ones arrived"
    );
}

/// Although a greeting that comes before the handshake is held back otherwise, until the client speaks.
#[tokio::test]
async fn a_dry_run_holds_no_greeting_back_and_whom_it_let_in_is_cut_off_after_it() {
    let dry_run = FRONTEND_ONLY.replace(r#""rules""#, r#""mode": "DRY_RUN", "rules""#);
    let stand = TcpStand::start(&dry_run, &BOTH).await.unwrap();
    for client in [THE_FRONTEND, THE_BATCH] {
        for _ in 0..3 {
            let mut stream = connect(stand.of(client, HELD_BACK_PORT)).await;
            assert_eq!(read(&mut stream, GREETING.len()).await, GREETING);
        }
    }
    let mut batch = connect(stand.of(THE_BATCH, SERVICE_PORT)).await;
    assert_eq!(say(&mut batch, "hello").await, "hello");
    stand.deliver("2", FRONTEND_ONLY).unwrap();
    assert_eq!(read(&mut batch, 1).await, "", "it has ended");
    let cut_off = async || {
        let entries = stand.access_log.entries().ok()?;
        // Those that were greeted are over, and say false.
        let is_it = |entry: &Entry| entry.enforced.as_deref() == Some("true");
        entries.into_iter().find(is_it)
    };
    let entry = stand.envoy.until("a line of what was cut off", cut_off);
    let entry = entry.await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some("DENY default:peerMesh"));
}

/// How often Envoy has taken on a configuration of the TCP listeners.
const TAKEN: &str = "extension_config_discovery.network_filter.crossmesh.config_reload";

#[tokio::test]
async fn a_new_policy_cuts_off_the_open_connections_that_it_refuses_within_a_second() {
    let open = FRONTEND_ONLY.replace(
        r#""rules""#,
        r#""defaults": {"peerMesh": "ALLOW"}, "rules""#,
    );
    let stand = TcpStand::start(&open, &BOTH).await.unwrap();
    // More than there are workers, so that all of them have some.
    let (mut frontends, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        for (client, streams) in [(THE_FRONTEND, &mut frontends), (THE_BATCH, &mut batches)] {
            let mut stream = connect(stand.of(client, SERVICE_PORT)).await;
            assert_eq!(say(&mut stream, "hello").await, "hello");
            streams.push(stream);
        }
    }
    // When each of them ends.
    let mut ends = JoinSet::new();
    for mut stream in batches {
        ends.spawn(async move {
            assert_eq!(read(&mut stream, 1).await, "", "it has ended");
            Instant::now()
        });
    }
    let before = stand.envoy.stat(TAKEN).await.unwrap();
    stand.deliver("2", FRONTEND_ONLY).unwrap();
    let taken = async || (stand.envoy.stat(TAKEN).await.ok()? > before).then(Instant::now);
    let taken = stand.envoy.until("the policy is taken", taken).await;
    let taken = taken.unwrap();
    for end in ends.join_all().await {
        let after = end.saturating_duration_since(taken);
        println!("cut off {after:?} after Envoy reported that it had taken the policy on");
        assert!(after <= Duration::from_secs(1), "{after:?}");
    }
    for stream in &mut frontends {
        assert_eq!(say(stream, "still").await, "still");
    }
    let cut_off = counted(&stand, "crossmesh_connections_cut_off_total", "DENY").await;
    assert_eq!(cut_off, 6);
    let entry = stand.access_log.longer_than(5).await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some("DENY default:peerMesh"));
}

#[tokio::test]
async fn a_policy_that_comes_back_is_taken_on_when_none_begins_with_the_later_one_any_more() {
    let open = FRONTEND_ONLY.replace(
        r#""rules""#,
        r#""defaults": {"peerMesh": "ALLOW"}, "rules""#,
    );
    let stand = TcpStand::start(FRONTEND_ONLY, &BOTH).await.unwrap();
    // As long as they are open, Envoy keeps what it had made of the first policy, on each worker.
    let mut frontends = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(stand.of(THE_FRONTEND, SERVICE_PORT)).await;
        assert_eq!(say(&mut stream, "hello").await, "hello");
        frontends.push(stream);
    }
    stand.deliver("2", &open).unwrap();
    let mut batches = Vec::new();
    let filled = async {
        while batches.len() < 6 {
            let mut stream = connect(stand.of(THE_BATCH, SERVICE_PORT)).await;
            // Until the second policy is there it is cut off.
            if say(&mut stream, "hello").await == "hello" {
                batches.push(stream);
            }
        }
    };
    timeout(PATIENCE, filled).await.expect("the second policy");
    stand.deliver("3", FRONTEND_ONLY).unwrap();
    let next = async {
        loop {
            let mut stream = connect(stand.of(THE_FRONTEND, SERVICE_PORT)).await;
            assert_eq!(say(&mut stream, "next").await, "next");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let ended = async {
        for stream in &mut batches {
            let end = read_within(SILENT + PATIENCE, stream, 1).await;
            assert_eq!(end, "", "it has ended");
        }
    };
    tokio::select! {
        () = ended => {}
        () = next => {}
    }
    for stream in &mut frontends {
        assert_eq!(say(stream, "still").await, "still");
    }
}

/// What is scraped of connections, with the labels that `docs/filter.md` tells operators to set up; of histograms the count.
async fn scraped(stand: &TcpStand) -> BTreeMap<String, u64> {
    let text = stand
        .envoy
        .get("/stats/prometheus?filter=crossmesh_connection");
    let text = text.await.unwrap();
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    samples
        .filter(|(name, _)| {
            !name.starts_with('#') && !name.contains("_bucket{") && !name.contains("_sum{")
        })
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .filter(|(_, value)| *value > 0)
        .collect()
}

#[tokio::test]
async fn prometheus_scrapes_connections_by_pair_of_meshes_and_verdict() {
    let everything = |policy: &str| {
        policy.replace(
            r#""rules""#,
            r#""telemetry": {"bytes": true, "duration": true}, "rules""#,
        )
    };
    let open = everything(FRONTEND_ONLY).replace(
        r#""rules""#,
        r#""defaults": {"peerMesh": "ALLOW"}, "rules""#,
    );
    let stand = TcpStand::start(&open, &BOTH).await.unwrap();
    let mut frontend = connect(stand.of(THE_FRONTEND, SERVICE_PORT)).await;
    let mut batch = connect(stand.of(THE_BATCH, SERVICE_PORT)).await;
    for stream in [&mut frontend, &mut batch] {
        assert_eq!(say(stream, "hello").await, "hello");
    }
    stand.deliver("2", &everything(FRONTEND_ONLY)).unwrap();
    assert_eq!(read(&mut batch, 1).await, "", "it has ended");
    let mut denied = connect(stand.of(THE_BATCH, SERVICE_PORT)).await;
    assert_eq!(say(&mut denied, "hello").await, "");
    drop(frontend);

    let named = |metric: &str, verdict: &str| {
        format!(
            r#"crossmesh_connection{metric}{{source_mesh="east",destination_mesh="west",verdict="{verdict}"}}"#
        )
    };
    let wanted = BTreeMap::from([
        (named("s_total", "ALLOW"), 2),
        (named("s_total", "DENY"), 1),
        (named("s_cut_off_total", "DENY"), 1),
        (named("_received_bytes_total", "ALLOW"), 10),
        (named("_sent_bytes_total", "ALLOW"), 10),
        (named("_duration_milliseconds_count", "ALLOW"), 2),
        (named("_duration_milliseconds_count", "DENY"), 1),
    ]);
    // Envoy merges its workers' histograms every few seconds.
    let told = async || (scraped(&stand).await == wanted).then_some(());
    if let Err(error) = stand.envoy.until("every metric", told).await {
        panic!(
            "{error:#}\nscraped: {:#?}\nwanted: {wanted:#?}",
            scraped(&stand).await
        );
    }
}

#[tokio::test]
async fn one_policy_serves_a_network_filter_and_the_http_filter_behind_it() {
    let policy = FRONTEND_ONLY
        .replace(
            r#""rules""#,
            &format!(r#""tcp": {{"httpPorts": [{HTTP_PORT}]}}, "rules""#),
        )
        .replace(r#""name": "frontend""#, r#""name": "readers""#)
        .replace(
            r#"["web/frontend"]}]"#,
            r#"["web/frontend"]}], "to": [{"paths": ["/v1/*"]}]"#,
        );
    let stand = TcpStand::start(&policy, &BOTH).await.unwrap();
    let address = SocketAddr::new(stand.address, HTTP_PORT);
    let ask = async |client: usize, path: &str| {
        let request = Request::mutual_tls(CATALOG, address, path, stand.identity(client)).unwrap();
        request.send().await.map(|reply| reply.status).ok()
    };
    for _ in 0..3 {
        assert_eq!(ask(THE_FRONTEND, "/v1/items").await, Some(200));
        // The connection might become anything, so it is the HTTP filter that refuses the request.
        assert_eq!(ask(THE_FRONTEND, "/v2/items").await, Some(403));
        // No request of the batch could be let in, so none is read.
        assert_eq!(ask(THE_BATCH, "/v1/items").await, None);
    }
    let requests = counted(&stand, "crossmesh_requests_total", "ALLOW").await;
    let refused = counted(&stand, "crossmesh_requests_total", "DENY").await;
    let connections = counted(&stand, "crossmesh_connections_total", "DENY").await;
    assert_eq!((requests, refused, connections), (3, 3, 3));
}
