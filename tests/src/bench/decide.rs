//! The engine by itself: how long it takes to read, compile and bind the same policies, and to decide.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dimensions::{self, Dimension};
use super::rules;
use crate::command::Command;
use crate::names::SERVICE_PORT;

/// What the engine takes by itself, compiled for this machine.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    /// How many rules.
    pub(super) rules: usize,
    /// With rules that are told apart by the caller.
    #[serde(flatten)]
    pub(super) said: Said,
    /// With rules that are told apart by their paths, which of a connection are not known: to decide one for good, in
    /// nanoseconds.
    pub(super) connection_ns: f64,
    /// The same where the HTTP filter follows.
    pub(super) connection_before_http_ns: f64,
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
    /// To decide the connection, in nanoseconds.
    #[serde(skip_serializing)]
    connection_ns: f64,
    /// What was decided about it.
    #[serde(skip_serializing)]
    connection: String,
}

/// What it takes to decide a request by rules that one thing tells apart.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// What tells them apart.
    pub(super) by: &'static str,
    /// How many rules.
    pub(super) rules: usize,
    /// To decide one request, in nanoseconds.
    pub(super) decide_ns: f64,
    /// What was decided, and by what.
    pub(super) decision: String,
}

/// Measures few rules and many, by each thing that can tell them apart.
pub(super) async fn measure_each(sizes: &[usize]) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for Dimension { by, rule, request } in dimensions::ALL {
        eprintln!("engine: rules by {by}");
        for rules in sizes.iter().copied() {
            let said = ask(&dimensions::policy(rules, rule), &request()).await?;
            told.push(Told {
                by,
                rules,
                decide_ns: said.decide_ns,
                decision: said.decision,
            });
        }
    }
    Ok(told)
}

/// What the engine says of a request to a policy.
async fn ask(policy: &Value, request: &Value) -> Result<Said> {
    let folder = tempfile::tempdir().context("a folder for a policy")?;
    let file = folder.path().join("policy.json");
    fs::write(&file, policy.to_string()).with_context(|| format!("writing {}", file.display()))?;
    let command = Command::decide()?.args([&*file.display().to_string(), &request.to_string()]);
    let said = command.output().await?;
    serde_json::from_str(&said).with_context(|| format!("`{command}` printed no such JSON: {said}"))
}

/// Measures the policies of these sizes.
pub(super) async fn measure(sizes: &[usize], most: usize) -> Result<Vec<Engine>> {
    let mut engines = Vec::new();
    for size in sizes.iter().copied() {
        eprintln!("engine: {size} rules");
        let ask = async |policy: &Value, port: u16, connection: &str| {
            let request = json!({
                "principal": rules::caller(most),
                "host": rules::HOST,
                "path": rules::PATH,
                "port": port,
            });
            let said = ask(policy, &request).await?;
            let decision = format!("ALLOW rule:{}", rules::name(most));
            for (wanted, decided) in [(&*decision, &said.decision), (connection, &said.connection)]
            {
                ensure!(
                    wanted == decided,
                    "{request} was decided {decided}, not {wanted}"
                );
            }
            anyhow::Ok(said)
        };
        // Every rule asks for a path, so a connection is let in by none.
        const FINAL: &str = "DENY default:peerMesh";
        let by_path = rules::by_path(size, most);
        engines.push(Engine {
            rules: size,
            said: ask(&rules::policy(size, most, false), SERVICE_PORT, FINAL).await?,
            connection_ns: ask(&by_path, SERVICE_PORT + 1, FINAL).await?.connection_ns,
            connection_before_http_ns: ask(&by_path, SERVICE_PORT, "left to HTTP")
                .await?
                .connection_ns,
        });
    }
    Ok(engines)
}
