//! What a client may send: bytes that are not UTF-8 must not end the filter's VM, for it serves all streams of a worker.
#![cfg(test)]

use std::fs;
use std::time::Duration;

use crossmesh_e2e::names::{CATALOG, FRONTEND};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::policy_of_scenario;
use crossmesh_e2e::stand::Stand;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn stand() -> Stand {
    Stand::start(&policy_of_scenario("verdicts.yaml").unwrap())
        .await
        .unwrap()
}

/// The filter still decides, in the VMs that it began with, and no call to Envoy has failed.
async fn is_well(stand: &Stand, vms: u64) {
    let identity = stand.pki.sign(Root::East, "well", &[FRONTEND]).unwrap();
    for _ in 0..4 {
        let (reply, entry) = stand
            .send(stand.request(Some(&identity), "/v1/items").unwrap())
            .await
            .unwrap();
        assert_eq!(
            (reply.status, entry.decision.as_deref()),
            (200, Some("ALLOW rule:readers"))
        );
    }
    assert_eq!(
        created(stand).await,
        vms,
        "a VM was replaced:\n{}",
        stand.sidecar.envoy.log_tail(30)
    );
    let failures = stand
        .sidecar
        .envoy
        .stat("wasmcustom.crossmesh_host_failures_total")
        .await
        .unwrap();
    assert_eq!(failures, 0, "{}", stand.sidecar.envoy.log_tail(30));
}

async fn created(stand: &Stand) -> u64 {
    stand
        .sidecar
        .envoy
        .stat("wasm.envoy.wasm.runtime.v8.created")
        .await
        .unwrap()
}

#[tokio::test]
async fn header_bytes_that_are_not_utf8_are_decided_and_passed_on() {
    let stand = stand().await;
    let vms = created(&stand).await;
    assert!(vms > 0);
    let identity = stand.pki.sign(Root::East, "frontend", &[FRONTEND]).unwrap();
    let file = stand.folder().join("headers");
    fs::write(&file, b"x-bytes: \xff\xfe\x80 caf\xe9\nx-other: \xc3\x28\n").unwrap();
    for (path, status) in [("/v1/items", 200), ("/v2/items", 403)] {
        for protocol in ["--http1.1", "--http2"] {
            let request = stand
                .request(Some(&identity), path)
                .unwrap()
                .args([protocol]);
            let (reply, _) = stand
                .send(request.header(&format!("@{}", file.display())))
                .await
                .unwrap();
            assert_eq!(reply.status, status, "{path} {protocol}");
            if status == 200 {
                assert!(
                    reply.body.contains(r"x-bytes: \xff\xfe\x80 caf\xe9"),
                    "{reply:?}"
                );
            }
        }
    }
    is_well(&stand, vms).await;
}

#[tokio::test]
async fn raw_bytes_in_every_place_of_a_request_do_not_end_the_vm() {
    let stand = stand().await;
    let vms = created(&stand).await;
    let host = format!("host: {CATALOG}\r\n").into_bytes();
    let requests: [&[&[u8]]; 7] = [
        &[b"GET /v1/\xff\xfe HTTP/1.1\r\n", &host],
        &[b"GET /v1/items HTTP/1.1\r\nhost: \xff\xfe.shop\r\n"],
        &[b"GET /v1/items HTTP/1.1\r\n", &host, b"\xff\xfe: x\r\n"],
        &[b"GE\xff /v1/items HTTP/1.1\r\n", &host],
        &[b"GET /%ff%fe%00%zz HTTP/1.1\r\n", &host],
        &[
            b"GET /v1/items HTTP/1.1\r\n",
            &host,
            b"x-crossmesh-source-mesh: \xff\r\n",
            b"x: \r\n",
        ],
        &[b"GET * HTTP/1.1\r\n", &host],
    ];
    for request in requests {
        let mut bytes = request.concat();
        bytes.extend(b"connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(stand.sidecar.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let mut stream = BufReader::new(stream);
        let shown = bytes.escape_ascii();
        let status_line = stream.read_until(b'\n', &mut answer);
        timeout(Duration::from_secs(20), status_line)
            .await
            .expect("an answer, or the end")
            .unwrap();
        // Envoy may find it malformed (400), or the filter refuses it (403): it came in plaintext. Nothing serves it.
        let status = answer.get(9..12).unwrap_or_default();
        assert!(
            matches!(status, b"400" | b"403"),
            "{shown}: {}",
            answer.escape_ascii()
        );
    }
    is_well(&stand, vms).await;
}
