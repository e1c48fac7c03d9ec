//! From what was written to what it means, with every problem told at once.

mod forwarders;
mod from;
mod lists;
mod meshes;
mod never;
pub(crate) mod on_tcp;
mod to;
mod when;

use std::collections::BTreeMap;
use std::sync::Arc;

use lists::{At, Report};
use meshes::Meshes;

use crate::policy::{Common, Defaults, Program, Telemetry};
use crate::problem::Invalid;
use crate::rule::Rule;
use crate::rule_set::WrittenRules;
use crate::source::SourceClass;
use crate::spec::{Action, CandidateSpec, PortSpec, RuleSpec, SCHEMA, Spec, TcpSpec, Verdict};

const MAX_RULE_NAME: usize = 63;

pub(crate) fn compile(spec: &Spec) -> Result<Program, Invalid> {
    let Spec {
        schema,
        mesh,
        meshes,
        forwarders,
        defaults,
        mode,
        rules,
        candidate,
        tcp,
        telemetry,
    } = spec;
    let mut report = Report::default();
    if schema != SCHEMA {
        let mend = format!("write schema: {SCHEMA}");
        report.value(
            &At::field("schema"),
            schema,
            "this version does not read it",
            &mend,
        );
    }
    let meshes = Meshes::compile(meshes, &mut report);
    let mesh = mesh.as_ref().and_then(|id| {
        let found = meshes.find(id);
        if found.is_none() {
            let mend = meshes.expected(id);
            report.value(
                &At::field("mesh"),
                id,
                "it is not listed under meshes",
                &mend,
            );
        }
        found
    });
    let forwarders = forwarders::compile(forwarders.as_deref(), &meshes, &mut report);
    let defaults = Defaults::UNSAID.with(*defaults);
    warn_of_open_defaults(defaults, "", &mut report);
    let http_ports = tcp
        .as_ref()
        .map(|tcp| http_ports(tcp, &mut report))
        .unwrap_or_default();
    let active = WrittenRules {
        rules: compile_rules(rules.as_deref(), "", &meshes, &mut report),
        defaults,
    };
    let candidate = candidate.as_ref().map(
        |CandidateSpec {
             rules,
             defaults: own,
         }| {
            let defaults = defaults.with(*own);
            if own.is_some() {
                warn_of_open_defaults(defaults, "candidate.", &mut report);
            }
            WrittenRules {
                rules: compile_rules(Some(rules), "candidate.", &meshes, &mut report),
                defaults,
            }
        },
    );
    let (ids, trust_domains) = meshes.into_parts();
    let warnings = report.finish()?;
    Ok(Program {
        common: Arc::new(Common {
            mesh,
            meshes: ids,
            trust_domains,
            forwarders,
            http_ports,
            mode: mode.unwrap_or_default(),
            telemetry: Telemetry::of(*telemetry),
        }),
        active,
        candidate,
        warnings,
    })
}

fn http_ports(TcpSpec { http_ports }: &TcpSpec, report: &mut Report) -> Vec<u16> {
    let at = At::field("tcp.httpPorts");
    if http_ports.is_empty() {
        report.problem(&at, "the list is empty", "leave tcp out, or write a port");
    } else {
        report.warn(
            &at,
            "on these ports the TCP filter leaves to the HTTP filter whatever a request could still change",
            "list a port only where every connection is HTTP by declaration: where Envoy sniffs the protocol, bytes that \
             are not HTTP meet no HTTP filter",
        );
    }
    http_ports.iter().map(|PortSpec(port)| *port).collect()
}

fn warn_of_open_defaults(defaults: Defaults, within: &str, report: &mut Report) {
    if defaults.of(SourceClass::UnknownTrustDomain) == Verdict::Allow {
        report.warn(
            &At::field(&format!("{within}defaults.unknownTrustDomain")),
            "whatever trust domain a trusted CA signs comes in, unless a rule denies it",
            "write DENY, and list under meshes the trust domains that may come in",
        );
    }
    if defaults.of(SourceClass::Plaintext) == Verdict::Allow {
        report.warn(
            &At::field(&format!("{within}defaults.plaintext")),
            "whoever reaches the port without a certificate comes in, unless a rule denies it",
            "write DENY, and let in what must come by a rule with plaintext: true and ipBlocks",
        );
    }
}

fn compile_rules(
    specs: Option<&[RuleSpec]>,
    within: &str,
    meshes: &Meshes,
    report: &mut Report,
) -> Vec<Rule> {
    let mut names = BTreeMap::new();
    let specs = match specs {
        Some([]) => {
            let mend = if within.is_empty() {
                "leave rules out, or write a rule"
            } else {
                "leave candidate out, or write a rule"
            };
            report.problem(
                &At::field(&format!("{within}rules")),
                "the list is empty",
                mend,
            );
            &[]
        }
        specs => specs.unwrap_or_default(),
    };
    let mut rules = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let at = At::rule(&spec.name, within, i);
        check_name(&spec.name, &at.then("name"), report);
        let first = *names.entry(&spec.name).or_insert(i);
        if first != i {
            let problem = format!("another rule, {within}rules[{first}], has this name");
            let mend = "give each rule a name of its own: it is what logs and metrics say";
            report.value(&at.then("name"), &spec.name, &problem, mend);
        }
        rules.push(compile_rule(spec, &at, meshes, report));
    }
    rules
}

fn check_name(name: &str, at: &At<'_>, report: &mut Report) {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > MAX_RULE_NAME || !name.bytes().all(fits) {
        let mend = format!("write 1 to {MAX_RULE_NAME} of a-z, 0-9 and '-'");
        report.value(at, name, "it is not a rule name", &mend);
    }
}

fn compile_rule(spec: &RuleSpec, at: &At<'_>, meshes: &Meshes, report: &mut Report) -> Rule {
    let RuleSpec {
        name,
        action,
        from,
        to,
        when,
    } = spec;
    if *action == Action::Allow && from.is_none() {
        report.problem(
            &at.then("from"),
            "an ALLOW without from would let in everybody",
            "write from: [{meshes: [\"*\"]}] for every listed mesh",
        );
    }
    Rule {
        name: name.as_str().into(),
        action: *action,
        from: items(
            from.as_deref(),
            &at.then("from"),
            report,
            |spec, at, report| from::compile(spec, *action, at, meshes, report),
        ),
        to: items(to.as_deref(), &at.then("to"), report, |spec, at, report| {
            to::compile(spec, *action, at, report)
        }),
        when: items(
            when.as_deref(),
            &at.then("when"),
            report,
            |spec, at, report| when::compile(spec, *action, at, report),
        )
        .unwrap_or_default(),
    }
}

/// Compiles the items of a list that may be absent, never empty.
fn items<S, T>(
    specs: Option<&[S]>,
    at: &At<'_>,
    report: &mut Report,
    mut compile: impl FnMut(&S, &At<'_>, &mut Report) -> T,
) -> Option<Vec<T>> {
    let specs = specs?;
    if specs.is_empty() {
        report.problem(at, "the list is empty", "leave it out, or write an item");
    }
    let compiled = specs.iter().enumerate();
    Some(
        compiled
            .map(|(i, spec)| compile(spec, &at.item(i), report))
            .collect(),
    )
}
