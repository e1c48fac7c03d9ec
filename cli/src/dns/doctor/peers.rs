//! How the clusters and their gateways are.

use super::Check;
use super::status::{Of, Status};
use crate::dns::cluster::State;

pub(super) fn check(status: &Status) -> Vec<Check> {
    let mut checks: Vec<Check> = status.clusters.iter().map(cluster).collect();
    let found = status
        .discoveries
        .iter()
        .filter(|of| !of.problem.is_empty());
    checks.extend(found.map(|of| {
        Check::warning(
            &*of.name,
            format!("peers cannot be discovered: {}", of.problem),
            "those known are kept; see docs/dns.md, \"When an API server fails\"",
        )
    }));
    checks.extend(status.clusters.iter().filter_map(gateways));
    checks.extend(status.clusters.iter().filter_map(hbone));
    if status.overlaps > 0 {
        checks.push(Check::warning(
            "ranges",
            format!(
                "{} remote addresses are local ones here and not given",
                status.overlaps
            ),
            "give these services by their gateways (remote.rules), or correct cluster.ranges",
        ));
    } else if status.has_peers {
        checks.push(ranges(status));
    }
    checks
}

/// Whether it is known which addresses are local ones, so that no peer's that is one of them is given.
fn ranges(status: &Status) -> Check {
    let (given, told) = (&status.given_ranges, &status.told_ranges);
    let mend = "list the ranges of the cluster's services and pods in cluster.ranges";
    match (given.is_empty(), told.is_empty()) {
        (true, true) => Check::warning(
            "ranges",
            "which addresses are local ones is not known: a peer's that is one here would be given, and lead to somebody else",
            mend,
        ),
        (true, false) => Check::warning(
            "ranges",
            format!(
                "only those of services are known, as the API server tells them ({}); a peer's address that a pod has here \
                 would be given",
                told.join(", ")
            ),
            mend,
        ),
        (false, true) => Check::ok("ranges", given.join(", ")),
        (false, false) => Check::ok(
            "ranges",
            format!(
                "{}; of services, as the API server tells them, {}",
                given.join(", "),
                told.join(", ")
            ),
        ),
    }
}

fn cluster(of: &Of) -> Check {
    let cluster = &of.cluster;
    let about = format!("cluster {}", cluster.id);
    let services = match cluster.services {
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    };
    let problem = cluster.problem.as_deref();
    let found = match problem {
        Some(problem) => format!("{}, {services}: {problem}", cluster.since()),
        None => format!("{}, {services}", cluster.since()),
    };
    match cluster.state {
        State::Synced => Check::ok(about, found),
        State::Stale => Check::warning(
            about,
            found,
            "its last state is in use; look at its API server or file, the network between, and the account's token",
        ),
        State::Pending if !of.local => Check::warning(
            about,
            found,
            "names that it may have are not denied until peerSyncTimeout; look at its API server or file",
        ),
        State::Pending | State::TimedOut => Check::problem(
            about,
            found,
            "nothing is known of it; look at its API server or file, the network between, and the account's rights",
        ),
        State::Unknown => Check::warning(about, found, "take a crossmesh of the agent's version"),
    }
}

/// The gateways of a peer that nobody but an ambient mesh can use.
fn hbone(of: &Of) -> Option<Check> {
    if of.local || of.hbone_gateways.is_empty() {
        return None;
    }
    Some(Check::warning(
        format!("gateways {}", of.cluster.id),
        format!(
            "for HBONE only, and not given: {}",
            of.hbone_gateways.join(", ")
        ),
        "expose 15443 (TLS passthrough) at the peer's gateway too, if pods with sidecars are to reach it",
    ))
}

/// The gateways of a peer; `None` where none is needed or known.
fn gateways(of: &Of) -> Option<Check> {
    if of.local || of.gateways.is_empty() {
        return None;
    }
    let about = format!("gateways {}", of.cluster.id);
    let all = of.gateways.iter().flat_map(|gateway| &gateway.addresses);
    let (down, up): (Vec<_>, Vec<_>) = all.partition(|at| at.health == "unhealthy");
    let failed = of.gateways.iter().find_map(|gateway| {
        let problem = gateway.lookup_problem.as_ref()?;
        Some(format!("{} cannot be looked up: {problem}", gateway.host))
    });
    let listed = |all: &[&crate::dns::gateway::Address]| {
        let all: Vec<String> = all.iter().map(|at| at.address.to_string()).collect();
        all.join(", ")
    };
    let probed = up.iter().any(|at| at.reached.is_some());
    let mend = "look for a firewall between here and there, and at the gateway's pods";
    Some(match (up.is_empty(), down.is_empty(), failed) {
        (true, false, _) => Check::problem(
            about,
            format!(
                "none can be reached: {}; what only this peer has is answered without records",
                listed(&down)
            ),
            mend,
        ),
        (true, true, Some(failed)) => Check::problem(
            about,
            failed,
            "correct the name, or mend the upstream servers",
        ),
        (true, true, None) => Check::problem(about, "no address is known", "correct its gateways"),
        (false, _, Some(failed)) => Check::warning(
            about,
            format!("{failed}; its last addresses are in use"),
            "correct the name, or mend the upstream servers",
        ),
        (false, false, None) => Check::warning(
            about,
            format!("{} cannot be reached, others can", listed(&down)),
            mend,
        ),
        (false, true, None) if probed => {
            Check::ok(about, format!("{} can be reached", listed(&up)))
        }
        (false, true, None) => Check::ok(about, format!("{}, not probed", listed(&up))),
    })
}
