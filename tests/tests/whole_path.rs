//! The whole path: a name is asked, its answer is connected to, and the request crosses both meshes.
#![cfg(test)]

use std::net::{IpAddr, SocketAddr};

use crossmesh_e2e::command::Command;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::dns::Client;
use crossmesh_e2e::names::{
    BATCH, CATALOG, FRONTEND, GATEWAY_PORT, REVIEWS, SERVICE_PORT, STRANGER, passthrough_sni,
};
use crossmesh_e2e::plugin::policy_of_resource;
use crossmesh_e2e::roles::server::Sidecar;
use crossmesh_e2e::world::World;

async fn world() -> World {
    World::start(&policy_of_resource("wasm-plugins/sidecar.yaml").unwrap())
        .await
        .unwrap()
}

struct Call<'a> {
    pod: IpAddr,
    name: &'a str,
    method: &'a str,
    path: &'a str,
    server: &'a Sidecar,
    /// What the application says; none if it is not reached.
    says: Option<&'a str>,
    decision: &'a str,
    peer: &'a str,
}

/// Asks the agent for the name, connects to exactly what it answers, and reads the server's log.
async fn check(world: &World, number: usize, call: &Call<'_>) {
    let answer = Client::of(world.agent.dns())
        .await
        .unwrap()
        .ask(call.name)
        .await
        .unwrap();
    let [address] = answer.addresses[..] else {
        panic!("{} answers {answer:?}", call.name)
    };
    let id = format!("call-{number}");
    let request =
        Request::by_name(call.name, SocketAddr::new(address, SERVICE_PORT), call.path).unwrap();
    let request = request
        .from_pod(call.pod)
        .method(call.method)
        .header(&format!("x-request-id: {id}"));
    let reply = request.send().await.unwrap();
    let entry = call.server.access_log.entry(&id).await.unwrap();
    assert_eq!(entry.decision.as_deref(), Some(call.decision), "{id}");
    assert_eq!(
        entry.peer.as_deref(),
        Some(call.peer),
        "{id}: the identity is the client's, end to end"
    );
    match call.says {
        Some(says) => {
            assert_eq!(reply.status, 200, "{id}: {reply:?}");
            assert!(reply.body.starts_with(says), "{id}: {reply:?}");
        }
        None => assert_eq!(
            (reply.status, reply.body.as_str()),
            (403, "access denied by mesh policy\n"),
            "{id}"
        ),
    }
}

#[tokio::test]
async fn a_request_by_name_crosses_both_meshes_and_the_policy_decides() {
    let world = world().await;
    let a = &world.addresses;
    let d = || Call {
        pod: a.frontend(),
        name: CATALOG,
        method: "GET",
        path: "/v1/items",
        server: &world.catalog,
        says: None,
        decision: "DENY default:peerMesh",
        peer: FRONTEND,
    };
    let (v1, v2) = (
        Some("reviews v1 of mesh east"),
        Some("reviews v2 of mesh west"),
    );
    let allowed = "ALLOW rule:catalog-readers";
    let calls = [
        Call {
            says: Some("catalog v2 of mesh west"),
            decision: allowed,
            ..d()
        },
        Call {
            method: "POST",
            ..d()
        },
        Call {
            path: "/v2/items",
            ..d()
        },
        Call {
            path: "/admin",
            decision: "DENY rule:no-admin-from-peers",
            ..d()
        },
        Call {
            pod: a.batch(),
            peer: BATCH,
            ..d()
        },
        Call {
            pod: a.stranger(),
            peer: STRANGER,
            decision: "DENY default:unknownTrustDomain",
            ..d()
        },
        // The local service, inside the mesh: whoever has no rule is left to AuthorizationPolicy.
        Call {
            name: REVIEWS,
            server: &world.east_reviews,
            says: v1,
            decision: allowed,
            ..d()
        },
        Call {
            pod: a.batch(),
            peer: BATCH,
            name: REVIEWS,
            server: &world.east_reviews,
            says: v1,
            decision: "ALLOW default:sameMesh",
            ..d()
        },
    ];
    for (number, call) in calls.iter().enumerate() {
        check(&world, number, call).await;
    }

    // The local service goes; the name leads to the other mesh, where both accounts are peers.
    let mut empty = world.catalogs.0.clone();
    empty.services.clear();
    world.agent.local_catalog().replace(&empty).unwrap();
    world
        .agent
        .until_answers(REVIEWS, &[a.gateway()])
        .await
        .unwrap();
    let moved = [
        Call {
            name: REVIEWS,
            server: &world.west_reviews,
            says: v2,
            decision: allowed,
            ..d()
        },
        Call {
            name: REVIEWS,
            server: &world.west_reviews,
            pod: a.batch(),
            peer: BATCH,
            ..d()
        },
    ];
    for (number, call) in moved.iter().enumerate() {
        check(&world, 100 + number, call).await;
    }

    // And it comes back.
    world
        .agent
        .local_catalog()
        .replace(&world.catalogs.0)
        .unwrap();
    world
        .agent
        .until_answers(REVIEWS, &[a.reviews_cluster_ip()])
        .await
        .unwrap();
    let back = Call {
        name: REVIEWS,
        server: &world.east_reviews,
        says: v1,
        decision: allowed,
        ..d()
    };
    check(&world, 200, &back).await;
}

#[tokio::test]
async fn the_gateway_passes_tls_of_known_names_and_nothing_else() {
    let world = world().await;
    let gateway = SocketAddr::new(world.addresses.gateway(), GATEWAY_PORT);
    let passed = async || {
        let stats = world
            .gateway
            .get("/stats?usedonly&filter=upstream_cx_total")
            .await
            .unwrap();
        stats
            .lines()
            .filter_map(|line| line.split_once(": ")?.1.parse::<u64>().ok())
            .sum::<u64>()
    };
    let plain = Command::curl()
        .unwrap()
        .arg(format!("http://{gateway}/v1/items"))
        .run()
        .await
        .unwrap();
    assert!(
        plain.code != Some(0) && plain.stdout.is_empty(),
        "plaintext: {plain:?}"
    );
    for sni in [
        CATALOG.to_owned(),
        passthrough_sni("cart.shop.svc.cluster.local"),
    ] {
        let by_sni = [
            "--insecure".to_owned(),
            "--resolve".to_owned(),
            format!("{sni}:{GATEWAY_PORT}:{}", gateway.ip()),
        ];
        let url = format!("https://{sni}:{GATEWAY_PORT}/v1/items");
        let unknown = Command::curl()
            .unwrap()
            .args(by_sni)
            .arg(url)
            .run()
            .await
            .unwrap();
        assert!(
            unknown.code != Some(0) && unknown.stdout.is_empty(),
            "{sni}: {unknown:?}"
        );
    }
    assert_eq!(passed().await, 0);

    let frontend = Request::by_name(
        CATALOG,
        SocketAddr::new(gateway.ip(), SERVICE_PORT),
        "/v1/items",
    )
    .unwrap();
    let reply = frontend
        .from_pod(world.addresses.frontend())
        .send()
        .await
        .unwrap();
    assert_eq!((reply.status, passed().await), (200, 1));
}
