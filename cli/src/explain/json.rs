//! An explanation as data. What is here is a public contract: fields are added, never renamed.

use crossmesh_policy::{Deciding, Explanation, Mode, Outcome, RuleTrace};
use serde::Serialize;

use super::Answer;

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    verdict: &'static str,
    /// The rule that decided; null where a default did.
    rule: Option<&'a str>,
    /// `rule:NAME` or `default:CLASS`, as in the access log.
    decided_by: String,
    mode: &'static str,
    /// Whether the verdict is carried out: false in `DRY_RUN`.
    enforced: bool,
    /// Whether the TCP filter leaves the connection to the HTTP filter (`tcp.httpPorts`), whatever the verdict here.
    left_to_http: bool,
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
    destination_mesh: &'a str,
    /// `NAMESPACE/NAME` of the resource; null for a bare pluginConfig.
    plugin: Option<String>,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    verdict: &'static str,
    decided_by: String,
    rule: Option<&'a str>,
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
    matched: bool,
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
        left_to_http,
        mode,
        source,
        direct,
        destination_mesh,
        rules,
    } = &answer.explanation;
    Json {
        verdict: verdict.as_str(),
        rule: rule_name(decided_by),
        decided_by: decided(decided_by),
        mode: mode.as_str(),
        enforced: *mode == Mode::Enforce,
        left_to_http: *left_to_http,
        candidate: candidate.as_ref().map(|(verdict, decided_by)| Candidate {
            verdict: verdict.as_str(),
            decided_by: decided(decided_by),
            rule: rule_name(decided_by),
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
        destination_mesh,
        plugin: answer.plugin.full_name(),
        rules: rules
            .iter()
            .enumerate()
            .map(|(i, trace)| rule(answer, i, trace))
            .collect(),
    }
}

fn rule<'a>(answer: &Answer<'_>, index: usize, trace: &'a RuleTrace) -> Rule<'a> {
    let misses = match &trace.outcome {
        Outcome::Matched => &[][..],
        Outcome::NotMatched { misses } => misses,
    };
    Rule {
        name: &trace.name,
        action: trace.action.as_str(),
        line: answer.line(index, ""),
        matched: trace.outcome == Outcome::Matched,
        decided: trace.decided,
        misses: misses
            .iter()
            .map(|miss| Miss {
                field: &miss.field,
                why: &miss.why,
                line: answer.line(index, &miss.field),
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
