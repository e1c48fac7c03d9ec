//! From bytes to [`Spec`], with errors that name the rule and the field.

use std::cmp::Reverse;

use serde_json::Value;

use super::Spec;
use crate::problem::{Invalid, Problem};

/// Reads a `pluginConfig` as JSON: what Envoy hands to the filter.
///
/// # Errors
/// The first thing that is not of the schema's shape: an unknown field, a missing one, a value of the wrong kind.
pub fn parse(json: &[u8]) -> Result<Spec, Invalid> {
    if json.trim_ascii().is_empty() {
        return Err(whole(
            "there is no pluginConfig",
            "write at least schema and meshes",
        ));
    }
    // serde would take a list for an object, its fields by position.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(whole(
            "it is a list",
            "write an object with schema and meshes",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let spec = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        shape_problem(json, &field, error.inner())
    })?;
    reader
        .end()
        .map_err(|error| shape_problem(json, "", &error))?;
    Ok(spec)
}

/// A problem with the configuration as a whole.
fn whole(problem: &str, mend: &str) -> Invalid {
    Invalid::one(Problem {
        rule: None,
        field: String::new(),
        value: None,
        problem: problem.into(),
        mend: mend.into(),
    })
}

fn shape_problem(json: &[u8], path: &str, error: &serde_json::Error) -> Invalid {
    if !error.is_data() {
        // Not JSON at all: here the line and column are all there is to tell.
        let problem = format!("it is not JSON: {error}");
        return whole(&problem, "write a pluginConfig as a JSON object");
    }
    // The position is one in the JSON, which the author, who wrote YAML, never saw.
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    // serde's words, in the field's.
    let message = message
        .replace("unknown variant", "unknown value")
        .replace("a sequence", "a list");
    let message = message.as_str();
    let (problem, mend) = match message.split_once(", expected ") {
        Some((problem, expected)) => (problem, wanted(problem, expected)),
        None => (message, String::new()),
    };
    let mend = if let Some(field) = message.strip_prefix("missing field ") {
        format!("write {}", field.replace('`', ""))
    } else {
        mend
    };
    let document: Value = serde_json::from_slice(json).unwrap_or_default();
    let field = if path == "." {
        String::new()
    } else {
        path.to_owned()
    };
    Invalid::one(Problem {
        rule: rule_name(&document, &field),
        value: None,
        problem: problem.replace('`', "\""),
        mend: mend.replace('`', "\""),
        field,
    })
}

/// The mend for `unknown field `x``, with the nearest of the expected names first, if one is near.
fn wanted(problem: &str, expected: &str) -> String {
    let written = problem.split('`').nth(1);
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let near = written.and_then(|written| {
        names
            .iter()
            .map(|name| (distance(written, name), *name))
            .filter(|(d, name)| *d <= name.len() / 3)
            .min_by_key(|(d, name)| (*d, Reverse(name.len())))
    });
    match near {
        Some((_, name)) => format!("did you mean {name}? expected {expected}"),
        None => format!("expected {expected}"),
    }
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut last = i.saturating_add(1);
        let mut next = vec![last];
        for ((y, above), above_left) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let replaced = above_left.saturating_add(usize::from(x != *y));
            last = replaced
                .min(above.saturating_add(1))
                .min(last.saturating_add(1));
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The name of the rule in which `rules[3].from[0]…` or `candidate.rules[3]…` lies.
fn rule_name(document: &Value, field: &str) -> Option<String> {
    let (document, field) = match field.strip_prefix("candidate.") {
        Some(field) => (document.get("candidate")?, field),
        None => (document, field),
    };
    let (index, _) = field.strip_prefix("rules[")?.split_once(']')?;
    let rule = document.get("rules")?.get(index.parse::<usize>().ok()?)?;
    Some(rule.get("name")?.as_str()?.to_owned())
}
