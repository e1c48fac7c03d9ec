//! How the agent comes to a cluster: remote secrets, kubeconfig files and tokens, each as it changes.

use super::*;
use crate::support::api::{SECRETS, base64};

#[tokio::test]
async fn remote_secrets_name_clusters_while_the_agent_runs() {
    let world = World::new();
    let secret = |data: serde_json::Value| json!({"metadata": {"labels": {"istio/multiCluster": "true"}}, "data": data});
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
         - {{remoteSecrets: {{namespace: istio-system}}}}\n\
         upstreams: {{servers: [\"{}\"]}}\ngatewayProbe: {{enabled: false}}\n",
        nobody().await
    ));
    files.write("local.kubeconfig", &world.local.kubeconfig());
    let agent = Agent::start_with(files).await;
    agent
        .readyz_says("ready\ncatalog cluster-1: synced\n")
        .await;
    let catalog = name("catalog.shop");
    assert!(agent.answers(&catalog).await.is_empty());

    let good = base64(&world.peer.kubeconfig());
    let own = base64(&world.local.kubeconfig());
    let data = json!({"cluster-2": good, "cluster-1": own});
    world
        .local
        .put(SECRETS, "istio-system", "west", secret(data));
    agent.eventually(&catalog, &[GATEWAY]).await;
    let text = agent.readyz_says("catalog cluster-2: synced").await;
    assert!(text.starts_with("ready\n"), "{text}");
    assert_eq!(text.matches("cluster-1").count(), 1, "{text}");

    // Rotated to one that runs a command: refused, and the last state stays.
    let bad = world
        .peer
        .kubeconfig()
        .replace("{token: t}", "{exec: {command: /bin/true}}");
    let data = json!({"cluster-2": base64(&bad)});
    world
        .local
        .put(SECRETS, "istio-system", "west", secret(data));
    agent
        .readyz_says("catalog cluster-2: stale: the kubeconfig is refused: its user \"u\" has exec")
        .await;
    assert_eq!(agent.answers(&catalog).await, [GATEWAY]);
    let data = json!({"cluster-2": good});
    world
        .local
        .put(SECRETS, "istio-system", "west", secret(data));
    agent.readyz_says("catalog cluster-2: synced\n").await;

    // Several clusters in one secret, of which one goes.
    let third = Api::start();
    third.service("shop", "third", "10.3.0.1", "tcp");
    let data = json!({"cluster-2": good, "cluster-3": base64(&third.kubeconfig())});
    world
        .local
        .put(SECRETS, "istio-system", "west", secret(data));
    agent.eventually(&name("third.shop"), &["10.3.0.1"]).await;
    assert_eq!(agent.answers(&catalog).await, [GATEWAY]);
    let data = json!({"cluster-2": good});
    world
        .local
        .put(SECRETS, "istio-system", "west", secret(data));
    agent.eventually(&name("third.shop"), &[]).await;
    assert_eq!(agent.answers(&catalog).await, [GATEWAY]);

    // Another cluster in another secret, and then none at all.
    let data = json!({"cluster-3": base64(&third.kubeconfig())});
    world
        .local
        .put(SECRETS, "istio-system", "north", secret(data));
    agent.eventually(&name("third.shop"), &["10.3.0.1"]).await;
    world.local.delete(SECRETS, "istio-system", "west");
    agent.eventually(&catalog, &[]).await;
    let (_, text) = agent.text("/readyz").await;
    assert!(!text.contains("cluster-2"), "{text}");
    let (_, metrics) = agent.text("/metrics").await;
    assert!(!metrics.contains("cluster=\"cluster-2\""), "{metrics}");
    assert_eq!(agent.answers(&name("third.shop")).await, ["10.3.0.1"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_changed_kubeconfig_file_is_used_at_once() {
    let world = World::new();
    let agent = world.agent().await;
    let other = Api::start();
    other.service("shop", "reviews", "10.1.0.99", "http");
    agent.replace("local.kubeconfig", &other.kubeconfig());
    agent
        .eventually(&name("reviews.shop"), &["10.1.0.99"])
        .await;
    fs::write(agent.path("local.kubeconfig"), "]").unwrap();
    agent
        .readyz_says("catalog cluster-1: stale: the kubeconfig")
        .await;
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.99"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_shown_from_the_next_request_on() {
    let world = World::new();
    let files = world.files("").await;
    let by_file = world.local.kubeconfig();
    let by_file = by_file.replace("token: t", "tokenFile: token");
    files.write("local.kubeconfig", &by_file);
    files.write("token", "first\n");
    world.local.let_in("first");
    let agent = Agent::start_with(files).await;
    agent.readyz_says("catalog cluster-1: synced").await;
    for token in ["second", "third"] {
        agent.replace("token", token);
        world.local.let_in(token);
        let address = format!("10.1.0.{}", token.len());
        world.local.service("shop", "reviews", &address, "http");
        agent.eventually(&name("reviews.shop"), &[&address]).await;
    }
    agent.stop().await;
}
