//! The client's side: requests and connections of the workload's own are not judged, and tell which mesh answered.
#![cfg(test)]

use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{CATALOG, FRONTEND, STRANGER};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::{Plugin, policy_of_resource, resource};
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{
    cluster, hcm, mtls_listener, outbound, plain_listener, router, served, tcp_proxy, upstream_tls,
};
use crossmesh_e2e::world::node;
use serde_json::json;

/// Ports of the client's sidecar: HTTP and TCP to each server, in this order; one without a server.
const SERVERS: [(&str, &str); 4] = [
    ("spiffe://bar.com/ns/shop/sa/catalog", "west"),
    ("spiffe://foo.com/ns/shop/sa/reviews", "east"),
    (STRANGER, "unknownTrustDomain"),
    // A certificate that names no workload, as of a server outside every mesh.
    ("", "invalidIdentity"),
];
const HTTP: u16 = 8000;
const TCP: u16 = 9000;
const SERVER: u16 = 7000;
const NOBODY: u16 = 8099;

async fn start(site: &Site) -> Envoy {
    let client = site.pki.sign(Root::East, "frontend", &[FRONTEND]).unwrap();
    let plugin = resource("client.yaml").unwrap();
    assert_eq!(plugin["spec"]["match"], json!([{"mode": "CLIENT"}]));
    let filter = Plugin::Given(policy_of_resource("wasm-plugins/client.yaml").unwrap());
    let http = |route| {
        let filters = [filter.http_filter().unwrap(), router()];
        [hcm("SANITIZE", route, &filters, &site.access_log)]
    };
    let quiet = crossmesh_e2e::access_log::AccessLog::at(site.folder().join("servers.log"));
    let mut setup = Setup {
        node: node("east", "web", "frontend"),
        ..Setup::default()
    };
    for ((id, mesh), at) in SERVERS.into_iter().zip(0..) {
        let ids = if id.is_empty() { &[][..] } else { &[id] };
        let identity = site.pki.sign(Root::West, mesh, ids).unwrap();
        let answer = [hcm("SANITIZE", served(), &[router()], &quiet)];
        let mut server = cluster(mesh, site.at(SERVER + at));
        server["transport_socket"] = upstream_tls(&client);
        setup.clusters.push(server);
        let own = [
            plain_listener(
                site.at(HTTP + at),
                &http(json!({"route": {"cluster": mesh}})),
            ),
            plain_listener(
                site.at(TCP + at),
                &[
                    filter.network_filter().unwrap(),
                    tcp_proxy(mesh, &site.access_log, &json!({})),
                ],
            ),
        ];
        setup.listeners.extend(own.map(outbound));
        setup
            .listeners
            .push(mtls_listener(site.at(SERVER + at), &identity, &answer));
    }
    setup
        .listeners
        .push(outbound(plain_listener(site.at(NOBODY), &http(served()))));
    site.start("frontend", &setup).await.unwrap()
}

#[tokio::test]
async fn the_mesh_that_answered_is_known_from_its_certificate() {
    let site = Site::claim().unwrap();
    let envoy = start(&site).await;
    let mut lines = 0;
    for first in [HTTP, TCP] {
        for ((_, mesh), at) in SERVERS.into_iter().zip(0..) {
            let request = Request::by_name(CATALOG, site.at(first + at), "/").unwrap();
            let reply = request.send().await.unwrap();
            assert_eq!(reply.status, 200);
            let entry = site.access_log.longer_than(lines).await.unwrap();
            lines += 1;
            assert_eq!(entry.source_mesh.as_deref(), Some("east"), "{mesh}");
            assert_eq!(entry.destination_mesh.as_deref(), Some(mesh));
            assert_eq!(entry.decision, None, "nothing is judged here");
        }
    }
    // Envoy's own answer: nobody was asked.
    let request = Request::by_name(CATALOG, site.at(NOBODY), "/").unwrap();
    assert_eq!(request.send().await.unwrap().status, 200);
    let entry = site.access_log.longer_than(lines).await.unwrap();
    assert_eq!((entry.source_mesh, entry.destination_mesh), (None, None));
    let stats = envoy.get("/stats?usedonly&filter=crossmesh").await.unwrap();
    assert_eq!(stats, "", "what is not judged is not counted");
}
