//! Policies from a control plane, over a stream of gRPC as Istio's: a wrong one is refused, the control plane hears of it, and
//! what was active keeps deciding.
#![cfg(test)]

use crossmesh_e2e::app::App;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::{Plugin, policy_of_scenario, scenario};
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, hcm, mtls_listener, router};
use crossmesh_e2e::world::node;
use crossmesh_e2e::xds::{Answer, ControlPlane};
use serde_json::json;

struct Stand {
    site: Site,
    envoy: Envoy,
    control_plane: ControlPlane,
    frontend: Identity,
    batch: Identity,
    _application: App,
}

async fn start(policy: &str) -> Stand {
    let site = Site::claim().unwrap();
    let application = App::start(site.ip(), "catalog").unwrap();
    let own = "spiffe://bar.com/ns/shop/sa/catalog";
    let identity = site.pki.sign(Root::West, "catalog", &[own]).unwrap();
    let filters = [Plugin::FromControlPlane.http_filter().unwrap(), router()];
    let route = json!({"route": {"cluster": "application"}});
    let manager = hcm("SANITIZE", route, &filters, &site.access_log);
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![mtls_listener(site.at(SERVICE_PORT), &identity, &[manager])],
        clusters: vec![cluster("application", application.address())],
    };
    let control_plane = ControlPlane::start(site.ip(), "first", policy).unwrap();
    let mut bootstrap = setup.bootstrap(site.ip()).unwrap();
    control_plane.serve_to(&mut bootstrap);
    let folder = site.folder().join("catalog");
    let envoy = Envoy::start_from("catalog", &folder, &bootstrap).await;
    let sign = |name, id| site.pki.sign(Root::East, name, &[id]).unwrap();
    Stand {
        envoy: envoy.unwrap(),
        frontend: sign("frontend", FRONTEND),
        batch: sign("batch", BATCH),
        site,
        control_plane,
        _application: application,
    }
}

impl Stand {
    async fn decision(&self, identity: &Identity) -> String {
        let lines = self.site.access_log.entries().unwrap().len();
        let to = self.site.at(SERVICE_PORT);
        let request = Request::mutual_tls(CATALOG, to, "/v1/items", identity).unwrap();
        request.send().await.unwrap();
        let entry = self.site.access_log.longer_than(lines).await.unwrap();
        entry.decision.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_control_plane_hears_that_a_wrong_policy_is_refused_and_the_old_one_keeps_deciding() {
    let stand = start(&policy_of_scenario("verdicts.yaml").unwrap()).await;
    let control_plane = &stand.control_plane;
    assert_eq!(control_plane.answer("first").await.unwrap(), Answer::Taken);
    let old = "ALLOW rule:readers";
    assert_eq!(stand.decision(&stand.frontend).await, old);

    for case in scenario("refused.yaml").unwrap().as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        control_plane
            .deliver(name, &case["policy"].to_string())
            .unwrap();
        let Answer::Refused(error) = control_plane.answer(name).await.unwrap() else {
            panic!("{name}: it was taken");
        };
        // A module can tell Envoy no more than that it refuses; why stands in the proxy's log.
        assert_eq!(error, "Unable to create Wasm plugin crossmesh", "{name}");
        for says in case["says"].as_array().unwrap() {
            let says = says.as_str().unwrap();
            assert!(stand.envoy.log().contains(says), "{name}: {says}");
        }
        // Several times, so that every worker is asked.
        for _ in 0..4 {
            assert_eq!(stand.decision(&stand.frontend).await, old, "after {name}");
            let refused = stand.decision(&stand.batch).await;
            assert_eq!(refused, "DENY default:peerMesh", "after {name}");
        }
    }

    let right = policy_of_scenario("everybody-reads.yaml").unwrap();
    control_plane.deliver("right", &right).unwrap();
    assert_eq!(control_plane.answer("right").await.unwrap(), Answer::Taken);
    let taken = async || {
        let decision = stand.decision(&stand.batch).await;
        (decision == "ALLOW rule:everybody").then_some(())
    };
    let changed = stand.envoy.until("change of the verdict", taken);
    changed.await.unwrap();
}
