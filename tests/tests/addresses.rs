//! The address that a rule asks about is the connection's: what a client writes into `x-forwarded-for` opens nothing, and
//! leads around nothing.
#![cfg(test)]

use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::Setup;
use crossmesh_e2e::names::{CATALOG, SERVICE_PORT};
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{hcm, plain_listener, router, served};
use crossmesh_e2e::world::node;
use serde_json::json;

/// Everybody here comes from 127.0.0.0/8.
const POLICY: &str = r#"{"schema": "crossmesh/v1", "meshes": [{"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [
        {"name": "local", "action": "ALLOW", "from": [{"plaintext": true, "ipBlocks": ["127.0.0.0/8"]}], "to": [{"paths": ["/local"]}]},
        {"name": "probes", "action": "ALLOW", "from": [{"plaintext": true, "ipBlocks": ["10.0.0.0/24"]}], "to": [{"paths": ["/probes"]}]},
        {"name": "open", "action": "ALLOW", "from": [{"plaintext": true}], "to": [{"paths": ["/closed"]}]},
        {"name": "closed", "action": "DENY", "from": [{"ipBlocks": ["127.0.0.0/8"]}], "to": [{"paths": ["/closed"]}]}]}"#;

const NOBODY: &str = "DENY default:plaintext";
const CLOSED: &str = "DENY rule:closed";

/// Envoy takes a client's address from the header where it is not told to use the connection's (Istio's sidecars), and
/// where it trusts proxies before it. As an address with a port, no header is taken.
#[tokio::test]
async fn no_header_makes_an_address() {
    let site = Site::claim().unwrap();
    let kinds = [
        (SERVICE_PORT, json!({})),
        (8081, json!({"use_remote_address": true})),
        (
            8082,
            json!({"use_remote_address": true, "xff_num_trusted_hops": 1}),
        ),
    ];
    let listeners = kinds.iter().map(|(port, settings)| {
        let filter = Plugin::Given(POLICY.to_owned()).http_filter().unwrap();
        let mut http = hcm("SANITIZE", served(), &[filter, router()], &site.access_log);
        for (name, value) in settings.as_object().unwrap() {
            http["typed_config"][name] = value.clone();
        }
        plain_listener(site.at(*port), &[http])
    });
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: listeners.collect(),
        clusters: Vec::new(),
    };
    let _envoy = site.start("catalog", &setup).await.unwrap();
    let ask = async |port: u16, path: &str, header: Option<&str>| {
        let lines = site.access_log.entries().unwrap().len();
        let mut request = Request::by_name(CATALOG, site.at(port), path).unwrap();
        if let Some(value) = header {
            request = request.header(&format!("x-forwarded-for: {value}"));
        }
        request.send().await.unwrap();
        let entry = site.access_log.longer_than(lines).await.unwrap();
        entry.decision.unwrap()
    };
    for (port, settings) in &kinds {
        for header in [
            None,
            Some("10.0.0.7"),
            Some("10.0.0.7, 10.0.0.8"),
            Some("10.0.0.7:1234"),
            Some("::ffff:10.0.0.7"),
        ] {
            for (path, wanted) in [("/probes", NOBODY), ("/closed", CLOSED)] {
                let decision = ask(*port, path, header).await;
                assert_eq!(decision, wanted, "{settings} {path} {header:?}");
            }
        }
        assert_eq!(ask(*port, "/local", None).await, "ALLOW rule:local");
    }
    // What Envoy keeps to itself is not known, and opens nothing; where it tells the connection's address, that decides.
    let forwarded = Some("10.0.0.7");
    assert_eq!(ask(SERVICE_PORT, "/local", forwarded).await, NOBODY);
    assert_eq!(ask(8081, "/local", forwarded).await, "ALLOW rule:local");
}
