//! From bytes to [`Spec`], with errors that name the rule, the field, the value and the mend.

pub(crate) mod sweep;

use std::cmp::Reverse;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::Spec;
use crate::problem::{Invalid, Problem};

/// A value longer than this is not repeated in an error.
const LONGEST_SHOWN: usize = 80;

/// Reads a `pluginConfig` as JSON: what Envoy hands to the filter.
///
/// # Errors
/// What is not of the schema's shape: unknown fields, missing ones, values of the wrong kind. All of it is told, of each
/// mesh, forwarder and rule, and of the rest, up to a number that nobody would mend at once.
pub fn parse(json: &[u8]) -> Result<Spec, Invalid> {
    if json.trim_ascii().is_empty() {
        return Err(whole(
            "there is no pluginConfig",
            "write at least schema and meshes",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let spec = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refused(json, error.path(), error.inner()))?;
    reader.end().map_err(|error| not_json(&error))?;
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

/// Here the line and column are all there is to tell.
fn not_json(error: &serde_json::Error) -> Invalid {
    whole(
        &format!("it is not JSON: {error}"),
        "write a pluginConfig as a JSON object",
    )
}

/// What serde found at a path, and all else that is wrong.
fn refused(json: &[u8], path: &Path, error: &serde_json::Error) -> Invalid {
    if !error.is_data() {
        return not_json(error);
    }
    let document: Value = serde_json::from_slice(json).unwrap_or_default();
    let problem = found(&document, &document, path.to_string(), path, error);
    let mut problems = sweep::all(&document);
    // A field that stands twice is seen only in the text.
    if !problems.contains(&problem) {
        problems.insert(0, problem);
    }
    Invalid { problems }
}

/// What serde found at a path of a part, in the words of the field, which is that path in the whole document.
fn found(
    document: &Value,
    part: &Value,
    field: String,
    path: &Path,
    error: &serde_json::Error,
) -> Problem {
    let text = error.to_string();
    // The position is one in the JSON, which the author, who wrote YAML, never saw.
    let message = text
        .rfind(" at line ")
        .and_then(|end| text.get(..end))
        .unwrap_or(&text);
    let value = path
        .iter()
        .try_fold(part, |value, segment| step(value, segment));
    let said = said(message, value);
    let field = if field == "." { String::new() } else { field };
    Problem {
        rule: rule_name(document, &field),
        field,
        value: said.value,
        problem: said.problem,
        mend: said.mend,
    }
}

fn step<'v>(value: &'v Value, segment: &Segment) -> Option<&'v Value> {
    match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// A message of serde's, taken apart.
struct Said {
    value: Option<String>,
    problem: String,
    mend: String,
}

fn said(message: &str, value: Option<&Value>) -> Said {
    if let Some(field) = message.strip_prefix("missing field ") {
        let field = field.replace('`', "");
        return Said {
            value: None,
            problem: format!("the field {field} is missing"),
            mend: format!("write {field}"),
        };
    }
    let Some((problem, expected)) = message.split_once(", expected ") else {
        return Said {
            value: None,
            problem: message.replace('`', "\""),
            mend: String::new(),
        };
    };
    if problem.starts_with("unknown field") {
        return Said {
            value: None,
            problem: problem.replace('`', "\""),
            mend: near(problem.split('`').nth(1), expected),
        };
    }
    let expected = expected
        .replace("a sequence", "a list")
        .replace("a map", "an object")
        .replace("a boolean", "true or false");
    let shown = value
        .map(Value::to_string)
        .filter(|text| text.len() <= LONGEST_SHOWN);
    Said {
        mend: mend(value, &expected),
        problem: format!("it must be {}", expected.replace('`', "")),
        value: shown,
    }
}

/// How to turn the value into what is expected.
fn mend(value: Option<&Value>, expected: &str) -> String {
    match value {
        Some(Value::Null) => "write a value, or leave the field out".into(),
        Some(Value::String(text)) if expected.starts_with("one of") => {
            nearest(text, &quoted(expected))
                .map_or_else(String::new, |word| format!("write {word}"))
        }
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) if expected == "a string" => {
            format!("quote it: \"{scalar}\"")
        }
        Some(scalar @ (Value::String(_) | Value::Number(_))) if expected == "a list" => {
            format!("write [{scalar}]")
        }
        _ => String::new(),
    }
}

/// The mend that lists the expected words, the nearest first, if one is near.
fn near(written: Option<&str>, expected: &str) -> String {
    let words = quoted(expected);
    let all = format!("write one of {}", words.join(", "));
    match written {
        // As in Istio's AuthorizationPolicy.
        Some("source" | "operation") => format!("write its fields here directly; {all}"),
        Some("key") if words.contains(&"header") => {
            "write header: and the name of the header alone".into()
        }
        Some(written) => did_you_mean(written, &words, &all),
        None => all,
    }
}

/// The mend, with the word before it that is meant, if what is written is but a slip away from one of these.
#[must_use]
pub fn did_you_mean(written: &str, words: &[&str], mend: &str) -> String {
    match nearest(written, words) {
        Some(word) => format!("did you mean {word}? {mend}"),
        None => mend.to_owned(),
    }
}

/// The words that serde puts in backquotes.
fn quoted(expected: &str) -> Vec<&str> {
    expected.split('`').skip(1).step_by(2).collect()
}

/// The word that is meant, if the written one is but a slip away from it.
pub(crate) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let distances = words.iter().map(|word| (distance(written, word), *word));
    let near = distances.filter(|(d, word)| *d <= word.len() / 3);
    near.min_by_key(|(d, word)| (*d, Reverse(word.len())))
        .map(|(_, word)| word)
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
