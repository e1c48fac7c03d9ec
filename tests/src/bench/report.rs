//! The figures as a table for people.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::Plan;
use super::decide::{Engine, Told};
use super::http::Row;
use super::vm::Start;
use crate::sender::Protocol;

/// All that was measured; written as it is, it is the JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How.
    pub(super) plan: Plan,
    /// What a request costs.
    pub(super) requests: Vec<Row>,
    /// What the engine takes by itself.
    pub(super) engine: Vec<Engine>,
    /// The same for each thing that can tell rules apart.
    pub(super) engine_by: Vec<Told>,
    /// What an Envoy costs before the first request.
    pub(super) starts: Vec<Start>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            rounds, requests, ..
        } = self.plan;
        writeln!(
            f,
            "Envoy, one worker, mutual TLS, direct response; medians of {rounds} interleaved rounds of up to {requests} requests \
             or half a second.\nThe rule that decides is the last. crossmesh counts and sets three filter states. What it asks \
             Envoy for and nothing else are the\nbare calls; the no-op is called as often. The least calls are one callback, the \
             peer, the headers, a counter\nand two filter states, which no module that decides and tells can do without. Lua \
             counts and tells as much as\ncrossmesh; \"peer only\" is a look-up of the peer's SAN. RBAC tells nothing."
        )?;
        for protocol in Protocol::ALL {
            let (connections, at_once) = protocol.connections();
            writeln!(
                f,
                "\n{}, {connections} connections, {at_once} at once on each",
                protocol.title()
            )?;
            let mut lines = vec![
                [
                    "FILTER",
                    "RULES",
                    "CPU µs",
                    "OVER NONE",
                    "P50 µs",
                    "P99 µs",
                    "BUSY",
                ]
                .map(str::to_owned),
            ];
            let rows = self.requests.iter().filter(|row| row.protocol == protocol);
            lines.extend(rows.map(|row| {
                [
                    row.variant.filter.title().to_owned(),
                    count(row.variant.rules),
                    format!("{:.2}", row.cpu_us),
                    row.over_none_us
                        .map_or("-".to_owned(), |over| format!("{over:+.2}")),
                    format!("{:.0}", row.p50_us),
                    format!("{:.0}", row.p99_us),
                    format!("{:.0} %", row.busy * 100.0),
                ]
            }));
            f.write_str(&aligned(&lines))?;
        }
        writeln!(
            f,
            "\nThe engine by itself, natively; connections by rules that differ in their paths alone, where no HTTP filter follows \
             and where one does"
        )?;
        let mut lines = vec![
            [
                "RULES",
                "DECIDE ns",
                "CONNECTION ns",
                "BEFORE HTTP ns",
                "PARSE ms",
                "COMPILE ms",
                "BIND ms",
            ]
            .map(str::to_owned),
        ];
        lines.extend(self.engine.iter().map(|engine| {
            let milliseconds = |us: f64| format!("{:.2}", us / 1e3);
            [
                count(engine.rules),
                format!("{:.0}", engine.said.decide_ns),
                format!("{:.0}", engine.connection_ns),
                format!("{:.0}", engine.connection_before_http_ns),
                milliseconds(engine.said.parse_us),
                milliseconds(engine.said.compile_us),
                milliseconds(engine.said.bind_us),
            ]
        }));
        f.write_str(&aligned(&lines))?;
        writeln!(
            f,
            "\nThe engine by itself, natively, by what tells the rules apart; the rule that decides is the last"
        )?;
        let mut lines = vec![["RULES BY", "RULES", "DECIDE ns"].map(str::to_owned)];
        lines.extend(self.engine_by.iter().map(|told| {
            [
                told.by.to_owned(),
                count(told.rules),
                format!("{:.0}", told.decide_ns),
            ]
        }));
        f.write_str(&aligned(&lines))?;
        writeln!(
            f,
            "\nEnvoy before the first request; a VM is what each further worker adds"
        )?;
        let mut lines =
            vec![["FILTER", "RULES", "READY ms", "RESIDENT MiB", "A VM MiB"].map(str::to_owned)];
        lines.extend(self.starts.iter().map(|start| {
            [
                start.variant.filter.title().to_owned(),
                count(start.variant.rules),
                format!("{:.0}", start.ready_ms),
                format!("{:.1}", start.resident_mib),
                start.vm_mib.map_or("-".to_owned(), |vm| format!("{vm:.1}")),
            ]
        }));
        f.write_str(&aligned(&lines))
    }
}

fn count(rules: usize) -> String {
    if rules == 0 {
        "-".to_owned()
    } else {
        rules.to_string()
    }
}

/// Lines in columns: the first column to the left, figures to the right.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = match at {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}
