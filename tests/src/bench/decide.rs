//! The engine by itself: how long it takes to read, compile and bind the same policies, and to decide.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::rules;
use crate::command::Command;

/// What the engine takes by itself, compiled for this machine.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    /// How many rules.
    pub(super) rules: usize,
    /// What it printed.
    #[serde(flatten)]
    pub(super) said: Said,
}

/// What `policy/examples/decide.rs` prints.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Said {
    /// To read the JSON, in microseconds.
    pub(super) parse_us: f64,
    /// To check and compile it, in microseconds.
    pub(super) compile_us: f64,
    /// To bind it to a proxy, indexes and all, in microseconds.
    pub(super) bind_us: f64,
    /// To decide one request, in nanoseconds.
    pub(super) decide_ns: f64,
    /// What was decided, and by what.
    pub(super) decision: String,
}

/// Measures the policies of these sizes.
pub(super) async fn measure(sizes: &[usize], most: usize) -> Result<Vec<Engine>> {
    let folder = tempfile::tempdir().context("a folder for policies")?;
    let wanted = format!("ALLOW rule:{}", rules::name(most));
    let mut engines = Vec::new();
    for size in sizes.iter().copied() {
        eprintln!("engine: {size} rules");
        let file = folder.path().join("policy.json");
        std::fs::write(&file, rules::policy(size, most, false).to_string())
            .with_context(|| format!("writing {}", file.display()))?;
        let file = file.display().to_string();
        let caller = rules::caller(most);
        let command = Command::decide()?.args([&*file, &caller, rules::HOST, rules::PATH]);
        let said = command.output().await?;
        let said: Said = serde_json::from_str(&said)
            .with_context(|| format!("`{command}` printed no such JSON: {said}"))?;
        if said.decision != wanted {
            bail!("`{command}` decided {}, not {wanted}", said.decision);
        }
        engines.push(Engine { rules: size, said });
    }
    Ok(engines)
}
