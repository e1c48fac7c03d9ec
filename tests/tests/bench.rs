//! The bench, a short slice of it: it still measures everything, and says the same to people and to programs. No time is
//! looked at.
#![cfg(test)]

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::process::Command;

/// The lines that begin with a title and a number of rules, as their cells.
fn lines(table: &str, title: &str, rules: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let rest = line.strip_prefix(title)?.strip_prefix("  ")?;
        let cells: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
        (cells.first().map(String::as_str) == Some(rules)).then_some(cells)
    };
    table.lines().filter_map(cells).collect()
}

fn title(filter: &str) -> &'static str {
    match filter {
        "none" => "no filter",
        "rbac" => "native RBAC",
        "noop" => "Wasm, no-op",
        "least" => "Wasm, least calls",
        "calls" => "Wasm, bare calls",
        "lua-peer" => "Lua, peer only",
        "lua" => "Lua",
        "crossmesh" => "crossmesh",
        "crossmesh-full" => "crossmesh, bytes and duration",
        other => panic!("{other} is no filter"),
    }
}

#[tokio::test]
async fn a_short_slice_measures_every_variant_and_every_request_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("bench.json");
    let output = Command::new(env!("CARGO_BIN_EXE_crossmesh-bench"))
        .args([
            "filter",
            "--rules",
            "1,10",
            "--rounds",
            "2",
            "--requests",
            "64",
            "--json",
        ])
        .arg(&json)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let table = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = |part: &str| report[part].as_array().unwrap().clone();

    let mut seen = BTreeSet::new();
    for row in rows("requests") {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let (protocol, filter) = (text("protocol"), text("filter"));
        let rules = row["rules"].as_u64().unwrap();
        assert_eq!(row["answered_200"], row["requests"], "{row}");
        assert_eq!(row["requests"], 2 * 64, "{row}");
        for figure in ["cpu_us", "p50_us", "p99_us", "busy"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
        assert_eq!(row["over_none_us"].is_number(), filter != "none", "{row}");
        // The same line is in the table, with the same figure.
        let part = table.split(&format!("\n{protocol}, ")).nth(1).unwrap();
        let part = part.split("\n\n").next().unwrap();
        let shown = if rules == 0 {
            "-".to_owned()
        } else {
            rules.to_string()
        };
        let lines = lines(part, title(&filter), &shown);
        assert_eq!(lines.len(), 1, "{row}\n{table}");
        let cpu = format!("{:.2}", row["cpu_us"].as_f64().unwrap());
        assert_eq!(lines[0][1], cpu, "{row}\n{table}");
        assert!(seen.insert((protocol, filter, rules)), "twice: {row}");
    }
    let mut wanted = BTreeSet::new();
    for protocol in ["HTTP/1.1", "HTTP/2"].map(str::to_owned) {
        for filter in ["none", "noop", "least", "calls"] {
            wanted.insert((protocol.clone(), filter.to_owned(), 0));
        }
        for filter in ["rbac", "lua-peer", "lua", "crossmesh", "crossmesh-full"] {
            for rules in [1, 10] {
                wanted.insert((protocol.clone(), filter.to_owned(), rules));
            }
        }
    }
    assert_eq!(seen, wanted);

    let engine = rows("engine");
    assert_eq!(engine.len(), 2);
    for row in &engine {
        assert_eq!(row["decision"], "ALLOW rule:rule-00010", "{row}");
        for figure in ["decide_ns", "connection_ns", "connection_before_http_ns"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    let by: Vec<_> = rows("engine_by")
        .into_iter()
        .map(|row| {
            assert!(row["decide_ns"].as_f64().unwrap() > 0.0, "{row}");
            (
                row["by"].as_str().unwrap().to_owned(),
                row["decision"].clone(),
            )
        })
        .collect();
    assert!(by.len() > 20, "{by:?}");
    for (by, decision) in &by {
        let wanted = if by.starts_with("what it is not, by none") {
            "DENY default:peerMesh"
        } else if by.starts_with("what it is not") {
            "ALLOW rule:rule-00001"
        } else {
            "ALLOW rule:rule-00010"
        };
        assert_eq!(decision, wanted, "{by}");
        assert!(table.contains(&format!("\n{by}  ")), "{by}\n{table}");
    }
    let starts: Vec<_> = rows("starts")
        .into_iter()
        .map(|row| (title(row["filter"].as_str().unwrap()), row["rules"].clone()))
        .collect();
    assert_eq!(
        starts,
        [
            ("no filter", 0.into()),
            ("crossmesh", 1.into()),
            ("crossmesh", 10.into())
        ]
    );
}
