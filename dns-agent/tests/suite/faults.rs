//! What is said of wrong configurations and catalogs: `tests/cases/faults.yaml`.

use std::path::Path;

use crossmesh_dns_agent::{
    check,
    config::{Config, Source},
    sources::file::{self, Expected},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    configurations: Sample,
    catalogs: Sample,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// Nothing is wrong with it.
    good: String,
    wrong: Vec<Wrong>,
}

/// A text, whole or as a change of the good one, and the lines that are said of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrong {
    text: Option<String>,
    /// What to replace in the good text, and by what.
    change: Option<(String, String)>,
    says: Vec<String>,
}

fn check_all(sample: &Sample, read: impl Fn(&str) -> Result<(), String>) {
    assert_eq!(read(&sample.good), Ok(()));
    let mut failures = Vec::new();
    for wrong in &sample.wrong {
        let text = match (&wrong.text, &wrong.change) {
            (Some(text), None) => text.clone(),
            (None, Some((from, to))) => {
                assert!(sample.good.contains(from.as_str()), "no {from} to change");
                sample.good.replacen(from.as_str(), to, 1)
            }
            _ => panic!("a case has either text or change"),
        };
        let said = read(&text).err().unwrap_or_default();
        let expected = wrong.says.join("\n");
        if said != expected {
            failures.push(format!(
                "{text}\n-- expected\n{expected}\n-- said\n{said}\n"
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(sample.wrong.len() > 15, "few cases were read");
}

fn cases() -> Cases {
    serde_saphyr::from_str(include_str!("../cases/faults.yaml")).unwrap()
}

#[test]
fn a_wrong_configuration_is_told_by_line_field_value_and_mend() {
    check_all(&cases().configurations, |text| {
        Config::parse(Path::new("dns.yaml"), text)
            .map(|_| ())
            .map_err(|faults| faults.to_string())
    });
}

#[test]
fn a_wrong_catalog_is_told_by_line_field_value_and_mend() {
    let expected = Expected {
        cluster: "cluster-2",
        mesh: "west",
        network: Some("network-2"),
    };
    check_all(&cases().catalogs, |text| {
        file::parse(Path::new("west.yaml"), text, expected)
            .map(|_| ())
            .map_err(|faults| faults.to_string())
    });
}

#[test]
fn what_is_left_out_has_its_documented_value() {
    let config = Config::parse(
        Path::new("/etc/crossmesh/dns.yaml"),
        &cases().configurations.good,
    )
    .unwrap();
    assert_eq!(config.settings.ttl, 5);
    assert_eq!(config.settings.cluster_domain.to_string(), "cluster.local");
    assert_eq!(config.peer_sync_timeout.as_secs(), 30);
    assert_eq!(config.upstreams.timeout.as_millis(), 1_500);
    assert_eq!(config.upstreams.deadline.as_millis(), 4_500);
    assert_eq!(config.cache.entries, 10_000);
    let file = |path: &str| Source::File(path.into());
    assert_eq!(
        config.catalogs[0].source,
        file("/etc/crossmesh/cluster-1.yaml")
    );
    assert_eq!(config.catalogs[1].source, file("/run/west.yaml"));
    assert_eq!(config.gateway_probe, None);
    assert_eq!(config.settings.istio_namespace, "istio-system");
}

#[test]
fn the_samples_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let config = Config::load(&folder.join("dns.yaml")).unwrap();
    let (report, good) = check::check(&config);
    assert!(good, "{report}");
    let config = Config::load(&folder.join("kubernetes.yaml")).unwrap();
    assert_eq!(config.remote_secrets.unwrap().clusters.len(), 1);
    assert!(config.gateway_probe.is_some());
}
