//! What a pod's processes see: a `/etc/resolv.conf` of its own, by a mount that nobody else sees. Only root can make it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{Command, Said};

/// A pod of some namespace, as far as it resolves names.
#[derive(Clone, Debug)]
pub struct Pod {
    resolv_conf: PathBuf,
}

impl Pod {
    /// One that asks the server at port 53 of `server`, with the search list of a pod in `namespace`, as the kubelet writes it.
    /// Its file is in `folder`.
    pub fn new(folder: &Path, server: IpAddr, namespace: &str) -> Result<Self> {
        let resolv_conf = folder.join("resolv.conf");
        let text = format!(
            "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n\
             nameserver {server}\noptions ndots:5\n"
        );
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(&resolv_conf, text)
            .with_context(|| format!("writing {}", resolv_conf.display()))?;
        Ok(Self { resolv_conf })
    }

    /// Runs a program in it to its end.
    pub async fn run(&self, program: &Path, args: &[&str]) -> Result<Said> {
        let script = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
        let files = [&*self.resolv_conf, program].map(|path| path.display().to_string());
        Command::of_machine("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg("sh")
            .args(files)
            .args(args.to_vec())
            .run()
            .await
    }

    /// What getent finds: the addresses of a name, by the resolver of glibc; none when it says that there are none.
    pub async fn getent(&self, name: &str) -> Result<Vec<IpAddr>> {
        // Both families, as nearly every program asks.
        let said = self.run(Path::new("getent"), &["ahosts", name]).await?;
        // 2: not found (getent(1)).
        anyhow::ensure!(matches!(said.code, Some(0 | 2)), "getent {name}: {said:?}");
        let addresses = said.stdout.lines().filter_map(|line| {
            let address = line.split_whitespace().next()?;
            Some(address.parse().context(line.to_owned()))
        });
        let mut addresses: Vec<IpAddr> = addresses.collect::<Result<_>>()?;
        // One line for each type of socket.
        addresses.dedup();
        Ok(addresses)
    }
}
