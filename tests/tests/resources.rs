//! Every file of `wasm-plugins`, loaded as it is shipped into a real Envoy, decides there what it is for: the cases beside it,
//! and on the client's side which mesh answered.
#![cfg(test)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crossmesh_e2e::access_log::{AccessLog, Entry};
use crossmesh_e2e::caller::{Caller, Request};
use crossmesh_e2e::curl;
use crossmesh_e2e::envoy::{Envoy, Node, Setup};
use crossmesh_e2e::names::{FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::tcp::{GREETING, GREETING_PORT, TcpStand};
use crossmesh_e2e::roles::{
    cluster, hcm, mtls_listener, outbound, permissive_listener, plain_listener, router, served,
    tcp_proxy, tls_inspector, upstream_tls,
};
use crossmesh_e2e::shipped::{Case, Cases, Shipped};
use crossmesh_e2e::speaker::Speaker;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// What comes to a sidecar.
    Inbound,
    /// What comes to a gateway, whose listeners are declared outbound.
    Gateway,
    /// What a sidecar carries out, and what its policy would say of what comes in.
    Outbound,
    /// Both sides of a sidecar.
    Both,
    /// No filter, but what a server that speaks first needs beside it.
    ServerFirst,
}

/// Whether what is denied is refused, or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Refuses,
    Tells,
}

/// A file; what it is for; what comes of a denial; how many of its cases are allowed and denied, so that none is left out.
const FILES: [(&str, Purpose, Effect, (usize, usize)); 13] = [
    ("client.yaml", Purpose::Outbound, Effect::Tells, (1, 2)),
    ("dry-run.yaml", Purpose::Inbound, Effect::Tells, (2, 3)),
    ("gateway.yaml", Purpose::Gateway, Effect::Refuses, (4, 8)),
    (
        "server-first.yaml",
        Purpose::ServerFirst,
        Effect::Refuses,
        (1, 0),
    ),
    ("sidecar.yaml", Purpose::Inbound, Effect::Refuses, (2, 5)),
    ("tcp.yaml", Purpose::Inbound, Effect::Refuses, (3, 6)),
    ("telemetry-only.yaml", Purpose::Both, Effect::Tells, (5, 1)),
    (
        "traffic-extension/client.yaml",
        Purpose::Outbound,
        Effect::Tells,
        (1, 2),
    ),
    (
        "traffic-extension/dry-run.yaml",
        Purpose::Inbound,
        Effect::Tells,
        (2, 3),
    ),
    (
        "traffic-extension/gateway.yaml",
        Purpose::Gateway,
        Effect::Refuses,
        (4, 8),
    ),
    (
        "traffic-extension/sidecar.yaml",
        Purpose::Inbound,
        Effect::Refuses,
        (2, 5),
    ),
    (
        "traffic-extension/tcp.yaml",
        Purpose::Inbound,
        Effect::Refuses,
        (3, 6),
    ),
    (
        "traffic-extension/telemetry-only.yaml",
        Purpose::Both,
        Effect::Tells,
        (5, 1),
    ),
];

/// Ports of what a sidecar carries out, and of the server that answers.
const OUTBOUND_PORT: u16 = 8001;
const SERVER_PORT: u16 = 7001;
/// Added to a port: the same, of TLS that does not end here.
const PASSTHROUGH: u16 = 10_000;

/// A proxy with a resource's filter on the listeners that the resource is for.
struct Loaded {
    site: Site,
    effect: Effect,
    _echo: Speaker,
    _envoy: Envoy,
}

impl Loaded {
    async fn start(file: &str, purpose: Purpose, effect: Effect, cases: &Cases) -> Self {
        let shipped = Shipped::read(file).unwrap();
        let mode = match purpose {
            Purpose::Inbound => "SERVER",
            Purpose::Gateway | Purpose::Outbound => "CLIENT",
            Purpose::Both => "CLIENT_AND_SERVER",
            Purpose::ServerFirst => unreachable!("no filter"),
        };
        assert_eq!(shipped.mode, mode, "{file}");
        let site = Site::claim().unwrap();
        let echo = Speaker::start(site.ip(), None).unwrap();
        let own = "spiffe://bar.com/ns/shop/sa/catalog";
        let identity = site.pki.sign(Root::West, "server", &[own]).unwrap();
        let mut setup = Setup {
            node: node(cases, purpose),
            clusters: vec![cluster("echo", echo.address())],
            ..Setup::default()
        };
        let network = || {
            let proxy = tcp_proxy("echo", &site.access_log, &json!({}));
            [shipped.plugin.network_filter().unwrap(), proxy]
        };
        let http = |route| {
            let filters = [shipped.plugin.http_filter().unwrap(), router()];
            // Istio's default for sidecars, and what gateway.yaml asks for.
            [hcm("APPEND_FORWARD", route, &filters, &site.access_log)]
        };
        let ports: BTreeSet<u16> = cases.cases.iter().map(port).collect();
        for port in ports {
            let filters = if shipped.network {
                network().to_vec()
            } else {
                http(served()).to_vec()
            };
            let listener = permissive_listener(site.at(port), &identity, &filters);
            // What does not end here only a network filter sees.
            let mut passthrough = plain_listener(site.at(port + PASSTHROUGH), &network());
            passthrough["listener_filters"] = json!([tls_inspector()]);
            let both = [listener, passthrough];
            setup.listeners.extend(if purpose == Purpose::Gateway {
                both.map(outbound)
            } else {
                both
            });
        }
        let mut server = cluster("server", site.at(SERVER_PORT));
        server["transport_socket"] = upstream_tls(&identity);
        setup.clusters.push(server);
        let quiet = AccessLog::at(site.folder().join("server.log"));
        let answer = [hcm("SANITIZE", served(), &[router()], &quiet)];
        let server = mtls_listener(site.at(SERVER_PORT), &identity, &answer);
        setup.listeners.push(server);
        let own = http(json!({"route": {"cluster": "server"}}));
        let own = outbound(plain_listener(site.at(OUTBOUND_PORT), &own));
        setup.listeners.push(own);
        let envoy = site.start("proxy", &setup).await.unwrap();
        Self {
            site,
            effect,
            _echo: echo,
            _envoy: envoy,
        }
    }

    /// The single place where a case meets an Envoy.
    async fn check(&self, case: &Case, what: &str) {
        let lines = self.site.access_log.entries().unwrap().len();
        let denied = case.want.starts_with("DENY");
        let refused = denied && self.effect == Effect::Refuses;
        if case.passthrough {
            self.say_hello(case).await;
        } else if case.tcp {
            let answer = self.caller(case).say("hello").await.unwrap();
            assert_eq!(answer, if refused { "" } else { "hello" }, "{what}");
        } else {
            let status = self.ask(case).await;
            assert_eq!(status, if refused { 403 } else { 200 }, "{what}");
        }
        let entry = self.site.access_log.longer_than(lines).await.unwrap();
        assert_eq!(entry.decision.as_deref(), Some(&*case.want), "{what}");
        let enforced = (denied && !refused).then_some("false");
        assert_eq!(entry.enforced.as_deref(), enforced, "{what}");
    }

    fn caller(&self, case: &Case) -> Caller {
        let sign = |sans: Vec<&str>| self.site.pki.sign(Root::East, "caller", &sans).unwrap();
        Caller {
            to: self.site.at(port(case)),
            identity: case.uri_sans().map(sign),
        }
    }

    async fn ask(&self, case: &Case) -> u16 {
        // The last hop this proxy adds by itself.
        let sent = case.headers.iter().map(|(name, value)| {
            let (before, _) = value.rsplit_once(',').unwrap();
            assert_eq!(name, "x-forwarded-client-cert");
            (&**name, before)
        });
        let headers: Vec<_> = sent.collect();
        let request = Request {
            method: case.method.as_deref().unwrap(),
            host: case.host.as_deref().unwrap(),
            path: case.path.as_deref().unwrap(),
            headers: &headers,
        };
        self.caller(case).http1(&request).await.unwrap().status
    }

    /// What is said in TLS goes to a server that knows none.
    async fn say_hello(&self, case: &Case) {
        let to = self.site.at(port(case) + PASSTHROUGH);
        let name = case.sni.as_deref().unwrap_or("server");
        let request = curl::Request::by_name(name, to, "/").unwrap().over_tls();
        let answer = request.args(["--max-time", "20"]).send().await;
        assert!(answer.is_err(), "{answer:?}");
    }

    /// What the workload sends is not judged; which mesh answered is told.
    async fn check_outbound(&self, file: &str, mesh: &str) {
        let lines = self.site.access_log.entries().unwrap().len();
        let to = self.site.at(OUTBOUND_PORT);
        let request = curl::Request::by_name("catalog", to, "/").unwrap();
        assert_eq!(request.send().await.unwrap().status, 200, "{file}");
        let entry = self.site.access_log.longer_than(lines).await.unwrap();
        let Entry {
            source_mesh,
            destination_mesh,
            decision,
            ..
        } = entry;
        let meshes = (source_mesh.as_deref(), destination_mesh.as_deref());
        assert_eq!(meshes, (Some(mesh), Some("west")), "{file}");
        assert_eq!(decision, None, "{file}: nothing is judged here");
    }
}

fn node(cases: &Cases, purpose: Purpose) -> Node {
    let proxy = &cases.node;
    Node {
        mesh: proxy.mesh.clone(),
        cluster: "cluster-1".to_owned(),
        namespace: proxy.namespace.clone(),
        workload: proxy.workload.clone(),
        labels: proxy.labels.clone(),
        is_gateway: purpose == Purpose::Gateway,
    }
}

fn port(case: &Case) -> u16 {
    case.port.unwrap_or(SERVICE_PORT)
}

async fn check(file: &str, purpose: Purpose, effect: Effect) -> (usize, usize) {
    if purpose == Purpose::ServerFirst {
        greets(file).await;
        return (1, 0);
    }
    let mut decided = (0, 0);
    for cases in Cases::beside(file).unwrap() {
        let loaded = Loaded::start(file, purpose, effect, &cases).await;
        for case in &cases.cases {
            let what = format!("{file}: {}", case.name);
            loaded.check(case, &what).await;
            if case.want.starts_with("ALLOW") {
                decided.0 += 1;
            } else {
                decided.1 += 1;
            }
        }
        if matches!(purpose, Purpose::Outbound | Purpose::Both) {
            loaded.check_outbound(file, &cases.node.mesh).await;
        }
    }
    decided
}

/// The listener at this port has the settings of the file: see [`TcpStand`].
async fn greets(file: &str) {
    assert_eq!(file, "server-first.yaml");
    let policy = r#"{"schema": "crossmesh/v1", "meshes": [{"id": "east", "trustDomains": ["foo.com"]},
        {"id": "west", "trustDomains": ["bar.com"]}], "defaults": {"peerMesh": "ALLOW"}}"#;
    let stand = TcpStand::start(policy, &[FRONTEND]).await.unwrap();
    let to: SocketAddr = stand.of(0, GREETING_PORT);
    let mut greeting = vec![0; GREETING.len()];
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, GREETING.as_bytes());
}

async fn check_all(traffic_extensions: bool) {
    for (file, purpose, effect, wanted) in FILES {
        if file.starts_with("traffic-extension/") == traffic_extensions {
            assert_eq!(check(file, purpose, effect).await, wanted, "{file}");
        }
    }
}

#[tokio::test]
async fn each_wasm_plugin_decides_what_it_is_for() {
    check_all(false).await;
}

#[tokio::test]
async fn each_traffic_extension_decides_what_it_is_for() {
    check_all(true).await;
}

#[test]
fn no_file_is_left_out() {
    let tried: BTreeSet<_> = FILES.map(|(file, ..)| file.to_owned()).into();
    let shipped = Shipped::files().unwrap();
    assert_eq!(tried, shipped);
}
