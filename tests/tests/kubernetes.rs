//! A cluster of real parts behaves as clusters do: what the tests of the agent's Kubernetes source build on.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};

use crossmesh_e2e::dns::{Answer, Upstream};
use crossmesh_e2e::kubernetes::alone::Alone;
use crossmesh_e2e::kubernetes::api_server::client;
use crossmesh_e2e::kubernetes::coredns::CoreDns;
use crossmesh_e2e::kubernetes::objects::{Objects, Service};
use crossmesh_e2e::kubernetes::relay::{Relay, Weather};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::names::REVIEWS;
use hickory_proto::op::ResponseCode;

const OUTSIDE: &str = "www.example.com";
const OUTSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

const SERVICE: Service<'_> = Service {
    namespace: "shop",
    name: "reviews",
    port_name: "http",
    port: 8080,
};

// In the order in which they are to end.
struct Stand {
    dns: CoreDns,
    relay: Relay,
    cluster: Alone,
    _upstream: Upstream,
}

/// A cluster with the namespace shop; its DNS reaches the API server by way of the relay.
async fn stand() -> Stand {
    let cluster = Alone::start(&["shop"]).await.unwrap();
    let relay = Relay::start(cluster.other(3), cluster.api.address()).unwrap();
    let upstream = Upstream::start(cluster.other(4), OUTSIDE, OUTSIDE_ADDRESS).unwrap();
    let access = cluster.api.kubeconfig().by_way_of(relay.address());
    let dns = CoreDns::start(
        &cluster.folder().join("dns"),
        cluster.other(5),
        &access,
        upstream.address(),
    )
    .await
    .unwrap();
    Stand {
        dns,
        relay,
        cluster,
        _upstream: upstream,
    }
}

impl Stand {
    /// Creates the service; its address.
    async fn create(&self) -> IpAddr {
        let objects = &self.cluster.objects;
        objects.create_service(&SERVICE).await.unwrap()
    }

    async fn delete(&self) {
        let objects = &self.cluster.objects;
        objects.delete(&SERVICE.object()).await.unwrap();
    }
}

fn is(address: impl Into<IpAddr>) -> impl Fn(&Answer) -> bool {
    let address = address.into();
    move |answer| answer.code == ResponseCode::NoError && answer.addresses == [address]
}

fn is_unknown(answer: &Answer) -> bool {
    answer.code == ResponseCode::NXDomain
}

#[tokio::test]
async fn the_clusters_dns_answers_what_the_cluster_holds_and_forwards_the_rest() {
    let stand = stand().await;
    let outside = Witness::start(stand.dns.address(), OUTSIDE).unwrap();
    let reviews = Witness::start(stand.dns.address(), REVIEWS).unwrap();
    outside.until(is(OUTSIDE_ADDRESS)).await.unwrap();
    reviews.until(is_unknown).await.unwrap();
    for _ in 0..2 {
        let address = stand.create().await;
        assert!(address.to_string().starts_with("10.96."), "{address}");
        reviews.until(is(address)).await.unwrap();
        stand.delete().await;
        reviews.until(is_unknown).await.unwrap();
    }
    assert_eq!(reviews.spells().len(), 5, "{}", reviews.told());
    assert_eq!(outside.spells().len(), 1, "{}", outside.told());
}

#[tokio::test]
async fn a_killed_api_server_comes_back_with_what_it_held_and_its_watchers_follow() {
    let mut stand = stand().await;
    let address = stand.create().await;
    let reviews = Witness::start(stand.dns.address(), REVIEWS).unwrap();
    reviews.until(is(address)).await.unwrap();
    stand.cluster.api.kill();
    stand
        .cluster
        .objects
        .create_service(&SERVICE)
        .await
        .expect_err("a killed API server answers nobody");
    stand.cluster.api.resume().await.unwrap();
    stand.delete().await;
    reviews.until(is_unknown).await.unwrap();
    let new = stand.create().await;
    reviews.until(is(new)).await.unwrap();
}

#[tokio::test]
async fn what_happens_while_the_network_is_cut_is_seen_when_it_is_mended() {
    let stand = stand().await;
    let reviews = Witness::start(stand.dns.address(), REVIEWS).unwrap();
    reviews.until(is_unknown).await.unwrap();
    for weather in [Weather::Cut, Weather::Silent, Weather::Fair] {
        stand.relay.set(weather);
        let address = stand.create().await;
        stand.relay.set(Weather::Fair);
        reviews.until(is(address)).await.unwrap();
        stand.delete().await;
        reviews.until(is_unknown).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let stand = stand().await;
    let wrong = stand
        .cluster
        .api
        .kubeconfig()
        .with_token("of somebody else");
    let refused = Objects::of(client(&wrong).await.unwrap())
        .apply(&SERVICE.object())
        .await
        .unwrap_err();
    assert!(
        format!("{refused:#}").contains("Unauthorized"),
        "{refused:#}"
    );
}
