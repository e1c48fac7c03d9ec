//! From a document to suites, with all that is not of their shape.

use serde::Deserialize as _;
use serde_json::Value;

use super::{Case, Suite};
use crate::problem::{Invalid, Problem};
use crate::spec::read::sweep;

/// Reads a file of cases.
///
/// # Errors
/// All that is not of the shape: unknown fields, missing ones, values of the wrong kind, lists without anything in them.
/// Fields are told from the root on, as in `[0].cases[2].want`.
pub fn read(document: &Value) -> Result<Vec<Suite>, Invalid> {
    let Value::Array(suites) = document else {
        return Err(Invalid::one(problem(
            "",
            "this is no list of suites",
            "write a list, each of its items with cases",
        )));
    };
    if suites.is_empty() {
        return Err(Invalid::one(empty("")));
    }
    let mut problems = Vec::new();
    for (i, suite) in suites.iter().enumerate() {
        look_at(suite, document, &format!("[{i}]"), &mut problems);
    }
    if problems.is_empty() {
        // What was looked at in parts is right as a whole.
        Vec::deserialize(document)
            .map_err(|error| Invalid::one(problem("", &error.to_string(), "")))
    } else {
        Err(Invalid { problems })
    }
}

/// A suite without its cases, then each of its cases.
fn look_at(suite: &Value, document: &Value, place: &str, problems: &mut Vec<Problem>) {
    let mut rest = suite.clone();
    if let Some(Value::Array(cases)) = rest.get_mut("cases") {
        cases.clear();
    }
    sweep::read::<Suite>(rest, document, place, problems);
    let Some(Value::Array(cases)) = suite.get("cases") else {
        return;
    };
    if cases.is_empty() {
        problems.push(empty(&format!("{place}.cases")));
    }
    for (i, case) in cases.iter().enumerate() {
        let place = format!("{place}.cases[{i}]");
        sweep::read::<Case>(case.clone(), document, &place, problems);
    }
}

fn empty(field: &str) -> Problem {
    problem(field, "the list is empty", "write a case")
}

fn problem(field: &str, problem: &str, mend: &str) -> Problem {
    Problem {
        rule: None,
        field: field.into(),
        value: None,
        problem: problem.into(),
        mend: mend.into(),
    }
}
