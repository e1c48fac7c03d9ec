//! What an agent says of itself, and what that alone tells.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossmesh_proto::admin::v1 as wire;

use super::Check;
use crate::dns::cluster::Cluster;
use crate::dns::columns::listed;
use crate::dns::gateway::Gateway;

/// How an agent is set up and how it is.
#[derive(Debug)]
pub(super) struct Status {
    version: String,
    ready: bool,
    pending: Vec<String>,
    stopping: bool,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) cluster_domain: String,
    local_cluster: String,
    pub(super) mode: String,
    pub(super) serial: u32,
    clock: SystemTime,
    pub(super) general_servers: Vec<SocketAddr>,
    /// Empty: the general servers.
    pub(super) cluster_servers: Vec<SocketAddr>,
    pub(super) resolv_conf: Option<String>,
    pub(super) clusters: Vec<Of>,
    pub(super) discoveries: Vec<wire::Discovery>,
    pub(super) overlaps: u64,
    /// The ranges of local addresses that the configuration gives.
    pub(super) given_ranges: Vec<String>,
    /// And those that the local cluster tells of its services.
    pub(super) told_ranges: Vec<String>,
    pub(super) has_peers: bool,
    pub(super) leads: Vec<LeadsTo>,
    pub(super) partial_loops: Vec<PartialLoop>,
}

/// An upstream server that sends what it is asked to an agent.
#[derive(Debug)]
pub(super) struct LeadsTo {
    pub(super) server: SocketAddr,
    pub(super) names: Vec<String>,
    pub(super) agent: String,
    /// Whether that leads back to the agent.
    pub(super) back: bool,
    /// Whether that agent is the one that says so.
    pub(super) itself: bool,
}

/// An upstream server that sends some of the agent's questions back, and others not.
#[derive(Debug)]
pub(super) struct PartialLoop {
    pub(super) server: SocketAddr,
    pub(super) names: Vec<String>,
}

/// One cluster.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) cluster: Cluster,
    pub(super) local: bool,
    pub(super) gateways: Vec<Gateway>,
    /// Those that are not given, because they serve ambient meshes alone.
    pub(super) hbone_gateways: Vec<String>,
}

/// Clocks that differ by more make certificates and tokens fail before their time.
const DRIFT: Duration = Duration::from_secs(5);

impl Status {
    /// Whether the agent wants traffic.
    pub(super) fn check(&self, agent: &str) -> Check {
        let Self {
            version,
            local_cluster,
            mode,
            ..
        } = self;
        let whole = format!("{version} of {local_cluster} at {agent}, mode: {mode}");
        if self.stopping {
            return Check::warning(
                "agent",
                format!("{whole}; it is stopping"),
                "another should take over; look again in a few seconds",
            );
        }
        if !self.ready {
            return Check::problem(
                "agent",
                format!(
                    "{whole}; not ready, it waits for: {}",
                    listed(&self.pending)
                ),
                "the checks of clusters below say what is wrong there; after peerSyncTimeout it waits no longer",
            );
        }
        Check::ok("agent", format!("{whole}, ready"))
    }

    /// Whether the agent's clock is this machine's.
    pub(super) fn clock(&self, asked_at: SystemTime) -> Option<Check> {
        let apart = self
            .clock
            .duration_since(asked_at)
            .unwrap_or_else(|error| error.duration());
        if apart <= DRIFT {
            return Some(Check::ok("clock", "the agent's is this machine's"));
        }
        Some(Check::warning(
            "clock",
            format!(
                "the agent's and this machine's are {} s apart",
                apart.as_secs()
            ),
            "have both set by NTP: certificates and tokens of API servers depend on it (run this on the agent's node)",
        ))
    }
}

impl TryFrom<wire::Status> for Status {
    type Error = String;

    fn try_from(status: wire::Status) -> Result<Self, String> {
        let wire::Status {
            version,
            ready,
            pending,
            stopping,
            listen,
            cluster_domain,
            local_cluster,
            mode,
            serial,
            unix_milliseconds,
            general_servers,
            cluster_servers,
            resolv_conf,
            clusters,
            discoveries,
            overlaps,
            leads,
            given_ranges,
            told_ranges,
            has_peers,
            partial_loops,
        } = status;
        Ok(Self {
            version,
            ready,
            pending,
            stopping,
            listen: addresses(listen)?,
            cluster_domain,
            local_cluster,
            mode,
            serial,
            clock: UNIX_EPOCH + Duration::from_millis(unix_milliseconds),
            general_servers: addresses(general_servers)?,
            cluster_servers: addresses(cluster_servers)?,
            resolv_conf: (!resolv_conf.is_empty()).then_some(resolv_conf),
            clusters: clusters
                .into_iter()
                .map(Of::try_from)
                .collect::<Result<_, _>>()?,
            discoveries,
            overlaps,
            given_ranges,
            told_ranges,
            has_peers,
            leads: leads
                .into_iter()
                .map(LeadsTo::try_from)
                .collect::<Result<_, _>>()?,
            partial_loops: partial_loops
                .into_iter()
                .map(PartialLoop::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<wire::LeadsTo> for LeadsTo {
    type Error = String;

    fn try_from(lead: wire::LeadsTo) -> Result<Self, String> {
        let wire::LeadsTo {
            server,
            names,
            agent,
            back,
            itself,
        } = lead;
        Ok(Self {
            server: address(server)?,
            names,
            agent,
            back,
            itself,
        })
    }
}

impl TryFrom<wire::PartialLoop> for PartialLoop {
    type Error = String;

    fn try_from(of: wire::PartialLoop) -> Result<Self, String> {
        let wire::PartialLoop { server, names } = of;
        Ok(Self {
            server: address(server)?,
            names,
        })
    }
}

impl TryFrom<wire::ClusterStatus> for Of {
    type Error = String;

    fn try_from(of: wire::ClusterStatus) -> Result<Self, String> {
        let wire::ClusterStatus {
            cluster,
            local,
            gateways,
            hbone_gateways,
        } = of;
        Ok(Self {
            cluster: cluster.ok_or("a status names no cluster")?.into(),
            local,
            hbone_gateways,
            gateways: gateways
                .into_iter()
                .map(Gateway::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn addresses(all: Vec<String>) -> Result<Vec<SocketAddr>, String> {
    all.into_iter().map(address).collect()
}

fn address(text: String) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} stands where an address with a port must"))
}
