//! Both meshes, whole: what the story and the test of the whole path happen in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::agent::{self, Agent, Catalog};
use crate::app::App;
use crate::block::Block;
use crate::dns::Upstream;
use crate::envoy::{Envoy, Node};
use crate::names::{BATCH, CATALOG, FRONTEND, GATEWAY_PORT, REVIEWS, SERVICE_PORT, STRANGER};
use crate::pki::{Pki, Root};
use crate::plugin::Plugin;
use crate::roles::client::{Clients, Destination, Pod, Service};
use crate::roles::gateway::Gateway;
use crate::roles::server::{Server, Sidecar};

/// The name that only the upstream server knows, and its address.
pub const OUTSIDE: (&str, Ipv4Addr) = ("www.example.com", Ipv4Addr::new(192, 0, 2, 80));

/// Where everything is, in one block of loopback addresses.
#[derive(Debug)]
pub struct Addresses {
    block: Block,
}

/// Two meshes, running. Dropping it stops everything and removes every file.
#[derive(Debug)]
pub struct World {
    /// East's DNS agent.
    pub agent: Agent,
    /// The sidecars of east's clients.
    pub clients: Envoy,
    /// West's gateway.
    pub gateway: Envoy,
    /// The sidecar of west's catalog.
    pub catalog: Sidecar,
    /// The sidecar of west's reviews.
    pub west_reviews: Sidecar,
    /// The sidecar of east's reviews.
    pub east_reviews: Sidecar,
    /// Who can sign certificates for both meshes.
    pub pki: Pki,
    /// The catalogs as they are at the start: east's, west's.
    pub catalogs: (Catalog, Catalog),
    _parts: (Vec<App>, Upstream),
    folder: TempDir,
    /// The addresses. Last, so that they are given back when nothing listens on them any more.
    pub addresses: Addresses,
}

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident = $host:literal;)*) => {
        impl Addresses {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> IpAddr { self.block.at($host) })*
        }
    };
}

addresses! {
    /// The first of the sixteen addresses from which a real API server of the east has its Services'.
    east_services = 0;
    /// East's DNS agent.
    agent = 1;
    /// The name server that knows everything else.
    upstream = 2;
    /// The admin port of the clients' sidecars.
    clients = 3;
    /// The ClusterIP of reviews in the east.
    reviews_cluster_ip = 10;
    /// The same in the west.
    west_services = 16;
    /// West's gateway.
    gateway = 20;
    /// The ClusterIP of catalog in the west: of no use in the east.
    west_catalog_cluster_ip = 30;
    /// The ClusterIP of reviews in the west.
    west_reviews_cluster_ip = 31;
    /// The pod of catalog in the west.
    catalog_pod = 40;
    /// The pod of reviews in the west.
    west_reviews_pod = 41;
    /// The pod of reviews in the east.
    east_reviews_pod = 42;
    /// The client's pod, whose account the policy names.
    frontend = 51;
    /// Another account's pod.
    batch = 52;
    /// The pod with a certificate of an unknown trust domain.
    stranger = 53;
}

const EAST_REVIEWS_ID: &str = "spiffe://foo.com/ns/shop/sa/reviews";
const WEST_REVIEWS_ID: &str = "spiffe://bar.com/ns/shop/sa/reviews";
const CATALOG_ID: &str = "spiffe://bar.com/ns/shop/sa/catalog";

impl World {
    /// Starts everything, every server's sidecar with this policy (JSON).
    pub async fn start(policy: &str) -> Result<Self> {
        let agent = async |addresses: &Addresses, folder: &Path, upstream| {
            let (local, peer) = addresses.catalogs();
            let setup = agent::Setup {
                listen: addresses.agent(),
                upstream,
                local,
                peer,
            };
            Agent::start(folder, &setup).await
        };
        Self::start_with(policy, agent).await
    }

    /// As [`World::start`], with another agent: it is given where everything is, a folder, and the name server that knows
    /// everything else.
    pub async fn start_with(
        policy: &str,
        agent: impl AsyncFnOnce(&Addresses, &Path, SocketAddr) -> Result<Agent>,
    ) -> Result<Self> {
        let addresses = Addresses {
            block: Block::claim()?,
        };
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let root = folder.path();
        let pki = Pki::create(&root.join("pki"))?;
        let upstream = Upstream::start(addresses.upstream(), OUTSIDE.0, OUTSIDE.1)?;
        let catalogs = addresses.catalogs();

        let mut apps = Vec::new();
        let mut server =
            |workload: &str, mesh: &'static str, pod: IpAddr, id: &str| -> Result<Server> {
                let (version, pki_root) = if mesh == "west" {
                    ("v2", Root::West)
                } else {
                    ("v1", Root::East)
                };
                let app = App::start(pod, &format!("{workload} {version} of mesh {mesh}"))?;
                let server = Server {
                    node: node(mesh, "shop", workload),
                    listen: SocketAddr::new(pod, SERVICE_PORT),
                    identity: pki.sign(pki_root, &format!("{mesh}-{workload}"), &[id])?,
                    application: app.address(),
                    plugin: Plugin::Given(policy.to_owned()),
                };
                apps.push(app);
                Ok(server)
            };
        let catalog = server("catalog", "west", addresses.catalog_pod(), CATALOG_ID)?;
        let west_reviews = server(
            "reviews",
            "west",
            addresses.west_reviews_pod(),
            WEST_REVIEWS_ID,
        )?;
        let east_reviews = server(
            "reviews",
            "east",
            addresses.east_reviews_pod(),
            EAST_REVIEWS_ID,
        )?;
        let gateway = Gateway {
            node: gateway_node("west", "istio-system", "eastwestgateway"),
            listen: SocketAddr::new(addresses.gateway(), GATEWAY_PORT),
            services: vec![(CATALOG, catalog.listen), (REVIEWS, west_reviews.listen)],
        };
        let clients = addresses.clients_of(&pki, gateway.listen, east_reviews.listen)?;

        let (folder_of, agent_folder) = (|name: &str| root.join(name), root.join("east-dns-agent"));
        let folders = [
            "west-catalog",
            "west-reviews",
            "east-reviews",
            "west-gateway",
            "east-clients",
        ]
        .map(folder_of);
        let (catalog, west_reviews, east_reviews, gateway, clients, agent) = tokio::try_join!(
            catalog.start(&folders[0]),
            west_reviews.start(&folders[1]),
            east_reviews.start(&folders[2]),
            gateway.start(&folders[3]),
            clients.start(&folders[4]),
            agent(&addresses, &agent_folder, upstream.address()),
        )?;
        Ok(Self {
            agent,
            clients,
            gateway,
            catalog,
            west_reviews,
            east_reviews,
            pki,
            catalogs,
            _parts: (apps, upstream),
            folder,
            addresses,
        })
    }

    /// Where every part has its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Addresses {
    fn catalogs(&self) -> (Catalog, Catalog) {
        let east = Catalog {
            cluster: "cluster-1",
            mesh: "east",
            services: vec![(REVIEWS, self.reviews_cluster_ip())],
            gateways: vec![],
        };
        let west = Catalog {
            cluster: "cluster-2",
            mesh: "west",
            services: vec![
                (CATALOG, self.west_catalog_cluster_ip()),
                (REVIEWS, self.west_reviews_cluster_ip()),
            ],
            gateways: vec![self.gateway()],
        };
        (east, west)
    }

    /// Three pods, and the two addresses that the agent answers: reviews' ClusterIP, and west's gateway.
    fn clients_of(
        &self,
        pki: &Pki,
        gateway: SocketAddr,
        east_reviews: SocketAddr,
    ) -> Result<Clients> {
        let pod = |address, name, spiffe_id| -> Result<Pod> {
            Ok(Pod {
                address,
                identity: pki.sign(Root::East, name, &[spiffe_id])?,
            })
        };
        let service = |name, endpoint, spiffe_id| Service {
            name,
            endpoint,
            spiffe_id,
        };
        Ok(Clients {
            node: node("east", "web", "clients"),
            admin: self.clients(),
            pods: vec![
                pod(self.frontend(), "east-frontend", FRONTEND)?,
                pod(self.batch(), "east-batch", BATCH)?,
                // The east's root signs it: a root of the bundle can sign any trust domain.
                pod(self.stranger(), "stranger", STRANGER)?,
            ],
            destinations: vec![
                Destination {
                    listen: SocketAddr::new(self.reviews_cluster_ip(), SERVICE_PORT),
                    services: vec![service(REVIEWS, east_reviews, EAST_REVIEWS_ID)],
                },
                Destination {
                    listen: SocketAddr::new(self.gateway(), SERVICE_PORT),
                    services: vec![
                        service(CATALOG, gateway, CATALOG_ID),
                        service(REVIEWS, gateway, WEST_REVIEWS_ID),
                    ],
                },
            ],
        })
    }
}

/// Who a proxy is, in the clusters of the story.
#[must_use]
pub fn node(mesh: &str, namespace: &str, workload: &str) -> Node {
    Node {
        mesh: mesh.to_owned(),
        cluster: if mesh == "west" {
            "cluster-2"
        } else {
            "cluster-1"
        }
        .to_owned(),
        namespace: namespace.to_owned(),
        workload: workload.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), workload.to_owned())]),
        is_gateway: false,
    }
}

/// Likewise, of a gateway.
#[must_use]
pub fn gateway_node(mesh: &str, namespace: &str, workload: &str) -> Node {
    Node {
        is_gateway: true,
        ..node(mesh, namespace, workload)
    }
}
