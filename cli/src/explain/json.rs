//! An explanation as data. What is here is a public contract, told in `docs/policy.md`: fields are added, never renamed.

use crossmesh_policy::{AsBoth, Deciding, Explanation, Mode, Outcome, RuleTrace, Verdict};
use serde::Serialize;

use super::{Answer, Set};
use crate::check::Entry;
use crate::problem::Located;

/// What is wrong, so that there is no answer.
#[derive(Serialize)]
pub(super) struct Wrong<'a> {
    /// Always null.
    verdict: Option<&'static str>,
    file: &'a str,
    /// As `check` tells them.
    problems: Vec<Entry>,
}

/// The problems as data.
pub(super) fn wrong(file: &str, problems: Vec<Located>) -> Wrong<'_> {
    Wrong {
        verdict: None,
        file,
        problems: problems.into_iter().map(Entry::from).collect(),
    }
}

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    #[serde(flatten)]
    decision: Decision<'a>,
    mode: &'static str,
    /// Whether the verdict is carried out: false in `DRY_RUN`, and where there is none.
    enforced: bool,
    /// Whether the TCP filter leaves the connection to the HTTP filter (`tcp.httpPorts`): then there is no verdict.
    left_to_http: bool,
    /// What would become of TLS without a server name as either of what it may be; null of anything else.
    as_both: Option<Both<'a>>,
    /// What the candidate would decide; null where there is none.
    candidate: Option<Candidate<'a>>,
    source_class: &'static str,
    source_mesh: Option<&'a str>,
    source_principal: Option<&'a str>,
    source_trust_domain: Option<&'a str>,
    source_namespace: Option<&'a str>,
    source_service_account: Option<&'a str>,
    /// Why the identity is invalid.
    source_note: Option<&'a str>,
    /// The forwarder that spoke for the source; null where the source itself is the direct peer.
    direct_peer: Option<DirectPeer<'a>>,
    /// Whether `x-forwarded-for` hides the address of the direct peer from the filter.
    source_ip_hidden: bool,
    destination_mesh: &'a str,
    /// `NAMESPACE/NAME` of the resource; null for a bare pluginConfig.
    plugin: Option<String>,
    rules: Vec<Rule<'a>>,
    /// What may have been misunderstood.
    notes: &'a [String],
}

/// A verdict and what decides it; all are null where nothing is decided.
#[derive(Default, Serialize)]
struct Decision<'a> {
    verdict: Option<&'static str>,
    /// The rule that decided; null where a default did.
    rule: Option<&'a str>,
    /// `rule:NAME` or `default:CLASS`, as in the access log.
    decided_by: Option<String>,
}

#[derive(Serialize)]
struct Both<'a> {
    passthrough: Decision<'a>,
    /// All null if that is left to the HTTP filter.
    plaintext: Decision<'a>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    #[serde(flatten)]
    decision: Decision<'a>,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct DirectPeer<'a> {
    class: &'static str,
    mesh: Option<&'a str>,
    principal: Option<&'a str>,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    action: &'static str,
    line: usize,
    /// Null where only a request tells.
    matched: Option<bool>,
    decided: bool,
    misses: Vec<Miss<'a>>,
}

#[derive(Serialize)]
struct Miss<'a> {
    field: &'a str,
    why: &'a str,
    line: usize,
    /// The flags that would have given what is absent.
    not_given: Vec<&'static str>,
}

/// The answer as data.
pub(super) fn of<'a>(answer: &'a Answer<'_>) -> Json<'a> {
    let Explanation {
        verdict,
        decided_by,
        candidate,
        candidate_left_to_http: _,
        candidate_rules,
        left_to_http,
        as_both,
        mode,
        source,
        direct,
        destination_mesh,
        rules,
    } = &answer.explanation;
    Json {
        decision: if *left_to_http {
            Decision::default()
        } else {
            decision(*verdict, decided_by)
        },
        mode: mode.as_str(),
        enforced: *mode == Mode::Enforce && !left_to_http,
        left_to_http: *left_to_http,
        as_both: as_both.as_ref().map(both),
        candidate: candidate.as_ref().map(|(verdict, decided_by)| Candidate {
            decision: if *left_to_http {
                Decision::default()
            } else {
                decision(*verdict, decided_by)
            },
            rules: all(answer, Set::Candidate, candidate_rules),
        }),
        source_class: source.class.as_str(),
        source_mesh: source.mesh.as_deref(),
        source_principal: source.principal.as_deref(),
        source_trust_domain: source.trust_domain.as_deref(),
        source_namespace: source.namespace.as_deref(),
        source_service_account: source.service_account.as_deref(),
        source_note: source.note.as_deref(),
        direct_peer: direct.as_ref().map(|peer| DirectPeer {
            class: peer.class.as_str(),
            mesh: peer.mesh.as_deref(),
            principal: peer.principal.as_deref(),
        }),
        source_ip_hidden: answer.hides_address,
        destination_mesh,
        plugin: answer.plugin.full_name(),
        rules: all(answer, Set::Active, rules),
        notes: &answer.notes,
    }
}

fn decision(verdict: Verdict, decided_by: &Deciding) -> Decision<'_> {
    Decision {
        verdict: Some(verdict.as_str()),
        rule: rule_name(decided_by),
        decided_by: Some(decided(decided_by)),
    }
}

fn both(both: &AsBoth) -> Both<'_> {
    fn part((verdict, by): &(Verdict, Deciding)) -> Decision<'_> {
        decision(*verdict, by)
    }
    Both {
        passthrough: part(&both.passthrough),
        plaintext: both.plaintext.as_ref().map(part).unwrap_or_default(),
    }
}

fn all<'a>(answer: &Answer<'_>, set: Set, rules: &'a [RuleTrace]) -> Vec<Rule<'a>> {
    let rules = rules.iter().enumerate();
    rules
        .map(|(i, trace)| rule(answer, set, i, trace))
        .collect()
}

fn rule<'a>(answer: &Answer<'_>, set: Set, index: usize, trace: &'a RuleTrace) -> Rule<'a> {
    let is_left = answer.explanation.left_to_http;
    let misses = match &trace.outcome {
        Outcome::Matched => &[][..],
        Outcome::NotMatched { misses } => misses,
    };
    Rule {
        name: &trace.name,
        action: trace.action.as_str(),
        line: answer.line(set, index, ""),
        matched: (!answer.hangs(set, trace)).then(|| trace.matched()),
        decided: trace.decided && !is_left,
        misses: misses
            .iter()
            .map(|miss| Miss {
                field: &miss.field,
                why: &miss.why,
                line: answer.line(set, index, &miss.field),
                not_given: answer.hints.of(&miss.field),
            })
            .collect(),
    }
}

fn rule_name(decided_by: &Deciding) -> Option<&str> {
    match decided_by {
        Deciding::Rule(name) => Some(name),
        Deciding::Default(_) => None,
    }
}

/// As the filter writes it into the access log.
pub(super) fn decided(decided_by: &Deciding) -> String {
    match decided_by {
        Deciding::Rule(name) => format!("rule:{name}"),
        Deciding::Default(class) => format!("default:{class}"),
    }
}
