//! Counters by rule.
//!
//! The label `rule` is the rule's name, or `default_<class>` where a default decided: no rule's name has an underscore.

use std::collections::BTreeMap;

use crossmesh_policy::{DecidedBy, SourceClass, Verdict};

use super::metrics;
use crate::host::Counter;

/// Rules that have a counter of their own in each metric, in the order in which the policy gives them; those beyond are
/// `other`.
const NAMED_RULES: usize = 256;

/// One counter for each rule. None where Envoy refused to define one.
#[derive(Debug)]
pub(super) struct Rules {
    rules: BTreeMap<String, Option<Counter>>,
    /// Where it allows, and where it denies; the same twice of rules that do not decide.
    other: [Option<Counter>; 2],
    /// By class: where it allows, and where it denies.
    defaults: Vec<(SourceClass, [Option<Counter>; 2])>,
}

impl Rules {
    /// Counters of the rules that decide and of the defaults, with the label `verdict` too.
    pub(super) fn deciding<'p>(
        rules: impl Iterator<Item = (&'p str, Verdict)>,
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
        let mut named = BTreeMap::new();
        let mut other = [None; 2];
        for (at, (rule, verdict)) in rules.enumerate() {
            if at < NAMED_RULES {
                named.insert(rule.to_owned(), counter(rule, verdict));
            } else {
                other = VERDICTS.map(|verdict| counter(super::OTHER, verdict));
                break;
            }
        }
        Self {
            rules: named,
            other,
            defaults: defaults.collect(),
        }
    }

    /// Counters of AUDIT rules.
    pub(super) fn auditing<'p>(rules: impl Iterator<Item = &'p str>, name: &str) -> Self {
        let counter = |rule: &str| metrics::counter(&format!("rule=.={rule};.;{name}"));
        let mut named = BTreeMap::new();
        let mut other = [None; 2];
        for (at, rule) in rules.enumerate() {
            if at < NAMED_RULES {
                named.insert(rule.to_owned(), counter(rule));
            } else {
                other = [counter(super::OTHER); 2];
                break;
            }
        }
        Self {
            rules: named,
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

/// In the order of every pair of counters here.
const VERDICTS: [Verdict; 2] = [Verdict::Allow, Verdict::Deny];

fn of([allow, deny]: &[Option<Counter>; 2], verdict: Verdict) -> Option<Counter> {
    match verdict {
        Verdict::Allow => *allow,
        Verdict::Deny => *deny,
    }
}
