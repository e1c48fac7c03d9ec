//! A file of policies, read once: what is in it, and all that is wrong with it so far.

use std::io::Read as _;

use crossmesh_policy::{Problem, Program, Spec, parse};

use crate::document::{CASES, Found, Plugin, UNKNOWN, find};
use crate::problem::Located;
use crate::yaml;

const NO_POLICY: &str = "no policy in this file";

/// A file as the commands see it.
pub(crate) struct Input {
    /// Its name in messages.
    pub(crate) name: String,
    /// What carries a policy in it, in written order.
    pub(crate) plugins: Vec<Plugin>,
    /// Documents that were passed over: the line, and what they are.
    pub(crate) others: Vec<(usize, String)>,
    /// What is wrong with the file, outside of the policies.
    pub(crate) problems: Vec<Located>,
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &str) -> Input {
    let (name, text) = text(path);
    let mut input = Input {
        name,
        plugins: Vec::new(),
        others: Vec::new(),
        problems: Vec::new(),
    };
    match text {
        Ok(text) => input.take(&text),
        Err(problem) => input.problems.push(problem),
    }
    input
}

/// The name in messages of a file, or of standard input for `-`, and its text.
pub(crate) fn text(path: &str) -> (String, Result<String, Located>) {
    let (name, bytes) = match path {
        "-" => {
            let mut bytes = Vec::new();
            (
                "<stdin>",
                std::io::stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .map(|_| bytes),
            )
        }
        path => (path, std::fs::read(path)),
    };
    let text = match bytes {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            not_text(error.as_bytes(), at)
        }),
        Err(error) => Err(Located::new(
            None,
            format!("the file cannot be read: {error}"),
            "give the path of a file of YAML or JSON, or - for standard input",
        )),
    };
    (name.to_owned(), text)
}

impl Input {
    fn take(&mut self, text: &str) {
        let stream = yaml::read(text);
        for found in stream.documents.iter().flat_map(find) {
            match found {
                Found::Plugin(plugin) => self.plugins.push(plugin),
                Found::Other(line, what) => self.others.push((line, what)),
                Found::Wrong(problem) => self.problems.push(problem),
            }
        }
        self.problems.extend(stream.broken);
        if self.plugins.is_empty() && self.problems.is_empty() {
            let mend = if self.others.iter().any(|(_, what)| what == CASES) {
                "give the policy whose cases they are, such as sidecar.yaml of sidecar.cases.yaml"
            } else {
                "give a WasmPlugin or TrafficExtension of crossmesh's, or a pluginConfig that begins with schema: crossmesh/v1"
            };
            self.problems.push(Located::new(None, NO_POLICY, mend));
        }
    }

    /// Whether it holds only what is known to be no policy: among several files it may be passed over.
    pub(crate) fn is_something_else(&self) -> bool {
        let has_no_policy = |problem: &Located| problem.problem.problem == NO_POLICY;
        self.problems.iter().all(has_no_policy)
            && self.plugins.is_empty()
            && !self.others.is_empty()
            && self.others.iter().all(|(_, what)| what != UNKNOWN)
    }
}

/// A policy that is right.
pub(crate) struct Policy {
    /// As written.
    pub(crate) spec: Spec,
    /// What it means.
    pub(crate) program: Program,
}

/// Reads the policy of one plugin, by the functions that the filter uses.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn compile(plugin: &Plugin) -> Result<Policy, Vec<Located>> {
    let changed = yaml::check(&plugin.config);
    if !changed.is_empty() {
        return Err(changed);
    }
    let json = yaml::to_json(&plugin.config).map_err(|error| {
        vec![Located::new(
            Some(plugin.line),
            format!("not to be written as JSON: {error}"),
            "",
        )]
    })?;
    let located = |invalid: crossmesh_policy::Invalid| locate(plugin, &invalid.problems);
    let spec = parse(&json).map_err(located)?;
    let program = Program::compile(&spec).map_err(located)?;
    Ok(Policy { spec, program })
}

/// Finds the line of each problem.
pub(crate) fn locate(plugin: &Plugin, problems: &[Problem]) -> Vec<Located> {
    problems
        .iter()
        .map(|problem| Located {
            line: Some(yaml::line_of(&plugin.config, plugin.line, &problem.field)),
            problem: Box::new(problem.clone()),
        })
        .collect()
}

fn not_text(bytes: &[u8], at: usize) -> Located {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        .saturating_add(1);
    Located::new(Some(line), "not UTF-8", "save the file as UTF-8")
}
