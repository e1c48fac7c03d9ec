//! A client as it runs in small images: linked with musl, whose resolver takes a failure on the way through its search list
//! for the end of the search.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{Command, Said};

const SOURCE: &str = include_str!("musl/resolve.c");

/// A compiled client and its resolv.conf.
#[derive(Debug)]
pub struct Client {
    program: PathBuf,
    resolv_conf: PathBuf,
}

impl Client {
    /// Compiles it, with its files in `folder`. It asks the server at port 53 of `server`, with the search list of a pod in
    /// `namespace`, as the kubelet writes it.
    pub async fn compile(folder: &Path, server: IpAddr, namespace: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        let source = write("resolve.c", SOURCE)?;
        let resolv_conf = write(
            "resolv.conf",
            &format!(
                "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n\
                 nameserver {server}\noptions ndots:5\n"
            ),
        )?;
        let program = folder.join("resolve");
        let paths = [&program, &source].map(|path| path.display().to_string());
        let compile = Command::musl_gcc()?.args(["-static", "-Wall", "-Werror", "-o"]);
        compile.args(paths).output().await?;
        Ok(Self {
            program,
            resolv_conf,
        })
    }

    /// Looks the names up, one after the other; its output has a line for every address or failure.
    ///
    /// It sees its own resolv.conf, by a mount that nobody else sees; only root can make it.
    pub async fn look_up(&self, names: &[&str]) -> Result<Said> {
        let script = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
        let files = [&self.resolv_conf, &self.program].map(|path| path.display().to_string());
        Command::of_machine("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg("sh")
            .args(files)
            .args(names.to_vec())
            .run()
            .await
    }
}
