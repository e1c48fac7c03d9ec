//! The cluster's own DNS: a real CoreDNS that watches the API server.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use super::kubeconfig::Kubeconfig;
use super::port;
use crate::admin;
use crate::dns::Client;
use crate::process::Process;
use crate::tools::Tool;

/// A running CoreDNS that is ready.
#[derive(Debug)]
pub struct CoreDns {
    process: Process,
    address: SocketAddr,
}

impl CoreDns {
    /// Starts it at a free port of `ip`, with its files in `folder`, as kubeadm configures it; `upstream` is asked for names
    /// outside the cluster.
    pub async fn start(
        folder: &Path,
        ip: IpAddr,
        kubeconfig: &Kubeconfig,
        upstream: SocketAddr,
    ) -> Result<Self> {
        Self::start_with(folder, ip, kubeconfig, upstream, "loop").await
    }

    /// The same without its own look at the start for a forwarding loop, on which it would end.
    pub async fn start_looped(
        folder: &Path,
        ip: IpAddr,
        kubeconfig: &Kubeconfig,
        upstream: SocketAddr,
    ) -> Result<Self> {
        Self::start_with(folder, ip, kubeconfig, upstream, "").await
    }

    async fn start_with(
        folder: &Path,
        ip: IpAddr,
        kubeconfig: &Kubeconfig,
        upstream: SocketAddr,
        look: &str,
    ) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let access = folder.join("kubeconfig");
        fs::write(&access, kubeconfig.to_string())
            .with_context(|| format!("writing {}", access.display()))?;
        let (address, ready) = (port::free(ip)?, port::free(ip)?);
        let corefile = folder.join("Corefile");
        let text = format!(
            ".:{port} {{\n\
             \x20   bind {ip}\n\
             \x20   errors\n\
             \x20   ready {ready}\n\
             \x20   kubernetes cluster.local in-addr.arpa ip6.arpa {{\n\
             \x20       kubeconfig {access} {context}\n\
             \x20       pods insecure\n\
             \x20       fallthrough in-addr.arpa ip6.arpa\n\
             \x20       ttl 30\n\
             \x20   }}\n\
             \x20   forward . {upstream} {{\n\
             \x20       max_concurrent 1000\n\
             \x20   }}\n\
             \x20   cache 30 {{\n\
             \x20       disable success cluster.local\n\
             \x20       disable denial cluster.local\n\
             \x20   }}\n\
             \x20   {look}\n\
             \x20   loadbalance\n\
             }}\n",
            port = address.port(),
            access = access.display(),
            context = kubeconfig.name,
        );
        fs::write(&corefile, text).with_context(|| format!("writing {}", corefile.display()))?;
        let args = ["-conf", &corefile.display().to_string()];
        let log = folder.join("coredns.log");
        let mut process = Process::start("CoreDNS", &Tool::CoreDns.path()?, &args, &log)?;
        process
            .until("it was ready", async || {
                // It says so before it listens for queries.
                admin::get(ready, "/ready").await.ok()?;
                Client::of(address)
                    .await
                    .ok()?
                    .ask("cluster.local")
                    .await
                    .ok()
            })
            .await?;
        Ok(Self { process, address })
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}
