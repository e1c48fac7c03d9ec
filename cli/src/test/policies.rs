//! The policies that cases are about: each read once, with the rules that cases reached.

use std::collections::HashMap;
use std::path::Path;

use crossmesh_policy::cases::Coverage;

use super::Told;
use super::files::beside;
use crate::args::Test;
use crate::document::Plugin;
use crate::explain::choose;
use crate::input::{self, Policy};
use crate::problem::Located;
use crate::yaml::{self, Node};

/// All policies of one run.
pub(super) struct Policies<'a> {
    args: &'a Test,
    tested: Vec<Tested>,
    /// Where in `tested` the policy of a file is; none if it could not be read, which was told then.
    by_file: HashMap<String, Option<usize>>,
}

/// A policy that cases are about.
pub(super) struct Tested {
    /// The file that it is in.
    pub(super) file: String,
    /// Where in it.
    pub(super) plugin: Plugin,
    pub(super) policy: Policy,
    /// What cases reached of it.
    pub(super) coverage: Coverage,
}

impl Tested {
    fn read(file: &str, plugin: Plugin) -> Result<Self, Vec<Told>> {
        let told = |problems: Vec<Located>| {
            let problems = problems.into_iter();
            problems
                .map(|problem| Told::new(file, problem))
                .collect::<Vec<_>>()
        };
        let policy = input::compile(&plugin).map_err(told)?;
        Ok(Self {
            file: file.to_owned(),
            plugin,
            policy,
            coverage: Coverage::default(),
        })
    }

    /// The line of a field of the policy.
    pub(super) fn line(&self, field: &str) -> usize {
        yaml::line_of(&self.plugin.config, self.plugin.line, field)
    }
}

/// Where a suite stands, and the policy that it brings.
pub(super) struct Place<'p> {
    pub(super) file: &'p str,
    /// That of its policy, or of the suite if it brings none.
    pub(super) line: usize,
    pub(super) policy: Option<&'p Node>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(args: &'a Test) -> Self {
        Self {
            args,
            tested: Vec::new(),
            by_file: HashMap::new(),
        }
    }

    /// The policy that a suite is about.
    ///
    /// # Errors
    /// Why there is none; nothing if that was told before.
    pub(super) fn of(&mut self, suite: &Place<'_>) -> Result<&mut Tested, Vec<Told>> {
        let index = match suite.policy {
            Some(config) => {
                let plugin = Plugin::bare(suite.line, config.clone());
                let tested = Tested::read(suite.file, plugin)?;
                self.push(tested)
            }
            None => self.of_file(suite)?,
        };
        self.tested.get_mut(index).ok_or_else(Vec::new)
    }

    fn of_file(&mut self, suite: &Place<'_>) -> Result<usize, Vec<Told>> {
        let file = match &self.args.policy {
            Some(file) => file.clone(),
            None => file_beside(suite).map_err(|problem| vec![Told::new(suite.file, problem)])?,
        };
        if let Some(index) = self.by_file.get(&file) {
            return index.ok_or_else(Vec::new);
        }
        let read = read(&file, self.args.plugin.as_deref()).map(|tested| self.push(tested));
        self.by_file.insert(file, read.as_ref().ok().copied());
        read
    }

    fn push(&mut self, tested: Tested) -> usize {
        self.tested.push(tested);
        self.tested.len().saturating_sub(1)
    }

    /// Those that could be read.
    pub(super) fn tested(&self) -> impl Iterator<Item = &Tested> {
        self.tested.iter()
    }

    /// That a policy was given for nothing, if it was.
    pub(super) fn unused(&self) -> Option<String> {
        let file = self.args.policy.as_ref()?;
        (self.by_file.is_empty() && !self.tested.is_empty())
            .then(|| format!("note: --policy {file} has no effect, every suite brings its policy"))
    }
}

/// The file of the policy beside the suite's.
fn file_beside(suite: &Place<'_>) -> Result<String, Located> {
    let problem = match beside(suite.file) {
        Some(file) if Path::new(&file).exists() => return Ok(file),
        Some(file) => format!("a suite without policy, and there is no {file}"),
        None => "a suite without policy, in a file that is not called NAME.cases.yaml".into(),
    };
    Err(Located::new(
        Some(suite.line),
        problem,
        "write its policy into the suite or into NAME.yaml beside NAME.cases.yaml, or give --policy FILE",
    ))
}

/// Reads the one policy of a file, or the one of a name.
fn read(file: &str, plugin: Option<&str>) -> Result<Tested, Vec<Told>> {
    let input = input::read(file);
    let problems = if input.problems.is_empty() {
        match choose(&input.plugins, plugin) {
            Ok(plugin) => return Tested::read(&input.name, plugin.clone()),
            Err(problem) => vec![problem],
        }
    } else {
        input.problems
    };
    let told = problems.into_iter();
    Err(told
        .map(|problem| Told::new(&input.name, problem))
        .collect())
}
