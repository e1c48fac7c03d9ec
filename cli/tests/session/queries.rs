//! Queries for Prometheus, as far as one can see without one whether they could ever answer: each metric is one that is told
//! of, and has the labels that are asked for.

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of a page's table, each with its labels.
pub(crate) struct Metrics(BTreeMap<String, BTreeSet<String>>);

impl Metrics {
    /// Reads a page's rows that begin with names of metrics in backquotes; labels stand in the second column.
    pub(crate) fn told(page: &str) -> Self {
        let mut metrics = BTreeMap::new();
        let mut last = BTreeSet::new();
        for row in page.lines() {
            let Some(row) = row.strip_prefix("| `crossmesh_") else {
                continue;
            };
            let row = format!("`crossmesh_{row}");
            let mut cells = row.split(" | ");
            let (names, labels) = (cells.next().unwrap(), cells.next().unwrap());
            // What is no metric: the response details.
            if cells.next().is_none() {
                continue;
            }
            if !matches!(labels, "the same" | "likewise") {
                last = quoted(labels).map(str::to_owned).collect();
            }
            for name in quoted(names) {
                metrics.insert(name.to_owned(), last.clone());
            }
        }
        Self(metrics)
    }

    /// All labels that any has.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        self.0.values().flatten().map(String::as_str).collect()
    }

    /// Holds that the query asks of its metrics only what they have.
    pub(crate) fn answer(&self, query: &str, place: &str) {
        let closed = |open, close| query.matches(open).count() == query.matches(close).count();
        assert!(closed('(', ')') && closed('{', '}'), "{place}: {query}");
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let metrics: Vec<&str> = words
            .filter(|word| word.starts_with("crossmesh_"))
            .collect();
        assert!(!metrics.is_empty(), "{place}: no metric in {query}");
        let mut labels: Vec<&str> = Vec::new();
        for by in query.split("by (").skip(1) {
            labels.extend(by.split(')').next().unwrap().split(',').map(str::trim));
        }
        for selector in query.split('{').skip(1) {
            for matcher in selector.split('}').next().unwrap().split(',') {
                let (label, value) = matcher.split_once('=').expect(matcher);
                let (label, value) = (label.trim(), value.trim_matches('"'));
                labels.push(label);
                if matches!(label, "verdict" | "active") {
                    assert!(matches!(value, "ALLOW" | "DENY"), "{place}: {matcher}");
                }
            }
        }
        for metric in metrics {
            let has = self.0.get(metric);
            let has = has.unwrap_or_else(|| panic!("{place}: there is no metric {metric}"));
            for label in &labels {
                assert!(has.contains(*label), "{place}: {metric} has no {label}");
            }
        }
    }
}

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
