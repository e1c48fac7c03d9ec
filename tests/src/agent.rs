//! The real dns-agent, and the files that it reads.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use crate::dns::{Answer, Client};
use crate::kubernetes::account::Account;
use crate::names::SERVICE_PORT;
use crate::process::{PATIENCE, Process};
use crate::tools::Tool;

/// A cluster's catalog. Its `Display` is the file.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The cluster.
    pub cluster: &'static str,
    /// Its mesh.
    pub mesh: &'static str,
    /// Full service names, `NAME.NAMESPACE.svc…`, and their ClusterIPs.
    pub services: Vec<(&'static str, IpAddr)>,
    /// The addresses of its east-west gateways.
    pub gateways: Vec<IpAddr>,
}

/// A catalog's file, which can be replaced.
#[derive(Clone, Debug)]
pub struct CatalogFile {
    path: PathBuf,
}

/// What the agent of cluster-1 in mesh east is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it listens, at free ports.
    pub listen: IpAddr,
    /// Who is asked for every other name.
    pub upstream: SocketAddr,
    /// The local cluster's catalog.
    pub local: Catalog,
    /// The peer's catalog.
    pub peer: Catalog,
}

/// A running agent that is ready.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    dns: SocketAddr,
    admin: SocketAddr,
    local: CatalogFile,
}

impl fmt::Display for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "schema: crossmesh-catalog/v1\ncluster: {}\nmesh: {}",
            self.cluster, self.mesh
        )?;
        writeln!(
            f,
            "services:{}",
            if self.services.is_empty() { " []" } else { "" }
        )?;
        for (service, address) in &self.services {
            let mut labels = service.split('.');
            let (name, namespace) = (
                labels.next().unwrap_or_default(),
                labels.next().unwrap_or_default(),
            );
            writeln!(
                f,
                "  - name: {name}\n    namespace: {namespace}\n    addresses: [\"{address}\"]"
            )?;
            writeln!(f, "    ports: [{{name: http, port: {SERVICE_PORT}}}]")?;
        }
        if !self.gateways.is_empty() {
            f.write_str("gateways:\n")?;
        }
        self.gateways
            .iter()
            .try_for_each(|address| writeln!(f, "  - address: \"{address}\""))
    }
}

impl CatalogFile {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces it in one step, as a mounted ConfigMap or an editor does.
    pub fn replace(&self, catalog: &Catalog) -> Result<()> {
        self.replace_by_text(&catalog.to_string())
    }

    /// Replaces it by any text.
    pub fn replace_by_text(&self, text: &str) -> Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &self.path).with_context(|| format!("replacing {}", self.path.display()))
    }
}

impl Setup {
    fn config(&self) -> String {
        let Self {
            listen,
            upstream,
            local,
            peer,
        } = self;
        format!(
            "schema: crossmesh-dns/v1\n\
             listen: [\"{listen}:0\"]\n\
             admin: \"{listen}:0\"\n\
             cluster: {{id: {}, mesh: {}}}\n\
             catalogs:\n\
             \x20 - {{cluster: {}, file: east.yaml}}\n\
             \x20 - {{cluster: {}, mesh: {}, file: west.yaml, import: {{namespaces: [shop]}}}}\n\
             upstreams:\n\
             \x20 servers: [\"{upstream}\"]\n",
            local.cluster, local.mesh, local.cluster, peer.cluster, peer.mesh
        )
    }
}

impl Agent {
    /// Starts an agent, with its files in `folder`, and waits until it is ready.
    pub async fn start(folder: &Path, setup: &Setup) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let local = CatalogFile {
            path: folder.join("east.yaml"),
        };
        local.replace(&setup.local)?;
        CatalogFile {
            path: folder.join("west.yaml"),
        }
        .replace(&setup.peer)?;
        Self::start_configured(folder, &setup.config()).await
    }

    /// Starts an agent with this configuration, with its files in `folder`, and waits until it is ready.
    pub async fn start_configured(folder: &Path, config: &str) -> Result<Self> {
        let mut agent = Self::launch(folder, config).await?;
        agent.until_ready().await?;
        Ok(agent)
    }

    /// As [`Agent::start_configured`], but waits no longer than until it listens.
    pub async fn launch(folder: &Path, config: &str) -> Result<Self> {
        Self::launch_under(&[], folder, config).await
    }

    /// As [`Agent::launch`] with these arguments besides, in what a container has of its pod's account. It needs root, for a
    /// view of `/run` of its own.
    pub async fn launch_in_pod(
        folder: &Path,
        config: &str,
        account: &Account,
        besides: &[String],
    ) -> Result<Self> {
        let environment = account.environment();
        let environment = environment.map(|(name, value)| format!("{name}={value}"));
        let view = account.view(folder)?;
        let under = [&["env".to_owned()], &environment[..], &view[..]].concat();
        Self::launch_with(&under, folder, config, besides).await
    }

    /// As [`Agent::launch`], under a command that gives it other surroundings: a clock of its own, a small disk.
    pub async fn launch_under(under: &[String], folder: &Path, config: &str) -> Result<Self> {
        Self::launch_with(under, folder, config, &[]).await
    }

    async fn launch_with(
        under: &[String],
        folder: &Path,
        config: &str,
        besides: &[String],
    ) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let file = folder.join("dns-agent.yaml");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        let program = Tool::DnsAgent.path()?;
        let config = file.display().to_string();
        let mut args = vec!["--config", &config];
        args.extend(besides.iter().map(String::as_str));
        let log = folder.join("dns-agent.log");
        let mut process = Process::start_under(under, "the dns-agent", &program, &args, &log)?;
        let (dns, admin) = process
            .until("it listened", async || listening(&log))
            .await?;
        Ok(Self {
            process,
            dns,
            admin,
            local: CatalogFile {
                path: folder.join("east.yaml"),
            },
        })
    }

    /// Waits until it is ready.
    pub async fn until_ready(&mut self) -> Result<()> {
        let admin = self.admin;
        self.process
            .until("it was ready", async || {
                crate::admin::get(admin, "/readyz").await.ok()
            })
            .await?;
        Ok(())
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.dns
    }

    /// Its admin port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The local cluster's catalog file, if [`Agent::start`] wrote it.
    #[must_use]
    pub fn local_catalog(&self) -> &CatalogFile {
        &self.local
    }

    /// Asks until `name` answers exactly these addresses; every query on the way must be answered.
    pub async fn until_answers(&self, name: &str, addresses: &[IpAddr]) -> Result<()> {
        self.until(name, |answer| answer.addresses == addresses)
            .await
            .with_context(|| format!("{name} should be {addresses:?}"))
    }

    /// As [`Agent::until_answers`], in whatever order they come.
    pub async fn until_answers_all(&self, name: &str, addresses: &[IpAddr]) -> Result<()> {
        let mut wanted = addresses.to_vec();
        wanted.sort_unstable();
        self.until(name, |answer| {
            let mut found = answer.addresses.clone();
            found.sort_unstable();
            found == wanted
        })
        .await
    }

    async fn until(&self, name: &str, wanted: impl Fn(&Answer) -> bool) -> Result<()> {
        let mut client = Client::of(self.dns).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.ask(name).await?;
            if wanted(&answer) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "{name} does not get there, it is {answer:?}; the agent's log:\n{}",
                    self.log_tail(20)
                );
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until its log has a line of a warning or an error that contains `what`.
    pub async fn until_logs(&self, what: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let is_it = |line: &str| {
            (line.contains(" WARN ") || line.contains("ERROR ")) && line.contains(what)
        };
        while !self.process.log().lines().any(is_it) {
            if Instant::now() > deadline {
                bail!(
                    "the agent does not warn of {what}; its log:\n{}",
                    self.log_tail(20)
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The value of one of its metrics, named with its labels as `/metrics` shows it; none if it has none of this name.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let page = crate::admin::get(self.admin, "/metrics").await?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().with_context(|| format!("{name} is {value}")))
            .transpose()
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Sends SIGTERM; its exit code.
    pub async fn terminate(&mut self) -> Result<Option<i32>> {
        self.process.terminate().await
    }
}

/// The line `listening dns=ADDRESS admin=ADDRESS` that the agent prints when its ports are bound.
fn listening(log: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let log = fs::read_to_string(log).ok()?;
    let line = log
        .lines()
        .find_map(|line| line.strip_prefix("listening "))?;
    let address = |key: &str| {
        line.split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    Some((address("dns")?, address("admin")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_written_as_people_write_it() {
        let catalog = Catalog {
            cluster: "cluster-2",
            mesh: "west",
            services: vec![(
                "catalog.shop.svc.cluster.local",
                "127.0.9.1".parse().unwrap(),
            )],
            gateways: vec!["127.0.9.2".parse().unwrap()],
        };
        let wanted = "schema: crossmesh-catalog/v1\ncluster: cluster-2\nmesh: west\nservices:\n  - name: catalog\n    \
                      namespace: shop\n    addresses: [\"127.0.9.1\"]\n    ports: [{name: http, port: 8080}]\n\
                      gateways:\n  - address: \"127.0.9.2\"\n";
        assert_eq!(catalog.to_string(), wanted);
    }
}
