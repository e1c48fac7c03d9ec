//! `crossmesh policy check`.

use std::fmt;

use crossmesh_policy::Mode;
use serde::Serialize;

use crate::End;
use crate::args::{Check, Format};
use crate::document::Plugin;
use crate::input::{self, Input, Policy};
use crate::output::Output;
use crate::problem::Located;
use crate::seldom;

/// Checks all files; every problem of every file is said.
///
/// # Errors
/// Only when nothing can be written.
pub(crate) fn run(args: &Check, output: &Output) -> anyhow::Result<End> {
    let mut inputs: Vec<Input> = args.files.iter().map(|file| input::read(file)).collect();
    // So that wasm-plugins/*.yaml can be given: what lies beside policies is no mistake.
    if inputs.iter().any(|input| !input.is_something_else()) {
        for input in inputs.iter_mut().filter(|input| input.is_something_else()) {
            input.problems.clear();
        }
    }
    let mut reports = Vec::with_capacity(inputs.len());
    for input in inputs {
        let report = check(input);
        if args.format == Format::Text {
            report.write(output)?;
        }
        reports.push(report);
    }
    let good = reports.iter().all(|report| report.ok);
    if args.format == Format::Json {
        output.json(&Summary {
            ok: good,
            files: reports,
        })?;
    }
    Ok(if good { End::Good } else { End::Wrong })
}

#[derive(Serialize)]
struct Summary {
    ok: bool,
    files: Vec<Report>,
}

/// What is to be said about one file.
#[derive(Serialize)]
struct Report {
    file: String,
    ok: bool,
    /// The good policies.
    policies: Vec<Good>,
    problems: Vec<Entry>,
    warnings: Vec<Entry>,
    /// What was passed over.
    passed_over: Vec<Other>,
}

#[derive(Serialize)]
struct Good {
    line: usize,
    kind: &'static str,
    /// `NAMESPACE/NAME`; none for a bare pluginConfig.
    plugin: Option<String>,
    mode: &'static str,
    rules: usize,
    /// The rules of the candidate; none if there is no candidate.
    candidate_rules: Option<usize>,
    meshes: Vec<String>,
}

#[derive(Serialize)]
struct Other {
    line: usize,
    what: String,
}

/// One problem or warning as data.
#[derive(Serialize)]
pub(crate) struct Entry {
    line: Option<usize>,
    rule: Option<String>,
    field: String,
    value: Option<String>,
    problem: String,
    mend: String,
    /// The same as people read it.
    #[serde(skip)]
    pub(crate) located: Located,
}

fn check(input: Input) -> Report {
    let mut report = Report {
        file: input.name,
        ok: false,
        policies: Vec::new(),
        problems: input.problems.into_iter().map(Entry::from).collect(),
        warnings: Vec::new(),
        passed_over: input
            .others
            .into_iter()
            .map(|(line, what)| Other { line, what })
            .collect(),
    };
    for plugin in &input.plugins {
        let around = plugin.warnings.iter().cloned();
        report.warnings.extend(around.map(Entry::from));
        match input::compile(plugin) {
            Ok(policy) => {
                let mut warnings = policy.program.warnings().to_vec();
                if plugin.is_network || policy.program.names_tcp() {
                    warnings.extend(policy.program.warnings_on_tcp());
                }
                warnings.extend(seldom::warnings(plugin, &policy.spec));
                let warnings = input::locate(plugin, &warnings).into_iter();
                let fail_open = seldom::fail_open(plugin, &policy.spec);
                report
                    .warnings
                    .extend(warnings.chain(fail_open).map(Entry::from));
                report.policies.push(good(plugin, &policy));
            }
            Err(problems) => report
                .problems
                .extend(problems.into_iter().map(Entry::from)),
        }
    }
    report.problems.sort_by_key(|entry| entry.line);
    report.warnings.sort_by_key(|entry| entry.line);
    report.ok = report.problems.is_empty();
    report
}

fn good(plugin: &Plugin, policy: &Policy) -> Good {
    let spec = &policy.spec;
    Good {
        line: plugin.line,
        kind: plugin.kind.as_str(),
        plugin: plugin.full_name(),
        mode: spec.mode.unwrap_or_default().as_str(),
        rules: spec.rules.as_ref().map_or(0, Vec::len),
        candidate_rules: spec
            .candidate
            .as_ref()
            .map(|candidate| candidate.rules.len()),
        meshes: spec.meshes.iter().map(|mesh| mesh.id.clone()).collect(),
    }
}

impl From<Located> for Entry {
    fn from(located: Located) -> Self {
        let problem = *located.problem.clone();
        Self {
            line: located.line,
            rule: problem.rule,
            field: problem.field,
            value: problem.value,
            problem: problem.problem,
            mend: problem.mend,
            located,
        }
    }
}

impl Report {
    fn write(&self, output: &Output) -> anyhow::Result<()> {
        let file = &self.file;
        for other in &self.passed_over {
            output.note(format_args!(
                "{file}:{}: note: passed over {}",
                other.line, other.what
            ))?;
        }
        for entry in &self.problems {
            output.note(entry.located.within(file))?;
        }
        for entry in &self.warnings {
            output.note(entry.located.warning_within(file))?;
        }
        // A file with anything wrong in it is no good file, whatever else is in it.
        if self.ok {
            for policy in &self.policies {
                match &policy.plugin {
                    Some(name) if self.policies.len() > 1 => {
                        output.result(format_args!("{file}: {name}: {policy}\n"))?
                    }
                    _ => output.result(format_args!("{file}: {policy}\n"))?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Good {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ok, {}", counted(self.rules, "rule"))?;
        if let Some(rules) = self.candidate_rules {
            write!(f, ", {}", counted(rules, "candidate rule"))?;
        }
        write!(f, ", meshes {}", self.meshes.join(", "))?;
        if self.mode == Mode::DryRun.as_str() {
            f.write_str(", DRY_RUN: refuses nothing")?;
        }
        Ok(())
    }
}

/// A number of things.
pub(crate) fn counted(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}
