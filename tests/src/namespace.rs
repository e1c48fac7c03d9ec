//! A network namespace of a test's own, where it may do to the network what it likes.

use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

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

    /// Its name, as `ip` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs something to its end in a thread that is inside, and so are the threads and processes that it starts.
    pub fn enter<T: Send>(&self, run: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        // Where ip keeps them (ip-netns(8)).
        let path = Path::new("/run/netns").join(&self.name);
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("entering a network namespace")?;
                run()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
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
    pub fn runner(&self) -> &Path {
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
