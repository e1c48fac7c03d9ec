//! A network namespace of a test's own, where it may do to the network what it likes.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::command::{Command, Said};
use crate::tools::Tool;

/// A network namespace with nothing but loopback; dropping it removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    ip: PathBuf,
}

impl Namespace {
    /// Makes one. Only root may.
    pub async fn new() -> Result<Self> {
        let unique = tempfile::Builder::new().prefix("crossmesh-").tempdir()?;
        let name = unique.path().file_name().context("a name")?;
        let name = name.to_string_lossy().into_owned();
        let namespace = Self {
            name,
            ip: Tool::Ip.path()?,
        };
        let add = ["netns", "add", &namespace.name];
        let added = Command::ip()?.args(add).output().await;
        added.context("making a network namespace, which needs root: run the tests as root")?;
        namespace
            .ip(&["link", "set", "lo", "up"])
            .await
            .context("raising the namespace's loopback")?;
        Ok(namespace)
    }

    /// What `ip` says inside; an exit code other than zero is an error.
    pub async fn ip(&self, arguments: &[&str]) -> Result<String> {
        let inside = ["-n", &self.name];
        let command = Command::ip()?.args(inside).args(arguments.to_vec());
        command.output().await
    }

    /// Runs a command inside to its end.
    pub async fn run(&self, program: Tool, arguments: &[&str]) -> Result<Said> {
        let inside = self.arguments(program, arguments)?;
        Command::ip()?.args(inside).run().await
    }

    /// The program that runs others inside.
    #[must_use]
    pub fn runner(&self) -> &std::path::Path {
        &self.ip
    }

    /// What to give to it.
    pub fn arguments(&self, program: Tool, arguments: &[&str]) -> Result<Vec<String>> {
        let program = program.path()?.display().to_string();
        let head = ["netns", "exec", &self.name, &program];
        let all = head.iter().chain(arguments);
        Ok(all.map(|argument| (*argument).to_owned()).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about it here; whoever looks for it finds its name.
        let _ = std::process::Command::new(&self.ip)
            .args(["netns", "delete", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
