//! A gateway as Istio makes it: its node ID begins with `router~`, and its listeners are declared outbound. What it ends is
//! judged, with a client certificate or without; what it passes on is judged by its server name.
#![cfg(test)]

use crossmesh_e2e::access_log::AccessLog;
use crossmesh_e2e::command::Command;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Node, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, GATEWAY_PORT, REVIEWS, SERVICE_PORT};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{
    any_client, cluster, hcm, mtls_listener, outbound, plain_listener, router, served, tcp_proxy,
    tls_inspector,
};
use crossmesh_e2e::world::{gateway_node, node};
use serde_json::json;

const HTTPS_PORT: u16 = 8443;

const POLICY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [
        {"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]},
        {"name": "no-catalog", "action": "DENY", "from": [{"passthrough": true}], "to": [{"snis": ["catalog.shop.svc.cluster.local"]}]}]}"#;

/// HTTPS for clients with and without a certificate, HTTP, and TLS that is passed on.
async fn start(site: &Site, node: Node) -> Envoy {
    let identity = site
        .pki
        .sign(
            Root::West,
            "gateway",
            &["spiffe://bar.com/ns/istio-ingress/sa/gateway"],
        )
        .unwrap();
    let filter = Plugin::Given(POLICY.to_owned());
    let http = || {
        let filters = [filter.http_filter().unwrap(), router()];
        [hcm("SANITIZE_SET", served(), &filters, &site.access_log)]
    };
    let mut passthrough = plain_listener(
        site.at(GATEWAY_PORT),
        &[
            filter.network_filter().unwrap(),
            tcp_proxy("itself", &site.access_log, &json!({})),
        ],
    );
    passthrough["listener_filters"] = json!([tls_inspector()]);
    let listeners = vec![
        any_client(mtls_listener(site.at(HTTPS_PORT), &identity, &http())),
        plain_listener(site.at(SERVICE_PORT), &http()),
        passthrough,
    ];
    let setup = Setup {
        node,
        listeners: listeners.into_iter().map(outbound).collect(),
        clusters: vec![cluster("itself", site.at(HTTPS_PORT))],
    };
    site.start("gateway", &setup).await.unwrap()
}

/// What is answered to a GET, and what was decided about it.
async fn ask(site: &Site, request: Request) -> (u16, Option<String>) {
    let lines = site.access_log.entries().unwrap().len();
    let reply = request.send().await.unwrap();
    let entry = site.access_log.longer_than(lines).await.unwrap();
    (reply.status, entry.decision)
}

fn one_way_tls(site: &Site) -> Request {
    let plain = Request::by_name(CATALOG, site.at(HTTPS_PORT), "/").unwrap();
    plain.over_tls()
}

#[tokio::test]
async fn whoever_comes_to_a_gateway_is_judged_with_and_without_a_certificate() {
    let site = Site::claim().unwrap();
    let _envoy = start(&site, gateway_node("west", "istio-ingress", "gateway")).await;
    let with = |id: &str| {
        let identity: Identity = site.pki.sign(Root::East, name(id), &[id]).unwrap();
        Request::mutual_tls(CATALOG, site.at(HTTPS_PORT), "/", &identity).unwrap()
    };
    let plain = Request::by_name(CATALOG, site.at(SERVICE_PORT), "/").unwrap();
    for (request, status, decision) in [
        (with(FRONTEND), 200, "ALLOW rule:frontend"),
        (with(BATCH), 403, "DENY default:peerMesh"),
        (one_way_tls(&site), 403, "DENY default:plaintext"),
        (plain, 403, "DENY default:plaintext"),
    ] {
        let answered = ask(&site, request).await;
        assert_eq!(answered, (status, Some(decision.to_owned())));
    }
}

#[tokio::test]
async fn the_same_listeners_of_a_sidecar_carry_its_workloads_own_requests() {
    let site = Site::claim().unwrap();
    let _envoy = start(&site, node("west", "shop", "catalog")).await;
    let plain = Request::by_name(CATALOG, site.at(SERVICE_PORT), "/").unwrap();
    for request in [one_way_tls(&site), plain] {
        assert_eq!(ask(&site, request).await, (200, None));
    }
}

#[tokio::test]
async fn what_a_gateway_passes_on_is_judged_by_its_server_name() {
    let site = Site::claim().unwrap();
    let envoy = start(
        &site,
        gateway_node("west", "istio-system", "eastwestgateway"),
    )
    .await;
    let frontend = site.pki.sign(Root::East, "client", &[FRONTEND]).unwrap();
    let through =
        |service| Request::mutual_tls(service, site.at(GATEWAY_PORT), "/", &frontend).unwrap();
    // The HTTPS listener behind it sees the client's certificate: nothing was ended on the way.
    let reply = through(REVIEWS).send().await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "served"));
    assert!(through(CATALOG).send().await.is_err());
    for (verdict, count) in [("ALLOW", 1), ("DENY", 1)] {
        let name = format!(
            "wasmcustom.source_mesh=.=passthrough;.;destination_mesh=.=west;.;verdict=.={verdict};.;crossmesh_connections_total"
        );
        assert_eq!(envoy.stat(&name).await.unwrap(), count, "{verdict}");
    }
    let denied = async || {
        let entries = site.access_log.entries().ok()?;
        let decided = |entry: &crossmesh_e2e::access_log::Entry| {
            entry.decision.as_deref() == Some("DENY rule:no-catalog")
        };
        entries.iter().any(decided).then_some(())
    };
    envoy.until("the refusal is logged", denied).await.unwrap();
    // Not TLS: a gateway lets nothing in that has neither certificate nor server name.
    let address = site.at(GATEWAY_PORT);
    let output = Command::curl()
        .unwrap()
        .args([format!("http://{address}/")])
        .run()
        .await
        .unwrap();
    assert_eq!(output.stdout, "", "{output:?}");
}

/// A sidecar whose workload ends TLS itself; where the client names no server, nothing tells that TLS from other bytes.
#[tokio::test]
async fn tls_without_a_server_name_passes_only_where_plaintext_and_passthrough_may() {
    const APPLICATION: u16 = 8444;
    let site = Site::claim().unwrap();
    let own = ["spiffe://bar.com/ns/shop/sa/catalog"];
    let identity = site.pki.sign(Root::West, "catalog", &own).unwrap();
    let quiet = AccessLog::at(site.folder().join("application.log"));
    let answer = [hcm("SANITIZE", served(), &[router()], &quiet)];
    let application = mtls_listener(site.at(APPLICATION), &identity, &answer);
    let mut setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![any_client(application)],
        clusters: vec![cluster("application", site.at(APPLICATION))],
    };
    let cases = [
        ("ALLOW", "DENY", "DENY default:passthrough"),
        ("DENY", "ALLOW", "DENY default:plaintext"),
        ("ALLOW", "ALLOW", "ALLOW default:passthrough"),
    ];
    for ((plaintext, passthrough, _), at) in cases.into_iter().zip(0..) {
        let policy = format!(
            r#"{{"schema": "crossmesh/v1", "meshes": [{{"id": "west", "trustDomains": ["bar.com"]}}],
                "defaults": {{"plaintext": "{plaintext}", "passthrough": "{passthrough}"}}}}"#
        );
        let mut filter = Plugin::Given(policy).network_filter().unwrap();
        // Each configuration a name of its own: else open connections take on each other's.
        filter["typed_config"]["config"]["name"] = json!(format!("shop.crossmesh-{at}"));
        let proxy = tcp_proxy("application", &site.access_log, &json!({}));
        let mut listener = plain_listener(site.at(GATEWAY_PORT + at), &[filter, proxy]);
        listener["listener_filters"] = json!([tls_inspector()]);
        setup.listeners.push(listener);
    }
    let _envoy = site.start("sidecar", &setup).await.unwrap();
    for ((.., decision), at) in cases.into_iter().zip(0..) {
        let lines = site.access_log.entries().unwrap().len();
        // To an address curl names no server.
        let to = site.at(GATEWAY_PORT + at);
        let request = Request::by_name(&to.ip().to_string(), to, "/").unwrap();
        let answered = request.over_tls().send().await.is_ok();
        assert_eq!(answered, decision.starts_with("ALLOW"), "{decision}");
        let entry = site.access_log.longer_than(lines).await.unwrap();
        assert_eq!(entry.decision.as_deref(), Some(decision));
    }
    // What cannot be TLS is plaintext alone.
    let lines = site.access_log.entries().unwrap().len();
    let plain = Request::by_name(CATALOG, site.at(GATEWAY_PORT), "/").unwrap();
    assert!(plain.send().await.is_err(), "the application speaks TLS");
    let entry = site.access_log.longer_than(lines).await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some("ALLOW default:plaintext"));
}

/// A name for the files of a certificate.
fn name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
