//! `crossmesh dns doctor`.

mod ask;
mod clients;
mod peers;
mod resolv_conf;
mod servers;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime};

use crossmesh_proto::admin::v1 as wire;
use serde::Serialize;

use super::columns::printable;
use super::fetch::try_get;
use crate::End;
use crate::args::{Doctor, Format};
use crate::output::Output;
use ask::{Ask, Network};
use status::Status;

/// The longest that one server is waited for: whoever is slower is of no use to a client either.
const PATIENCE: Duration = Duration::from_secs(2);

/// Checks a node's set-up and prints what was found.
///
/// # Errors
/// Only when nothing can be written.
pub(crate) fn run(args: &Doctor, output: &Output) -> anyhow::Result<End> {
    let asked_at = SystemTime::now();
    let status = try_get::<wire::Status>(&args.agent, "/v1/status")
        .and_then(|status| Status::try_from(status).map_err(super::fetch::Unanswered::NoAgent))
        .map_err(|why| why.to_string());
    let file = args.resolv_conf.as_deref().unwrap_or("/etc/resolv.conf");
    let clients = Clients {
        file,
        given: args.resolv_conf.is_some(),
        text: fs::read_to_string(file).map_err(|error| error.to_string()),
    };
    let network = Network {
        patience: args.agent.timeout.min(PATIENCE),
    };
    let node = Node {
        agent: &args.agent.address,
        status,
        asked_at,
        clients,
    };
    let findings = findings(&node, &network);
    match args.agent.format() {
        Format::Text => output.result(&findings)?,
        Format::Json => output.json(&findings)?,
    }
    Ok(if findings.problems > 0 {
        End::Problem
    } else {
        End::Good
    })
}

/// What is known of a node without asking its servers.
struct Node<'n> {
    /// Where the agent was asked.
    agent: &'n str,
    status: Result<Status, String>,
    /// When.
    asked_at: SystemTime,
    clients: Clients<'n>,
}

/// The file by which clients find their servers.
struct Clients<'n> {
    file: &'n str,
    /// Whether it was given, and so is that of clients of the agent; the node's own may be for others.
    given: bool,
    text: Result<String, String>,
}

/// All that was found. As JSON, a public contract: fields are added, never renamed.
#[derive(Debug, Serialize)]
struct Findings {
    problems: usize,
    warnings: usize,
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    level: Level,
    about: String,
    found: String,
    /// What to do; none where nothing is to be done.
    mend: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Ok,
    Warning,
    Problem,
}

impl Check {
    fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            about: about.into(),
            found: found.into(),
            mend: None,
        }
    }

    fn warning(
        about: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            mend: Some(mend.into()),
            ..Self::ok(about, found)
        }
    }

    fn problem(
        about: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            ..Self::warning(about, found, mend)
        }
    }
}

/// Looks at everything. What the network says comes through `network` alone.
fn findings(node: &Node<'_>, network: &impl Ask) -> Findings {
    let mut checks = Vec::new();
    match &node.status {
        Ok(status) => {
            checks.push(status.check(node.agent));
            checks.extend(status.clock(node.asked_at));
            checks.extend(servers::own(status, network));
            checks.extend(clients::check(&node.clients, Some(status), network));
            checks.extend(servers::upstream(status, network));
            checks.extend(peers::check(status));
        }
        Err(why) => {
            checks.push(Check::problem(
                "agent",
                format!("at {}: {why}", node.agent),
                "is it running (its log says why not), and is `admin` of its configuration this address?",
            ));
            checks.extend(clients::check(&node.clients, None, network));
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    Findings {
        problems: count(Level::Problem),
        warnings: count(Level::Warning),
        checks,
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.checks.iter().map(|check| check.about.chars().count());
        let width = widths.max().unwrap_or_default();
        for check in &self.checks {
            let level = match check.level {
                Level::Ok => "ok",
                Level::Warning => "WARNING",
                Level::Problem => "PROBLEM",
            };
            let about = printable(&check.about);
            writeln!(
                f,
                "{level:<7}  {about:<width$}  {}",
                printable(&check.found)
            )?;
            if let Some(mend) = &check.mend {
                writeln!(f, "{:7}  {:width$}  -> {}", "", "", printable(mend))?;
            }
        }
        let several = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let checks = several(self.checks.len(), "check");
        let (problems, warnings) = (
            several(self.problems, "problem"),
            several(self.warnings, "warning"),
        );
        writeln!(f, "\n{checks}: {problems}, {warnings}")
    }
}
