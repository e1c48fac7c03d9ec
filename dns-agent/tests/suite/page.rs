//! The operator's page, `docs/dns.md`: its examples are good and its metrics are those that there are.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::SystemTime};

use crossmesh_dns_agent::{
    answer::{ELSEWHERE, Elsewhere, Reason},
    catalog::Cluster,
    config::Config,
    metrics::{Exchange, Looped, Metrics, REASONS, RESULTS, ShadowResult},
};

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dns.md");
    fs::read_to_string(file).unwrap()
}

/// What a part of a configuration is put behind.
const FRAME: &str = "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n\
                     cluster: {id: cluster-1, mesh: east}\ncatalogs: [{cluster: cluster-1, file: unread}]\n\
                     upstreams: {servers: [127.0.0.1]}\n";

/// Whoever meets a word in a log or a metric finds it on the page.
#[test]
fn the_page_tells_every_reason() {
    let page = page();
    let missing = |words: &[&str]| -> Vec<String> {
        let missing = words
            .iter()
            .filter(|word| !page.contains(&format!("`{word}`")));
        missing.map(ToString::to_string).collect()
    };
    assert_eq!(missing(&REASONS.map(Reason::as_str)), Vec::<String>::new());
    assert_eq!(
        missing(&ELSEWHERE.map(Elsewhere::as_str)),
        Vec::<String>::new()
    );
    assert_eq!(
        missing(&RESULTS.map(ShadowResult::as_str)),
        Vec::<String>::new()
    );
}

#[test]
fn the_pages_configurations_are_good() {
    let page = page();
    let blocks = page.split("```yaml\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let (commands, configurations): (Vec<&str>, Vec<&str>) = blocks
        .into_iter()
        .partition(|block| block.contains("command: "));
    assert!(!configurations.is_empty() && !commands.is_empty());
    for block in configurations {
        let whole = if block.contains("schema:") {
            block.to_owned()
        } else {
            format!("{FRAME}{block}")
        };
        Config::parse(Path::new("dns.yaml"), &whole).unwrap_or_else(|error| panic!("{error}"));
    }
    for block in commands {
        check_commands(block);
    }
}

/// Every command of the agent's in a Kubernetes object gets as far as it can where no agent runs.
fn check_commands(block: &str) {
    let commands = block.split("command: [crossmesh-dns-agent, ").skip(1);
    for command in commands {
        let arguments = command.split(']').next().unwrap().split(", ");
        let output = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"))
            .args(arguments.map(|argument| argument.replace("/run/", "/nowhere/")))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            stderr.contains("no agent answers at /nowhere/"),
            "{command}: {stderr}"
        );
    }
}

/// With a value of everything, because what has none is not shown.
fn metrics() -> Metrics {
    let metrics = Metrics::default();
    let server = ([127, 0, 0, 1], 53).into();
    metrics.servers.of(server).count(Exchange::Answered);
    metrics
        .servers
        .show_loops(&[(server, Looped::default())].into());
    metrics.count_refused_catalog("cluster-1");
    metrics.count_shadow(ShadowResult::Differs, Reason::Local, 1);
    metrics.show_gateways([(([127, 0, 0, 1], 15443).into(), true)].into_iter());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/dns.yaml");
    let config = Config::load(&file).unwrap();
    metrics.show_clusters(&[Cluster {
        read_at: Some(SystemTime::now()),
        ..config.catalogs[0].cluster()
    }]);
    metrics
}

#[test]
fn the_page_tells_every_metric_and_no_other() {
    let page = page();
    let told: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `crossmesh_dns_")?.split('`').next())
        .collect();
    let text = metrics().text();
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE crossmesh_dns_"));
    let found: BTreeSet<String> = types
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(told, found);
    let without_advice: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `crossmesh_dns_") && line.ends_with("| – |"))
        .collect();
    assert!(without_advice.is_empty(), "{without_advice:?}");
    let sources = [
        include_str!("../../src/metrics.rs"),
        include_str!("../../src/metrics/catalogs.rs"),
        include_str!("../../src/metrics/servers.rs"),
        include_str!("../../src/metrics/snapshots.rs"),
    ];
    let count = |call| {
        sources
            .iter()
            .map(|text| text.matches(call).count())
            .sum::<usize>()
    };
    let registered = count(".register(\n") + count(".register(\"");
    assert_eq!(
        found.len(),
        registered,
        "a metric has no value in `metrics()`, and so is not looked at here"
    );
}
