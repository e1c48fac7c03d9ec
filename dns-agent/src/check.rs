//! Whether a configuration and every file that it names are good, without taking any port.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    config::{Config, Entry, Servers, Source},
    sources::file::{self, Expected},
    upstream::read_resolv_conf,
};

/// One line for each file, the faults below it, then what is good and may not be meant; and whether all are good.
pub fn check(config: &Config) -> (String, bool) {
    let mut report = String::new();
    let mut good = true;
    let mut warnings = Vec::new();
    let mut tell = |subject: String, result: Result<String, String>| {
        // Writing into a String cannot fail.
        let _ = match result {
            Ok(text) => writeln!(report, "good   {subject}: {text}"),
            Err(text) => {
                good = false;
                writeln!(report, "wrong  {subject}\n{text}")
            }
        };
    };
    tell("configuration".into(), Ok(summary(config)));
    if let Some(what) = config.unguarded() {
        warnings.push(format!("warn   cluster.ranges: {what}\n"));
    }
    for entry in &config.catalogs {
        let result = match &entry.source {
            Source::File(file) => check_file(config, entry, file),
            // What API servers say is not the configuration's matter.
            Source::InCluster => Ok("from the API server of the pod's cluster".to_owned()),
            Source::Kubeconfig { file, .. } => fs::read_to_string(file)
                .map(|_| format!("from the API server in {}", file.display()))
                .map_err(|error| format!("{}: cannot be read: {error}", file.display())),
            Source::Discovered => continue,
        };
        tell(format!("catalog {}", entry.cluster), result);
    }
    if let Servers::ResolvConf(file) = &config.upstreams.general {
        let result = fs::read_to_string(file)
            .map_err(|error| format!("{}: cannot be read: {error}", file.display()))
            .and_then(|text| {
                read_resolv_conf(file, &text, &config.listen).map_err(|faults| faults.to_string())
            })
            .map(|servers| format!("{} servers in {}", servers.len(), file.display()));
        tell("upstream servers".into(), result);
    }
    report.extend(warnings);
    (report, good)
}

fn check_file(config: &Config, entry: &Entry, path: &Path) -> Result<String, String> {
    let expected = Expected {
        cluster: &entry.cluster,
        mesh: &entry.mesh,
        network: config.network_of(entry),
    };
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let catalog = file::parse(path, &text, expected).map_err(|faults| faults.to_string())?;
    Ok(format!(
        "{} services, {} gateways in {}",
        catalog.service_count(),
        catalog.gateways.len(),
        path.display()
    ))
}

fn summary(config: &Config) -> String {
    format!(
        "{} addresses, {} clusters, domain {}",
        config.listen.len(),
        config.catalogs.len(),
        config.settings.cluster_domain
    )
}
