//! One set of rules with its defaults, as one proxy runs it: the active one, or the candidate beside it.

use crate::decide::DecidedBy;
use crate::facts::Facts;
use crate::index::Index;
use crate::policy::{Common, Defaults, Needs};
use crate::request::Node;
use crate::rule::{Own, Rule, To};
use crate::source::Source;
use crate::spec::{Action, Verdict};
use crate::truth::{Doubt, Match};

/// A set of rules as written, for any proxy.
#[derive(Clone, Debug)]
pub(crate) struct WrittenRules {
    /// In written order.
    pub(crate) rules: Vec<Rule>,
    pub(crate) defaults: Defaults,
}

/// A set of rules for one proxy.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    deny: Indexed,
    allow: Indexed,
    audit: Indexed,
    defaults: Defaults,
}

/// The rules of one action, in written order, and where to look for those that may apply.
#[derive(Clone, Debug)]
struct Indexed {
    rules: Vec<Rule>,
    index: Index,
}

impl WrittenRules {
    /// The rules that are about this proxy.
    pub(crate) fn bind(&self, node: &Node, common: &Common) -> RuleSet {
        let of = |action| {
            let rules = self.rules.iter().filter(|rule| rule.action == action);
            let rules: Vec<Rule> = rules.filter_map(|rule| bound(rule, node)).collect();
            Indexed {
                index: Index::build(&rules, action, common),
                rules,
            }
        };
        RuleSet {
            deny: of(Action::Deny),
            allow: of(Action::Allow),
            audit: of(Action::Audit),
            defaults: self.defaults,
        }
    }
}

/// The rule without what the proxy has settled; none if no item of `to` is about this proxy.
fn bound(rule: &Rule, node: &Node) -> Option<Rule> {
    let to = match &rule.to {
        None => None,
        Some(items) => {
            let kept: Vec<To> = items
                .iter()
                .filter(|to| to.own.holds(node, rule.action) == Match::Yes)
                .map(|to| To {
                    own: Own::default(),
                    ..to.clone()
                })
                .collect();
            if kept.is_empty() {
                return None;
            }
            Some(kept)
        }
    };
    Some(Rule { to, ..rule.clone() })
}

impl Indexed {
    /// The first rule in written order that counts.
    fn first(&self, facts: &Facts<'_>, doubt: Doubt) -> Option<&Rule> {
        if self.rules.is_empty() {
            return None;
        }
        let mut first: Option<(usize, usize)> = None;
        self.index.visit(facts, doubt, &mut |at| {
            if let Some(rule) = self.counting(at, facts, doubt) {
                first = Some((at, rule));
            }
            first.map_or(usize::MAX, |(at, _)| at)
        });
        self.rules.get(first?.1)
    }

    /// All rules that count, in written order.
    fn all(&self, facts: &Facts<'_>, doubt: Doubt) -> Vec<&Rule> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<usize> = Vec::new();
        self.index.visit(facts, doubt, &mut |at| {
            found.extend(self.counting(at, facts, doubt));
            usize::MAX
        });
        found.sort_unstable();
        found.dedup();
        found.iter().filter_map(|at| self.rules.get(*at)).collect()
    }

    /// The number of the rule of which this is a part, if the part counts.
    fn counting(&self, part: usize, facts: &Facts<'_>, doubt: Doubt) -> Option<usize> {
        let part = self.index.part(part)?;
        let terms = part.terms(&self.rules)?;
        doubt.counts(terms.hold(facts)).then_some(part.rule)
    }
}

impl RuleSet {
    /// Any DENY that matches denies; else any ALLOW that matches allows; else the default of the source's class.
    pub(crate) fn verdict(&self, facts: &Facts<'_>) -> (Verdict, DecidedBy<'_>) {
        for (of, action, verdict) in [
            (&self.deny, Action::Deny, Verdict::Deny),
            (&self.allow, Action::Allow, Verdict::Allow),
        ] {
            if let Some(rule) = of.first(facts, Doubt::settled(action)) {
                return (verdict, DecidedBy::Rule(&rule.name));
            }
        }
        let class = facts.source.class();
        (self.defaults.of(class), DecidedBy::Default(class))
    }

    /// By what some request could still come that would be allowed; none if none could.
    pub(crate) fn may_allow(&self, facts: &Facts<'_>) -> Option<DecidedBy<'_>> {
        if self.deny.first(facts, Doubt::Excluded).is_some() {
            return None;
        }
        if let Some(rule) = self.allow.first(facts, Doubt::Included) {
            return Some(DecidedBy::Rule(&rule.name));
        }
        let class = facts.source.class();
        let by_default = self.defaults.of(class) == Verdict::Allow;
        by_default.then_some(DecidedBy::Default(class))
    }

    /// The names of the AUDIT rules that match, in written order.
    pub(crate) fn audits(&self, facts: &Facts<'_>) -> Vec<&str> {
        let rules = self
            .audit
            .all(facts, Doubt::settled(Action::Audit))
            .into_iter();
        rules.map(|rule| &*rule.name).collect()
    }

    /// The names of all AUDIT rules, in written order.
    pub(crate) fn audit_rules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.audit.rules.iter().map(|rule| &*rule.name)
    }

    /// The names of the rules that decide, each with its verdict.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = (&str, Verdict)> {
        let all = [(&self.deny, Verdict::Deny), (&self.allow, Verdict::Allow)];
        all.into_iter().flat_map(|(of, verdict)| {
            let rules = of.rules.iter();
            rules.map(move |rule| (&*rule.name, verdict))
        })
    }

    /// What the rules that this source can meet ask for.
    pub(crate) fn needs(&self, source: &Source) -> Needs {
        let all = [&self.deny, &self.allow, &self.audit];
        all.into_iter().fold(Needs::default(), |needs, of| {
            needs.or(of.index.needs(source))
        })
    }
}

#[cfg(test)]
mod tests;
