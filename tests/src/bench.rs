//! What things cost. Here: the filter, beside nothing, native RBAC and Lua, `cargo xtask bench filter`. Of the agent:
//! [`changes`], `dns-changes`; [`memory`], `dns-memory`.

pub mod changes;
mod decide;
mod dimensions;
mod fleet;
mod http;
mod load;
mod machine;
pub mod memory;
mod modules;
mod report;
mod rules;
mod stand;
mod variant;
mod vm;

use anyhow::{Result, ensure};
use serde::Serialize;

pub use report::Report;

/// How many rules are few, where few and many are compared.
const FEW: usize = 10;

/// What is measured.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Numbers of rules.
    pub rules: Vec<usize>,
    /// How often each variant has its turn.
    pub rounds: usize,
    /// How many requests that is each time, at most.
    pub requests: usize,
}

impl Plan {
    fn most_rules(&self) -> usize {
        self.rules.iter().copied().max().unwrap_or(1)
    }
}

/// Measures everything. Progress is told on stderr.
pub async fn run(plan: Plan) -> Result<Report> {
    ensure!(
        !plan.rules.is_empty() && !plan.rules.contains(&0) && plan.rounds > 0 && plan.requests > 0,
        "numbers of rules, rounds and requests are at least 1"
    );
    let most = plan.most_rules();
    ensure!(
        most <= 99_999,
        "no more than 99999 rules: their names have five digits"
    );
    let report = Report {
        engine: decide::measure(&plan.rules, most).await?,
        engine_by: decide::measure_each(&[most.min(FEW), most]).await?,
        starts: vm::measure(&plan.rules, most).await?,
        requests: http::measure(&plan).await?,
        plan,
    };
    for row in &report.requests {
        ensure!(
            row.answered_200 == row.requests,
            "{} of {} requests through {} with {} rules over {} were not answered with 200",
            row.requests - row.answered_200,
            row.requests,
            row.variant.filter.title(),
            row.variant.rules,
            row.protocol.title()
        );
    }
    Ok(report)
}
