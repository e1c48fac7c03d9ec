//! Local services without a ready endpoint, where the configuration has peers stand in for them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{GATEWAY, World, name};
use crate::support::{
    agent::Agent,
    api::{NAMESPACES, SLICES},
};

const OF_SHOP: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

/// A slice of reviews.shop with one endpoint; `None`: with none.
fn slice(ready: Option<bool>) -> Value {
    let endpoint = |ready: bool| json!({"addresses": ["10.1.5.1"], "conditions": {"ready": ready}});
    let endpoints: Vec<Value> = ready.map(endpoint).into_iter().collect();
    json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "reviews"}},
        "addressType": "IPv4",
        "endpoints": endpoints
    })
}

async fn agent(world: &World, remote: &str) -> Agent {
    let lines = format!("gatewayProbe: {{enabled: false}}\nremote: {{{remote}}}\n");
    let agent = Agent::start_with(world.files(&lines).await).await;
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent
}

#[tokio::test]
async fn a_service_scaled_to_nothing_is_answered_from_a_peer_and_back_again() {
    for remote in [
        "failoverWhenEmpty: true",
        "rules: [{namespace: shop, failoverWhenEmpty: true}]",
        "rules: [{service: shop/reviews, failoverWhenEmpty: true}]",
    ] {
        let world = World::new();
        let put = |at: &str, of: Value| world.local.put(SLICES, "shop", at, of);
        put("reviews-a", slice(Some(true)));
        let agent = agent(&world, remote).await;
        let reviews = name("reviews.shop");
        assert_eq!(agent.answers(&reviews).await, ["10.1.0.9"]);
        for _ in 0..2 {
            put("reviews-a", slice(Some(false)));
            agent.eventually(&reviews, &[GATEWAY]).await;
            // Of another slice.
            put("reviews-b", slice(Some(true)));
            agent.eventually(&reviews, &["10.1.0.9"]).await;
            world.local.delete(SLICES, "shop", "reviews-b");
            agent.eventually(&reviews, &[GATEWAY]).await;
            put("reviews-a", slice(Some(true)));
            agent.eventually(&reviews, &["10.1.0.9"]).await;
            put("reviews-a", slice(None));
            agent.eventually(&reviews, &[GATEWAY]).await;
        }
        // A relist finds it too.
        world.local.expire();
        put("reviews-a", slice(Some(true)));
        agent.eventually(&reviews, &["10.1.0.9"]).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn endpoints_are_only_followed_where_an_answer_depends_on_them() {
    let world = World::new();
    world.local.put(NAMESPACES, "", "other", json!({}));
    world.local.put(SLICES, "shop", "reviews-a", slice(None));
    let headless = world.agent().await;
    assert_eq!(headless.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    assert_eq!(world.local.asked(OF_SHOP), 0);
    headless.stop().await;
    let remote =
        "rules: [{namespace: shop, failoverWhenEmpty: true}, {namespace: other, answer: nodata}]";
    let agent = agent(&world, remote).await;
    agent.eventually(&name("reviews.shop"), &[GATEWAY]).await;
    let other = OF_SHOP.replace("shop", "other");
    assert_eq!(world.local.asked(&other), 0);
    assert_eq!(world.peer.asked(OF_SHOP), 0, "a peer's are its own matter");
    agent.stop().await;
}

#[tokio::test]
async fn the_first_answer_waits_for_the_endpoints_unless_they_are_refused() {
    let with = "gatewayProbe: {enabled: false}\nremote: {rules: [{namespace: shop, failoverWhenEmpty: true}]}\n";
    let reviews = name("reviews.shop");
    let world = World::new();
    world.local.put(SLICES, "shop", "reviews-a", slice(None));
    // What passes.
    let later = StatusCode::INTERNAL_SERVER_ERROR;
    world.local.refuse(OF_SHOP, Some(later));
    let agent = Agent::start_with(world.files(with).await).await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.readyz_says("catalog cluster-1: pending").await;
    while world.local.asked(OF_SHOP) < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let answers = agent.answers(&reviews).await;
        assert!(answers.is_empty(), "{answers:?}");
    }
    world.local.refuse(OF_SHOP, None);
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.eventually(&reviews, &[GATEWAY]).await;
    agent.stop().await;

    // What the account may not is not waited for, and told.
    world.local.refuse(OF_SHOP, Some(StatusCode::FORBIDDEN));
    let agent = Agent::start_with(world.files(with).await).await;
    agent
        .readyz_says("catalog cluster-1: synced: endpointslices of services: ")
        .await;
    agent.eventually(&reviews, &["10.1.0.9"]).await;
    agent.stop().await;
}
