//! What names answer while two real clusters change under the agent, and while parts of them fail: every query of every
//! stream is answered, with what was right before or what is right after, and nothing between.
#![cfg(test)]

use std::time::Instant;

use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS, Surroundings, WEST};
use crossmesh_e2e::kubernetes::objects;
use crossmesh_e2e::kubernetes::relay::Weather;
use crossmesh_e2e::kubernetes::streams::{
    CART, CART_SERVICE, CATALOG_SERVICE, FRESH, FRESH_SERVICE, LEDGER, LEDGER_SERVICE,
    REVIEWS_SERVICE, Streams, Wanted, check, is, is_at, is_empty, is_failure, is_unknown,
};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::names::{CATALOG, GATEWAY_PORT, REVIEWS, REVIEWS_LOCATIONS, SERVICE_PORT};
use serde_json::json;

#[tokio::test]
async fn names_follow_both_clusters_and_no_query_falls_into_a_gap() {
    let stand = Streams::start_in(&json!({"srv": "gateway"}), &[]).await;
    let stand = stand.unwrap();
    let east = &stand.clusters.east.objects;
    let gateway = stand.gateway();
    let locations = Witness::start_for_locations(stand.agent.dns(), REVIEWS_LOCATIONS).unwrap();
    locations.until(is_at(SERVICE_PORT)).await.unwrap();

    // Scaled to zero. That the agent had the time to see it is known from a change that was made after it.
    let nobody = REVIEWS_SERVICE.slice(&[]);
    east.apply(&nobody).await.unwrap();
    let cart = east.create_service(&CART_SERVICE).await.unwrap();
    stand.cart.until(is(cart)).await.unwrap();

    east.delete(&REVIEWS_SERVICE.object()).await.unwrap();
    stand.reviews.until(is(gateway)).await.unwrap();
    locations.until(is_at(GATEWAY_PORT)).await.unwrap();
    let back = east.create_service(&REVIEWS_SERVICE).await.unwrap();
    stand.reviews.until(is(back)).await.unwrap();
    locations.until(is_at(SERVICE_PORT)).await.unwrap();

    east.delete(&CART_SERVICE.object()).await.unwrap();
    stand.cart.until(is_unknown).await.unwrap();

    check(&stand.reviews, &[&is(stand.local), &is(gateway), &is(back)]);
    let (service, tunnel) = (is_at(SERVICE_PORT), is_at(GATEWAY_PORT));
    check(&locations, &[&service, &tunnel, &service]);
    check(&stand.cart, &[&is_unknown, &is(cart), &is_unknown]);
    check(&stand.catalog, &[&is(gateway)]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_service_without_a_ready_endpoint_is_answered_from_a_peer_where_that_is_wanted() {
    let wanted = json!({"remote": {"failoverWhenEmpty": true}});
    let stand = Streams::start_in(&wanted, &[]).await.unwrap();
    let east = &stand.clusters.east.objects;
    let (local, gateway) = (is(stand.local), is(stand.gateway()));
    for _ in 0..2 {
        let nobody = REVIEWS_SERVICE.slice(&[]);
        east.apply(&nobody).await.unwrap();
        stand.reviews.until(&gateway).await.unwrap();
        let somebody = REVIEWS_SERVICE.slice(&["192.0.2.11"]);
        east.apply(&somebody).await.unwrap();
        stand.reviews.until(&local).await.unwrap();
    }
    // A service without any slice has none either.
    east.delete(&REVIEWS_SERVICE.slice(&[])).await.unwrap();
    stand.reviews.until(&gateway).await.unwrap();
    let seen: [Wanted<'_>; 6] = [&local, &gateway, &local, &gateway, &local, &gateway];
    check(&stand.reviews, &seen);
    check(&stand.catalog, &[&gateway]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.cart, &[&is_unknown]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn api_servers_that_die_take_no_name_with_them_and_are_followed_again() {
    let mut stand = Streams::start().await.unwrap();
    let gateway = stand.gateway();
    stand.clusters.east.api.kill();
    stand.clusters.west.api.kill();
    stand.agent.until_logs("cluster-1").await.unwrap();
    stand.agent.until_logs(WEST).await.unwrap();
    stand.clusters.east.api.resume().await.unwrap();
    stand.clusters.west.api.resume().await.unwrap();

    let (east, west) = (&stand.clusters.east.objects, &stand.clusters.west.objects);
    east.delete(&REVIEWS_SERVICE.object()).await.unwrap();
    stand.reviews.until(is(gateway)).await.unwrap();
    west.delete(&CATALOG_SERVICE.object()).await.unwrap();
    stand.catalog.until(is_unknown).await.unwrap();

    check(&stand.reviews, &[&is(stand.local), &is(gateway)]);
    check(&stand.catalog, &[&is(gateway), &is_unknown]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.cart, &[&is_unknown]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn what_changes_while_the_watches_are_cut_is_answered_once_they_are_back() {
    let stand = Streams::start().await.unwrap();
    let gateway = stand.gateway();
    let (east, west) = (&stand.clusters.east, &stand.clusters.west);
    let mut seen = vec![stand.local];
    for weather in [Weather::Fair, Weather::Cut, Weather::Silent] {
        east.relay.set(weather);
        west.relay.set(weather);
        east.objects
            .delete(&REVIEWS_SERVICE.object())
            .await
            .unwrap();
        east.relay.set(Weather::Fair);
        west.relay.set(Weather::Fair);
        let mended = Instant::now();
        let since = stand.reviews.until(is(gateway)).await.unwrap();
        println!(
            "{weather:?}: what changed meanwhile is answered {:?} after the mend",
            since.saturating_duration_since(mended)
        );
        let back = east.objects.create_service(&REVIEWS_SERVICE).await.unwrap();
        stand.reviews.until(is(back)).await.unwrap();
        seen.extend([gateway, back]);
    }
    let seen: Vec<_> = seen.into_iter().map(is).collect();
    let seen: Vec<Wanted<'_>> = seen.iter().map(|wanted| wanted as Wanted<'_>).collect();
    check(&stand.reviews, &seen);
    check(&stand.catalog, &[&is(gateway)]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_way_that_loses_everything_is_noticed_in_seconds_and_nothing_is_denied_from_then_on() {
    let stand = Streams::start().await.unwrap();
    let (east, gateway) = (&stand.clusters.east, stand.gateway());
    let fresh = Witness::start(stand.agent.dns(), FRESH).unwrap();
    fresh.until(is_unknown).await.unwrap();
    let denied = "crossmesh_dns_answers_total{reason=\"not-found\"}";
    let denied = async || {
        stand
            .agent
            .metric(denied)
            .await
            .unwrap()
            .unwrap_or_default()
    };
    assert!(denied().await > 0.0, "it was the cluster's DNS that denied");

    east.relay.set(Weather::Lost);
    let namespace = objects::namespace("fresh", &json!({}));
    east.objects.apply(&namespace).await.unwrap();
    let address = east.objects.create_service(&FRESH_SERVICE).await.unwrap();
    // The agent cannot know of it, and still does not while everything is lost; the cluster's own DNS does.
    fresh.until(is(address)).await.unwrap();
    stand.agent.until_logs("cluster-1").await.unwrap();
    let before = denied().await;
    let garbage = Witness::start(stand.agent.dns(), "example.com.svc.cluster.local").unwrap();
    garbage.until(is_unknown).await.unwrap();
    assert_eq!(denied().await, before, "denied from what may be old");

    east.relay.set(Weather::Fair);
    let gone = east.objects.delete(&REVIEWS_SERVICE.object()).await;
    gone.unwrap();
    stand.reviews.until(is(gateway)).await.unwrap();

    check(&fresh, &[&is_unknown, &is(address)]);
    check(&stand.reviews, &[&is(stand.local), &is(gateway)]);
    check(&stand.catalog, &[&is(gateway)]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.cart, &[&is_unknown]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_secret_that_goes_bad_keeps_what_was_known_and_one_that_goes_is_forgotten() {
    let stand = Streams::start().await.unwrap();
    let gateway = stand.gateway();
    let way = stand.clusters.way_west();
    stand
        .clusters
        .introduce(&way.with_token("of somebody else"))
        .await
        .unwrap();
    stand.agent.until_logs(WEST).await.unwrap();
    let west = &stand.clusters.west.objects;
    west.create_service(&CART_SERVICE).await.unwrap();

    stand.clusters.introduce(&way).await.unwrap();
    stand.cart.until(is(gateway)).await.unwrap();
    stand.clusters.part().await.unwrap();
    stand.cart.until(is_unknown).await.unwrap();
    stand.ledger.until(is_unknown).await.unwrap();
    stand.catalog.until(is_unknown).await.unwrap();

    check(&stand.cart, &[&is_unknown, &is(gateway), &is_unknown]);
    check(&stand.catalog, &[&is(gateway), &is_unknown]);
    check(&stand.ledger, &[&is(stand.remote), &is_unknown]);
    check(&stand.reviews, &[&is(stand.local)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_gateway_that_is_down_leaves_the_answers_until_it_is_back_and_one_that_moves_is_followed()
{
    let mut stand = Streams::start().await.unwrap();
    let gateway = stand.gateway();
    stand.clusters.close_gateway();
    // The name is known, so it is not NXDOMAIN, which clients and caches would keep.
    stand.catalog.until(is_empty).await.unwrap();
    stand.clusters.open_gateway().unwrap();
    stand.catalog.until(is(gateway)).await.unwrap();
    let other = stand.clusters.move_gateway().await.unwrap();
    stand.catalog.until(is(other)).await.unwrap();

    let seen: [Wanted<'_>; 4] = [&is(gateway), &is_empty, &is(gateway), &is(other)];
    check(&stand.catalog, &seen);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.reviews, &[&is(stand.local)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_peer_that_never_answers_delays_nobody_else_and_is_taken_up_when_it_does() {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east.objects, &clusters.west.objects);
    let local = east.create_service(&REVIEWS_SERVICE).await.unwrap();
    west.create_service(&CATALOG_SERVICE).await.unwrap();
    clusters.west.relay.set(Weather::Silent);
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let patience = json!({"peerSyncTimeout": "2s"});
    let mut agent = clusters.launch_agent(&patience, &[]).await.unwrap();
    // From the first query on, before anything of any cluster is known.
    let witness = |name| Witness::start(agent.dns(), name).unwrap();
    let (reviews, outside) = (witness(REVIEWS), witness(OUTSIDE));
    let (catalog, cart) = (witness(CATALOG), witness(CART));
    outside.until(is(OUTSIDE_ADDRESS)).await.unwrap();
    reviews.until(is(local)).await.unwrap();
    // The peer may have them, so nobody is told that they do not exist; until the peer has been waited for long enough.
    cart.until(is_unknown).await.unwrap();
    catalog.until(is_unknown).await.unwrap();
    agent.until_ready().await.unwrap();
    clusters.west.relay.set(Weather::Fair);
    catalog.until(is(clusters.gateway())).await.unwrap();

    check(&outside, &[&is(OUTSIDE_ADDRESS)]);
    check(&reviews, &[&is(local)]);
    check(&cart, &[&is_failure, &is_unknown]);
    let seen: [Wanted<'_>; 3] = [&is_failure, &is_unknown, &is(clusters.gateway())];
    check(&catalog, &seen);
}

#[tokio::test]
async fn an_address_of_a_peer_that_may_be_a_service_s_here_is_not_given() {
    // Nobody configures the range: the API server makes a ServiceCIDR of its flag.
    let range = "10.96.0.0/16".to_owned();
    let clusters = Clusters::start_in(Surroundings {
        service_ranges: [range.clone(), range],
        gateway: None,
    });
    let clusters = clusters.await.unwrap();
    let west = &clusters.west.objects;
    west.create_service(&LEDGER_SERVICE).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let mut agent = clusters.launch_agent(&json!({}), &[]).await.unwrap();
    agent.until_ready().await.unwrap();
    let refused = "remote addresses are also local ones here and are not given";
    agent.until_logs(refused).await.unwrap();
    let ledger = Witness::start(agent.dns(), LEDGER).unwrap();
    ledger.until(is_empty).await.unwrap();
    let overlaps = agent.metric("crossmesh_dns_overlapping_addresses");
    assert_eq!(overlaps.await.unwrap(), Some(1.0));
}
