//! A pod's sidecar: what kubelet and the injector give it, pilot-agent, and the Envoy that this one starts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::control_plane::{CLUSTER, NAME};
use super::network::{ISTIOD, Network, POD};
use crate::access_log::AccessLog;
use crate::admin;
use crate::command::Command;
use crate::kubernetes::alone::Alone;
use crate::plugin::documented;
use crate::process::{PATIENCE, Process};
use crate::tools::Tool;

/// A pod as its Deployment describes it.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its namespace.
    pub namespace: &'static str,
    /// The Deployment's name, which is the workload's, the service account's and the label `app`.
    pub name: &'static str,
    /// A further label and its value.
    pub label: (&'static str, &'static str),
    /// What its application speaks, as the port's name says it to Istio: `tcp` for a [`crate::speaker`] that greets,
    /// and anything else for HTTP.
    pub protocol: &'static str,
    /// The port.
    pub port: u16,
}

/// A running sidecar. Dropping it ends agent and Envoy.
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    /// What its access log says.
    pub access_log: AccessLog,
    namespace: String,
    id: String,
}

impl Sidecar {
    /// Starts it in the pod's network, and waits until istiod has configured it.
    pub async fn start(
        network: &Network,
        cluster: &Alone,
        workload: &Workload,
        access_log: AccessLog,
    ) -> Result<Self> {
        workload.create(cluster).await?;
        network.capture().await?;
        let folder = cluster.folder().join("sidecar");
        mount(&folder, cluster, workload).await?;
        let mut under = surroundings(&folder, network.pod.name())?;
        under.extend(workload.environment()?);
        let domain = format!("{}.svc.cluster.local", workload.namespace);
        let args = ["proxy", "sidecar", "--domain", &domain];
        let levels = ["--proxyComponentLogLevel", "misc:error,wasm:info"];
        let args = [&args[..], &levels, &["--log_output_level=wasm:debug"]].concat();
        let agent = Tool::PilotAgent.path()?;
        let log = folder.join("log");
        let process = Process::start_under(&under, "pilot-agent", &agent, &args, &log)?;
        let mut sidecar = Self {
            process,
            access_log,
            namespace: network.pod.name().to_owned(),
            id: format!("{}.{}", workload.pod(), workload.namespace),
        };
        sidecar
            .process
            .until("it was ready", async || {
                let at = SocketAddr::new(POD, 15021);
                admin::get(at, "/healthz/ready").await.ok()
            })
            .await?;
        Ok(sidecar)
    }

    /// What istiod calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What pilot-agent and Envoy have logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What Envoy's admin port answers, by the command that operators are told.
    pub async fn get(&self, path: &str) -> Result<String> {
        let agent = Tool::PilotAgent.path()?.display().to_string();
        let inside = ["netns", "exec", &self.namespace, &agent];
        let asked = Command::ip()?
            .args(inside)
            .args(["request", "GET", path])
            .output()
            .await?;
        Ok(asked)
    }

    /// Its configuration, as Envoy has it.
    pub async fn config_dump(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("config_dump").await?)?)
    }

    /// Waits until an extension of this name has this configuration: istiod has sent it, pilot-agent has fetched the module, and Envoy
    /// has taken both.
    pub async fn until_it_runs(&self, name: &str, configuration: &Value) -> Result<()> {
        self.until(&format!("{name} had its configuration"), async || {
            let dump = self.config_dump().await.ok()?;
            let extension = extension(&dump, name)?;
            let text = extension["config"]["configuration"]["value"].as_str()?;
            let has: Value = serde_json::from_str(text).ok()?;
            (has == *configuration && listens_with(&dump, name)).then_some(())
        })
        .await
    }

    /// Waits until no connection meets an extension of this name.
    pub async fn until_it_is_gone(&self, name: &str) -> Result<()> {
        self.until(&format!("{name} was gone"), async || {
            let dump = self.config_dump().await.ok()?;
            (!listens_with(&dump, name)).then_some(())
        })
        .await
    }

    /// What Prometheus would read of it.
    pub async fn metrics(&self) -> Result<String> {
        admin::get(SocketAddr::new(POD, 15090), "/stats/prometheus").await
    }

    /// Asks `seen` again and again until it has a value; if it never gets one, the error holds the log.
    pub async fn until<T>(&self, what: &str, seen: impl AsyncFn() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = seen().await {
                return Ok(value);
            }
            if Instant::now() > deadline {
                let log = self.process.log_tail(60);
                bail!("waited {PATIENCE:?} in vain until {what}; the sidecar's log:\n{log}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The typed configuration of the extension of this name, in all that Envoy has.
#[must_use]
pub fn extension<'a>(dump: &'a Value, name: &str) -> Option<&'a Value> {
    let resource = resource(name);
    // A list for HTTP filters, and another one for network filters.
    let lists = dump["configs"].as_array()?.iter();
    let filters = lists.flat_map(|each| each["ecds_filters"].as_array().into_iter().flatten());
    let mut filters = filters.map(|filter| &filter["ecds_filter"]);
    let found = filters.find(|filter| filter["name"] == *resource)?;
    Some(&found["typed_config"])
}

/// Whether a listener that takes connections has an extension of this name: one that is warming or draining may have it too.
#[must_use]
pub fn listens_with(dump: &Value, name: &str) -> bool {
    let resource = format!("\"{}\"", resource(name));
    let lists = dump["configs"].as_array().into_iter().flatten();
    let mut listeners =
        lists.flat_map(|each| each["dynamic_listeners"].as_array().into_iter().flatten());
    listeners.any(|each| each["active_state"].to_string().contains(&resource))
}

/// What Istio calls the resource that delivers an extension of this name.
fn resource(name: &str) -> String {
    format!("extensions.istio.io/trafficextension/{name}")
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // Both have a process namespace of their own, which ends with its first process. Draining connections takes seconds.
        self.process.kill();
    }
}

impl Workload {
    /// Its pod's labels.
    #[must_use]
    pub fn labels(&self) -> Value {
        let mut labels = json!({
            "app": self.name,
            // By these the injector marks a pod that has a sidecar.
            "security.istio.io/tlsMode": "istio",
            "service.istio.io/canonical-name": self.name,
        });
        labels[self.label.0] = json!(self.label.1);
        labels
    }

    fn pod(&self) -> String {
        format!("{}-5c8d9-x7k2p", self.name)
    }

    /// Writes its pod and account, and what kubelet would write of the pod.
    async fn create(&self, cluster: &Alone) -> Result<()> {
        let name = self.pod();
        let metadata = json!({"name": name, "namespace": self.namespace});
        let objects = &cluster.objects;
        objects
            .apply(&json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": self.name, "namespace": self.namespace},
            }))
            .await?;
        let mut labelled = metadata.clone();
        labelled["labels"] = self.labels();
        objects
            .apply(&json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": labelled,
                "spec": {
                    "serviceAccountName": self.name,
                    "nodeName": "node-1",
                    "containers": [{"name": self.name, "image": "registry.example/app"}],
                },
            }))
            .await?;
        objects
            .apply_status(&json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "status": {
                    "phase": "Running",
                    "podIP": POD,
                    "podIPs": [{"ip": POD}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }))
            .await
    }

    /// The variables of the container `istio-proxy`, as the injector's template has them.
    fn environment(&self) -> Result<Vec<String>> {
        let mut config = documented("istio:mesh-config")?["meshConfig"]["defaultConfig"].clone();
        config["meshId"] = json!("west");
        config["discoveryAddress"] = json!(format!("{NAME}:15012"));
        config["binaryPath"] = json!(Tool::Envoy.path()?);
        config["proxyBootstrapTemplatePath"] = json!(Tool::IstioBootstrap.path()?);
        config["configPath"] = json!("./etc/istio/proxy");
        config["concurrency"] = json!(2);
        let variables = [
            ("PILOT_CERT_PROVIDER", "istiod".to_owned()),
            ("CA_ADDR", format!("{NAME}:15012")),
            ("POD_NAME", self.pod()),
            ("POD_NAMESPACE", self.namespace.to_owned()),
            ("INSTANCE_IP", POD.to_string()),
            ("SERVICE_ACCOUNT", self.name.to_owned()),
            ("PROXY_CONFIG", config.to_string()),
            ("TRUST_DOMAIN", "bar.com".to_owned()),
            ("ISTIO_META_CLUSTER_ID", CLUSTER.to_owned()),
            ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT".to_owned()),
            ("ISTIO_META_WORKLOAD_NAME", self.name.to_owned()),
            ("ISTIO_META_MESH_ID", "west".to_owned()),
        ];
        Ok(variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect())
    }
}

/// Writes what is mounted into the container, below the folder in which pilot-agent runs.
async fn mount(folder: &Path, cluster: &Alone, workload: &Workload) -> Result<()> {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    let Workload {
        namespace, name, ..
    } = workload;
    let token = cluster.api.token_for("istio-ca", namespace, name).await?;
    write("var/run/secrets/tokens/istio-token", &token)?;
    let root = root_certificate(cluster, namespace).await?;
    write("var/run/secrets/istio/root-cert.pem", &root)?;
    let labels = workload.labels();
    let labels = labels.as_object().into_iter().flatten();
    let labels: String = labels
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    write("etc/istio/pod/labels", &labels)?;
    write(
        "hosts",
        &format!(
            "127.0.0.1 localhost\n{ISTIOD} {NAME}\n{POD} {}\n",
            workload.pod()
        ),
    )
}

/// What istiod writes into every namespace.
async fn root_certificate(cluster: &Alone, namespace: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(found) = cluster.objects.get(&path).await {
            let root = found["data"]["root-cert.pem"].as_str();
            return Ok(root.context("a root certificate")?.to_owned());
        }
        ensure!(Instant::now() < deadline, "istiod does not write {path}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What comes before pilot-agent: the pod's network, names and folders, and a process namespace with which Envoy ends too.
fn surroundings(folder: &Path, namespace: &str) -> Result<Vec<String>> {
    // The agent keeps modules below /var/lib/istio, wherever it runs.
    let script = "mount -t tmpfs none /var/lib && mkdir -p /var/lib/istio/data && mount --bind hosts /etc/hosts && exec \"$@\"";
    let ip: PathBuf = Tool::Ip.path()?;
    let parts = [
        "env".to_owned(),
        format!("--chdir={}", folder.display()),
        ip.display().to_string(),
        "netns".to_owned(),
        "exec".to_owned(),
        namespace.to_owned(),
    ];
    let unshare = "unshare --mount --propagation private --pid --fork --kill-child=KILL sh -c";
    let parts = parts
        .into_iter()
        .chain(unshare.split(' ').map(str::to_owned));
    let script = [script, "sidecar", "env"].map(str::to_owned);
    Ok(parts.chain(script).collect())
}
