//! Policies from a control plane, over a stream of gRPC as Istio's: a wrong one is refused, the control plane hears of it, and
//! what was active keeps deciding.
#![cfg(test)]

use crossmesh_e2e::caller::{Caller, Request};
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::{Plugin, scenario};
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, hcm, mtls_listener, router, served, tcp_proxy};
use crossmesh_e2e::speaker::Speaker;
use crossmesh_e2e::world::node;
use crossmesh_e2e::xds::{Answer, ControlPlane};
use serde_json::json;

const TCP_PORT: u16 = 3306;

const FRONTEND_ONLY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [{"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]}"#;

struct Stand {
    site: Site,
    envoy: Envoy,
    control_plane: ControlPlane,
    frontend: Identity,
    batch: Identity,
    _echo: Speaker,
}

async fn start(policy: &str) -> Stand {
    let site = Site::claim().unwrap();
    let echo = Speaker::start(site.ip(), None).unwrap();
    let own = "spiffe://bar.com/ns/shop/sa/catalog";
    let identity = site.pki.sign(Root::West, "catalog", &[own]).unwrap();
    let plugin = Plugin::FromControlPlane;
    let filters = [plugin.http_filter().unwrap(), router()];
    let manager = hcm("SANITIZE", served(), &filters, &site.access_log);
    let proxy = tcp_proxy("echo", &site.access_log, &json!({}));
    let network = [plugin.network_filter().unwrap(), proxy];
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![
            mtls_listener(site.at(SERVICE_PORT), &identity, &[manager]),
            mtls_listener(site.at(TCP_PORT), &identity, &network),
        ],
        clusters: vec![cluster("echo", echo.address())],
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
        _echo: echo,
    }
}

impl Stand {
    /// Whether one is let in, by HTTP and by TCP.
    async fn lets_in(&self, identity: &Identity) -> (bool, bool) {
        let caller = |port| Caller {
            to: self.site.at(port),
            identity: Some(identity.clone()),
        };
        let request = Request {
            method: "GET",
            host: CATALOG,
            path: "/v1/items",
            headers: &[],
        };
        let answer = caller(SERVICE_PORT).http1(&request).await.unwrap();
        assert!(matches!(answer.status, 200 | 403), "{answer:?}");
        let echoed = caller(TCP_PORT).say("hello").await.unwrap();
        (answer.status == 200, echoed == "hello")
    }
}

#[tokio::test]
async fn a_control_plane_hears_that_a_wrong_policy_is_refused_and_the_old_one_keeps_deciding() {
    let stand = start(FRONTEND_ONLY).await;
    let control_plane = &stand.control_plane;
    assert_eq!(control_plane.answer("first").await.unwrap(), Answer::Taken);
    assert_eq!(stand.lets_in(&stand.frontend).await, (true, true));

    for case in scenario("refused.yaml").unwrap().as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        control_plane
            .deliver(name, &case["policy"].to_string())
            .unwrap();
        let Answer::Refused(error) = control_plane.answer(name).await.unwrap() else {
            panic!("{name}: it was taken");
        };
        // A module can tell Envoy no more than that it refuses; why stands in the proxy's log.
        let told = "Unable to create Wasm plugin crossmesh";
        assert!(error.starts_with(told), "{name}: {error}");
        for says in case["says"].as_array().unwrap() {
            let says = says.as_str().unwrap();
            assert!(stand.envoy.log().contains(says), "{name}: {says}");
        }
        // Several times, so that every worker is asked.
        for _ in 0..4 {
            let frontend = stand.lets_in(&stand.frontend).await;
            let batch = stand.lets_in(&stand.batch).await;
            let old = ((true, true), (false, false));
            assert_eq!((frontend, batch), old, "after {name}");
        }
    }

    let right = FRONTEND_ONLY.replace(
        r#""rules""#,
        r#""defaults": {"peerMesh": "ALLOW"}, "rules""#,
    );
    control_plane.deliver("right", &right).unwrap();
    assert_eq!(control_plane.answer("right").await.unwrap(), Answer::Taken);
    let taken = async || (stand.lets_in(&stand.batch).await == (true, true)).then_some(());
    let changed = stand.envoy.until("change of the verdict", taken);
    changed.await.unwrap();
}
