//! Counters by rule.
//!
//! The label `rule` is the rule's name, or `default_<class>` where a default decided: no rule's name has an underscore.

use std::collections::BTreeMap;

use crossmesh_policy::{DecidedBy, SourceClass, Verdict};

use super::{metrics, named};
use crate::host::Counter;

/// One counter for each rule; rules that have none of their own are `other`. None where Envoy refused to define one.
#[derive(Debug)]
pub(super) struct Rules {
    rules: BTreeMap<String, Option<Counter>>,
    /// Where it allows, and where it denies; the same twice of rules that do not decide.
    other: [Option<Counter>; 2],
    /// By class: where it allows, and where it denies.
    defaults: Vec<(SourceClass, [Option<Counter>; 2])>,
}

impl Rules {
    /// Counters of the rules that decide and of the defaults, with the label `verdict` too. So many rules at most have one
    /// of their own.
    pub(super) fn deciding<'p>(
        rules: impl Iterator<Item = (&'p str, Verdict)>,
        most: u16,
        name: &str,
    ) -> Self {
        let counter = |rule: &str, verdict: Verdict| {
            let verdict = verdict.as_str();
            metrics::counter(&format!("rule=.={rule};.;verdict=.={verdict};.;{name}"))
        };
        let defaults = SourceClass::ALL.into_iter().map(|class| {
            let rule = format!("default_{class}");
            let both = VERDICTS.map(|verdict| counter(&rule, verdict));
            (class, both)
        });
        let others = || VERDICTS.map(|verdict| counter(super::OTHER, verdict));
        let (rules, other) = told_apart(rules, most, name, counter, others);
        Self {
            rules,
            other,
            defaults: defaults.collect(),
        }
    }

    /// Counters of AUDIT rules, likewise.
    pub(super) fn auditing<'p>(
        rules: impl Iterator<Item = &'p str>,
        most: u16,
        name: &str,
    ) -> Self {
        let counter = |rule: &str| metrics::counter(&format!("rule=.={rule};.;{name}"));
        // That an AUDIT rule has no verdict does not matter where there is one counter for both.
        let rules = rules.map(|rule| (rule, Verdict::Allow));
        let others = || [counter(super::OTHER); 2];
        let (rules, other) = told_apart(rules, most, name, |rule, _| counter(rule), others);
        Self {
            rules,
            other,
            defaults: Vec::new(),
        }
    }

    /// The counter of an AUDIT rule.
    pub(super) fn audit(&self, rule: &str) -> Option<Counter> {
        self.rule(rule, Verdict::Allow)
    }

    /// The counter of what decided so.
    pub(super) fn decision(&self, by: &DecidedBy<'_>, verdict: Verdict) -> Option<Counter> {
        match by {
            DecidedBy::Rule(name) => self.rule(name, verdict),
            DecidedBy::Default(class) => {
                let (_, both) = self.defaults.iter().find(|(of, _)| of == class)?;
                of(both, verdict)
            }
        }
    }

    fn rule(&self, name: &str, verdict: Verdict) -> Option<Counter> {
        match self.rules.get(name) {
            Some(counter) => *counter,
            None => of(&self.other, verdict),
        }
    }
}

/// The counters of the rules that have one of their own, and of the others if there are any.
fn told_apart<'p>(
    rules: impl Iterator<Item = (&'p str, Verdict)>,
    most: u16,
    name: &str,
    counter: impl Fn(&str, Verdict) -> Option<Counter>,
    others: impl FnOnce() -> [Option<Counter>; 2],
) -> (BTreeMap<String, Option<Counter>>, [Option<Counter>; 2]) {
    let rules: Vec<_> = rules.collect();
    let names: Vec<&str> = rules.iter().map(|(rule, _)| *rule).collect();
    let own = named::admitted(name, &names, most);
    let mut counters = BTreeMap::new();
    for (rule, verdict) in rules.iter().filter(|(rule, _)| own.contains(rule)) {
        counters.insert((*rule).to_owned(), counter(rule, *verdict));
    }
    let all = counters.len() == rules.len();
    (counters, if all { [None; 2] } else { others() })
}

/// In the order of every pair of counters here.
const VERDICTS: [Verdict; 2] = [Verdict::Allow, Verdict::Deny];

fn of([allow, deny]: &[Option<Counter>; 2], verdict: Verdict) -> Option<Counter> {
    match verdict {
        Verdict::Allow => *allow,
        Verdict::Deny => *deny,
    }
}
