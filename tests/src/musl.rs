//! A client as it runs in small images: linked with musl, whose resolver takes a failure on the way through its search list
//! for the end of the search.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{Command, Said};
use crate::pod::Pod;

const SOURCE: &str = include_str!("musl/resolve.c");

/// A compiled client and the pod that it runs in.
#[derive(Debug)]
pub struct Client {
    program: PathBuf,
    pod: Pod,
}

impl Client {
    /// Compiles it, with its files in `folder`. It asks the server at port 53 of `server`, with the search list of a pod in
    /// `namespace`, as the kubelet writes it.
    pub async fn compile(folder: &Path, server: IpAddr, namespace: &str) -> Result<Self> {
        let pod = Pod::new(folder, server, namespace)?;
        let source = folder.join("resolve.c");
        fs::write(&source, SOURCE).with_context(|| format!("writing {}", source.display()))?;
        let program = folder.join("resolve");
        let paths = [&program, &source].map(|path| path.display().to_string());
        let compile = Command::musl_gcc()?.args(["-static", "-Wall", "-Werror", "-o"]);
        compile.args(paths).output().await?;
        Ok(Self { program, pod })
    }

    /// Looks the names up, one after the other; its output has a line for every address or failure.
    pub async fn look_up(&self, names: &[&str]) -> Result<Said> {
        self.pod.run(&self.program, names).await
    }
}
