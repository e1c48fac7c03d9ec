//! Which policies a real Envoy takes: a wrong one is refused with its reason, and what was active stays active.
#![cfg(test)]

use crossmesh_e2e::names::{BATCH, FRONTEND};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::{policy_of_scenario, scenario};
use crossmesh_e2e::stand::Stand;
use serde_json::Value;

/// A good policy does not save what follows, so each wrong one stands alone.
fn refused() -> Vec<Value> {
    scenario("refused.yaml")
        .unwrap()
        .as_array()
        .unwrap()
        .clone()
}

async fn decision(stand: &Stand, id: &str) -> String {
    let identity = stand.pki.sign(Root::East, "client", &[id]).unwrap();
    let (_, entry) = stand
        .send(stand.request(Some(&identity), "/v1/items").unwrap())
        .await
        .unwrap();
    entry.decision.unwrap_or_default()
}

#[tokio::test]
async fn envoy_does_not_start_with_a_wrong_policy_and_its_log_says_why() {
    for case in refused() {
        let name = case["name"].as_str().unwrap();
        let started = Stand::start(&case["policy"].to_string()).await;
        let error = format!(
            "{:#}",
            started
                .err()
                .unwrap_or_else(|| panic!("{name}: Envoy started"))
        );
        let log: Vec<&str> = error
            .lines()
            .filter(|line| line.contains("[wasm]"))
            .collect();
        for says in case["says"].as_array().unwrap() {
            let says = says.as_str().unwrap();
            assert!(
                log.iter().any(|line| line.contains(says)),
                "{name}: {says:?} is not in\n{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_update_is_refused_and_the_old_policy_keeps_deciding() {
    const REFUSED: &str = "extension_config_discovery.http_filter.crossmesh.config_fail";
    let policy = policy_of_scenario("verdicts.yaml").unwrap();
    let stand = Stand::start_discovering(&policy).await.unwrap();
    let envoy = &stand.sidecar.envoy;
    assert_eq!(decision(&stand, FRONTEND).await, "ALLOW rule:readers");

    for (at, case) in refused().iter().enumerate() {
        let before = envoy.stat(REFUSED).await.unwrap();
        stand
            .deliver(&format!("wrong {at}"), &case["policy"].to_string())
            .unwrap();
        let refused = async || (envoy.stat(REFUSED).await.unwrap() > before).then_some(());
        envoy.until("refusal", refused).await.unwrap();
        for says in case["says"].as_array().unwrap() {
            assert!(
                envoy.log().contains(says.as_str().unwrap()),
                "{says} is not in\n{}",
                envoy.log()
            );
        }
        // Several times, so that every worker is asked.
        for _ in 0..4 {
            assert_eq!(
                decision(&stand, FRONTEND).await,
                "ALLOW rule:readers",
                "after {}",
                case["name"]
            );
            assert_eq!(
                decision(&stand, BATCH).await,
                "DENY default:peerMesh",
                "after {}",
                case["name"]
            );
        }
    }

    stand
        .deliver(
            "right",
            &policy_of_scenario("everybody-reads.yaml").unwrap(),
        )
        .unwrap();
    let taken = async || (decision(&stand, BATCH).await == "ALLOW rule:everybody").then_some(());
    envoy.until("change of the verdict", taken).await.unwrap();
}
