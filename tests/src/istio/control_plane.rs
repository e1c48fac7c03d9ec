//! istiod: the mesh's control plane, its CA, and the webhook that judges what is applied.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::network::ISTIOD;
use crate::admin;
use crate::kubernetes::alone::Alone;
use crate::kubernetes::{base64, definition};
use crate::pki::{Pki, Root};
use crate::process::Process;
use crate::tools::Tool;

/// What the cluster is called.
pub const CLUSTER: &str = "cluster-1";
/// The root namespace.
pub const NAMESPACE: &str = "istio-system";
/// The name in istiod's certificate.
pub const NAME: &str = "istiod.istio-system.svc";

/// A running istiod. Dropping it ends it.
#[derive(Debug)]
pub struct Istiod {
    process: Process,
}

impl Istiod {
    /// Starts it over this cluster, as the CA that the west's root is, and waits until it judges what is applied. `mesh` is the
    /// mesh's configuration.
    pub async fn start(cluster: &Alone, pki: &Pki, mesh: &Value) -> Result<Self> {
        let objects = &cluster.objects;
        for kind in definition::istio()? {
            objects.apply(&kind).await?;
        }
        objects.apply(&mesh_config(mesh)).await?;
        let folder = cluster.folder().join("istiod");
        pki.write_authority(Root::West, &folder.join("etc/cacerts"))?;
        let process = launch(cluster, &folder)?;
        let mut istiod = Self { process };
        istiod
            .process
            .until("it was ready", async || {
                admin::get(local(8080), "/ready").await.ok()
            })
            .await?;
        objects.apply(&service()).await?;
        let webhook = webhook(&pki.bundle()?);
        objects.apply(&webhook).await?;
        istiod.until_it_judges(cluster).await?;
        Ok(istiod)
    }

    /// What one of its debug endpoints answers.
    pub async fn debug(&self, path: &str) -> Result<Value> {
        let text = admin::get(local(8080), &format!("/debug/{path}")).await?;
        serde_json::from_str(&text).with_context(|| format!("/debug/{path} answers {text}"))
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// An API server takes on a webhook when it hears of it: until then everything would be accepted.
    async fn until_it_judges(&mut self, cluster: &Alone) -> Result<()> {
        // To the API server this is right; istiod misses routes.
        let wrong = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "wrong", "namespace": NAMESPACE},
            "spec": {"hosts": ["wrong"]},
        });
        let judged = async || {
            let error = match cluster.objects.apply_when_served(&wrong).await {
                // To apply the same again would change nothing, and nobody would judge it.
                Ok(_) => {
                    let _ = cluster.objects.delete(&wrong).await;
                    return None;
                }
                Err(error) => format!("{error:#}"),
            };
            error.contains("denied the request").then_some(())
        };
        self.process
            .until("it judged what is applied", judged)
            .await
    }
}

impl Drop for Istiod {
    fn drop(&mut self) {
        // Its farewell to all proxies takes seconds that nobody needs.
        self.process.kill();
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn launch(cluster: &Alone, folder: &Path) -> Result<Process> {
    let kubeconfig = cluster.api.kubeconfig();
    let kubeconfig = cluster.api.write_kubeconfig("istiod.yaml", &kubeconfig)?;
    // It looks for its files below where it runs.
    let mut under = vec!["env".to_owned(), format!("--chdir={}", folder.display())];
    let variables = [
        ("POD_NAME", "istiod"),
        ("POD_NAMESPACE", NAMESPACE),
        ("CLUSTER_ID", CLUSTER),
        ("REVISION", "default"),
        // The toolbox's Envoy has no such filters.
        ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
        // What changes is pushed at once, and not after a tenth of a second of quiet.
        ("PILOT_DEBOUNCE_AFTER", "10ms"),
    ];
    under.extend(
        variables
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    fs::create_dir_all(folder)?;
    let kubeconfig = kubeconfig.display().to_string();
    let args = ["discovery", "--kubeconfig", &kubeconfig];
    let log = folder.join("log");
    Process::start_under(&under, "istiod", &Tool::Istiod.path()?, &args, &log)
}

fn mesh_config(mesh: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": NAMESPACE},
        "data": {"mesh": mesh.to_string(), "meshNetworks": "networks: {}"},
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "istiod", "namespace": NAMESPACE},
        "spec": {
            "clusterIP": ISTIOD,
            "ports": [
                {"name": "https-dns", "port": 15012},
                {"name": "https-webhook", "port": 15017},
            ],
        },
    })
}

/// As Istio's chart has it, but at the port that istiod listens on: there is no kube-proxy that would turn one into the other.
fn webhook(bundle: &str) -> Value {
    let everything = json!({
        "operations": ["CREATE", "UPDATE"],
        "apiGroups": [
            "security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io",
        ],
        "apiVersions": ["*"],
        "resources": ["*"],
    });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istio-validator"},
        "webhooks": [{
            "name": "rev.validation.istio.io",
            "clientConfig": {
                "service": {
                    "name": "istiod", "namespace": NAMESPACE, "path": "/validate", "port": 15017,
                },
                "caBundle": base64(bundle.as_bytes()),
            },
            "rules": [everything],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}
