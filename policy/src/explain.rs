//! Why a request is allowed or denied: the decision, and for every rule all that did not match.

mod fields;
mod why;

use std::convert::From as Convert;

use crate::both::Both;
use crate::decide::{DecidedBy, Decision};
use crate::facts::Facts;
use crate::policy::Program;
use crate::problem::Invalid;
use crate::request::{Node, Peer, Protocol, Request};
use crate::rule::{From, Header, Rule, To};
use crate::source::{Source, SourceClass};
use crate::spec::{Action, Mode, Verdict};
use crate::truth::{Doubt, Field};

/// A decision with all its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict: what the filter does in ENFORCE, what it would do in DRY_RUN.
    pub verdict: Verdict,
    /// What decided.
    pub decided_by: Deciding,
    /// What the candidate would have decided, and by what, if there is one.
    pub candidate: Option<(Verdict, Deciding)>,
    /// Whether the candidate would leave to the HTTP filter a connection that is refused here. Then it allows by what might
    /// let a request in, and what becomes of its rules that ask for HTTP hangs on the request.
    pub candidate_left_to_http: bool,
    /// The rules of the candidate, in written order; none if there is none.
    pub candidate_rules: Vec<RuleTrace>,
    /// Whether the TCP filter leaves a connection on a port of `tcp.httpPorts` to the HTTP filter, because a request
    /// could still be allowed. Then nothing is decided about the connection: the verdict is what it would be on another port.
    pub left_to_http: bool,
    /// What would become of either source, where nobody can tell plaintext from TLS that passes through: what denies either
    /// denies it. The source and the rules are then those of the one that is told, but an AUDIT rule matches either.
    pub as_both: Option<AsBoth>,
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

/// What would become of a connection that may be either: each verdict, and what decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsBoth {
    /// As TLS that passes through.
    pub passthrough: (Verdict, Deciding),
    /// As plaintext; none if that is left to the HTTP filter.
    pub plaintext: Option<(Verdict, Deciding)>,
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
    /// Whether it would have another outcome if what is not known were as unlucky, or as lucky, as can be.
    pub in_doubt: bool,
}

/// Whether a rule matched, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It applies.
    Matched,
    /// It does not apply: of every part that failed, all things in all of its items that did.
    NotMatched {
        /// At least one.
        misses: Vec<Miss>,
    },
}

/// One thing in an item that did not match.
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
        let at_first_bytes = match request.protocol {
            Protocol::Tcp => policy.decide_connection(&direct, request),
            Protocol::Http(_) => None,
        };
        let left_to_http = matches!(request.protocol, Protocol::Tcp) && at_first_bytes.is_none();
        let decision = at_first_bytes.unwrap_or_else(|| policy.decide(&source, request));
        let both = policy.as_both(&source, request);
        let plaintext = Source::plaintext();
        let is_plaintext = decision.source_class == SourceClass::Plaintext;
        let told: &Source = if is_plaintext { &plaintext } else { &source };
        let other: Option<&Source> = match &both {
            Some(_) if is_plaintext => Some(&source),
            Some(both) => both.plaintext.is_some().then_some(&plaintext),
            None => None,
        };
        let traces = Traces {
            node,
            told: Facts::new(told, request),
            other: other.map(|source| Facts::new(source, request)),
        };
        let candidate_rules = match (decision.candidate, &self.candidate) {
            (Some(candidate), Some(written)) => {
                let of_told = both.as_ref().and_then(|both| both.told(is_plaintext));
                let is_told = of_told.is_none_or(|it| it.candidate == Some(candidate));
                traces.of(&written.rules, candidate.decided_by, is_told)
            }
            _ => Vec::new(),
        };
        Ok(Explanation {
            verdict: decision.verdict,
            decided_by: decision.decided_by.into(),
            candidate: decision
                .candidate
                .map(|candidate| (candidate.verdict, candidate.decided_by.into())),
            candidate_left_to_http: decision.candidate.is_some_and(|it| it.left_to_http),
            candidate_rules,
            left_to_http,
            mode: policy.mode(),
            source: seen(told),
            direct: is_other(&direct, &source).then(|| seen(&direct)),
            destination_mesh: policy.mesh().into(),
            rules: traces.of(&self.active.rules, decision.decided_by, true),
            as_both: both.map(AsBoth::of),
        })
    }
}

impl AsBoth {
    fn of(both: Both<'_>) -> Self {
        let part = |decision: Decision<'_>| (decision.verdict, decision.decided_by.into());
        Self {
            passthrough: part(both.passthrough),
            plaintext: both.plaintext.map(part),
        }
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

/// What becomes of rules, on one proxy, for one request.
struct Traces<'a> {
    node: &'a Node,
    /// Of the source that is told.
    told: Facts<'a>,
    /// Of the other source that it may be as well.
    other: Option<Facts<'a>>,
}

impl Traces<'_> {
    fn of(&self, rules: &[Rule], decided_by: DecidedBy<'_>, as_told: bool) -> Vec<RuleTrace> {
        let facts = match &self.other {
            Some(other) if !as_told => other,
            _ => &self.told,
        };
        let trace = |rule: &Rule| {
            let trace = self.trace(rule, decided_by, facts);
            match &self.other {
                // These see both.
                Some(other) if rule.action == Action::Audit && !trace.matched() => {
                    let as_other = self.trace(rule, decided_by, other);
                    if as_other.matched() { as_other } else { trace }
                }
                _ => trace,
            }
        };
        rules.iter().map(trace).collect()
    }

    fn trace(&self, rule: &Rule, decided_by: DecidedBy<'_>, facts: &Facts<'_>) -> RuleTrace {
        let settled = Doubt::settled(rule.action);
        let misses = misses(rule, self.node, facts, settled);
        let otherwise = self::misses(rule, self.node, facts, settled.opposite());
        RuleTrace {
            name: (*rule.name).into(),
            action: rule.action,
            decided: matches!(decided_by, DecidedBy::Rule(name) if name == &*rule.name),
            in_doubt: misses.is_empty() != otherwise.is_empty(),
            outcome: if misses.is_empty() {
                Outcome::Matched
            } else {
                Outcome::NotMatched { misses }
            },
        }
    }
}

impl RuleTrace {
    /// Whether it applies.
    #[must_use]
    pub fn matched(&self) -> bool {
        self.outcome == Outcome::Matched
    }
}

/// Why the rule does not count: of every part that fails, all that fails in it. Nothing if it does.
fn misses(rule: &Rule, node: &Node, facts: &Facts<'_>, doubt: Doubt) -> Vec<Miss> {
    let ask = fields::Ask {
        node,
        facts,
        action: rule.action,
        doubt,
    };
    let why_from = |from: &From, field| why::from(from, field, facts);
    let why_to = |to: &To, field| why::to(to, field, node, facts);
    let why_header = |header: &Header, field| why::header(header, field, facts);
    let from = rule.from.as_deref().unwrap_or_default();
    let to = rule.to.as_deref().unwrap_or_default();
    let mut misses = any_of("from", from, |from| ask.from(from), why_from);
    misses.extend(any_of("to", to, |to| ask.to(to), why_to));
    for (i, header) in rule.when.iter().enumerate() {
        misses.extend(item_misses(
            "when",
            i,
            header,
            &ask.header(header),
            why_header,
        ));
    }
    misses
}

/// Why none of the items applies; nothing if one does, or there are no items.
fn any_of<I>(
    part: &str,
    items: &[I],
    failing: impl Fn(&I) -> Vec<Field>,
    why: impl Fn(&I, Field) -> String,
) -> Vec<Miss> {
    let mut misses = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let failing = failing(item);
        if failing.is_empty() {
            return Vec::new();
        }
        misses.extend(item_misses(part, i, item, &failing, &why));
    }
    misses
}

fn item_misses<I>(
    part: &str,
    index: usize,
    item: &I,
    failing: &[Field],
    why: impl Fn(&I, Field) -> String,
) -> Vec<Miss> {
    let miss = |field: &Field| {
        let name = field.name();
        let dot = if name.is_empty() { "" } else { "." };
        Miss {
            field: format!("{part}[{index}]{dot}{name}"),
            why: why(item, *field),
        }
    };
    failing.iter().map(miss).collect()
}
