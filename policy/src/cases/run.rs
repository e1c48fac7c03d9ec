//! Running a case: what the filter decides, and what of that is not what the case wants.

use super::{Case, NodeSpec};
use crate::decide::Decision;
use crate::explain::{Deciding, Explanation, Miss, Outcome};
use crate::policy::{Policy, Program};
use crate::problem::{Invalid, Problem};
use crate::request::{Node, Peer, Protocol, Request};
use crate::spec::Verdict;

/// What [`Case::first_bytes`] says where the TCP filter does not decide.
pub const LEFT_TO_HTTP: &str = "left to HTTP";

/// What is said in place of a decision about a connection that is left.
const UNDECIDED: &str = "nothing: the connection is left to the HTTP filter; write first_bytes: left to HTTP, and cases of its \
                         requests";

/// A policy on the proxy of a suite: bound once for all its cases.
#[derive(Debug)]
pub struct Runner<'p> {
    program: &'p Program,
    proxy: Result<Proxy, Vec<Problem>>,
}

/// A proxy, and the policy as it runs there.
#[derive(Debug)]
struct Proxy {
    node: Node,
    policy: Policy,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What the filter decides.
    pub verdict: Verdict,
    /// By what.
    pub decided_by: Deciding,
    /// The AUDIT rules that match, in written order.
    pub audits: Vec<String>,
    /// What the candidate decides, and by what; none where there is none.
    pub candidate: Option<(Verdict, Deciding)>,
    /// In what the case does not hold; none if it holds.
    pub failure: Option<Failure>,
}

/// A case that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is not as the case wants it, in the order of its fields; at least one.
    pub broken: Vec<Broken>,
    /// Why.
    pub explanation: Explanation,
}

/// Something that is not as a case wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The field of the case that wants it.
    pub field: String,
    /// What it wants.
    pub wanted: String,
    /// What there is instead.
    pub got: String,
}

impl<'p> Runner<'p> {
    /// For the cases of a suite whose proxy is this one.
    #[must_use]
    pub fn new(program: &'p Program, node: &NodeSpec) -> Self {
        Self {
            program,
            proxy: Proxy::new(program, node),
        }
    }

    /// Runs a case, on the suite's proxy unless it names its own.
    ///
    /// # Errors
    /// What of the case means nothing, whatever the policy decides: values that exclude each other, rules that the policy
    /// does not have, a proxy whose mesh is not known. Fields are those of the case.
    pub fn run(&self, case: &Case) -> Result<Ran, Vec<Problem>> {
        let problems = case.meaningless(self.program);
        if !problems.is_empty() {
            return Err(problems);
        }
        self.ask(case, |proxy, peer, request| {
            let policy = &proxy.policy;
            let direct = policy.identify(peer);
            let source = policy.caller(&direct, request);
            let at_first_bytes = policy.decide_connection(&direct, request);
            let first_bytes = at_first_bytes.as_ref().map(written);
            let is_tcp = matches!(request.protocol, Protocol::Tcp);
            let is_left = is_tcp && first_bytes.is_none();
            let decision = at_first_bytes
                .filter(|_| is_tcp)
                .unwrap_or_else(|| policy.decide(&source, request));
            let mut broken = Vec::new();
            // What there is instead is text for people, and is compared with nothing.
            let mut hold = |field: &str, wanted: &str, got: Option<String>, instead: &str| {
                if got.as_deref() != Some(wanted) {
                    let (field, wanted) = (field.into(), wanted.into());
                    let got = got.unwrap_or_else(|| instead.into());
                    broken.push(Broken { field, wanted, got });
                }
            };
            let is_decided = !is_left || case.first_bytes.is_some();
            let decided = is_decided.then(|| written(&decision));
            hold("want", &case.want, decided, UNDECIDED);
            if let Some(audits) = &case.audits {
                let got = Some(listed(&decision.audits));
                hold("audits", &listed(audits), got, "");
            }
            if let Some(wanted) = &case.candidate {
                let candidate = decision.candidate.as_ref();
                let got = candidate.map(|it| spelt(it.verdict, it.decided_by));
                hold("candidate", wanted, got, "no candidate");
            }
            let explain = || self.explained(proxy, peer, request);
            if let Some(wanted) = &case.direct {
                let forwarder = explain()?.direct.and_then(|peer| peer.principal);
                hold("direct", wanted, forwarder, "no forwarder");
            }
            if let Some(wanted) = &case.first_bytes {
                let got = first_bytes.unwrap_or_else(|| LEFT_TO_HTTP.into());
                hold("first_bytes", wanted, Some(got), "");
            }
            if !case.misses.is_empty() {
                let explanation = explain()?;
                for (rule, wanted) in &case.misses {
                    let got = missed(&explanation, rule);
                    let field = format!("misses.{rule}");
                    hold(&field, wanted, got, "nothing, for it matches");
                }
            }
            let failure = if broken.is_empty() {
                None
            } else {
                let explanation = explain()?;
                Some(Failure {
                    broken,
                    explanation,
                })
            };
            Ok(Ran {
                verdict: decision.verdict,
                decided_by: decision.decided_by.into(),
                audits: decision.audits.iter().map(|&name| name.into()).collect(),
                candidate: decision
                    .candidate
                    .map(|it| (it.verdict, it.decided_by.into())),
                failure,
            })
        })
    }

    /// Explains what a case asks.
    ///
    /// # Errors
    /// Only a proxy whose mesh is not known.
    pub fn explain(&self, case: &Case) -> Result<Explanation, Vec<Problem>> {
        self.ask(case, |proxy, peer, request| {
            self.explained(proxy, peer, request)
        })
    }

    fn ask<T>(
        &self,
        case: &Case,
        ask: impl FnOnce(&Proxy, &Peer<'_>, &Request<'_>) -> Result<T, Vec<Problem>>,
    ) -> Result<T, Vec<Problem>> {
        let own = match &case.node {
            Some(node) => Some(Proxy::new(self.program, node)?),
            None => None,
        };
        let proxy = match &own {
            Some(own) => own,
            None => self.proxy.as_ref().map_err(Clone::clone)?,
        };
        case.ask(|peer, request| ask(proxy, peer, request))
    }

    fn explained(
        &self,
        proxy: &Proxy,
        peer: &Peer<'_>,
        request: &Request<'_>,
    ) -> Result<Explanation, Vec<Problem>> {
        let explanation = self.program.explain(&proxy.node, peer, request);
        explanation.map_err(|invalid| nowhere(invalid, self.program))
    }
}

impl Proxy {
    fn new(program: &Program, node: &NodeSpec) -> Result<Self, Vec<Problem>> {
        let node = node.node();
        let policy = program.bind(&node);
        Ok(Self {
            policy: policy.map_err(|invalid| nowhere(invalid, program))?,
            node,
        })
    }
}

fn nowhere(invalid: Invalid, program: &Program) -> Vec<Problem> {
    let problems = invalid.problems.into_iter();
    problems
        .map(|problem| super::meaning::nowhere(problem, program))
        .collect()
}

fn written(decision: &Decision<'_>) -> String {
    spelt(decision.verdict, decision.decided_by)
}

fn spelt(verdict: Verdict, by: impl std::fmt::Display) -> String {
    format!("{} {by}", verdict.as_str())
}

/// As a case writes it. No name of a rule has a comma or a bracket, so that other lists are other texts.
fn listed(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    format!("[{}]", names.join(", "))
}

/// What kept a rule from matching first; none if it matches.
fn missed(explanation: &Explanation, rule: &str) -> Option<String> {
    let mut traces = explanation.rules.iter();
    let outcome = traces.find(|trace| trace.name == rule);
    match outcome.map(|trace| &trace.outcome) {
        Some(Outcome::NotMatched { misses }) => misses.first().map(told),
        _ => None,
    }
}

fn told(miss: &Miss) -> String {
    format!("{}: {}", miss.field, miss.why)
}
