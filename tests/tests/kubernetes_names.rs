//! What names answer while two real clusters change under the agent, and while parts of them fail: every query of every
//! stream is answered, with what was right before or what is right after, and nothing between.
#![cfg(test)]

use std::net::IpAddr;

use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::dns::Answer;
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS, WEST};
use crossmesh_e2e::kubernetes::objects::Service;
use crossmesh_e2e::kubernetes::relay::Weather;
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use hickory_proto::op::ResponseCode;
use serde_json::json;

/// In both clusters.
const REVIEWS_SERVICE: Service<'_> = service("reviews", "http");
/// Only in the west, and HTTP: it is reached by way of the gateway.
const CATALOG_SERVICE: Service<'_> = service("catalog", "http");
/// Only in the west, and not HTTP: a gateway's address would carry nothing.
const LEDGER_SERVICE: Service<'_> = service("ledger", "tcp");
const LEDGER: &str = "ledger.shop.svc.cluster.local";
/// In no cluster until a test creates it.
const CART_SERVICE: Service<'_> = service("cart", "http");
const CART: &str = "cart.shop.svc.cluster.local";

const fn service(name: &'static str, port_name: &'static str) -> Service<'static> {
    Service {
        namespace: "shop",
        name,
        port_name,
        port: 8080,
    }
}

/// A stream of queries for each name that a test watches. The fields are in the order in which they are to end.
struct Stand {
    reviews: Witness,
    catalog: Witness,
    ledger: Witness,
    cart: Witness,
    outside: Witness,
    agent: Agent,
    clusters: Clusters,
    /// What reviews and ledger answer at the beginning.
    local: IpAddr,
    remote: IpAddr,
}

async fn stand() -> Stand {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east.objects, &clusters.west.objects);
    let local = east.create_service(&REVIEWS_SERVICE).await.unwrap();
    west.create_service(&REVIEWS_SERVICE).await.unwrap();
    west.create_service(&CATALOG_SERVICE).await.unwrap();
    let remote = west.create_service(&LEDGER_SERVICE).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let agent = clusters.start_agent().await.unwrap();
    let witness = |name| Witness::start(agent.dns(), name).unwrap();
    let stand = Stand {
        reviews: witness(REVIEWS),
        catalog: witness(CATALOG),
        ledger: witness(LEDGER),
        cart: witness(CART),
        outside: witness(OUTSIDE),
        agent,
        clusters,
        local,
        remote,
    };
    stand.reviews.until(is(local)).await.unwrap();
    stand.catalog.until(is(stand.gateway())).await.unwrap();
    stand.ledger.until(is(remote)).await.unwrap();
    stand.cart.until(is_unknown).await.unwrap();
    stand.outside.until(is(OUTSIDE_ADDRESS)).await.unwrap();
    stand
}

impl Stand {
    fn gateway(&self) -> IpAddr {
        self.clusters.gateway()
    }
}

fn is(address: IpAddr) -> impl Fn(&Answer) -> bool {
    move |answer| answer.code == ResponseCode::NoError && answer.addresses == [address]
}

fn is_unknown(answer: &Answer) -> bool {
    answer.code == ResponseCode::NXDomain
}

fn is_failure(answer: &Answer) -> bool {
    answer.code == ResponseCode::ServFail
}

fn is_empty(answer: &Answer) -> bool {
    answer.code == ResponseCode::NoError && answer.addresses.is_empty()
}

type Wanted<'a> = &'a dyn Fn(&Answer) -> bool;

/// The single place that says what a stream may have seen: these answers, in this order, and no other.
#[track_caller]
fn check(witness: &Witness, wanted: &[Wanted<'_>]) {
    let spells = witness.spells();
    let matches = spells.len() == wanted.len()
        && spells
            .iter()
            .zip(wanted)
            .all(|(spell, wanted)| spell.answer.as_ref().is_ok_and(wanted));
    assert!(matches, "{}", witness.told());
}

#[tokio::test]
async fn names_follow_both_clusters_and_no_query_falls_into_a_gap() {
    let stand = stand().await;
    let east = &stand.clusters.east.objects;
    let gateway = stand.gateway();

    // Scaled to zero. That the agent had the time to see it is known from a change that was made after it.
    let nobody = REVIEWS_SERVICE.slice(&[]);
    east.apply(&nobody).await.unwrap();
    let cart = east.create_service(&CART_SERVICE).await.unwrap();
    stand.cart.until(is(cart)).await.unwrap();

    east.delete(&REVIEWS_SERVICE.object()).await.unwrap();
    stand.reviews.until(is(gateway)).await.unwrap();
    let back = east.create_service(&REVIEWS_SERVICE).await.unwrap();
    stand.reviews.until(is(back)).await.unwrap();

    east.delete(&CART_SERVICE.object()).await.unwrap();
    stand.cart.until(is_unknown).await.unwrap();

    check(&stand.reviews, &[&is(stand.local), &is(gateway), &is(back)]);
    check(&stand.cart, &[&is_unknown, &is(cart), &is_unknown]);
    check(&stand.catalog, &[&is(gateway)]);
    check(&stand.ledger, &[&is(stand.remote)]);
    check(&stand.outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn api_servers_that_die_take_no_name_with_them_and_are_followed_again() {
    let mut stand = stand().await;
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
    let stand = stand().await;
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
        stand.reviews.until(is(gateway)).await.unwrap();
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
async fn a_secret_that_goes_bad_keeps_what_was_known_and_one_that_goes_is_forgotten() {
    let stand = stand().await;
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
    let mut stand = stand().await;
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
    let mut agent = clusters.launch_agent(&patience).await.unwrap();
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
