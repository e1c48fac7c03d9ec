//! Asking an agent's admin port. The HTTP client is used here and nowhere else.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use crossmesh_proto::CONTENT_TYPE;
use crossmesh_proto::admin::v1::Table;
use prost::Message as _;

/// Of a table, in bytes: some millions of names.
const LARGEST: u64 = 1 << 30;

/// Why there is no table.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody can be asked at this address.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut(Duration),
    /// Something answered, but not with a table.
    NoTable(String),
}

impl Unanswered {
    /// The whole sentence: which address, what happened, how to mend it.
    pub(super) fn of(self, agent: &str) -> anyhow::Error {
        anyhow::anyhow!("the agent at {agent}: {self}")
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADDRESS: &str = "give the admin address of a running dns-agent (`admin` in its configuration), or forward it with kubectl port-forward";
        match self {
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}; {ADDRESS}"),
            Self::TimedOut(after) => {
                write!(
                    f,
                    "no answer within {} s; {ADDRESS}, or wait longer with --timeout",
                    after.as_secs()
                )
            }
            Self::NoTable(what) => {
                write!(
                    f,
                    "what answers is no dns-agent of this version: {what}; {ADDRESS}"
                )
            }
        }
    }
}

/// Fetches the table of the agent at `HOST:PORT`.
pub(super) fn table(agent: &str, timeout: Duration) -> anyhow::Result<Table> {
    fetch(agent, timeout).map_err(|why| why.of(agent))
}

fn fetch(agent: &str, timeout: Duration) -> Result<Table, Unanswered> {
    let client = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        // A proxy from the environment is for the outside world, not for a node's admin port.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let failed = |error| unanswered(&error, timeout);
    let mut response = client
        .get(format!("http://{agent}/v1/table"))
        .header("accept", CONTENT_TYPE)
        .call()
        .map_err(failed)?;
    let status = response.status();
    if status != 200 {
        return Err(Unanswered::NoTable(format!(
            "it says {status} to GET /v1/table"
        )));
    }
    let kind = response.body().mime_type().unwrap_or("nothing").to_owned();
    if kind != CONTENT_TYPE {
        return Err(Unanswered::NoTable(format!(
            "it sends {kind} instead of {CONTENT_TYPE}"
        )));
    }
    let body = response
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec()
        .map_err(failed)?;
    Table::decode(body.as_slice()).map_err(|error| Unanswered::NoTable(error.to_string()))
}

fn unanswered(error: &ureq::Error, timeout: Duration) -> Unanswered {
    match error {
        ureq::Error::Timeout(_) => Unanswered::TimedOut(timeout),
        ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut => {
            Unanswered::TimedOut(timeout)
        }
        ureq::Error::Io(error) => Unanswered::Unreachable(error.to_string()),
        ureq::Error::HostNotFound => Unanswered::Unreachable("the host has no address".into()),
        ureq::Error::ConnectionFailed => Unanswered::Unreachable("no connection".into()),
        error => Unanswered::NoTable(error.to_string()),
    }
}
