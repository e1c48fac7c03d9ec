//! One cluster's control plane: a real etcd and a real kube-apiserver, which can be killed and started again.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions};
use serde_json::{Value, json};

use super::account::{self, Account};
use super::audit::{self, Right};
use super::authority::Authority;
use super::etcd;
use super::kubeconfig::Kubeconfig;
use super::objects::Objects;
use super::port;
use crate::process::Process;
use crate::tools::Tool;

/// The token of a user who may do everything.
const ADMIN_TOKEN: &str = "admin-of-this-test";

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name, as its kubeconfigs and logs have it.
    pub name: &'static str,
    /// The loopback address of both servers.
    pub address: IpAddr,
    /// Where its Services' addresses are from, as a CIDR block.
    pub service_range: String,
}

/// A running control plane. Dropping it kills both servers.
#[derive(Debug)]
pub struct ApiServer {
    setup: Setup,
    folder: PathBuf,
    authority: Authority,
    etcd_address: SocketAddr,
    address: SocketAddr,
    _etcd: Process,
    process: Option<Process>,
}

impl ApiServer {
    /// Starts both, with their files in `folder`, and waits until the API server is ready.
    pub async fn start(folder: &Path, setup: &Setup) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let authority = Authority::create(folder, setup.address)?;
        fs::write(
            folder.join("tokens.csv"),
            format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n"),
        )?;
        audit::write_policy(folder)?;
        let etcd_address = port::free(setup.address)?;
        let mut server = Self {
            _etcd: start_etcd(folder, etcd_address, port::free(setup.address)?)?,
            setup: setup.clone(),
            folder: folder.to_path_buf(),
            authority,
            etcd_address,
            address: port::free(setup.address)?,
            process: None,
        };
        server.resume().await?;
        Ok(server)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to reach it as a user who may do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> Kubeconfig {
        Kubeconfig {
            name: self.setup.name.to_owned(),
            server: self.address,
            bundle: self.authority.bundle.clone(),
            token: ADMIN_TOKEN.to_owned(),
        }
    }

    /// Writes a kubeconfig into this cluster's folder; its path.
    pub fn write_kubeconfig(&self, file: &str, kubeconfig: &Kubeconfig) -> Result<PathBuf> {
        let path = self.folder.join(file);
        fs::write(&path, kubeconfig.to_string())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Its objects.
    pub async fn objects(&self) -> Result<Objects> {
        Ok(Objects::of(client(&self.kubeconfig()).await?))
    }

    /// Puts objects into its store, below their keys there, as if another API server of the same cluster had been asked to.
    /// Nobody checks them.
    pub async fn store(&self, objects: &[(String, Value)]) -> Result<()> {
        etcd::put_all(self.etcd_address, objects).await
    }

    /// A token of a service account, as a pod of it gets one.
    pub async fn account(&self, namespace: &str, name: &str) -> Result<Account> {
        let admin = client(&self.kubeconfig()).await?;
        Account::request(&admin, self.kubeconfig(), namespace, name).await
    }

    /// A token of a service account for somebody else than the API server, as a volume of a pod has it.
    pub async fn token_for(&self, audience: &str, namespace: &str, name: &str) -> Result<String> {
        let admin = client(&self.kubeconfig()).await?;
        let spec = json!({"expirationSeconds": 3600, "audiences": [audience]});
        account::token(&admin, namespace, name, &spec).await
    }

    /// What an account has asked for so far, and was given.
    pub fn used_by(&self, account: &Account) -> Result<BTreeSet<Right>> {
        audit::used(&self.folder, &account.user())
    }

    /// Kills the API server as a machine's failure does. What it has stored stays.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts the killed API server again, at the same address, and waits until it is ready.
    pub async fn resume(&mut self) -> Result<()> {
        let args = self.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let log = self.folder.join("kube-apiserver.log");
        let program = Tool::KubeApiserver.path()?;
        let name = format!("kube-apiserver of {}", self.setup.name);
        let process = self
            .process
            .insert(Process::start(&name, &program, &args, &log)?);
        let client = client(&Kubeconfig {
            name: self.setup.name.to_owned(),
            server: self.address,
            bundle: self.authority.bundle.clone(),
            token: ADMIN_TOKEN.to_owned(),
        })
        .await?;
        process
            .until("it was ready", async || {
                let request = hyper::Request::get("/readyz").body(Vec::new()).ok()?;
                client.request_text(request).await.ok()
            })
            .await?;
        Ok(())
    }

    fn args(&self) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let Authority {
            certificate,
            key,
            accounts_key,
            accounts_public_key,
            ..
        } = &self.authority;
        let flags = [
            ("etcd-servers", format!("http://{}", self.etcd_address)),
            ("bind-address", self.address.ip().to_string()),
            ("secure-port", self.address.port().to_string()),
            // Nobody is told of it: endpoints may not be loopback addresses, so there is none of the API server itself.
            ("advertise-address", "192.0.2.1".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("tls-cert-file", file(certificate)),
            ("tls-private-key-file", file(key)),
            ("cert-dir", file(&self.folder)),
            ("token-auth-file", file(&self.folder.join("tokens.csv"))),
            ("authorization-mode", "RBAC".to_owned()),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc.cluster.local".to_owned(),
            ),
            ("service-account-signing-key-file", file(accounts_key)),
            ("service-account-key-file", file(accounts_public_key)),
            ("service-cluster-ip-range", self.setup.service_range.clone()),
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
            ("allow-privileged", "true".to_owned()),
            ("audit-policy-file", file(&audit::policy(&self.folder))),
            ("audit-log-path", file(&audit::log(&self.folder))),
        ];
        flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}"))
            .collect()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // What they have stored is thrown away with them: no reason to wait until they have said good-bye to all clients.
        self.kill();
        self._etcd.kill();
    }
}

/// A client with the rights of this kubeconfig.
pub async fn client(kubeconfig: &Kubeconfig) -> Result<Client> {
    let file = kube::config::Kubeconfig::from_yaml(&kubeconfig.to_string())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn start_etcd(folder: &Path, clients: SocketAddr, peers: SocketAddr) -> Result<Process> {
    let data = folder.join("etcd").display().to_string();
    let (clients, peers) = (format!("http://{clients}"), format!("http://{peers}"));
    let cluster = format!("default={peers}");
    let args = [
        "--data-dir",
        &data,
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &clients,
        "--listen-peer-urls",
        &peers,
        "--initial-advertise-peer-urls",
        &peers,
        "--initial-cluster",
        &cluster,
        // A test's cluster need not survive the machine.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ];
    Process::start("etcd", &Tool::Etcd.path()?, &args, &folder.join("etcd.log"))
}
