//! A process of ours: its log in a file, and gone when we are.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// How long a part may take to start before that counts as a failure. Generous: it says "never", not "slow".
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a part may take to stop after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A running process. Dropping it stops it: SIGTERM, then SIGKILL.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with its output and errors in `log`.
    ///
    /// It runs under `setpriv --pdeathsig`, so that the kernel kills it when the thread that started it ends, however
    /// that happens; and in a process group of its own, so that Ctrl-C in a terminal reaches us alone and we stop it in
    /// order.
    pub fn start(name: &str, program: &Path, args: &[&str], log: &Path) -> Result<Self> {
        Self::start_under(&[], name, program, args, log)
    }

    /// As [`Process::start`], under a command that gives it other surroundings and then becomes it, as `env` does.
    pub fn start_under(
        under: &[String],
        name: &str,
        program: &Path,
        args: &[&str],
        log: &Path,
    ) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        File::create(log).with_context(|| format!("writing {}", log.display()))?;
        // What opens /dev/stdout anew, as Envoy does for its access log, must not write over what is there.
        let file = File::options().append(true).open(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(under)
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("starting {name} by setpriv (of util-linux; install it if it is missing)")
            })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, output and errors alike.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last `lines` lines that it has written.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Asks `ready` again and again until it has a value. If the process ends first, or never gets there, the error
    /// holds its own log.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready().await {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended ({status}) before {what}; its log:\n{}",
                    self.name,
                    self.log_tail(40)
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{}: waited {PATIENCE:?} in vain until {what}; its log:\n{}",
                    self.name,
                    self.log_tail(40)
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends SIGTERM and waits until it has ended; the exit code, if it ended by itself.
    pub async fn terminate(&mut self) -> Result<Option<i32>> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} does not end within {PATIENCE:?} of SIGTERM; its log:\n{}",
                    self.name,
                    self.log_tail(40)
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills it, as a machine's failure does, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already; that is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Ok(Some(pid)) = i32::try_from(self.child.id()).map(Pid::from_raw) {
            // It may have ended already; that is what we want.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }
}
