//! `crossmesh policy test`.

mod failure;
mod files;
mod policies;
mod suites;

use crossmesh_policy::Action;
use crossmesh_policy::cases::Unreached;
use serde::Serialize;

use crate::End;
use crate::args::{Format, Test};
use crate::check::{Entry, counted};
use crate::output::Output;
use crate::problem::Located;
use failure::Failure;
use policies::{Policies, Tested};

/// Runs all cases of all files; every one that fails is told.
///
/// # Errors
/// Only when nothing can be written.
pub(crate) fn run(args: &Test, output: &Output) -> anyhow::Result<End> {
    let mut policies = Policies::new(args);
    let mut reports = Vec::new();
    for file in files::all(args) {
        let report = match file {
            Ok(file) => suites::test(&file, &mut policies),
            Err(told) => Report::unread(told),
        };
        if args.format == Format::Text {
            report.write(output)?;
        }
        reports.push(report);
    }
    if let Some(note) = policies.unused() {
        output.note(note)?;
    }
    let summary = Summary::new(args, reports, &policies);
    match args.format {
        Format::Text => summary.write_unreached(args, output)?,
        Format::Json => output.json(&summary)?,
    }
    Ok(summary.end())
}

/// All that came of it. As JSON, a public contract: fields are added, never renamed.
#[derive(Serialize)]
struct Summary {
    ok: bool,
    cases: usize,
    failed: usize,
    files: Vec<Report>,
    /// The rules that no case reached; none where not every case could be run.
    unreached_rules: Option<Vec<Gap>>,
}

impl Summary {
    fn new(args: &Test, files: Vec<Report>, policies: &Policies<'_>) -> Self {
        let all_ran = files.iter().all(|report| report.problems.is_empty());
        let gaps = policies.tested().flat_map(gaps);
        let unreached_rules = all_ran.then(|| gaps.collect::<Vec<Gap>>());
        let gaps_fail =
            args.every_rule && unreached_rules.as_ref().is_some_and(|it| !it.is_empty());
        Self {
            ok: files.iter().all(|report| report.ok) && !gaps_fail,
            cases: files.iter().map(|report| report.cases).sum(),
            failed: files.iter().map(|report| report.failures.len()).sum(),
            files,
            unreached_rules,
        }
    }

    fn write_unreached(&self, args: &Test, output: &Output) -> anyhow::Result<()> {
        for gap in self.unreached_rules.iter().flatten() {
            let Gap { file, line, .. } = gap;
            let said = gap.said();
            if args.every_rule {
                output.result(format_args!("{file}:{line}: {said}; write a case for it\n"))?;
            } else {
                output.note(format_args!("{file}:{line}: note: {said}"))?;
            }
        }
        Ok(())
    }

    fn end(&self) -> End {
        if self.ok {
            End::Good
        } else if self.unreached_rules.is_none() {
            End::Wrong
        } else {
            End::Problem
        }
    }
}

/// What came of one file.
#[derive(Serialize)]
struct Report {
    file: String,
    ok: bool,
    /// How many cases could be run.
    cases: usize,
    failures: Vec<Failure>,
    /// What kept cases from being run, in this file or in that of a policy.
    problems: Vec<Told>,
}

/// A problem, and the file that it is in.
#[derive(Serialize)]
struct Told {
    file: String,
    #[serde(flatten)]
    entry: Entry,
}

impl Told {
    fn new(file: impl Into<String>, located: Located) -> Self {
        Self {
            file: file.into(),
            entry: located.into(),
        }
    }
}

/// A rule that no case reached.
#[derive(Serialize)]
struct Gap {
    file: String,
    line: usize,
    /// `NAMESPACE/NAME` of the resource; none for a bare pluginConfig.
    plugin: Option<String>,
    rule: String,
    action: &'static str,
    /// Whether it is one of the candidate's.
    candidate: bool,
    #[serde(skip)]
    only_counts: bool,
}

fn gaps(tested: &Tested) -> impl Iterator<Item = Gap> {
    let unreached = tested.coverage.unreached(&tested.policy.spec);
    unreached.into_iter().map(|rule| {
        let Unreached {
            field,
            name,
            action,
            candidate,
        } = rule;
        Gap {
            file: tested.file.clone(),
            line: tested.line(&field),
            plugin: tested.plugin.full_name(),
            rule: name,
            action: action.as_str(),
            candidate,
            only_counts: action == Action::Audit,
        }
    })
}

impl Gap {
    fn said(&self) -> String {
        let Self { rule, action, .. } = self;
        let whose = if self.candidate { "candidate's " } else { "" };
        let lacks = if self.only_counts {
            "matches in no case that says audits"
        } else if self.candidate {
            "decides no case that says candidate"
        } else {
            "decides no case"
        };
        format!("the {whose}{action} rule {rule} {lacks}")
    }
}

impl Report {
    fn new(file: String, cases: usize, failures: Vec<Failure>, problems: Vec<Told>) -> Self {
        Self {
            file,
            ok: failures.is_empty() && problems.is_empty(),
            cases,
            failures,
            problems,
        }
    }

    /// Of a file without any case that could be run.
    fn unread(told: Told) -> Self {
        Self::new(told.file.clone(), 0, Vec::new(), vec![told])
    }

    fn write(&self, output: &Output) -> anyhow::Result<()> {
        let Self { file, cases, .. } = self;
        for told in &self.problems {
            output.note(told.entry.located.within(&told.file))?;
        }
        for failure in &self.failures {
            output.result(failure.within(file))?;
        }
        let which = if self.problems.is_empty() {
            ""
        } else {
            " that could be run"
        };
        let cases = counted(*cases, "case");
        if self.ok {
            output.result(format_args!("{file}: ok, {cases}\n"))?;
        } else if !self.failures.is_empty() {
            let failed = self.failures.len();
            output.result(format_args!("{file}: {failed} of {cases}{which} failed\n"))?;
        }
        Ok(())
    }
}
