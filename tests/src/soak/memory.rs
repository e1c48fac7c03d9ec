//! What two sidecars take of the machine's memory.

use std::fmt;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::envoy::Envoy;
use crate::roles::tcp::TcpStand;
use crate::stand::Stand;

/// The columns of samples. Memory is in KiB.
pub(super) const HEAD: &str =
    "seconds   answers  policies | HTTP: resident  allocated  VMs | TCP: resident  allocated  VMs";

/// One moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) seconds: u64,
    answers: u64,
    policies: u64,
    http: Sidecar,
    tcp: Sidecar,
}

/// A sidecar at that moment, in bytes.
#[derive(Clone, Copy, Debug)]
struct Sidecar {
    /// Of the process, with code, heap and the VMs' memory.
    resident: u64,
    /// Of Envoy's own heap, in which no VM is.
    allocated: u64,
    /// VMs that are there.
    vms: u64,
}

impl Sample {
    /// The bytes of each sidecar.
    pub(super) fn resident(&self) -> [(&'static str, u64); 2] {
        [("HTTP", self.http.resident), ("TCP", self.tcp.resident)]
    }

    pub(super) async fn take(
        begun: Instant,
        answers: u64,
        policies: u64,
        http: &Stand,
        tcp: &TcpStand,
    ) -> Result<Self> {
        Ok(Self {
            seconds: begun.elapsed().as_secs(),
            answers,
            policies,
            http: Sidecar::look(&http.sidecar.envoy).await?,
            tcp: Sidecar::look(&tcp.envoy).await?,
        })
    }
}

impl Sidecar {
    async fn look(envoy: &Envoy) -> Result<Self> {
        let file = format!("/proc/{}/status", envoy.pid());
        let status = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .with_context(|| format!("{file} has no VmRSS"))?;
        let resident: u64 = resident.parse()?;
        Ok(Self {
            resident: resident * 1024,
            allocated: envoy.stat("server.memory_allocated").await?,
            vms: envoy.stat("wasm.envoy.wasm.runtime.v8.active").await?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7} {:>9} {:>9} |",
            self.seconds, self.answers, self.policies
        )?;
        for (sidecar, width) in [(self.http, 15), (self.tcp, 14)] {
            let (resident, allocated) = (sidecar.resident / 1024, sidecar.allocated / 1024);
            write!(f, "{resident:>width$} {allocated:>10} {:>4} |", sidecar.vms)?;
        }
        Ok(())
    }
}
