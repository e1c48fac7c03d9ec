//! One command: shown as a newcomer would type it, and run as shown.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command as Tokio;
use tokio::time::timeout;

use crate::tools::Tool;

/// A command that hangs is a failure; nothing here needs seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    folder: Option<PathBuf>,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its output, bytes that are not UTF-8 replaced.
    pub stdout: String,
    /// Its errors, likewise.
    pub stderr: String,
}

impl Command {
    /// A command of this machine, found in PATH.
    #[must_use]
    pub fn of_machine(name: &'static str) -> Self {
        Self {
            name,
            program: name.into(),
            args: Vec::new(),
            folder: None,
        }
    }

    /// dig.
    pub fn dig() -> Result<Self> {
        Self::of_tool("dig", Tool::Dig)
    }

    /// curl, silent but for errors.
    pub fn curl() -> Result<Self> {
        Ok(Self::of_tool("curl", Tool::Curl)?.args(["-sS"]))
    }

    /// crossmesh's command line, run in the checkout.
    pub fn crossmesh() -> Result<Self> {
        let folder = Some(crate::tools::workspace()?);
        Ok(Self {
            folder,
            ..Self::of_tool("crossmesh", Tool::Cli)?
        })
    }

    /// The C compiler with musl.
    pub fn musl_gcc() -> Result<Self> {
        Self::of_tool("musl-gcc", Tool::MuslGcc)
    }

    /// What gives a process a clock of its own.
    pub fn faketime() -> Result<Self> {
        Self::of_tool("faketime", Tool::Faketime)
    }

    /// helm.
    pub fn helm() -> Result<Self> {
        Self::of_tool("helm", Tool::Helm)
    }

    /// crossmesh-dns-agent.
    pub fn dns_agent() -> Result<Self> {
        Self::of_tool("crossmesh-dns-agent", Tool::DnsAgent)
    }

    /// The engine by itself.
    pub fn decide() -> Result<Self> {
        Self::of_tool("decide", Tool::Decide)
    }

    fn of_tool(name: &'static str, tool: Tool) -> Result<Self> {
        Ok(Self {
            program: tool.path()?,
            ..Self::of_machine(name)
        })
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it to its end. An exit code other than zero is an answer, not an error.
    pub async fn run(&self) -> Result<Said> {
        let mut command = Tokio::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let Ok(output) = timeout(PATIENCE, command.output()).await else {
            bail!("`{self}` did not end within {PATIENCE:?}");
        };
        let output = output.with_context(|| format!("running {}", self.program.display()))?;
        Ok(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it and gives its output; an exit code other than zero is an error that holds what it said.
    pub async fn output(&self) -> Result<String> {
        let said = self.run().await?;
        if said.code != Some(0) {
            bail!(
                "`{self}` failed ({:?}): {}{}",
                said.code,
                said.stdout,
                said.stderr
            );
        }
        Ok(said.stdout)
    }
}

/// As it would be typed into a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_typed() {
        let command = Command::of_machine("curl").args(["-H", "x-note: it's", "http://a/b?c", ""]);
        assert_eq!(
            command.to_string(),
            r"curl -H 'x-note: it'\''s' 'http://a/b?c' ''"
        );
    }
}
