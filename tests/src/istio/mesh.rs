//! A whole mesh with one pod, and whoever calls it.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::{Value, json};

use super::control_plane::{Istiod, NAMESPACE};
use super::network::{Network, POD, WORLD};
use super::sidecar::{Sidecar, Workload};
use super::web::Web;
use crate::access_log::AccessLog;
use crate::app::App;
use crate::caller::Caller;
use crate::kubernetes::alone::Alone;
use crate::kubernetes::objects::Service;
use crate::names::SERVICE_PORT;
use crate::pki::{Pki, Root};
use crate::plugin::resource;
use crate::roles::tcp::{GREETING, GREETING_PORT};
use crate::speaker::Speaker;
use crate::tools::Tool;

/// The mesh *west* with one workload. The fields are in the order in which they are to end.
#[derive(Debug)]
pub struct Mesh {
    /// The pod's sidecar.
    pub sidecar: Sidecar,
    /// The control plane.
    pub istiod: Istiod,
    /// The cluster.
    pub cluster: Alone,
    /// Who can sign certificates; istiod signs with the west's root.
    pub pki: Pki,
    /// Where the filter is fetched from.
    pub web: Web,
    /// The application's address.
    pub service: SocketAddr,
    _application: Application,
}

/// What runs behind the sidecar.
#[derive(Debug)]
enum Application {
    Http { _app: App },
    Tcp { _speaker: Speaker },
}

/// A workload that speaks HTTP.
pub const CATALOG: Workload = Workload {
    namespace: "shop",
    name: "catalog",
    label: ("tier", "gold"),
    protocol: "http",
    port: SERVICE_PORT,
};

/// The same workload, whose Service does not tell Istio that it speaks HTTP.
pub const UNDECLARED: Workload = Workload {
    protocol: "main",
    ..CATALOG
};

/// A workload that speaks TCP, and speaks first.
pub const ORDERS_DB: Workload = Workload {
    namespace: "data",
    name: "orders-db",
    label: ("tier", "gold"),
    protocol: "tcp",
    port: GREETING_PORT,
};

impl Mesh {
    /// Runs a test in a world of its own, with a mesh of this workload in it.
    pub async fn run(workload: &Workload, test: impl AsyncFnOnce(&Self) + Send) -> Result<()> {
        let network = Network::new().await?;
        network.world.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mesh = Self::start(&network, workload).await?;
                test(&mesh).await;
                Ok(())
            })
        })
    }

    async fn start(network: &Network, workload: &Workload) -> Result<Self> {
        let cluster = Alone::start(&[NAMESPACE, "shop", "data", "web", "istio-ingress"]).await?;
        let pki = Pki::create(&cluster.folder().join("pki"))?;
        let access_log = AccessLog::at(cluster.folder().join("access.log"));
        let istiod = Istiod::start(&cluster, &pki, &mesh_config(&access_log)).await?;
        let objects = &cluster.objects;
        objects.apply(&without_alpn()).await?;
        let service = Service {
            namespace: workload.namespace,
            name: workload.name,
            port_name: workload.protocol,
            port: workload.port,
        };
        objects.apply(&service.object()).await?;
        let slice = service.slice(&[&POD.to_string()]);
        objects.apply(&slice).await?;
        let service = SocketAddr::new(POD, workload.port);
        let application = network
            .pod
            .enter(|| Application::start(workload, service))?;
        let web = Web::start(WORLD, &Tool::Wasm.path()?)?;
        let sidecar = Sidecar::start(network, &cluster, workload, access_log).await?;
        Ok(Self {
            sidecar,
            istiod,
            cluster,
            pki,
            web,
            service,
            _application: application,
        })
    }

    /// Somebody with a certificate of the east's root, or without one.
    pub fn caller(&self, id: Option<&str>) -> Result<Caller> {
        let identity = match id {
            Some(id) => Some(
                self.pki
                    .sign(Root::East, &id.replace(['/', ':'], "_"), &[id])?,
            ),
            None => None,
        };
        Ok(Caller {
            to: self.service,
            identity,
        })
    }

    /// A resource of `wasm-plugins` as an operator applies it: with the module's own URL.
    pub fn shipped(&self, file: &str) -> Result<Value> {
        let mut shipped = resource(file)?;
        let wasm = match shipped["kind"].as_str() {
            Some("TrafficExtension") => &mut shipped["spec"]["wasm"],
            Some("WasmPlugin") => &mut shipped["spec"],
            _ => return Ok(shipped),
        };
        wasm["url"] = json!(self.web.url());
        Ok(shipped)
    }
}

impl Application {
    fn start(workload: &Workload, at: SocketAddr) -> Result<Self> {
        Ok(match workload.protocol {
            "tcp" => Self::Tcp {
                _speaker: Speaker::start_at(at, Some(GREETING))?,
            },
            _ => Self::Http {
                _app: App::start_at(at, workload.name)?,
            },
        })
    }
}

fn mesh_config(access_log: &AccessLog) -> Value {
    let format = &access_log.config()["typed_config"]["log_format"]["json_format"];
    json!({
        "trustDomain": "bar.com",
        // Whose certificates a sidecar lets in besides.
        "trustDomainAliases": ["foo.com"],
        "rootNamespace": NAMESPACE,
        // The toolbox's Envoy has no istio.stats.
        "defaultProviders": {"tracing": ["zipkin"]},
        "accessLogFile": access_log.path(),
        "accessLogEncoding": "JSON",
        "accessLogFormat": format.to_string(),
        "extensionProviders": [{
            "name": "zipkin",
            "zipkin": {"service": "istiod.istio-system.svc.cluster.local", "port": 15012},
        }],
    })
}

/// The toolbox's Envoy has no istio.alpn.
fn without_alpn() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "without-alpn", "namespace": NAMESPACE},
        "spec": {"configPatches": [{
            "applyTo": "HTTP_FILTER",
            "match": {"listener": {"filterChain": {"filter": {
                "name": "envoy.filters.network.http_connection_manager",
                "subFilter": {"name": "istio.alpn"},
            }}}},
            "patch": {"operation": "REMOVE"},
        }]},
    })
}
