//! One agent after another takes the place of the one before, while clients ask all the time and clusters change.
#![cfg(test)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::command::Command;
use crossmesh_e2e::dns::{Client, ask_over_tcp};
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS, WEST};
use crossmesh_e2e::kubernetes::streams::{
    CART, CART_SERVICE, CATALOG_SERVICE, LEDGER, LEDGER_SERVICE, REVIEWS_SERVICE, is, is_unknown,
};
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use serde_json::json;
use tokio::task::JoinSet;

const UPGRADES: usize = 10;
/// What a search list makes of an outside name.
const GARBAGE: &str = "www.example.com.svc.cluster.local";
/// The same for every agent, in a block of addresses of our own.
const DNS_PORT: u16 = 53_53;
const ADMIN_PORT: u16 = 15_054;

/// A name and its only right answer; without an address, that it does not exist.
type Asked = (&'static str, Option<IpAddr>);

/// Asks for names again and again, each time from a port of its own: the kernel chooses among agents by it.
async fn stream(server: SocketAddr, tcp: bool, asked: Vec<Asked>, state: Arc<State>) -> Result<()> {
    while !state.done.load(Ordering::Relaxed) {
        for (name, right) in &asked {
            let answer = if tcp {
                ask_over_tcp(server, name).await
            } else {
                Client::of(server).await?.ask(name).await
            };
            let answer = answer.with_context(|| format!("{name}, over TCP: {tcp}"))?;
            let is_right = right.map_or_else(|| is_unknown(&answer), |right| is(right)(&answer));
            ensure!(is_right, "{name}, over TCP: {tcp}: {answer:?}");
            state.answered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

#[derive(Default)]
struct State {
    done: AtomicBool,
    answered: AtomicUsize,
}

/// The configuration of every agent: of both clusters, with one snapshot for all.
fn config(clusters: &Clusters, dns: SocketAddr) -> Result<String> {
    let config = json!({
        "schema": "crossmesh-dns/v1",
        "listen": [dns.to_string()],
        "admin": SocketAddr::new(dns.ip(), ADMIN_PORT).to_string(),
        "adminSocket": "admin.sock",
        "cluster": {"id": "cluster-1", "mesh": "east", "network": "network-1"},
        "catalogs": [
            {"cluster": "cluster-1", "kubeconfig": clusters.east_kubeconfig()?},
            {"remoteSecrets": {"namespace": "istio-system", "clusters": [
                {"cluster": WEST, "mesh": "west", "import": {"namespaces": ["shop"]}},
            ]}},
        ],
        "snapshot": {"directory": clusters.folder().join("snapshot"), "interval": "100ms"},
        "upstreams": {"servers": [clusters.dns.address().to_string()]},
    });
    Ok(config.to_string())
}

#[tokio::test]
async fn no_query_of_a_stream_through_ten_upgrades_is_lost_or_answered_wrongly() {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east.objects, &clusters.west.objects);
    let local = east.create_service(&REVIEWS_SERVICE).await.unwrap();
    west.create_service(&REVIEWS_SERVICE).await.unwrap();
    west.create_service(&CATALOG_SERVICE).await.unwrap();
    let remote = west.create_service(&LEDGER_SERVICE).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let gateway = clusters.gateway();

    let dns = SocketAddr::new(clusters.address(1), DNS_PORT);
    let config = config(&clusters, dns).unwrap();
    let home = |number: usize| clusters.folder().join(format!("upgraded-{number}"));
    let mut agent = Agent::start_configured(&home(0), &config).await.unwrap();
    agent.until_answers(CATALOG, &[gateway]).await.unwrap();
    let state = Arc::new(State::default());
    let asked = [
        (REVIEWS, Some(local)),
        (CATALOG, Some(gateway)),
        (LEDGER, Some(remote)),
        (OUTSIDE, Some(OUTSIDE_ADDRESS)),
        (GARBAGE, None),
    ];
    let mut streams = JoinSet::new();
    for (number, tcp) in [false, false, true, true].into_iter().enumerate() {
        let mut asked = asked.to_vec();
        asked.rotate_left(number);
        streams.spawn(stream(dns, tcp, asked, Arc::clone(&state)));
    }
    let more = async |than: usize| {
        while state.answered.load(Ordering::Relaxed) < than {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    for number in 1..=UPGRADES {
        // In no snapshot that the next one finds.
        let cart = east.create_service(&CART_SERVICE).await.unwrap();
        // It says so when it has joined.
        let next = Agent::launch(&home(number), &config).await.unwrap();
        let probe = Command::dns_agent()
            .unwrap()
            .args(["probe", "readyz", "--at"]);
        let socket = home(number).join("admin.sock");
        probe
            .arg(socket.display().to_string())
            .output()
            .await
            .unwrap();
        // Both answer for a while.
        more(state.answered.load(Ordering::Relaxed) + 20).await;
        let ended = agent.terminate().await.unwrap();
        assert_eq!(ended, Some(0), "{}", agent.log_tail(20));
        agent = next;
        agent.until_answers(CART, &[cart]).await.unwrap();
        east.delete(&CART_SERVICE.object()).await.unwrap();
        agent.until_answers(CART, &[]).await.unwrap();
        if let Some(failed) = streams.try_join_next() {
            failed.unwrap().unwrap();
        }
    }
    more(state.answered.load(Ordering::Relaxed) + 20).await;
    state.done.store(true, Ordering::Relaxed);
    while let Some(stream) = streams.join_next().await {
        stream.unwrap().unwrap();
    }
    // The admin port is the last one's by now, which has read what it had found on the disk.
    agent.until_ready().await.unwrap();
    for cluster in ["cluster-1", WEST] {
        let restored = format!("crossmesh_dns_catalog_restored{{cluster=\"{cluster}\"}}");
        assert_eq!(agent.metric(&restored).await.unwrap(), Some(0.0));
    }
    assert!(
        clusters
            .folder()
            .join("snapshot/cluster-1.snapshot")
            .exists()
    );
    let answered = state.answered.load(Ordering::Relaxed);
    println!("{answered} queries answered through {UPGRADES} upgrades");
    assert!(
        answered > 20 * UPGRADES,
        "only {answered} queries were asked"
    );
}
