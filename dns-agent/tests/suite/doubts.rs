//! Denials by the cluster's DNS before anything is known of any cluster: those of names that a peer may have do not reach
//! clients, those of all others do.

use hickory_proto::op::ResponseCode;

use crate::support::{
    agent::{Agent, Files},
    api::{Api, Fault},
    message::{query, record, reply, soa},
    servers::Scripted,
};

const ZONE: &[u8] = b"\x07cluster\x05local\x00";

/// A server that denies every name but those below `exists`, as this zone.
async fn denying(zone: &'static [u8], exists: &'static [u8]) -> Scripted {
    Scripted::start(move |query, _| {
        let soa = record(zone, 6, 60, &soa(60));
        let name = query[12..].to_ascii_lowercase();
        let flags = if name.starts_with(exists) {
            0x8580
        } else {
            0x8583
        };
        Some(reply(query, flags, [&[], &[soa], &[]]))
    })
    .await
}

/// An agent whose own cluster and peer, of its own mesh, take requests and never reply.
async fn agent(server: &Scripted) -> (Agent, [Api; 2]) {
    let apis = [Api::start(), Api::start()];
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
         - {{cluster: cluster-2, kubeconfig: peer.kubeconfig}}\n\
         peerSyncTimeout: 600s\nupstreams: {{servers: [\"{}\"]}}\n",
        server.address
    ));
    for (api, file) in apis.iter().zip(["local.kubeconfig", "peer.kubeconfig"]) {
        api.set_fault(Fault::Slow);
        files.write(file, &api.kubeconfig());
    }
    (Agent::start_with(files).await, apis)
}

async fn check(agent: &Agent, name: &str, expected: ResponseCode) {
    // The second time from what is kept.
    for _ in 0..2 {
        let reply = agent
            .ask(&query(&format!("{name}.svc.cluster.local")))
            .await;
        assert_eq!(reply.metadata.response_code, expected, "{name}");
    }
}

#[tokio::test]
async fn a_denial_is_believed_where_the_clusters_dns_denies_the_namespace_too() {
    let server = denying(ZONE, b"\x04shop\x03svc").await;
    let (agent, _apis) = agent(&server).await;
    check(&agent, "example.com", ResponseCode::NXDomain).await;
    check(&agent, "_ldap._tcp.example.com", ResponseCode::NXDomain).await;
    check(&agent, "www.example.com", ResponseCode::NXDomain).await;
    check(&agent, "catalog.shop", ResponseCode::ServFail).await;
    check(&agent, "pod-0.catalog.shop", ResponseCode::NXDomain).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_denial_by_servers_that_have_nothing_of_the_cluster_is_not_believed() {
    let server = denying(b"\x00", b"\x04none").await;
    let (agent, _apis) = agent(&server).await;
    check(&agent, "catalog.shop", ResponseCode::ServFail).await;
    agent.stop().await;
}
