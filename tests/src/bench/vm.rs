//! What the filter costs before the first request: the time until Envoy is ready, and memory.
//!
//! Every worker has a VM of its own, with the policy in it. So memory is measured as the difference between Envoys of few
//! and many workers, less the same difference without a filter: that is what a worker's VM holds, its compiled code (which
//! V8 shares) left out.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;

use super::machine::resident;
use super::stand::Stand;
use super::variant::{Filter, Variant};
use crate::envoy::Envoy;

/// Workers of the Envoys whose memory is compared.
const FEW: usize = 1;
const MANY: usize = 5;

/// What one Envoy costs that has this policy.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    /// By what.
    #[serde(flatten)]
    pub(super) variant: Variant,
    /// From the start of an Envoy with one worker until it is ready, in milliseconds. In this time the filter is
    /// configured for the main thread, for a VM that only tries the configuration, and for the worker.
    pub(super) ready_ms: f64,
    /// Its resident memory, in MiB.
    pub(super) resident_mib: f64,
    /// What each further worker adds to it, over what it adds without a filter, in MiB; absent there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vm_mib: Option<f64>,
}

/// Measures without a filter, and with ours at each of these numbers of rules.
pub(super) async fn measure(sizes: &[usize], most: usize) -> Result<Vec<Start>> {
    let nothing = Variant {
        filter: Filter::None,
        rules: 0,
    };
    let ours = sizes.iter().map(|rules| Variant {
        filter: Filter::Crossmesh,
        rules: *rules,
    });
    let mut starts: Vec<Start> = Vec::new();
    let mut without = None;
    for variant in [nothing].into_iter().chain(ours) {
        eprintln!("start: {}, {} rules", variant.filter.title(), variant.rules);
        let few = started(variant, most, FEW).await?;
        let many = started(variant, most, MANY).await?;
        let more = (many.resident_mib - few.resident_mib) / (MANY - FEW) as f64;
        starts.push(Start {
            variant,
            ready_ms: few.ready.as_secs_f64() * 1e3,
            resident_mib: few.resident_mib,
            vm_mib: without.map(|without| more - without),
        });
        without = without.or(Some(more));
    }
    Ok(starts)
}

struct Started {
    ready: Duration,
    resident_mib: f64,
}

async fn started(variant: Variant, most: usize, workers: usize) -> Result<Started> {
    let stand = Stand::start(&[variant], most, workers).await?;
    let envoy = &stand.envoy;
    if variant.filter == Filter::Crossmesh {
        // One for each worker, and the one that they are copied from.
        let all = u64::try_from(workers + 1)?;
        envoy
            .until("every worker had its VM", async || {
                let active = envoy.stat("wasm.envoy.wasm.runtime.v8.active").await.ok()?;
                (active >= all).then_some(())
            })
            .await?;
    }
    Ok(Started {
        ready: stand.ready,
        resident_mib: settled(envoy).await?,
    })
}

/// The resident memory once it no longer changes, in MiB.
async fn settled(envoy: &Envoy) -> Result<f64> {
    const STEP: Duration = Duration::from_millis(100);
    const STEPS: usize = 50;
    let mut last = resident(envoy.pid())?;
    for _ in 0..STEPS {
        sleep(STEP).await;
        let now = resident(envoy.pid())?;
        if now.abs_diff(last) < 64 * 1024 {
            break;
        }
        last = now;
    }
    Ok(resident(envoy.pid())? as f64 / f64::from(1 << 20))
}
