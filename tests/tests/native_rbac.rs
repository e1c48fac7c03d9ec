//! What Envoy's own RBAC does with what Istio makes of an AuthorizationPolicy, where docs/policy.md says that ours differs.
#![cfg(test)]

use crossmesh_e2e::app::App;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Setup, socket_address};
use crossmesh_e2e::names::CATALOG;
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, hcm, router};
use crossmesh_e2e::world::node;
use serde_json::{Value, json};

/// An ALLOW whose source has `notTrustDomains: [bar.com]` and nothing else, as Istio translates it.
fn rbac() -> Value {
    let trust_domain =
        json!({"authenticated": {"principal_name": {"prefix": "spiffe://bar.com/"}}});
    let source = json!({"and_ids": {"ids": [{"not_id": {"or_ids": {"ids": [trust_domain]}}}]}});
    let policy = json!({"permissions": [{"any": true}], "principals": [source]});
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"strangers": policy}},
        },
    })
}

const OURS: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [{"name": "strangers", "action": "ALLOW", "from": [{"notTrustDomains": ["bar.com"]}]}]}"#;

#[tokio::test]
async fn who_sends_no_certificate_is_of_no_excluded_trust_domain_to_rbac_and_of_none_to_us() {
    let site = Site::claim().unwrap();
    let app = App::start(site.ip(), "catalog").unwrap();
    let ours = Plugin::Given(OURS.to_owned()).http_filter().unwrap();
    let mut setup = Setup {
        node: node("west", "shop", "catalog"),
        clusters: vec![cluster("application", app.address())],
        ..Setup::default()
    };
    let wanted = [(8080, rbac(), 200), (8081, ours, 403)];
    for (port, filter, _) in &wanted {
        let route = json!({"route": {"cluster": "application"}});
        let filters = [filter.clone(), router()];
        setup.listeners.push(json!({
            "name": format!("plaintext {port}"),
            "traffic_direction": "INBOUND",
            "address": socket_address(site.at(*port)),
            "filter_chains": [{"filters": [hcm("SANITIZE", route, &filters, &site.access_log)]}],
        }));
    }
    let _envoy = site.start("a sidecar", &setup).await.unwrap();
    for (port, _, status) in wanted {
        let request = Request::by_name(CATALOG, site.at(port), "/").unwrap();
        assert_eq!(request.send().await.unwrap().status, status, "port {port}");
    }
}
