//! `dns table` against an admin port: the words it prints, and what it says when there is no table.
#![cfg(test)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use crossmesh_proto::CONTENT_TYPE;
use crossmesh_proto::admin::v1::{Cluster, Name, Reason, SyncState, Table};
use prost::Message;

fn table() -> Table {
    let cluster = |id: &str, mesh: &str, state: SyncState| Cluster {
        id: id.into(),
        mesh: mesh.into(),
        network: String::new(),
        state: state.into(),
        age_milliseconds: Some(1500),
        problem: String::new(),
        services: 2,
        not_synced_milliseconds: (state != SyncState::Synced).then_some(180_000),
    };
    let name = |name: &str, reason: Reason, addresses: &[&str], clusters: &[&str]| Name {
        name: name.into(),
        clusters: clusters.iter().map(|&id| id.into()).collect(),
        addresses: addresses.iter().map(|&address| address.into()).collect(),
        reason: reason.into(),
    };
    Table {
        cluster_domain: "cluster.local".into(),
        local_cluster: "cluster-1".into(),
        ttl_seconds: 5,
        clusters: vec![
            cluster("cluster-1", "east", SyncState::Synced),
            Cluster {
                network: "vpc-2".into(),
                problem: "west.yaml:3: no\u{1b}[2Jsuch field".into(),
                ..cluster("cluster-2", "west", SyncState::Stale)
            },
            Cluster {
                age_milliseconds: None,
                ..cluster("cluster-3", "west", SyncState::Pending)
            },
        ],
        names: vec![
            name(
                "catalog.shop.svc.cluster.local",
                Reason::Gateway,
                &["127.0.0.21", "127.0.0.22"],
                &["cluster-2"],
            ),
            name(
                "reviews.shop.svc.cluster.local",
                Reason::Local,
                &["10.96.0.7", "fd00::7"],
                &["cluster-1"],
            ),
            name(
                "void.shop.svc.cluster.local",
                Reason::Nodata,
                &[],
                &["cluster-2", "cluster-3"],
            ),
        ],
    }
}

/// Asks something that answers every request with these bytes.
fn ask(answer: Vec<u8>, args: &[&str]) -> (String, Output) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        stream.write_all(&answer).unwrap();
        request.first().cloned().unwrap_or_default()
    });
    let output = crossmesh(&address, args);
    (server.join().unwrap(), output)
}

fn crossmesh(address: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossmesh"))
        .args(["dns", "table", "--agent", address])
        .args(args)
        // Such a proxy must not be asked.
        .env("http_proxy", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

fn http(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn a_table_is_printed_for_people() {
    let (request, output) = ask(http("200 OK", CONTENT_TYPE, &table().encode_to_vec()), &[]);
    assert_eq!(request, "GET /v1/table HTTP/1.1");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\
cluster.local as cluster-1 answers it, TTL 5 s

CLUSTER    MESH  NETWORK  STATE              AGE     SERVICES  PROBLEM
cluster-1  east  -        synced             <1 min  2         -
cluster-2  west  vpc-2    stale for 3 min    <1 min  2         west.yaml:3: no\u{fffd}[2Jsuch field
cluster-3  west  -        pending for 3 min  -       2         -

NAME                            ANSWERS                REASON   CLUSTERS             STATE
catalog.shop.svc.cluster.local  127.0.0.21,127.0.0.22  gateway  cluster-2            stale
reviews.shop.svc.cluster.local  10.96.0.7,fd00::7      local    cluster-1            synced
void.shop.svc.cluster.local     -                      nodata   cluster-2,cluster-3  pending
"
    );
}

#[test]
fn a_table_is_data() {
    let (_, output) = ask(
        http("200 OK", CONTENT_TYPE, &table().encode_to_vec()),
        &["--format", "json"],
    );
    let got: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        got.pointer("/names/0").unwrap(),
        &serde_json::json!({
            "name": "catalog.shop.svc.cluster.local", "addresses": ["127.0.0.21", "127.0.0.22"],
            "reason": "gateway", "clusters": ["cluster-2"], "state": "stale",
        })
    );
    assert_eq!(
        got.pointer("/clusters/0").unwrap(),
        &serde_json::json!({
            "id": "cluster-1", "mesh": "east", "network": null, "state": "synced", "age_milliseconds": 1500,
            "not_synced_milliseconds": null, "problem": null, "services": 2,
        })
    );
    assert_eq!(got.pointer("/local_cluster").unwrap(), "cluster-1");
}

#[test]
fn an_agent_without_names_is_no_failure() {
    let empty = Table {
        names: Vec::new(),
        ..table()
    };
    let (_, output) = ask(http("200 OK", CONTENT_TYPE, &empty.encode_to_vec()), &[]);
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .ends_with("\nNo name is answered here; all are forwarded.\n")
    );
}

#[track_caller]
fn fails(output: Output, address: &str, want: &[&str]) {
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(1), 0),
        "{told}"
    );
    for want in [
        &[address, "give the admin address of a running dns-agent"],
        want,
    ]
    .concat()
    {
        assert!(told.contains(want), "{told}should have {want}");
    }
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    fails(
        crossmesh(&free, &[]),
        &free,
        &["cannot be reached", "refused"],
    );
}

#[test]
fn silence_is_said_with_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    fails(
        crossmesh(&address, &["--timeout", "1"]),
        &address,
        &["no answer within 1 s", "--timeout"],
    );
}

#[test]
fn what_is_no_agent_is_told_so() {
    let bad_address = Table {
        names: vec![Name {
            name: "x".into(),
            addresses: vec!["nowhere".into()],
            ..Name::default()
        }],
        ..Table::default()
    };
    for (answer, want) in [
        (
            http("404 Not Found", "text/plain", b"no"),
            "it says 404 Not Found",
        ),
        (http("302 Found", "text/html", b""), "it says 302 Found"),
        (
            http("200 OK", "text/html", b"<html>"),
            "it sends text/html instead of application/x-protobuf",
        ),
        (
            http("200 OK", CONTENT_TYPE, b"\xff\xff\xff"),
            "no dns-agent of this version",
        ),
        (
            http("200 OK", CONTENT_TYPE, &bad_address.encode_to_vec()),
            "\"nowhere\", which is no address",
        ),
        (
            b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
            "no dns-agent of this version",
        ),
    ] {
        let (_, output) = ask(answer, &[]);
        fails(output, "127.0.0.1:", &[want]);
    }
}
