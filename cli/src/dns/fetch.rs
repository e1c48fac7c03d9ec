//! Asking an agent's admin port. The HTTP client is used here and nowhere else.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use crossmesh_proto::CONTENT_TYPE;
use prost::Message;

use crate::args::Agent;

/// Of an answer, in bytes: a table of some millions of names.
const LARGEST: u64 = 1 << 30;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody can be asked at this address.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut(Duration),
    /// Something answered, but not what an agent says.
    NoAgent(String),
    /// The agent says that the question is wrong.
    Wrong(String),
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
            Self::NoAgent(what) => {
                write!(
                    f,
                    "what answers is no dns-agent of this version: {what}; {ADDRESS}"
                )
            }
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

/// Fetches a message of the agent.
pub(super) fn get<M: Message + Default>(agent: &Agent, path: &str) -> anyhow::Result<M> {
    try_get(agent, path).map_err(|why| why.of(&agent.address))
}

/// As [`get`], for whoever wants to know why there is none.
pub(super) fn try_get<M: Message + Default>(agent: &Agent, path: &str) -> Result<M, Unanswered> {
    let timeout = agent.timeout;
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
        .get(format!("http://{}{path}", agent.address))
        .header("accept", CONTENT_TYPE)
        .call()
        .map_err(failed)?;
    let status = response.status();
    let kind = response.body().mime_type().unwrap_or("nothing").to_owned();
    let mut body = || {
        let body = response.body_mut().with_config().limit(LARGEST);
        body.read_to_vec().map_err(failed)
    };
    if status == 400 && kind == "text/plain" {
        let why = String::from_utf8_lossy(&body()?).trim_end().to_owned();
        return Err(Unanswered::Wrong(why));
    }
    if status != 200 {
        return Err(Unanswered::NoAgent(format!(
            "it says {status} to GET {path}"
        )));
    }
    if kind != CONTENT_TYPE {
        return Err(Unanswered::NoAgent(format!(
            "it sends {kind} instead of {CONTENT_TYPE}"
        )));
    }
    M::decode(body()?.as_slice()).map_err(|error| Unanswered::NoAgent(error.to_string()))
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
        error => Unanswered::NoAgent(error.to_string()),
    }
}
