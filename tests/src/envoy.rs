//! A real Envoy: started from a bootstrap that is made here, asked through its admin port, stopped when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::admin;
use crate::plugin::documented;
use crate::process::{PATIENCE, Process};
use crate::tools::Tool;

/// Who a proxy is, as Istio's node metadata says it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// `MESH_ID`.
    pub mesh: String,
    /// `CLUSTER_ID`.
    pub cluster: String,
    /// `NAMESPACE`.
    pub namespace: String,
    /// `WORKLOAD_NAME`.
    pub workload: String,
    /// `LABELS`.
    pub labels: BTreeMap<String, String>,
    /// Whether it is a gateway: Istio begins its ID with `router~`, and not with `sidecar~`.
    pub is_gateway: bool,
}

/// Worker threads of an Envoy in tests: two, so that what holds on one worker only is seen.
const WORKERS: usize = 2;

/// All that one Envoy does.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Who it is.
    pub node: Node,
    /// Envoy's listeners.
    pub listeners: Vec<Value>,
    /// Envoy's clusters.
    pub clusters: Vec<Value>,
}

/// A running Envoy that is ready.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts an Envoy and waits until it is ready. Its files (bootstrap, log) are in `folder`; its admin port is a free
    /// one of `ip`. If it does not start, the error holds its own log.
    pub async fn start(name: &str, folder: &Path, ip: IpAddr, setup: &Setup) -> Result<Self> {
        Self::start_with(name, folder, ip, setup, WORKERS).await
    }

    /// Likewise, with so many worker threads.
    pub async fn start_with(
        name: &str,
        folder: &Path,
        ip: IpAddr,
        setup: &Setup,
        workers: usize,
    ) -> Result<Self> {
        Self::launch(name, folder, &setup.bootstrap(ip)?, workers).await
    }

    /// Likewise, from a whole bootstrap; see [`Setup::bootstrap`].
    pub async fn start_from(name: &str, folder: &Path, from: &Value) -> Result<Self> {
        Self::launch(name, folder, from, WORKERS).await
    }

    async fn launch(name: &str, folder: &Path, from: &Value, workers: usize) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let bootstrap = folder.join("bootstrap.json");
        let text = serde_json::to_string_pretty(from)?;
        fs::write(&bootstrap, text).with_context(|| format!("writing {}", bootstrap.display()))?;
        let admin_file = folder.join("admin");
        let args = Arguments {
            bootstrap: &bootstrap,
            admin: &admin_file,
            workers,
        }
        .list();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut process =
            Process::start(name, &Tool::Envoy.path()?, &args, &folder.join("envoy.log"))?;
        let admin = process
            .until("it was ready", async || {
                let address: SocketAddr =
                    fs::read_to_string(&admin_file).ok()?.trim().parse().ok()?;
                admin::get(address, "/ready").await.ok().map(|_| address)
            })
            .await?;
        Ok(Self { process, admin })
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its admin port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What its admin port answers to a GET.
    pub async fn get(&self, path: &str) -> Result<String> {
        admin::get(self.admin, path).await
    }

    /// One of its counters or gauges; 0 if it has none of this name yet.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.get("/stats?usedonly").await?;
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map_or(Ok(0), |value| {
            value.parse().with_context(|| format!("{name} is {value}"))
        })
    }

    /// Its counters and gauges whose names hold these words, but for those that never moved.
    pub async fn counters(&self, words: &str) -> Result<BTreeMap<String, u64>> {
        let stats = self.get(&format!("/stats?usedonly&filter={words}")).await?;
        // What is no number is a histogram.
        let numbers = stats.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(numbers.filter(|(_, value)| *value > 0).collect())
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Asks `seen` again and again until it has a value; if it never gets one, the error holds Envoy's log.
    pub async fn until<T>(&self, what: &str, seen: impl AsyncFn() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = seen().await {
                return Ok(value);
            }
            if Instant::now() > deadline {
                bail!(
                    "waited {PATIENCE:?} in vain until {what}; Envoy's log:\n{}",
                    self.log_tail(40)
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}

impl Setup {
    /// Envoy's bootstrap. Which labels metrics have is what we tell operators to write.
    pub fn bootstrap(&self, admin: IpAddr) -> Result<Value> {
        let node = &self.node;
        let told = documented("envoy:stats-tags")?;
        let kind = if node.is_gateway { "router" } else { "sidecar" };
        let mut bootstrap = json!({
            "node": {
                "id": format!("{kind}~{admin}~{}.{}~{}.svc.cluster.local", node.workload, node.namespace, node.namespace),
                "cluster": format!("{}.{}", node.workload, node.namespace),
                "metadata": {
                    "MESH_ID": node.mesh,
                    "CLUSTER_ID": node.cluster,
                    "NAMESPACE": node.namespace,
                    "WORKLOAD_NAME": node.workload,
                    "LABELS": node.labels,
                },
            },
            "admin": {"address": socket_address(SocketAddr::new(admin, 0))},
            "stats_config": told["stats_config"],
            "static_resources": {"listeners": self.listeners, "clusters": self.clusters},
        });
        if self
            .listeners
            .iter()
            .any(|listener| listener.get("internal_listener").is_some())
        {
            bootstrap["bootstrap_extensions"] = json!([{
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"},
            }]);
        }
        Ok(bootstrap)
    }
}

/// Envoy's form of an address.
#[must_use]
pub fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

struct Arguments<'a> {
    bootstrap: &'a PathBuf,
    admin: &'a PathBuf,
    workers: usize,
}

impl Arguments<'_> {
    fn list(&self) -> Vec<String> {
        let own = [
            ("--config-path", self.bootstrap.display().to_string()),
            ("--admin-address-path", self.admin.display().to_string()),
            ("--log-level", "warning".to_owned()),
            ("--component-log-level", "wasm:info".to_owned()),
            // An access log line that a test waits for must not wait for a full buffer.
            ("--file-flush-interval-msec", "10".to_owned()),
            ("--concurrency", self.workers.to_string()),
            ("--drain-time-s", "0".to_owned()),
        ];
        let own = own
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        // Hot restart is what makes Envoys share memory, and leave it behind when they are killed.
        own.chain(["--disable-hot-restart".to_owned()]).collect()
    }
}
