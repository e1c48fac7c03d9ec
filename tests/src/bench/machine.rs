//! What the kernel knows: which thread runs where, how long it ran, how much memory a process has.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core for the proxy and another for the generator, so that neither takes time from the other; the same one where
/// there is no second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    pub(super) proxy: usize,
    pub(super) generator: usize,
}

impl Cores {
    /// The first and the last that this process may use.
    pub(super) fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("which cores may be used")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let proxy = cores.next().context("no core may be used")?;
        let generator = cores.next_back().unwrap_or(proxy);
        Ok(Self { proxy, generator })
    }
}

/// Has this thread, and what it starts from now on, run on this core only.
pub(super) fn run_on(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("running on core {core} only"))
}

/// The CPU time of one of Envoy's threads.
#[derive(Debug)]
pub(super) struct Worker {
    schedstat: String,
}

impl Worker {
    /// The worker thread of an Envoy that has one.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
            let task = task?.path();
            // A thread that ended meanwhile is none of the worker's.
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            if name.starts_with("wrk:worker_0") {
                let schedstat = task.join("schedstat").display().to_string();
                return Ok(Self { schedstat });
            }
        }
        bail!("Envoy has no thread called wrk:worker_0 among {tasks}")
    }

    /// For how long it has run. In nanoseconds, where `stat` counts hundredths of a second.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let text = fs::read_to_string(&self.schedstat)
            .with_context(|| format!("reading {} (CONFIG_SCHED_INFO)", self.schedstat))?;
        let ran = text.split(' ').next().unwrap_or_default();
        let ran = ran
            .parse()
            .with_context(|| format!("{} says {text:?}", self.schedstat))?;
        Ok(Duration::from_nanos(ran))
    }
}

/// The memory that a process has resident, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let status = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&status).with_context(|| format!("reading {status}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{status} has no VmRSS"))? * 1024)
}
