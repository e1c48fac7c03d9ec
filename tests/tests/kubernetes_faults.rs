//! What the agent answers while the world around it fails: servers that vanish, a clock that jumps, a peer that never comes.
//! Every query of every stream is answered, and each answer is one that was to be expected.
#![cfg(test)]

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossmesh_e2e::clock::Clock;
use crossmesh_e2e::disk::Disk;
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS};
use crossmesh_e2e::kubernetes::relay::Weather;
use crossmesh_e2e::kubernetes::relay::datagrams::Datagrams;
use crossmesh_e2e::kubernetes::streams::{
    CART, CART_SERVICE, REVIEWS_SERVICE, Streams, Wanted, check, is, is_empty, is_failure,
    is_unknown,
};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::musl;
use crossmesh_e2e::names::REVIEWS;
use crossmesh_e2e::process::PATIENCE;
use serde_json::json;
use tokio::time::sleep;

#[tokio::test]
async fn servers_that_vanish_or_refuse_fail_what_only_they_know_and_nothing_else() {
    let stand = Streams::start().await.unwrap();
    let clusters = &stand.clusters;
    let dns = clusters.dns.address();
    let way = Datagrams::start(clusters.address(0), dns).unwrap();
    let servers = |servers: &[String]| json!({"upstreams": {"servers": servers, "timeout": "100ms", "deadline": "300ms"}});
    // One agent knows no other server, the other one has a second.
    let one = servers(&[way.address().to_string()]);
    let two = servers(&[way.address().to_string(), dns.to_string()]);
    let mut one = clusters.launch_agent(&one, &[]).await.unwrap();
    let mut two = clusters.launch_agent(&two, &[]).await.unwrap();
    one.until_ready().await.unwrap();
    two.until_ready().await.unwrap();

    // Names that no cache can know.
    let alone = Witness::start_anew(one.dns(), OUTSIDE).unwrap();
    let helped = Witness::start_anew(two.dns(), OUTSIDE).unwrap();
    let cart = Witness::start(one.dns(), CART).unwrap();
    alone.until(is(OUTSIDE_ADDRESS)).await.unwrap();
    cart.until(is_unknown).await.unwrap();
    let exchanges = async |result: &str| {
        let name = format!(
            "crossmesh_dns_upstream_exchanges_total{{server=\"{}\",result=\"{result}\"}}",
            way.address()
        );
        one.metric(&name).await.unwrap().unwrap_or_default()
    };
    for (weather, result) in [
        (Weather::Silent, "timed-out"),
        (Weather::Cut, "unreachable"),
    ] {
        let before = exchanges(result).await;
        way.set(weather);
        alone.until(is_failure).await.unwrap();
        assert!(exchanges(result).await > before, "in {weather:?}");
        // What a cluster has needs no server.
        let address = clusters.east.objects.create_service(&CART_SERVICE).await;
        cart.until(is(address.unwrap())).await.unwrap();
        way.set(Weather::Fair);
        alone.until(is(OUTSIDE_ADDRESS)).await.unwrap();
        let gone = clusters.east.objects.delete(&CART_SERVICE.object()).await;
        gone.unwrap();
        cart.until(is_unknown).await.unwrap();
    }

    let outside = is(OUTSIDE_ADDRESS);
    let seen: [Wanted<'_>; 5] = [&outside, &is_failure, &outside, &is_failure, &outside];
    check(&alone, &seen);
    check(&helped, &[&outside]);
}

#[tokio::test]
async fn a_clock_that_jumps_changes_no_answer_and_stops_nothing() {
    const HOUR: i64 = 3600;
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new(folder.path()).await.unwrap();
    let mut stand = Streams::start_in(&json!({}), &clock.under()).await.unwrap();
    let gateway = stand.gateway();
    let anew = Witness::start_anew(stand.agent.dns(), OUTSIDE).unwrap();
    let mut addresses = Vec::new();
    let jumps = [HOUR, 24 * HOUR, -HOUR, -24 * HOUR, 0];
    for jump in jumps {
        clock.set(jump).unwrap();
        // New connections, with all that has a time in it: certificates, tokens.
        stand.clusters.east.relay.set(Weather::Fair);
        stand.clusters.west.relay.set(Weather::Fair);
        let east = &stand.clusters.east.objects;
        let address = east.create_service(&CART_SERVICE).await.unwrap();
        stand.cart.until(is(address)).await.unwrap();
        // Told a moment after the answer is there.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let metric = "crossmesh_dns_last_change_timestamp_seconds";
            let last = stand.agent.metric(metric).await.unwrap().unwrap();
            let off = last - now.as_secs_f64();
            if (off - jump as f64).abs() < HOUR as f64 / 2.0 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "the agent's clock is {off} s off, not {jump}"
            );
            sleep(Duration::from_millis(10)).await;
        }
        east.delete(&CART_SERVICE.object()).await.unwrap();
        stand.cart.until(is_unknown).await.unwrap();
        // The probes go on, and so does their damping.
        stand.clusters.close_gateway();
        stand.catalog.until(is_empty).await.unwrap();
        stand.clusters.open_gateway().unwrap();
        stand.catalog.until(is(gateway)).await.unwrap();
        addresses.push(is(address));
    }
    let here = is(gateway);
    let (mut cart, mut catalog): (Vec<Wanted<'_>>, Vec<Wanted<'_>>) =
        (vec![&is_unknown], vec![&here]);
    for address in &addresses {
        cart.extend([address as Wanted<'_>, &is_unknown]);
        catalog.extend([&is_empty as Wanted<'_>, &here]);
    }
    check(&stand.cart, &cart);
    check(&stand.catalog, &catalog);
    check(&stand.reviews, &[&is(stand.local)]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
    check(&anew, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_full_disk_hurts_no_answer_and_is_written_to_when_it_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path().join("snapshot"), 256 << 10).unwrap();
    let besides = json!({"snapshot": {"directory": disk.folder(), "interval": "100ms"}});
    let stand = Streams::start_in(&besides, &disk.under()).await.unwrap();
    let east = &stand.clusters.east.objects;
    let writes = async |result: &str| {
        let name = format!("crossmesh_dns_snapshot_writes_total{{result=\"{result}\"}}");
        stand.agent.metric(&name).await.unwrap().unwrap_or_default()
    };
    let more = async |result: &str, than: f64| {
        let deadline = Instant::now() + PATIENCE;
        while writes(result).await <= than {
            assert!(Instant::now() < deadline, "never {result}");
            sleep(Duration::from_millis(10)).await;
        }
    };
    more("written", 0.0).await;
    disk.fill(stand.agent.pid()).unwrap();
    let full = Instant::now();
    let cart = east.create_service(&CART_SERVICE).await.unwrap();
    stand.cart.until(is(cart)).await.unwrap();
    stand
        .agent
        .until_logs("snapshot not written")
        .await
        .unwrap();
    more("failed", 0.0).await;
    let written = writes("written").await;
    east.delete(&CART_SERVICE.object()).await.unwrap();
    stand.cart.until(is_unknown).await.unwrap();
    assert_eq!(writes("written").await, written, "there is no room");
    disk.empty(stand.agent.pid()).unwrap();
    println!("the disk was full for {:?}", full.elapsed());
    let empty = Instant::now();
    // Without any change, too.
    more("written", written).await;
    println!("written again {:?} after there was room", empty.elapsed());
    check(&stand.cart, &[&is_unknown, &is(cart), &is_unknown]);
    check(&stand.reviews, &[&is(stand.local)]);
    check(&stand.catalog, &[&is(stand.gateway())]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

/// Such a client in the namespace of reviews finds names outside and, by each of its forms, reviews at this address.
async fn finds_both(client: &musl::Client, local: IpAddr) {
    // With few labels, so that with the search list behind it each has the form of a service, of a port or of an endpoint.
    let outside = ["example.com", OUTSIDE, "a.b.example.com"];
    let said = client.look_up(&outside).await.unwrap();
    let lines = outside.map(|name| format!("{name} {OUTSIDE_ADDRESS}\n"));
    assert_eq!(said.stdout, lines.concat(), "{said:?}");
    for name in ["reviews", "reviews.shop", "reviews.shop.svc", REVIEWS] {
        let said = client.look_up(&[name]).await.unwrap();
        assert_eq!(said.stdout, format!("{name} {local}\n"), "{said:?}");
    }
}

#[tokio::test]
async fn while_a_peer_never_comes_a_client_with_musl_finds_what_is_outside_and_what_is_here() {
    let clusters = Clusters::start().await.unwrap();
    let local = clusters.east.objects.create_service(&REVIEWS_SERVICE).await;
    let local = local.unwrap();
    clusters.west.relay.set(Weather::Silent);
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let listen = clusters.address(0);
    let besides = json!({"listen": [format!("{listen}:53")], "peerSyncTimeout": "600s"});
    let agent = clusters.launch_agent(&besides, &[]).await.unwrap();
    let [cart, reviews] = [CART, REVIEWS].map(|name| Witness::start(agent.dns(), name).unwrap());
    reviews.until(is(local)).await.unwrap();
    cart.until(is_failure).await.unwrap();

    // A pod of the namespace that the peer is needed for: what a search in it finds may be the peer's.
    let folder = clusters.folder().join("musl");
    let client = musl::Client::compile(&folder, listen, "shop")
        .await
        .unwrap();
    finds_both(&client, local).await;

    // Such a client takes a failure for the end of its search.
    let said = client.look_up(&["cart"]).await.unwrap();
    assert_eq!(said.stdout, "cart: Try again\n", "{said:?}");

    // The peer was missing all the time.
    cart.until(is_failure).await.unwrap();
    check(&cart, &[&is_failure]);
    check(&reviews, &[&is(local)]);
}

#[tokio::test]
async fn while_nothing_is_heard_of_any_cluster_a_client_with_musl_finds_what_is_outside_and_what_is_here()
 {
    let clusters = Clusters::start().await.unwrap();
    let local = clusters.east.objects.create_service(&REVIEWS_SERVICE).await;
    let local = local.unwrap();
    let west = &clusters.west.objects;
    west.create_service(&CART_SERVICE).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    // Not even of the peers that there are, which are of our own mesh and may have anything.
    clusters.east.relay.set(Weather::Silent);
    let listen = clusters.address(0);
    let besides = json!({
        "listen": [format!("{listen}:53")],
        "peerSyncTimeout": "600s",
        "catalogs": [
            {"cluster": "cluster-1", "kubeconfig": clusters.east_kubeconfig().unwrap()},
            {"remoteSecrets": {"namespace": "istio-system"}},
        ],
    });
    let mut agent = clusters.launch_agent(&besides, &[]).await.unwrap();
    let [cart, reviews] = [CART, REVIEWS].map(|name| Witness::start(agent.dns(), name).unwrap());
    reviews.until(is(local)).await.unwrap();
    cart.until(is_failure).await.unwrap();

    let folder = clusters.folder().join("musl");
    let client = musl::Client::compile(&folder, listen, "shop")
        .await
        .unwrap();
    // With the search list behind it `example.com` has the form of a service in the namespace `com`.
    finds_both(&client, local).await;

    // The same of an agent that denies for itself what no catalog has: not before it knows its cluster.
    let listen = clusters.address(1);
    let dns = clusters.dns.address().to_string();
    let mut besides = besides;
    besides["listen"] = json!([format!("{listen}:53")]);
    besides["mode"] = json!("authoritative");
    besides["upstreams"] = json!({"servers": [dns], "clusterZone": [dns]});
    let authoritative = clusters.launch_agent(&besides, &[]).await.unwrap();
    let also = Witness::start(authoritative.dns(), CART).unwrap();
    let folder = clusters.folder().join("musl-of-authoritative");
    let client = musl::Client::compile(&folder, listen, "shop")
        .await
        .unwrap();
    finds_both(&client, local).await;
    also.until(is_failure).await.unwrap();

    // What a peer may have in a namespace that exists here is denied to nobody all the while.
    cart.until(is_failure).await.unwrap();
    clusters.east.relay.set(Weather::Fair);
    cart.until(is(clusters.gateway())).await.unwrap();
    also.until(is(clusters.gateway())).await.unwrap();
    agent.until_ready().await.unwrap();
    check(&cart, &[&is_failure, &is(clusters.gateway())]);
    check(&also, &[&is_failure, &is(clusters.gateway())]);
    check(&reviews, &[&is(local)]);
}
