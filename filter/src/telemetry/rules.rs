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
    other: Option<Counter>,
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
            let both = [Verdict::Allow, Verdict::Deny].map(|verdict| counter(&rule, verdict));
            (class, both)
        });
        let mut named = BTreeMap::new();
        let mut other = None;
        for (at, (rule, verdict)) in rules.enumerate() {
            if at < NAMED_RULES {
                named.insert(rule.to_owned(), counter(rule, verdict));
            } else {
                other = metrics::counter(&format!("rule=.={};.;{name}", super::OTHER));
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
        let mut other = None;
        for (at, rule) in rules.enumerate() {
            if at < NAMED_RULES {
                named.insert(rule.to_owned(), counter(rule));
            } else {
                other = counter(super::OTHER);
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
        self.rules.get(rule).copied().unwrap_or(self.other)
    }

    /// The counter of what decided so.
    pub(super) fn decision(&self, by: &DecidedBy<'_>, verdict: Verdict) -> Option<Counter> {
        match by {
            DecidedBy::Rule(name) => self.audit(name),
            DecidedBy::Default(class) => {
                let (_, [allow, deny]) = self.defaults.iter().find(|(of, _)| of == class)?;
                match verdict {
                    Verdict::Allow => *allow,
                    Verdict::Deny => *deny,
                }
            }
        }
    }
}
