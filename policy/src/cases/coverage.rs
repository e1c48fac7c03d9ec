//! Which rules the cases of a policy have had to do with.

use std::collections::BTreeSet;

use super::{Case, Ran};
use crate::explain::Deciding;
use crate::spec::{Action, RuleSpec, Spec};

/// The rules that some case reached.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    active: BTreeSet<String>,
    candidate: BTreeSet<String>,
}

/// A rule whose loss no case would notice: one that decides none, or, if it only counts, matches in none that says which
/// AUDIT rules do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Where it stands in the policy: `rules[2]`, or `candidate.rules[0]`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// What it would do.
    pub action: Action,
    /// Whether it is a rule of the candidate.
    pub candidate: bool,
}

impl Coverage {
    /// Takes note of what a case reached: of what it says nothing about, it would not notice the loss.
    pub fn take(&mut self, case: &Case, ran: &Ran) {
        if case.audits.is_some() {
            self.active.extend(ran.audits.iter().cloned());
        }
        if let Deciding::Rule(name) = &ran.decided_by {
            self.active.insert(name.clone());
        }
        if let Some((_, Deciding::Rule(name))) = &ran.candidate
            && case.candidate.is_some()
        {
            self.candidate.insert(name.clone());
        }
    }

    /// The rules of the policy that no case reached, in written order. An AUDIT rule of a candidate does nothing, so there
    /// is nothing to reach.
    #[must_use]
    pub fn unreached(&self, spec: &Spec) -> Vec<Unreached> {
        let active = spec.rules.iter().flatten();
        let candidate = spec.candidate.iter().flat_map(|it| &it.rules);
        let active = active.enumerate().map(|(i, rule)| (false, i, rule));
        let candidate = candidate.enumerate().map(|(i, rule)| (true, i, rule));
        active
            .chain(candidate)
            .filter(|(candidate, _, rule)| self.lacks(*candidate, rule))
            .map(|(candidate, i, rule)| Unreached {
                field: format!("{}rules[{i}]", if candidate { "candidate." } else { "" }),
                name: rule.name.clone(),
                action: rule.action,
                candidate,
            })
            .collect()
    }

    fn lacks(&self, candidate: bool, rule: &RuleSpec) -> bool {
        if candidate {
            rule.action != Action::Audit && !self.candidate.contains(&rule.name)
        } else {
            !self.active.contains(&rule.name)
        }
    }
}
