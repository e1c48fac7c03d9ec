//! Where a compiler stands, what it found wrong, and how it reads a list field.

use std::fmt::Display;

use crate::list::Listed;
use crate::problem::{Invalid, Problem};
use crate::rule::Among;

/// A place in the configuration.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    rule: Option<&'a str>,
    field: String,
}

impl<'a> At<'a> {
    pub(super) fn field(path: &str) -> Self {
        Self {
            rule: None,
            field: path.into(),
        }
    }

    /// A rule of the list `rules` in the object `within`, which is empty or ends in a dot.
    pub(super) fn rule(name: &'a str, within: &str, index: usize) -> Self {
        Self {
            rule: Some(name),
            field: format!("{within}rules[{index}]"),
        }
    }

    /// A field of the object here.
    pub(super) fn then(&self, field: &str) -> Self {
        Self {
            rule: self.rule,
            field: format!("{}.{field}", self.field),
        }
    }

    /// An item of the list here.
    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            rule: self.rule,
            field: format!("{}[{index}]", self.field),
        }
    }
}

/// What was found so far. To tell of it is rare and takes its time: told so (`#[cold]`), the compiler keeps it small.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    /// Something is wrong with the value at a place.
    #[cold]
    pub(super) fn value(&mut self, at: &At<'_>, value: &str, problem: &str, mend: &str) {
        self.shown(at, &format!("{value:?}"), problem, mend);
    }

    /// Something is wrong with what is shown of the place, which is no text.
    #[cold]
    pub(super) fn shown(&mut self, at: &At<'_>, value: &str, problem: &str, mend: &str) {
        self.problems
            .push(told(at, Some(value.into()), problem, mend));
    }

    /// Something is wrong with the list at a place, as a whole.
    #[cold]
    pub(super) fn list(&mut self, at: &At<'_>, values: &[String], problem: &str, mend: &str) {
        self.shown(at, &format!("{values:?}"), problem, mend);
    }

    /// Something is wrong with the place itself.
    #[cold]
    pub(super) fn problem(&mut self, at: &At<'_>, problem: &str, mend: &str) {
        self.problems.push(told(at, None, problem, mend));
    }

    /// Something is allowed, but seldom meant.
    #[cold]
    pub(super) fn warn(&mut self, at: &At<'_>, problem: &str, mend: &str) {
        self.warnings.push(told(at, None, problem, mend));
    }

    /// How much is wrong so far.
    pub(super) fn len(&self) -> usize {
        self.problems.len()
    }

    /// The warnings, of a policy with which nothing is wrong.
    pub(super) fn into_warnings(self) -> Vec<Problem> {
        self.warnings
    }

    /// The warnings, if nothing is wrong.
    pub(super) fn finish(self) -> Result<Vec<Problem>, Invalid> {
        if self.problems.is_empty() {
            Ok(self.warnings)
        } else {
            Err(Invalid {
                problems: self.problems,
            })
        }
    }
}

fn told(at: &At<'_>, value: Option<String>, problem: &str, mend: &str) -> Problem {
    Problem {
        rule: at.rule.map(str::to_owned),
        field: at.field.clone(),
        value,
        problem: problem.into(),
        mend: mend.into(),
    }
}

/// The first of these list fields that is given.
pub(super) fn first_given<'s>(
    fields: &[(&'static str, &'s Option<Vec<String>>)],
) -> Option<(&'static str, &'s [String])> {
    let mut given = fields
        .iter()
        .filter_map(|(name, list)| Some((*name, list.as_deref()?)));
    given.next()
}

/// Why one value of a list is refused.
pub(super) struct Fault {
    pub(super) problem: String,
    pub(super) mend: String,
}

impl Fault {
    pub(super) fn new(problem: impl Display, mend: impl Display) -> Self {
        Self {
            problem: problem.to_string(),
            mend: mend.to_string(),
        }
    }
}

/// The `not…` form of a field's name: `notHosts` of `hosts`.
pub(super) fn not_form(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    "not".chars().chain(first).chain(letters).collect()
}

/// Compiles a list field and its `not…` form.
pub(super) fn among<P: Listed>(
    at: &At<'_>,
    name: &str,
    (any, none): (&Option<Vec<String>>, &Option<Vec<String>>),
    report: &mut Report,
    parse: impl Fn(&str) -> Result<P, Fault>,
) -> Among<P> {
    among_expanded(at, name, (any, none), report, |text| {
        parse(text).map(|p| vec![p])
    })
}

/// As [`among`], where one value may stand for several.
pub(super) fn among_expanded<P: Listed>(
    at: &At<'_>,
    name: &str,
    (any, none): (&Option<Vec<String>>, &Option<Vec<String>>),
    report: &mut Report,
    parse: impl Fn(&str) -> Result<Vec<P>, Fault>,
) -> Among<P> {
    let mut read = |name: &str, values: &Option<Vec<String>>| {
        let values = values.as_ref()?;
        let at = at.then(name);
        refuse_empty(&at, values.len(), report);
        let mut read = Vec::with_capacity(values.len());
        for (i, text) in values.iter().enumerate() {
            match parse(text) {
                Ok(parsed) => read.extend(parsed),
                Err(fault) => report.value(&at.item(i), text, &fault.problem, &fault.mend),
            }
        }
        Some(read.into())
    };
    let any = read(name, any);
    Among::new(any, read(&not_form(name), none))
}

/// An empty list is refused: whether it should match nothing or everything, its author knows and we do not.
pub(super) fn refuse_empty(at: &At<'_>, values: usize, report: &mut Report) {
    if values == 0 {
        report.problem(
            at,
            "the list is empty",
            "leave the field out, or write a value",
        );
    }
}
