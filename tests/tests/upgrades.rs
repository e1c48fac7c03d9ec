//! One agent after another takes the place of the one before, while clients ask all the time.
#![cfg(test)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossmesh_e2e::agent::{Agent, Catalog};
use crossmesh_e2e::block::Block;
use crossmesh_e2e::command::Command;
use crossmesh_e2e::dns::{Client, Upstream, ask_over_tcp};
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use tokio::task::JoinSet;

const UPGRADES: usize = 10;
const OUTSIDE: &str = "www.example.com";
/// The same for every agent, in a block of addresses of our own.
const DNS_PORT: u16 = 53_53;
const ADMIN_PORT: u16 = 15_054;

/// Asks for a name again and again, each time from a port of its own: the kernel chooses among agents by it.
async fn stream(
    server: SocketAddr,
    tcp: bool,
    asked: Vec<(&'static str, IpAddr)>,
    state: Arc<State>,
) -> Result<()> {
    while !state.done.load(Ordering::Relaxed) {
        for (name, right) in &asked {
            let answer = if tcp {
                ask_over_tcp(server, name).await
            } else {
                Client::of(server).await?.ask(name).await
            };
            let answer = answer.with_context(|| format!("{name}, over TCP: {tcp}"))?;
            ensure!(
                answer.addresses == [*right],
                "{name}, over TCP: {tcp}: {answer:?}"
            );
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

fn config(folder: &Path, dns: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "schema: crossmesh-dns/v1\nlisten: [\"{dns}\"]\nadmin: \"{}:{ADMIN_PORT}\"\nadminSocket: admin.sock\n\
         cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, file: {folder}/east.yaml}}\n  \
         - {{cluster: cluster-2, file: {folder}/west.yaml}}\n\
         upstreams: {{servers: [\"{upstream}\"]}}\n",
        dns.ip()
    )
}

#[tokio::test]
async fn no_query_of_a_stream_through_ten_upgrades_is_lost_or_answered_wrongly() {
    let block = Block::claim().unwrap();
    let folder = tempfile::Builder::new()
        .prefix("crossmesh-")
        .tempdir()
        .unwrap();
    let known = Ipv4Addr::new(192, 0, 2, 80);
    let upstream = Upstream::start(block.at(2), OUTSIDE, known).unwrap();
    let (cluster_ip, gateway) = (block.at(10), block.at(20));
    let catalog = |cluster, mesh, service, gateways| Catalog {
        cluster,
        mesh,
        services: vec![service],
        gateways,
    };
    let local = catalog("cluster-1", "east", (REVIEWS, cluster_ip), vec![]);
    let peer = catalog("cluster-2", "east", (CATALOG, block.at(30)), vec![gateway]);
    fs::write(folder.path().join("east.yaml"), local.to_string()).unwrap();
    fs::write(folder.path().join("west.yaml"), peer.to_string()).unwrap();

    let dns = SocketAddr::new(block.at(1), DNS_PORT);
    let config = config(folder.path(), dns, upstream.address());
    let home = |number: usize| folder.path().join(format!("agent-{number}"));
    let mut agent = Agent::start_configured(&home(0), &config).await.unwrap();
    let state = Arc::new(State::default());
    let asked = [
        (REVIEWS, cluster_ip),
        (CATALOG, gateway),
        (OUTSIDE, known.into()),
    ];
    let mut streams = JoinSet::new();
    for (number, tcp) in [false, false, true, true].into_iter().enumerate() {
        let mut asked = asked.to_vec();
        asked.rotate_left(number % 3);
        streams.spawn(stream(dns, tcp, asked, Arc::clone(&state)));
    }
    let more = async |than: usize| {
        while state.answered.load(Ordering::Relaxed) < than {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    for number in 1..=UPGRADES {
        // It says so when it has joined.
        let next = Agent::launch(&home(number), &config).await.unwrap();
        let file = home(number).join("dns-agent.yaml");
        let probe = Command::dns_agent()
            .unwrap()
            .args(["probe", "readyz", "--config"]);
        probe
            .arg(file.display().to_string())
            .output()
            .await
            .unwrap();
        // Both answer for a while.
        more(state.answered.load(Ordering::Relaxed) + 20).await;
        let ended = agent.terminate().await.unwrap();
        assert_eq!(ended, Some(0), "{}", agent.log_tail(20));
        agent = next;
        if let Some(failed) = streams.try_join_next() {
            failed.unwrap().unwrap();
        }
    }
    more(state.answered.load(Ordering::Relaxed) + 20).await;
    state.done.store(true, Ordering::Relaxed);
    while let Some(stream) = streams.join_next().await {
        stream.unwrap().unwrap();
    }
    // The admin port is the last one's by now.
    agent.until_ready().await.unwrap();
    let answered = state.answered.load(Ordering::Relaxed);
    println!("{answered} queries answered through {UPGRADES} upgrades");
    assert!(
        answered > 20 * UPGRADES,
        "only {answered} queries were asked"
    );
}
