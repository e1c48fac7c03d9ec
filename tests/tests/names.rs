//! What the agent answers to a real DNS client, and while catalogs change under it.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crossmesh_e2e::agent::{Agent, Catalog, Setup};
use crossmesh_e2e::block::Block;
use crossmesh_e2e::dns::{Client, Upstream, dig};
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use tempfile::TempDir;

const OUTSIDE: &str = "www.example.com";

struct Stand {
    agent: Agent,
    setup: Setup,
    cluster_ip: IpAddr,
    gateway: IpAddr,
    _upstream: Upstream,
    _folder: TempDir,
    _block: Block,
}

async fn stand() -> Stand {
    let block = Block::claim().unwrap();
    let folder = tempfile::Builder::new()
        .prefix("crossmesh-")
        .tempdir()
        .unwrap();
    let upstream = Upstream::start(block.at(2), OUTSIDE, Ipv4Addr::new(192, 0, 2, 80)).unwrap();
    let (cluster_ip, gateway) = (block.at(10), block.at(20));
    let local = Catalog {
        cluster: "cluster-1",
        mesh: "east",
        services: vec![(REVIEWS, cluster_ip)],
        gateways: vec![],
    };
    let services = vec![(CATALOG, block.at(30)), (REVIEWS, block.at(31))];
    let peer = Catalog {
        cluster: "cluster-2",
        mesh: "west",
        services,
        gateways: vec![gateway],
    };
    let setup = Setup {
        listen: block.at(1),
        upstream: upstream.address(),
        local,
        peer,
    };
    let agent = Agent::start(folder.path(), &setup).await.unwrap();
    Stand {
        agent,
        setup,
        cluster_ip,
        gateway,
        _upstream: upstream,
        _folder: folder,
        _block: block,
    }
}

impl Stand {
    fn delete_reviews(&self) {
        let empty = Catalog {
            services: vec![],
            ..self.setup.local.clone()
        };
        self.agent.local_catalog().replace(&empty).unwrap();
    }

    fn create_reviews(&self) {
        self.agent
            .local_catalog()
            .replace(&self.setup.local)
            .unwrap();
    }
}

/// The single place where dig asks: its response code, answer section and authority section.
async fn check(
    stand: &Stand,
    name: &str,
    record_type: &str,
    flags: &[&str],
    code: &str,
    answer: &str,
    soa: bool,
) {
    let sections = ["+tries=1", "+noall", "+comments", "+answer", "+authority"];
    let question = dig(stand.agent.dns(), name, record_type)
        .unwrap()
        .args(sections)
        .args(flags.to_vec());
    let output = question.output().await.unwrap();
    assert!(
        output.contains(&format!("status: {code},")),
        "{question}\n{output}"
    );
    let records: Vec<Vec<&str>> = output
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(';'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let authority = records.iter().filter(|record| record[3] == "SOA").count();
    assert_eq!(authority, usize::from(soa), "{question}\n{output}");
    let answers = records.iter().filter(|record| record[3] != "SOA");
    let answers: Vec<String> = answers
        .map(|record| format!("{} {}", record[0], record[3..].join(" ")))
        .collect();
    assert_eq!(answers.join("\n"), answer, "{question}\n{output}");
}

#[tokio::test]
async fn names_answer_what_the_design_says() {
    let stand = stand().await;
    let (local, gateway) = (stand.cluster_ip, stand.gateway);
    let a = |name: &str, address: &dyn std::fmt::Display| format!("{name}. A {address}");
    let srv = format!("_http._tcp.{REVIEWS}");
    let srv_answer = format!("{srv}. SRV 0 100 8080 {REVIEWS}.");
    let missing = "cart.shop.svc.cluster.local";
    let upper = "CaTaLoG.shop.svc.Cluster.local";
    for flags in [&[][..], &["+tcp"], &["+noedns"]] {
        check(
            &stand,
            REVIEWS,
            "A",
            flags,
            "NOERROR",
            &a(REVIEWS, &local),
            false,
        )
        .await;
        check(&stand, REVIEWS, "AAAA", flags, "NOERROR", "", true).await;
        check(&stand, REVIEWS, "MX", flags, "NOERROR", "", true).await;
        check(
            &stand,
            CATALOG,
            "A",
            flags,
            "NOERROR",
            &a(CATALOG, &gateway),
            false,
        )
        .await;
        check(&stand, CATALOG, "TXT", flags, "NOERROR", "", true).await;
        check(
            &stand,
            upper,
            "A",
            flags,
            "NOERROR",
            &a(upper, &gateway),
            false,
        )
        .await;
        check(&stand, &srv, "SRV", flags, "NOERROR", &srv_answer, false).await;
        // What the agent does not know is the cluster's DNS's to answer, here a server of ours.
        check(
            &stand,
            OUTSIDE,
            "A",
            flags,
            "NOERROR",
            &a(OUTSIDE, &"192.0.2.80"),
            false,
        )
        .await;
        check(
            &stand,
            "nowhere.example.com",
            "A",
            flags,
            "NXDOMAIN",
            "",
            false,
        )
        .await;
        check(&stand, missing, "A", flags, "NXDOMAIN", "", false).await;
    }
}

#[tokio::test]
async fn a_deleted_service_answers_the_gateway_and_a_created_one_its_address_again() {
    let stand = stand().await;
    for _ in 0..3 {
        let name = |address: IpAddr| format!("{REVIEWS}. A {address}");
        stand.delete_reviews();
        stand
            .agent
            .until_answers(REVIEWS, &[stand.gateway])
            .await
            .unwrap();
        check(
            &stand,
            REVIEWS,
            "A",
            &[],
            "NOERROR",
            &name(stand.gateway),
            false,
        )
        .await;
        stand.create_reviews();
        stand
            .agent
            .until_answers(REVIEWS, &[stand.cluster_ip])
            .await
            .unwrap();
        check(
            &stand,
            REVIEWS,
            "A",
            &[],
            "NOERROR",
            &name(stand.cluster_ip),
            false,
        )
        .await;
    }
}

#[tokio::test]
async fn while_a_service_goes_and_returns_every_query_is_answered_with_one_side_or_the_other() {
    let stand = stand().await;
    let mut client = Client::of(stand.agent.dns()).await.unwrap();
    // `ask` fails when an answer stays away; what is left to hold is which answers come, and in which order.
    for (change, before, after) in [
        (
            Stand::delete_reviews as fn(&Stand),
            stand.cluster_ip,
            stand.gateway,
        ),
        (Stand::create_reviews, stand.gateway, stand.cluster_ip),
    ] {
        let mut changed = None;
        let mut since = 0;
        for asked in 0.. {
            let answer = client.ask(REVIEWS).await.unwrap();
            if answer.addresses == [after] {
                since += 1;
                if since == 500 {
                    break;
                }
            } else {
                assert_eq!(
                    (answer.addresses.as_slice(), since),
                    (&[before][..], 0),
                    "an answer of neither side"
                );
            }
            if asked == 500 {
                change(&stand);
                changed = Some(Instant::now());
            }
            assert!(
                changed.is_none_or(|at| at.elapsed() < Duration::from_secs(30)),
                "the change is never seen"
            );
        }
    }
}

#[tokio::test]
async fn a_broken_catalog_leaves_what_was_known() {
    let stand = stand().await;
    stand
        .agent
        .local_catalog()
        .replace_by_text("schema: crossmesh-catalog/v1\nservices: {")
        .unwrap();
    stand.agent.until_logs("east.yaml").await.unwrap();
    check(
        &stand,
        REVIEWS,
        "A",
        &[],
        "NOERROR",
        &format!("{REVIEWS}. A {}", stand.cluster_ip),
        false,
    )
    .await;
    stand.delete_reviews();
    stand
        .agent
        .until_answers(REVIEWS, &[stand.gateway])
        .await
        .unwrap();
}

#[tokio::test]
async fn the_agent_ends_well_on_sigterm() {
    let mut stand = stand().await;
    assert_eq!(stand.agent.terminate().await.unwrap(), Some(0));
}
