//! What a real Envoy does with a connection that a network filter holds at its beginning, and with one that none holds: tried
//! here, because it is why the filter decides at the first bytes, and docs/filter.md says so.
#![cfg(test)]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use crossmesh_e2e::envoy::{Envoy, Setup, socket_address};
use crossmesh_e2e::names::FRONTEND;
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::{Module, Plugin};
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, mtls_listener, tcp_proxy_without_log, upstream_tls};
use crossmesh_e2e::speaker::Speaker;
use crossmesh_e2e::world::node;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const GREETING: &str = "220 welcome\r\n";
/// Where TLS ends, and where a client's plain bytes are put into it.
const HELD: (u16, u16) = (8080, 9080);
const FREE: (u16, u16) = (8081, 9081);
/// Longer than an Envoy waits for a connection of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// A module of ABI 0.2.1 that answers this (0 to go on, 1 to pause) when a connection is accepted, and lets all bytes pass.
fn module(site: &Site, name: &str, accepted: u32) -> Plugin {
    let text = format!(
        r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 1024)
        (func (export "proxy_on_context_create") (param i32 i32))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
        (func (export "proxy_on_new_connection") (param i32) (result i32) i32.const {accepted})
        (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) i32.const 0))"#
    );
    let file = site.folder().join(format!("{name}.wasm"));
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    Plugin::Module(Module {
        file,
        failure_policy: "FAIL_CLOSED",
        configuration: Some("{}".to_owned()),
    })
}

/// A listener that ends TLS before the server that speaks first, and a way into it for a client of plain bytes.
fn way(
    site: &Site,
    name: &str,
    (inside, outside): (u16, u16),
    accepted: u32,
    [server, client]: [&Identity; 2],
    setup: &mut Setup,
    greeter: SocketAddr,
) {
    let filter = module(site, name, accepted).network_filter().unwrap();
    let proxy = tcp_proxy_without_log(name, &json!({}));
    let tls = mtls_listener(site.at(inside), server, &[filter, proxy]);
    let to = format!("to-{name}");
    let mut cluster_in = cluster(&to, site.at(inside));
    cluster_in["transport_socket"] = upstream_tls(client);
    let way_in: Value = json!({
        "name": to,
        "traffic_direction": "OUTBOUND",
        "address": socket_address(site.at(outside)),
        "filter_chains": [{"filters": [tcp_proxy_without_log(&to, &json!({}))]}],
    });
    setup.listeners.extend([tls, way_in]);
    setup.clusters.extend([cluster(name, greeter), cluster_in]);
}

async fn counted(envoy: &Envoy, stat: &str, wanted: u64) {
    let seen = async || (envoy.stat(stat).await.ok()? == wanted).then_some(());
    let waited = envoy.until(&format!("{stat} is {wanted}"), seen).await;
    waited.unwrap();
}

async fn hear(stream: &mut TcpStream, wanted: &str) {
    let mut heard = vec![0; wanted.len()];
    let read = timeout(PATIENCE, stream.read_exact(&mut heard)).await;
    read.expect("bytes").unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), wanted);
}

#[tokio::test]
async fn a_connection_held_at_its_beginning_reaches_nobody_and_carries_nothing() {
    let site = Site::claim().unwrap();
    let greeter = Speaker::start(site.ip(), Some(GREETING)).unwrap();
    let server = site
        .pki
        .sign(Root::West, "db", &["spiffe://bar.com/ns/shop/sa/db"]);
    let client = site.pki.sign(Root::East, "frontend", &[FRONTEND]);
    let (server, client) = (server.unwrap(), client.unwrap());
    let mut setup = Setup {
        node: node("west", "shop", "db"),
        ..Setup::default()
    };
    let both = [&server, &client];
    way(&site, "held", HELD, 1, both, &mut setup, greeter.address());
    way(&site, "free", FREE, 0, both, &mut setup, greeter.address());
    let envoy = site.start("a sidecar", &setup).await.unwrap();

    // Accepted, and no handshake begun: one that none holds is connected to the server all the same.
    let _free = TcpStream::connect(site.at(FREE.0)).await.unwrap();
    counted(&envoy, "cluster.free.upstream_cx_total", 1).await;
    let mut free = TcpStream::connect(site.at(FREE.1)).await.unwrap();
    hear(&mut free, GREETING).await;

    // One that is held is not, and carries nothing. Whether its handshake ends is chance, for Envoy reads only what was there
    // before it held: the client's side then waits without end, else it runs into its time-out.
    let mut held = TcpStream::connect(site.at(HELD.1)).await.unwrap();
    held.write_all(b"hello").await.unwrap();
    let mut byte = [0];
    let end = timeout(PATIENCE, held.read(&mut byte)).await;
    assert!(matches!(end, Err(_) | Ok(Ok(0) | Err(_))), "{end:?}");
    for (stat, wanted) in [
        ("cluster.held.upstream_cx_total", 0),
        ("cluster.to-held.upstream_cx_total", 1),
    ] {
        assert_eq!(envoy.stat(stat).await.unwrap(), wanted, "{stat}");
    }
}
