//! What `docs/filter.md` tells operators to write, loaded as it stands there into a real Envoy.
#![cfg(test)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crossmesh_e2e::access_log::AccessLog;
use crossmesh_e2e::app::App;
use crossmesh_e2e::background::Background;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::{Plugin, documented};
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, hcm, mtls_listener, router};
use crossmesh_e2e::world::node;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CART: &str = "spiffe://bar.com/ns/shop/sa/cart";

/// Everything that can be counted is: a dry run with a candidate and an AUDIT rule, bytes and durations. `more` meshes are
/// listed before the east.
fn policy(more: usize) -> String {
    let mut meshes = vec![json!({"id": "west", "trustDomains": ["bar.com"]})];
    meshes.extend(
        (0..more).map(|n| json!({"id": format!("m{n}"), "trustDomains": [format!("m{n}.com")]})),
    );
    meshes.push(json!({"id": "east", "trustDomains": ["foo.com"]}));
    let frontend = json!([{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]);
    json!({
        "schema": "crossmesh/v1",
        "meshes": meshes,
        "mode": "DRY_RUN",
        "telemetry": {"headers": true, "bytes": true, "duration": true},
        "rules": [
            {"name": "frontend", "action": "ALLOW", "from": frontend},
            {"name": "watched", "action": "AUDIT", "from": frontend},
        ],
        "candidate": {"rules": [{"name": "nobody", "action": "DENY"}]},
    })
    .to_string()
}

/// A sidecar with this policy and its application; what else its HTTP is told.
fn setup(site: &Site, policy: String, change: impl FnOnce(&mut Value)) -> (Setup, App) {
    let app = App::start(site.ip(), "catalog").unwrap();
    let identity = site.pki.sign(
        Root::West,
        "catalog",
        &["spiffe://bar.com/ns/shop/sa/catalog"],
    );
    let filter = Plugin::Given(policy).http_filter().unwrap();
    let route = json!({"route": {"cluster": "application"}});
    let mut http = hcm("SANITIZE", route, &[filter, router()], &site.access_log);
    change(&mut http["typed_config"]);
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![mtls_listener(
            site.at(SERVICE_PORT),
            &identity.unwrap(),
            &[http],
        )],
        clusters: vec![cluster("application", app.address())],
    };
    (setup, app)
}

async fn ask(site: &Site, name: &str, uri_sans: &[&str]) {
    let identity = site.pki.sign(Root::East, name, uri_sans).unwrap();
    let request = Request::mutual_tls(CATALOG, site.at(SERVICE_PORT), "/v1", &identity).unwrap();
    // With a body, whose bytes are counted.
    let request = request.args(["--data", "0123456789"]);
    assert_eq!(request.send().await.unwrap().status, 200, "{name}");
}

/// Every metric that moved, with its labels, as Prometheus scrapes it.
async fn scraped(envoy: &Envoy) -> BTreeSet<String> {
    let text = envoy
        .get("/stats/prometheus?filter=crossmesh")
        .await
        .unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let moved = samples.filter_map(|line| line.rsplit_once(' ').filter(|(_, n)| *n != "0"));
    // Of a histogram, its count.
    moved
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.contains("_bucket") && !name.contains("_sum"))
        .collect()
}

/// Sends what makes every metric move; what is scraped then.
async fn check_labels(site: &Site, envoy: &Envoy, east: &str) {
    ask(site, "frontend", &[FRONTEND]).await;
    ask(site, "nobody", &[]).await;
    let pair = |metric: &str, source: &str, verdict: &str| {
        format!(r#"{metric}{{source_mesh="{source}",destination_mesh="west",verdict="{verdict}"}}"#)
    };
    let mut wanted: BTreeSet<String> = [
        r#"crossmesh_audit_matches_total{rule="watched"}"#,
        r#"crossmesh_dry_run_decisions_total{verdict="ALLOW",rule="frontend"}"#,
        r#"crossmesh_dry_run_decisions_total{verdict="DENY",rule="default_invalidIdentity"}"#,
        r#"crossmesh_candidate_decisions_total{verdict="DENY",rule="nobody",active="ALLOW"}"#,
        r#"crossmesh_candidate_decisions_total{verdict="DENY",rule="nobody",active="DENY"}"#,
        r#"crossmesh_invalid_identities_total{reason="noUriSan"}"#,
    ]
    .map(str::to_owned)
    .into();
    for (source, verdict) in [(east, "ALLOW"), ("invalidIdentity", "DENY")] {
        for metric in [
            "crossmesh_requests_total",
            "crossmesh_request_bytes_total",
            "crossmesh_response_bytes_total",
            "crossmesh_request_duration_milliseconds_count",
        ] {
            wanted.insert(pair(metric, source, verdict));
        }
    }
    // Envoy merges its workers' histograms every few seconds.
    let told = async || (scraped(envoy).await == wanted).then_some(());
    if let Err(error) = envoy.until("every metric", told).await {
        panic!(
            "{error:#}\nscraped: {:#?}\nwanted: {wanted:#?}",
            scraped(envoy).await
        );
    }
}

#[tokio::test]
async fn a_plain_envoy_gives_every_metric_its_labels() {
    let site = Site::claim().unwrap();
    let (setup, _app) = setup(&site, policy(0), |_| {});
    let envoy = site.start("catalog", &setup).await.unwrap();
    check_labels(&site, &envoy, "east").await;
}

/// As Istio's agent writes its bootstrap (`pkg/bootstrap/config.go` and `tools/packaging/common/envoy_bootstrap.json` of
/// Istio 1.31): an expression for each of `extraStatTags`, and only metrics of certain prefixes. The 65th mesh is `other`.
#[tokio::test]
async fn istios_bootstrap_does_too_and_meshes_beyond_the_bound_are_other() {
    let told = documented("istio:mesh-config").unwrap();
    let tags = told["meshConfig"]["defaultConfig"]["extraStatTags"].clone();
    let tags: Vec<Value> = tags
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| {
            let tag = tag.as_str().unwrap();
            json!({"tag_name": tag, "regex": format!(r"({tag}=\.=(.*?);\.;)")})
        })
        .collect();
    let prefixes = [
        "reporter=",
        "cluster_manager",
        "listener_manager",
        "server",
        "cluster.xds-grpc",
        "wasm",
        "component",
    ];
    let site = Site::claim().unwrap();
    let (setup, _app) = setup(&site, policy(70), |_| {});
    let mut bootstrap = setup.bootstrap(site.ip()).unwrap();
    assert_eq!(
        bootstrap["stats_config"]["stats_tags"],
        json!(tags),
        "both set-ups make the same labels"
    );
    bootstrap["stats_config"] = json!({
        "stats_tags": tags,
        "use_all_default_tags": false,
        "stats_matcher": {"inclusion_list": {"patterns": prefixes.map(|prefix| json!({"prefix": prefix}))}},
    });
    let folder = site.folder().join("catalog");
    let envoy = Envoy::start_from("catalog", &folder, &bootstrap)
        .await
        .unwrap();
    check_labels(&site, &envoy, "other").await;
}

#[tokio::test]
async fn an_access_log_shows_and_filters_by_the_filter_state() {
    let site = Site::claim().unwrap();
    let mut log = documented("envoy:access-log").unwrap();
    let telemetry = documented("istio:telemetry").unwrap();
    assert_eq!(
        telemetry["spec"]["accessLogging"][0]["filter"]["expression"],
        log["filter"]["extension_filter"]["typed_config"]["expression"],
        "Istio passes its expression on as it is"
    );
    let filtered = AccessLog::at(site.folder().join("filtered.log"));
    log["typed_config"]["path"] = json!(filtered.path());
    let (setup, _app) = setup(&site, policy(0), |http| {
        http["access_log"].as_array_mut().unwrap().insert(0, log);
    });
    let _envoy = site.start("catalog", &setup).await.unwrap();
    for (name, id) in [
        ("cart", CART),
        ("batch", BATCH),
        ("cart", CART),
        ("frontend", FRONTEND),
    ] {
        ask(&site, name, &[id]).await;
    }
    let all = site.access_log.longer_than(3).await.unwrap();
    assert_eq!(all.decision.as_deref(), Some("ALLOW rule:frontend"));
    filtered.longer_than(1).await.unwrap();
    let decisions: Vec<_> = filtered
        .entries()
        .unwrap()
        .into_iter()
        .map(|entry| (entry.source_mesh, entry.decision, entry.enforced))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        decisions,
        [
            (text("east"), text("DENY default:peerMesh"), text("false")),
            (text("east"), text("ALLOW rule:frontend"), None),
        ]
    );
}

#[tokio::test]
async fn spans_carry_both_meshes() {
    let site = Site::claim().unwrap();
    let (collector, seen, _server) = collector(&site);
    let tags = documented("envoy:custom-tags").unwrap();
    let telemetry = documented("istio:telemetry").unwrap();
    let istio = &telemetry["spec"]["tracing"][0]["customTags"];
    for tag in &tags["custom_tags"].as_array().unwrap()[..2] {
        let name = tag["tag"].as_str().unwrap();
        assert_eq!(
            istio[name]["formatter"]["value"], tag["value"],
            "Istio's formatter is Envoy's value"
        );
    }
    let (mut setup, _app) = setup(&site, policy(0), |http| {
        http["tracing"] = json!({
            "random_sampling": {"value": 100},
            "custom_tags": tags["custom_tags"],
            "provider": {
                "name": "envoy.tracers.zipkin",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                    "collector_cluster": "collector",
                    "collector_endpoint": "/api/v2/spans",
                    "collector_endpoint_version": "HTTP_JSON",
                },
            },
        });
    });
    setup.clusters.push(cluster("collector", collector));
    let envoy = site.start("catalog", &setup).await.unwrap();
    ask(&site, "frontend", &[FRONTEND]).await;
    let told = async || {
        let seen = seen.lock().unwrap().clone();
        let tag =
            |name: &str, mesh: &str| seen.contains(&format!(r#""crossmesh.{name}":"{mesh}""#));
        let all = tag("source_mesh", "east")
            && tag("destination_mesh", "west")
            && tag("source_mesh_header", "east");
        all.then_some(())
    };
    envoy.until("a span with both meshes", told).await.unwrap();
}

/// A collector of spans: takes whatever it is sent, as long as it is kept.
fn collector(site: &Site) -> (SocketAddr, Arc<Mutex<String>>, Background) {
    let listener = std::net::TcpListener::bind((site.ip(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&seen);
    let server = Background::run("collector", move || collect(listener, written)).unwrap();
    (address, seen, server)
}

async fn collect(
    listener: std::net::TcpListener,
    written: Arc<Mutex<String>>,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            written.lock().unwrap().push_str(&text);
            if text.ends_with(']') {
                let accepted = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(accepted).await?;
            }
        }
    }
}
