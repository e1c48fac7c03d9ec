//! Why a request is allowed or denied: the decision, and for every rule the first thing that did not match.

mod why;

use std::convert::From as Convert;

use crate::decide::DecidedBy;
use crate::facts::Facts;
use crate::matcher::all_headers;
use crate::policy::Program;
use crate::problem::Invalid;
use crate::request::{Node, Peer, Protocol, Request};
use crate::rule::{From, Rule, To};
use crate::source::{Source, SourceClass};
use crate::spec::{Action, Mode, Verdict};
use crate::truth::{Doubt, Field, Match};

/// A decision with all its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict: what the filter does in ENFORCE, what it would do in DRY_RUN.
    pub verdict: Verdict,
    /// What decided.
    pub decided_by: Deciding,
    /// What the candidate would have decided, and by what, if there is one.
    pub candidate: Option<(Verdict, Deciding)>,
    /// Whether the TCP filter leaves a connection on a port of `tcp.httpPorts` to the HTTP filter, because a request
    /// could still be allowed; the verdict is then the one that a connection without any request would get.
    pub left_to_http: bool,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// The source as the policy understood it.
    pub source: SourceSeen,
    /// The direct peer, where the source is another: one that a listed forwarder speaks for.
    pub direct: Option<SourceSeen>,
    /// The mesh of the proxy.
    pub destination_mesh: String,
    /// Every rule, in written order.
    pub rules: Vec<RuleTrace>,
}

/// What decided, as [`DecidedBy`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deciding {
    /// The rule of this name.
    Rule(String),
    /// The default of this class.
    Default(SourceClass),
}

impl Convert<DecidedBy<'_>> for Deciding {
    fn from(decided_by: DecidedBy<'_>) -> Self {
        match decided_by {
            DecidedBy::Rule(name) => Self::Rule(name.into()),
            DecidedBy::Default(class) => Self::Default(class),
        }
    }
}

/// A source as the policy understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the one of the same name of Source"
)]
pub struct SourceSeen {
    pub class: SourceClass,
    pub mesh: Option<String>,
    pub principal: Option<String>,
    pub trust_domain: Option<String>,
    pub namespace: Option<String>,
    pub service_account: Option<String>,
    /// Why an identity is invalid.
    pub note: Option<String>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// Its name.
    pub name: String,
    /// What it does when it matches.
    pub action: Action,
    /// Whether it matched.
    pub outcome: Outcome,
    /// Whether it is the one that decided.
    pub decided: bool,
}

/// Whether a rule matched, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It applies.
    Matched,
    /// It does not apply: for every item of the part that failed, the first thing in it that did.
    NotMatched {
        /// At least one.
        misses: Vec<Miss>,
    },
}

/// The first thing in an item that did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Where, inside the rule: `from[0].namespaces`.
    pub field: String,
    /// What the request has instead.
    pub why: String,
}

impl Program {
    /// Decides as the filter in this proxy would, and says why.
    ///
    /// # Errors
    /// As [`Program::bind`].
    pub fn explain(
        &self,
        node: &Node,
        peer: &Peer<'_>,
        request: &Request<'_>,
    ) -> Result<Explanation, Invalid> {
        let policy = self.bind(node)?;
        let direct = policy.identify(peer);
        let source = policy.caller(&direct, request);
        let decision = policy.decide(&source, request);
        let facts = Facts::new(&source, request);
        let decided = |rule: &Rule| matches!(decision.decided_by, DecidedBy::Rule(name) if name == &*rule.name);
        Ok(Explanation {
            verdict: decision.verdict,
            decided_by: decision.decided_by.into(),
            candidate: decision
                .candidate
                .map(|candidate| (candidate.verdict, candidate.decided_by.into())),
            left_to_http: matches!(request.protocol, Protocol::Tcp)
                && policy.decide_connection(&direct, request).is_none(),
            mode: policy.mode(),
            source: seen(&source),
            direct: is_other(&direct, &source).then(|| seen(&direct)),
            destination_mesh: policy.mesh().into(),
            rules: self
                .active
                .rules
                .iter()
                .map(|rule| RuleTrace {
                    name: (*rule.name).into(),
                    action: rule.action,
                    outcome: outcome(rule, node, &facts),
                    decided: decided(rule),
                })
                .collect(),
        })
    }
}

fn seen(source: &Source) -> SourceSeen {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    SourceSeen {
        class: source.class(),
        mesh: owned(source.mesh()),
        principal: owned(source.principal()),
        trust_domain: owned(source.trust_domain()),
        namespace: owned(source.namespace()),
        service_account: owned(source.service_account()),
        note: owned(source.note()),
    }
}

/// Whether a forwarder spoke for somebody, also for somebody it may not speak for.
fn is_other(direct: &Source, source: &Source) -> bool {
    (direct.class(), direct.principal()) != (source.class(), source.principal())
}

fn outcome(rule: &Rule, node: &Node, facts: &Facts<'_>) -> Outcome {
    let action = rule.action;
    let from = |from: &From| from.holds(facts, action);
    let to = |to: &To| to.own.holds(node, action).and(|| to.holds(facts, action));
    let why_from = |from: &From, field| why::from(from, field, facts);
    let why_to = |to: &To, field| why::to(to, field, node, facts);
    let misses = item_misses("from", rule.from.as_deref(), action, from, why_from)
        .or_else(|| item_misses("to", rule.to.as_deref(), action, to, why_to))
        .or_else(|| header_misses(rule, facts));
    match misses {
        None => Outcome::Matched,
        Some(misses) => Outcome::NotMatched { misses },
    }
}

/// Why none of the items applies; none if one does, or there are no items.
fn item_misses<I>(
    part: &str,
    items: Option<&[I]>,
    action: Action,
    test: impl Fn(&I) -> Match,
    why: impl Fn(&I, Field) -> String,
) -> Option<Vec<Miss>> {
    let mut misses = Vec::new();
    for (i, item) in items?.iter().enumerate() {
        let field = failing(test(item), action)?;
        let name = field.name();
        let dot = if name.is_empty() { "" } else { "." };
        misses.push(Miss {
            field: format!("{part}[{i}]{dot}{name}"),
            why: why(item, field),
        });
    }
    Some(misses)
}

/// The field for which a rule of this action does not apply; none if it does.
fn failing(found: Match, action: Action) -> Option<Field> {
    match found {
        _ if Doubt::settled(action).counts(found) => None,
        Match::No(field) | Match::Maybe(field) => Some(field),
        Match::Yes => None,
    }
}

fn header_misses(rule: &Rule, facts: &Facts<'_>) -> Option<Vec<Miss>> {
    rule.when.iter().enumerate().find_map(|(i, header)| {
        let found = all_headers(std::slice::from_ref(header), facts, rule.action);
        let field = failing(found, rule.action)?;
        Some(vec![Miss {
            field: format!("when[{i}].{}", field.name()),
            why: why::header(header, field, facts),
        }])
    })
}
