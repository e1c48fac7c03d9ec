//! What a mesh configuration that is wrong still says: whoever wrote it wanted some names to stay, and a key that is written
//! twice elsewhere in it is no reason to forget them.

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options};

/// The hosts of every part of `serviceSettings` that can be made out, and a text of what cannot, to be put behind the problem.
/// Of a key that is written twice the last counts.
pub(super) fn cluster_local_hosts(text: &str) -> (Vec<(String, bool)>, String) {
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    let written: Result<Value, _> = serde_saphyr::from_str_with_options(text, options);
    let Ok(written) = written else {
        return (
            Vec::new(),
            "; nothing of it can be made out: only what always stays in its cluster does"
                .to_owned(),
        );
    };
    let settings = match written.get("serviceSettings") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(settings)) => settings,
        Some(_) => {
            return (
                Vec::new(),
                "; serviceSettings is no list: only what always stays in its cluster does"
                    .to_owned(),
            );
        }
    };
    let mut hosts = Vec::new();
    let mut lacking = String::new();
    for (at, written) in settings.iter().enumerate() {
        match entry(written) {
            Some(found) => hosts.extend(found),
            None => lacking.push_str(&format!("; serviceSettings[{at}] is left out")),
        }
    }
    (hosts, lacking)
}

fn entry(written: &Value) -> Option<Vec<(String, bool)>> {
    let settings = written.as_object()?.get("settings");
    let local = match settings.filter(|settings| !settings.is_null()) {
        None => None,
        Some(settings) => settings.as_object()?.get("clusterLocal"),
    };
    let local = match local {
        None | Some(Value::Null) => false,
        // In quotes: what is meant is plain.
        Some(Value::String(text)) => text.parse().ok()?,
        Some(local) => local.as_bool()?,
    };
    let hosts =
        Option::<Vec<String>>::deserialize(written.get("hosts").unwrap_or(&Value::Null)).ok()?;
    let hosts = hosts.unwrap_or_default();
    Some(hosts.into_iter().map(|host| (host, local)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, hosts: &[(&str, bool)], lacking: &str) {
        let found = cluster_local_hosts(text);
        let hosts = hosts
            .iter()
            .map(|(host, local)| ((*host).to_owned(), *local));
        assert_eq!(found, (hosts.collect(), lacking.to_owned()), "{text}");
    }

    #[test]
    fn what_can_be_made_out_counts_and_the_rest_is_named() {
        let good = "- {settings: {clusterLocal: true}, hosts: [a.b]}";
        check(
            &format!("trustDomain: a\ntrustDomain: b\nserviceSettings:\n{good}\n"),
            &[("a.b", true)],
            "",
        );
        check(
            &format!(
                "serviceSettings: []\nserviceSettings:\n{good}\n- 7\n- {{hosts: [c.d], settings: {{clusterLocal: \"true\"}}}}\n\
                 - {{hosts: [e.f], settings: {{clusterLocal: 1}}}}\n- {{hosts: g.h, settings: {{}}}}\n"
            ),
            &[("a.b", true), ("c.d", true)],
            "; serviceSettings[1] is left out; serviceSettings[3] is left out; serviceSettings[4] is left out",
        );
        check(
            "serviceSettings: 7",
            &[],
            "; serviceSettings is no list: only what always stays in its cluster does",
        );
        check(
            "serviceSettings: [",
            &[],
            "; nothing of it can be made out: only what always stays in its cluster does",
        );
    }
}
