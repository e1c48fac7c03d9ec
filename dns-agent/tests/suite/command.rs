//! The command itself: exit codes, what it says, how it ends.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};

use hickory_proto::op::Message;
use tokio::sync::watch;

use crate::support::{
    agent::{Files, PATIENCE, ask_udp, data, get, upstream},
    message::{QUESTION, query, question_of, record, reply, soa},
    servers::{Scripted, nobody},
};

fn command(files: &Files) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
    command.arg("--config").arg(files.path("dns.yaml"));
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A process that does not outlive its test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it and reads the line with its addresses.
fn start(files: &Files) -> (Running, SocketAddr, SocketAddr) {
    start_logging(files, Stdio::null())
}

fn start_logging(files: &Files, log: Stdio) -> (Running, SocketAddr, SocketAddr) {
    let child = command(files)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let rest = line.trim().strip_prefix("listening dns=").unwrap();
    let (dns, admin) = rest.split_once(" admin=").unwrap();
    (child, dns.parse().unwrap(), admin.parse().unwrap())
}

fn terminate(child: &Running) {
    let status = Command::new("kill")
        .args(["-TERM", &child.0.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn it_answers_and_ends_cleanly_when_asked_to() {
    let files = Files::new(&upstream(nobody().await));
    let (mut child, dns, admin) = start(&files);
    let asked = query("reviews.shop.svc.cluster.local").bytes();
    let reply = Message::from_vec(&ask_udp(dns, &asked).await).unwrap();
    assert_eq!(data(&reply), ["10.1.0.9"]);
    assert_eq!(get(admin, "/readyz").await.unwrap().0, 200);
    terminate(&child);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_configuration_that_is_changed_or_ruined_says_nothing_of_the_agent_that_runs() {
    let lines = format!("{}adminSocket: admin.sock\n", upstream(nobody().await));
    let files = Files::new(&lines);
    let (child, dns, admin) = start(&files);
    let good = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let socket = files.path("admin.sock").display().to_string();
    let asked = query("reviews.shop.svc.cluster.local").bytes();
    let changed = good
        .replace("admin.sock", "other.sock")
        .replace("file: cluster-1.yaml", "file: gone.yaml");
    for text in [good.clone(), changed, "]".to_owned(), String::new()] {
        files.write("dns.yaml", &text);
        for at in [&socket, &admin.to_string()] {
            for page in ["livez", "readyz"] {
                let mut probe = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
                let (code, said, error) = run(probe.args(["probe", page, "--at", at]));
                assert_eq!(code, Some(0), "{page} at {at}: {said}{error}");
            }
        }
        let reply = Message::from_vec(&ask_udp(dns, &asked).await).unwrap();
        assert_eq!(data(&reply), ["10.1.0.9"]);
    }
    // What comes next is refused, and the one that runs goes on.
    let (code, _, error) = run(&mut command(&files));
    assert_eq!(code, Some(2), "{error}");
    std::fs::remove_file(files.path("dns.yaml")).unwrap();
    let mut probe = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
    let (code, said, _) = run(probe.args(["probe", "readyz", "--at", &socket]));
    assert_eq!((code, said.starts_with("ready\n")), (Some(0), true));
    drop(child);
    let mut probe = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
    let (code, _, error) = run(probe.args(["probe", "livez", "--at", &socket]));
    assert_eq!(code, Some(1));
    assert!(
        error.contains(&format!("no agent answers at {socket}")),
        "{error}"
    );
}

#[test]
fn a_probe_of_a_host_name_is_refused_as_no_address() {
    for at in ["localhost:15054", "::1:15054", "127.0.0.1:"] {
        let mut probe = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
        let (code, _, error) = run(probe.args(["probe", "livez", "--at", at]));
        assert_eq!(code, Some(2), "{at}: {error}");
        let said = "neither an IP address with a port, such as 127.0.0.1:15054";
        assert!(error.contains(said), "{at}: {error}");
    }
}

#[tokio::test]
async fn what_is_under_way_when_it_ends_is_still_answered() {
    let (open, gate) = watch::channel(false);
    let slow =
        Scripted::start_behind(gate, |query, _| Some(reply(query, 0x8183, [&[], &[], &[]]))).await;
    let files = Files::new(&upstream(slow.address));
    let (mut child, dns, admin) = start(&files);
    let asked = query("www.example.com").bytes();
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { ask_udp(dns, &asked).await });
    while slow.asked() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    terminate(&child);
    // It is not ready any more, and says so as long as it lives.
    let unready = async {
        while get(admin, "/readyz").await.unwrap().0 != 503 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, unready).await.unwrap();
    open.send_replace(true);
    let reply = waiting.join_next().await.unwrap().unwrap();
    assert_eq!(reply[3] & 0x0f, 3);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

/// Each difference is a line with the name and both answers, in the log as people have it.
#[tokio::test]
async fn in_shadow_mode_the_log_says_what_would_be_answered_otherwise() {
    let server = Scripted::start(|query, _| {
        let reviews = question_of(query).starts_with(b"\x07reviews");
        let other = [record(QUESTION, 1, 7, &[10, 1, 0, 77])];
        let denial = [record(b"\x00", 6, 30, &soa(30))];
        Some(if reviews {
            reply(query, 0x8580, [&other, &[], &[]])
        } else {
            reply(query, 0x8583, [&[], &denial, &[]])
        })
    })
    .await;
    let lines = format!(
        "mode: shadow\nshadow: {{settle: 20ms}}\n{}",
        upstream(server.address)
    );
    let files = Files::new(&lines);
    let log = files.path("log");
    let (child, dns, admin) = start_logging(&files, std::fs::File::create(&log).unwrap().into());
    for name in ["catalog.shop", "reviews.shop"] {
        let asked = query(&format!("{name}.svc.cluster.local")).bytes();
        ask_udp(dns, &asked).await;
    }
    let said = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let said = log.lines().filter_map(|line| {
            let (_, said) = line.split_once("shadow: would be answered otherwise ")?;
            Some(said.to_owned())
        });
        let mut said: Vec<String> = said.collect();
        said.sort();
        said
    };
    let waiting = async {
        while said().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{:?}", std::fs::read_to_string(&log));
    let expected = [
        "name=catalog.shop.svc.cluster.local rtype=A result=\"ours-only\" reason=\"gateway\" ours=\"203.0.113.7\" \
         theirs=\"nxdomain\" queries=1 unsaid=0",
        "name=reviews.shop.svc.cluster.local rtype=A result=\"differs\" reason=\"local\" ours=\"10.1.0.9\" \
         theirs=\"10.1.0.77\" queries=1 unsaid=0",
    ];
    assert_eq!(said(), expected);
    // What is said is what is counted.
    let (_, metrics) = get(admin, "/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    for counted in [
        "{result=\"ours-only\",reason=\"gateway\"} 1",
        "{result=\"differs\",reason=\"local\"} 1",
    ] {
        let line = format!("crossmesh_dns_shadow_total{counted}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    drop(child);
}

#[tokio::test]
async fn a_file_that_does_not_come_back_does_not_hold_up_its_end() {
    let files = Files::new(&upstream(nobody().await));
    let (mut child, _, admin) = start(&files);
    std::fs::remove_file(files.path("cluster-2.yaml")).unwrap();
    let pipe = Command::new("mkfifo")
        .arg(files.path("cluster-2.yaml"))
        .status();
    assert!(pipe.unwrap().success());
    let stale = async {
        loop {
            let (_, page) = get(admin, "/readyz").await.unwrap();
            if String::from_utf8(page)
                .unwrap()
                .contains("cluster-2: stale")
            {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stale).await.unwrap();
    terminate(&child);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn check_tells_of_every_file_and_exits_by_the_verdict() {
    let files = Files::new(&upstream(nobody().await));
    let (code, stdout, _) = run(command(&files).arg("--check"));
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(
        stdout
            .lines()
            .filter(|line| line.starts_with("good"))
            .count(),
        3
    );
    // Nothing is wrong, but what may not be meant is said.
    let unguarded = "warn   cluster.ranges: the list is empty: ";
    assert!(stdout.contains(unguarded), "{stdout}");
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let ranges = text.replace("mesh: east}", "mesh: east, ranges: [10.1.0.0/16]}");
    files.write("dns.yaml", &ranges);
    let (code, stdout, _) = run(command(&files).arg("--check"));
    assert_eq!((code, stdout.contains("warn")), (Some(0), false));
    files.write(
        "cluster-2.yaml",
        "schema: crossmesh-catalog/v1\ncluster: cluster-9\nservices: []\n",
    );
    let (code, stdout, _) = run(command(&files).arg("--check"));
    assert_eq!(code, Some(2));
    assert!(
        stdout.contains(
            "cluster-2.yaml:2: cluster: \"cluster-9\" where the configuration says \"cluster-2\""
        ),
        "{stdout}"
    );
}

#[tokio::test]
async fn a_wrong_configuration_or_local_catalog_ends_it_with_2() {
    let files = Files::new("upstreams: {servers: []}\n");
    let (code, stdout, stderr) = run(&mut command(&files));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("dns.yaml:8: upstreams.servers: the list is empty"),
        "{stderr}"
    );

    let files = Files::new(&upstream(nobody().await));
    files.write(
        "cluster-1.yaml",
        "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservice: []\n",
    );
    let (code, _, stderr) = run(&mut command(&files));
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("cluster-1.yaml:3: service: unknown field \"service\""),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_ends_it_with_1_and_the_address() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let files = Files::new(&upstream(nobody().await));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    files.write(
        "dns.yaml",
        &text.replace("listen: [127.0.0.1:0]", &format!("listen: [\"{address}\"]")),
    );
    let (code, _, stderr) = run(&mut command(&files));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!("cannot listen for queries on {address}")),
        "{stderr}"
    );
}

#[test]
fn it_tells_its_version() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"));
    let (code, stdout, _) = run(command.arg("--version"));
    assert_eq!(code, Some(0));
    assert_eq!(
        stdout,
        format!("crossmesh-dns-agent {}\n", env!("CARGO_PKG_VERSION"))
    );
}
