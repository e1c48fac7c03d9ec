//! Two clusters of two meshes, as their operators set them up, with the agent on a node of the first.
//!
//! ```text
//!  cluster-1 (east)                                       cluster-2 (west)
//!  etcd ◀ kube-apiserver ◀─relay─ agent ─relay─▶ kube-apiserver ▶ etcd
//!              ▲                  │  └──probes──▶ gateway:15443
//!              └──── CoreDNS ◀────┘
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::api_server::{ApiServer, Setup};
use super::coredns::CoreDns;
use super::door::Door;
use super::kubeconfig::Kubeconfig;
use super::objects::{self, Objects};
use super::port;
use super::relay::Relay;
use crate::agent::Agent;
use crate::block::Block;
use crate::dns::Upstream;
use crate::names::GATEWAY_PORT;

/// A domain outside of all clusters.
const OUTSIDE_DOMAIN: &str = "example.com";
/// A name in it.
pub const OUTSIDE: &str = "www.example.com";
/// Its address, and that of every other name there.
pub const OUTSIDE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));
/// The west's name in configurations and secrets.
pub const WEST: &str = "cluster-2";

/// One cluster, as somebody with all rights sees it.
pub struct Cluster {
    /// Its objects.
    pub objects: Objects,
    /// Its control plane.
    pub api: ApiServer,
    /// The agent's way to it.
    pub relay: Relay,
}

/// Both clusters and what is around them. The fields are in the order in which they are to end.
pub struct Clusters {
    /// The east's own DNS.
    pub dns: CoreDns,
    /// The cluster of the agent.
    pub east: Cluster,
    /// Its peer.
    pub west: Cluster,
    /// The west's gateway, if it is ours and open.
    pub door: Option<Door>,
    moved: Option<Door>,
    gateway: IpAddr,
    agents: AtomicU32,
    _upstream: Upstream,
    folder: TempDir,
    block: Block,
}

/// What differs between one pair of clusters and another.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where the Services' addresses of the east and the west are from, as CIDR blocks.
    pub service_ranges: [String; 2],
    /// The west's gateway, where there is one already.
    pub gateway: Option<IpAddr>,
}

impl Clusters {
    /// Starts both clusters, each with the namespaces shop and istio-system, and the west with a gateway. They do not know
    /// of each other yet: see [`Clusters::introduce`].
    pub async fn start() -> Result<Self> {
        Self::start_in(Surroundings {
            service_ranges: ["10.96.0.0/16", "10.97.0.0/16"].map(str::to_owned),
            gateway: None,
        })
        .await
    }

    /// As [`Clusters::start`], elsewhere.
    pub async fn start_in(surroundings: Surroundings) -> Result<Self> {
        let [east_range, west_range] = surroundings.service_ranges;
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let in_folder = |name: &str| folder.path().join(name);
        let east = Setup {
            name: "cluster-1",
            address: block.at(2),
            service_range: east_range,
        };
        let west = Setup {
            name: WEST,
            address: block.at(3),
            service_range: west_range,
        };
        let (east_folder, west_folder) = (in_folder("east"), in_folder("west"));
        let (east, west) = tokio::try_join!(
            Cluster::start(&east_folder, &east, "network-1"),
            Cluster::start(&west_folder, &west, "network-2"),
        )?;
        let (gateway, door) = match surroundings.gateway {
            Some(gateway) => (gateway, None),
            None => {
                let gateway = block.at(20);
                let door = Door::open(SocketAddr::new(gateway, GATEWAY_PORT))?;
                (gateway, Some(door))
            }
        };
        let service = objects::east_west_gateway("network-2");
        west.objects.apply(&service).await?;
        let status = objects::gateway_status(&[gateway]);
        west.objects.apply_status(&status).await?;
        let IpAddr::V4(outside) = OUTSIDE_ADDRESS else {
            anyhow::bail!("the upstream knows IPv4 only");
        };
        let upstream = Upstream::start(block.at(4), OUTSIDE_DOMAIN, outside)?;
        let dns = CoreDns::start(
            &in_folder("coredns"),
            block.at(5),
            &east.api.kubeconfig(),
            upstream.address(),
        )
        .await?;
        Ok(Self {
            dns,
            east,
            west,
            door,
            moved: None,
            gateway,
            agents: AtomicU32::new(1),
            _upstream: upstream,
            folder,
            block,
        })
    }

    /// The address of the west's gateway.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Another address of ours, for parts that a test adds; those up to 21 are taken.
    #[must_use]
    pub fn other(&self, host: u8) -> IpAddr {
        self.block.at(host)
    }

    /// A port for an agent, at address 1 of ours.
    pub fn free_port(&self) -> Result<u16> {
        Ok(port::free(self.block.at(1))?.port())
    }

    /// Closes the west's gateway.
    pub fn close_gateway(&mut self) {
        self.door = None;
    }

    /// Opens it again.
    pub fn open_gateway(&mut self) -> Result<()> {
        self.door = Some(Door::open(SocketAddr::new(self.gateway, GATEWAY_PORT))?);
        Ok(())
    }

    /// Gives it another address, as a cloud does that makes the load balancer anew. The old one stays open.
    pub async fn move_gateway(&mut self) -> Result<IpAddr> {
        let other = self.block.at(21);
        self.moved = Some(Door::open(SocketAddr::new(other, GATEWAY_PORT))?);
        let status = objects::gateway_status(&[other]);
        self.west.objects.apply_status(&status).await?;
        Ok(other)
    }

    /// How the agent reaches the west.
    #[must_use]
    pub fn way_west(&self) -> Kubeconfig {
        self.west.way()
    }

    /// Tells the east of the west by a remote secret with this kubeconfig.
    pub async fn introduce(&self, way: &Kubeconfig) -> Result<()> {
        let secret = objects::remote_secret(WEST, way);
        self.east.objects.apply(&secret).await?;
        Ok(())
    }

    /// Removes that secret.
    pub async fn part(&self) -> Result<()> {
        let secret = objects::remote_secret(WEST, &self.way_west());
        self.east.objects.delete(&secret).await
    }

    /// Starts an agent of the east that follows its own cluster and those of remote secrets, and waits until it is ready.
    pub async fn start_agent(&self) -> Result<Agent> {
        let mut agent = self.launch_agent(&json!({}), &[]).await?;
        agent.until_ready().await?;
        Ok(agent)
    }

    /// As [`Clusters::start_agent`], with these fields besides in its configuration, under a command that gives it other
    /// surroundings (see [`Agent::launch_under`]), and without waiting for more than that it listens.
    pub async fn launch_agent(&self, besides: &Value, under: &[String]) -> Result<Agent> {
        // Each has its own files: there may be several.
        let agent = format!("agent-{}", self.agents.fetch_add(1, Ordering::Relaxed));
        let way = self
            .east
            .api
            .write_kubeconfig(&format!("{agent}.kubeconfig"), &self.east.way())?;
        let mut config = json!({
            "schema": "crossmesh-dns/v1",
            "listen": [format!("{}:0", self.block.at(1))],
            "admin": format!("{}:0", self.block.at(1)),
            "cluster": {"id": "cluster-1", "mesh": "east", "network": "network-1"},
            "catalogs": [
                {"cluster": "cluster-1", "kubeconfig": way},
                {"remoteSecrets": {"namespace": "istio-system", "clusters": [
                    {"cluster": WEST, "mesh": "west", "import": {"namespaces": ["shop"]}},
                ]}},
            ],
            "gatewayProbe": {"interval": "100ms", "timeout": "90ms"},
            "upstreams": {"servers": [self.dns.address().to_string()]},
        });
        for (field, value) in besides.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        let folder = self.folder.path().join(agent);
        Agent::launch_under(under, &folder, &config.to_string()).await
    }

    /// Writes how an agent reaches the east, for one whose catalogs a test chooses.
    pub fn east_kubeconfig(&self) -> Result<PathBuf> {
        let way = self.east.way();
        self.east.api.write_kubeconfig("chosen.kubeconfig", &way)
    }

    /// A folder for a test's own files, removed with everything else.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An address for a test's own parts, from 127.0.N.100 on.
    #[must_use]
    pub fn address(&self, number: u8) -> IpAddr {
        self.block.at(100 + number)
    }
}

impl Cluster {
    async fn start(folder: &Path, setup: &Setup, network: &str) -> Result<Self> {
        let api = ApiServer::start(folder, setup).await?;
        let objects = api.objects().await?;
        objects
            .apply(&objects::namespace("shop", &json!({})))
            .await?;
        let labels: Value = json!({"topology.istio.io/network": network});
        objects
            .apply(&objects::namespace("istio-system", &labels))
            .await?;
        let relay = Relay::start(setup.address, api.address())?;
        Ok(Self {
            objects,
            api,
            relay,
        })
    }

    /// How the agent reaches it: by way of the relay.
    #[must_use]
    pub fn way(&self) -> Kubeconfig {
        self.api.kubeconfig().by_way_of(self.relay.address())
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clusters")
            .field("east", &self.east.api)
            .field("west", &self.west.api)
            .finish_non_exhaustive()
    }
}
