//! One cluster as an agent sees it.

use std::fmt;

use crossmesh_proto::admin::v1 as wire;
use serde::Serialize;

use super::columns::age;

/// One cluster. As JSON, a public contract: fields are added, never renamed.
#[derive(Debug, Serialize)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) mesh: String,
    /// None: a network of its own.
    pub(super) network: Option<String>,
    pub(super) state: State,
    /// Since its catalog was last taken over; none when it never was.
    pub(super) age_milliseconds: Option<u64>,
    /// For how long the state has not been `synced`; none while it is.
    pub(super) not_synced_milliseconds: Option<u64>,
    pub(super) problem: Option<String>,
    pub(super) services: u32,
}

/// How current a catalog is; later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Synced,
    Stale,
    Pending,
    TimedOut,
    /// The agent has a word that this program has not.
    Unknown,
}

impl Cluster {
    /// The state, and for how long it has been other than `synced`.
    pub(super) fn since(&self) -> String {
        match self.not_synced_milliseconds {
            Some(time) => format!("{} for {}", self.state, age(time)),
            None => self.state.to_string(),
        }
    }
}

impl From<wire::Cluster> for Cluster {
    fn from(cluster: wire::Cluster) -> Self {
        let state = State::from(cluster.state());
        let wire::Cluster {
            id,
            mesh,
            network,
            state: _,
            age_milliseconds,
            problem,
            services,
            not_synced_milliseconds,
        } = cluster;
        let some = |text: String| (!text.is_empty()).then_some(text);
        Self {
            id,
            mesh,
            network: some(network),
            state,
            age_milliseconds,
            not_synced_milliseconds,
            problem: some(problem),
            services,
        }
    }
}

impl From<wire::SyncState> for State {
    fn from(state: wire::SyncState) -> Self {
        match state {
            wire::SyncState::Synced => Self::Synced,
            wire::SyncState::Stale => Self::Stale,
            wire::SyncState::Pending => Self::Pending,
            wire::SyncState::TimedOut => Self::TimedOut,
            wire::SyncState::Unspecified => Self::Unknown,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Stale => "stale",
            Self::Pending => "pending",
            Self::TimedOut => "timed-out",
            Self::Unknown => "unknown",
        })
    }
}
