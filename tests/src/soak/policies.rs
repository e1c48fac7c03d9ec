//! The policies that follow each other: no two alike, and some wrong.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::envoy::Envoy;
use crate::names::{BATCH, FRONTEND};
use crate::roles::tcp::TcpStand;
use crate::stand::Stand;

/// What a peer may expect, whichever of the policies is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Refused,
    /// Now this, now that.
    Either,
}

pub(super) fn verdict(id: &str) -> Verdict {
    match id {
        FRONTEND => Verdict::Allowed,
        BATCH => Verdict::Either,
        _ => Verdict::Refused,
    }
}

/// Another for each number: Envoy would not take on what it has.
pub(super) fn http(number: u64) -> String {
    let readers = if number.is_multiple_of(2) {
        r#"[{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]"#
    } else {
        r#"[{"meshes": ["east"]}]"#
    };
    policy(
        number,
        &format!(
            r#"{{"name": "readers-{number}", "action": "ALLOW", "from": {readers}, "to": [{{"namespaces": ["shop"], "ports": [8080], "paths": ["/v1/*"]}}]}}"#
        ),
    )
}

pub(super) fn tcp(number: u64) -> String {
    let also = if number.is_multiple_of(2) {
        ""
    } else {
        r#", "web/batch""#
    };
    policy(
        number,
        &format!(
            r#"{{"name": "speakers-{number}", "action": "ALLOW", "from": [{{"meshes": ["east"], "serviceAccounts": ["web/frontend"{also}]}}]}}"#
        ),
    )
}

/// So many rules have metrics of their own in each of [`BY_RULE`].
pub(super) const NAMED_RULES: u16 = 4;
/// The metrics by rule that every policy has.
pub(super) const BY_RULE: [&str; 2] = [
    "crossmesh_audit_matches_total",
    "crossmesh_candidate_decisions_total",
];

/// In each policy the rules have other names: what would be kept of every name would grow without end.
fn policy(number: u64, rule: &str) -> String {
    format!(
        r#"{{"schema": "crossmesh/v1",
            "telemetry": {{"headers": true, "bytes": true, "duration": true, "cardinality": {{"rules": {NAMED_RULES}}}}},
            "meshes": [{{"id": "east", "trustDomains": ["foo.com"]}}, {{"id": "west", "trustDomains": ["bar.com"]}}],
            "rules": [{rule},
                {{"name": "changing-{number}", "action": "DENY", "from": [{{"ipBlocks": ["198.51.100.0/24"]}}], "to": [{{"paths": ["/changing"]}}]}},
                {{"name": "seen-{number}", "action": "AUDIT", "from": [{{"meshes": ["east"]}}]}}],
            "candidate": {{"rules": [{{"name": "tried-{number}", "action": "ALLOW", "from": [{{"meshes": ["east"]}}]}}]}}}}"#
    )
}

/// The rules that have metrics of their own.
pub(super) async fn told_apart(envoy: &Envoy, metric: &str) -> Result<BTreeSet<String>> {
    let stats = envoy.get(&format!("/stats?filter={metric}")).await?;
    let rules = stats
        .lines()
        .filter_map(|line| Some(line.split_once("rule=.=")?.1.split_once(";.;")?.0));
    let own = rules.filter(|rule| *rule != "other" && !rule.starts_with("default_"));
    Ok(own.map(str::to_owned).collect())
}

/// Which numbers are those of wrong policies.
pub(super) fn is_wrong(number: u64) -> bool {
    number % 20 == 13
}

/// Delivers one to both sidecars, and waits until both have taken it.
pub(super) async fn deliver(number: u64, on_http: &Stand, on_tcp: &TcpStand) -> Result<()> {
    let envoys = [&on_http.sidecar.envoy, &on_tcp.envoy];
    let before = counts(envoys, "config_reload").await?;
    on_http.deliver(&number.to_string(), &http(number))?;
    on_tcp.deliver(&number.to_string(), &tcp(number))?;
    until_more(envoys, "config_reload", before).await
}

/// Delivers a wrong one, and waits until both have refused it.
pub(super) async fn deliver_wrong(number: u64, on_http: &Stand, on_tcp: &TcpStand) -> Result<()> {
    let envoys = [&on_http.sidecar.envoy, &on_tcp.envoy];
    let before = counts(envoys, "config_fail").await?;
    on_http.deliver(
        &number.to_string(),
        &http(number).replace("readers", "No name"),
    )?;
    on_tcp.deliver(
        &number.to_string(),
        &tcp(number).replace("crossmesh/v1", "crossmesh/v0"),
    )?;
    until_more(envoys, "config_fail", before).await
}

async fn until_more(envoys: [&Envoy; 2], counter: &str, before: [u64; 2]) -> Result<()> {
    envoys[0]
        .until(counter, async || {
            let now = counts(envoys, counter).await.ok()?;
            (now[0] > before[0] && now[1] > before[1]).then_some(())
        })
        .await
}

async fn counts(envoys: [&Envoy; 2], counter: &str) -> Result<[u64; 2]> {
    let mut counts = [0; 2];
    for (count, envoy) in counts.iter_mut().zip(envoys) {
        let stats = envoy.get(&format!("/stats?filter={counter}")).await?;
        *count = stats
            .lines()
            .filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok())
            .sum();
    }
    Ok(counts)
}
