//! A file of cases: read, and run.

use crossmesh_policy::Problem;
use crossmesh_policy::cases::{self, Runner, Suite};
use serde_json::Value;

use super::failure::Failure;
use super::policies::{Place, Policies, Tested};
use super::{Report, Told};
use crate::document::{Found, find};
use crate::input;
use crate::problem::Located;
use crate::yaml::{self, Node};

/// Runs all cases of a file.
pub(super) fn test(file: &str, policies: &mut Policies<'_>) -> Report {
    let (name, text) = input::text(file);
    let read = text
        .map_err(|problem| vec![problem])
        .and_then(|text| read(&text));
    match read {
        Ok(cases) => cases.run(name, policies),
        Err(problems) => {
            let told = problems.into_iter();
            let told = told.map(|problem| Told::new(&name, problem)).collect();
            Report::new(name, 0, Vec::new(), told)
        }
    }
}

/// A file of cases, as it is written and as it is read.
struct Cases {
    root: Node,
    document: Value,
    suites: Vec<Suite>,
}

fn read(text: &str) -> Result<Cases, Vec<Located>> {
    let stream = yaml::read(text);
    if let Some(broken) = stream.broken {
        return Err(vec![broken]);
    }
    let mut documents = stream.documents.into_iter();
    let (root, another) = (documents.next(), documents.next());
    let Some(root) = root else {
        return Err(vec![Located::new(
            None,
            "no cases in this file",
            "write a list of suites, each with cases",
        )]);
    };
    if let Some(another) = another {
        return Err(vec![Located::new(
            Some(another.line),
            "a second document in a file of cases",
            "write all suites into one list",
        )]);
    }
    if find(&root)
        .iter()
        .any(|found| !matches!(found, Found::Other(..)))
    {
        return Err(vec![Located::new(
            Some(root.line),
            "this is a policy, and no cases",
            "give the file of its cases, and the policy with --policy unless it is NAME.yaml beside NAME.cases.yaml",
        )]);
    }
    let changed = yaml::check(&root);
    if !changed.is_empty() {
        return Err(changed);
    }
    let document = yaml::to_json(&root).and_then(|json| serde_json::from_slice::<Value>(&json));
    let document = document.map_err(|error| {
        let problem = format!("not to be written as JSON: {error}");
        vec![Located::new(Some(root.line), problem, "")]
    })?;
    let suites = cases::read(&document).map_err(|invalid| {
        let problems = invalid.problems.into_iter();
        problems
            .map(|problem| at(&root, problem))
            .collect::<Vec<_>>()
    })?;
    Ok(Cases {
        root,
        document,
        suites,
    })
}

/// Finds the line of a problem.
fn at(root: &Node, problem: Problem) -> Located {
    Located {
        line: Some(yaml::line_of(root, root.line, &problem.field)),
        problem: Box::new(problem),
    }
}

impl Cases {
    fn run(&self, file: String, policies: &mut Policies<'_>) -> Report {
        let mut done = Done::default();
        let mut problems = Vec::new();
        for (i, suite) in self.suites.iter().enumerate() {
            let place = Place {
                file: &file,
                line: self.line(&format!("[{i}].policy")),
                policy: self
                    .root
                    .items()
                    .get(i)
                    .and_then(|suite| suite.get("policy")),
            };
            match policies.of(&place) {
                Ok(tested) => self.run_suite(i, suite, tested, &mut done),
                Err(told) => problems.extend(told),
            }
        }
        let meaningless = done.problems.into_iter();
        problems.extend(meaningless.map(|problem| Told::new(&file, at(&self.root, problem))));
        Report::new(file, done.ran, done.failures, problems)
    }

    fn run_suite(&self, index: usize, suite: &Suite, tested: &mut Tested, done: &mut Done) {
        let written = self
            .document
            .get(index)
            .and_then(|suite| suite.get("cases"));
        let mut coverage = std::mem::take(&mut tested.coverage);
        let runner = Runner::new(&tested.policy.program, &suite.node);
        for (i, case) in suite.cases.iter().enumerate() {
            let place = format!("[{index}].cases[{i}]");
            let ran = match runner.run(case) {
                Ok(ran) => ran,
                Err(problems) => {
                    for mut problem in problems {
                        // The suite's proxy is told of once.
                        problem.field = if problem.field == "node.mesh" && case.node.is_none() {
                            format!("[{index}].node.mesh")
                        } else {
                            format!("{place}.{}", problem.field)
                        };
                        if !done.problems.contains(&problem) {
                            done.problems.push(problem);
                        }
                    }
                    continue;
                }
            };
            done.ran += 1;
            coverage.take(case, &ran);
            if let Some(failure) = ran.failure {
                let written = written.and_then(|cases| cases.get(i)).cloned();
                done.failures.push(Failure::new(
                    self.line(&place),
                    case,
                    written.unwrap_or_default(),
                    case.node.as_ref().unwrap_or(&suite.node),
                    &failure,
                    tested,
                ));
            }
        }
        tested.coverage = coverage;
    }

    fn line(&self, field: &str) -> usize {
        yaml::line_of(&self.root, self.root.line, field)
    }
}

/// What came of a file's suites.
#[derive(Default)]
struct Done {
    ran: usize,
    failures: Vec<Failure>,
    /// What means nothing, by its field from the root on.
    problems: Vec<Problem>,
}
