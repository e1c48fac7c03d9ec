//! A case that fails: what was asked, what was wanted, what came instead, and why.

use std::fmt;

use crossmesh_policy::cases::{self, Broken, Case, HeaderLine, NodeSpec};
use crossmesh_policy::{Action, Deciding, Outcome, RuleTrace, SourceClass, Verdict};
use serde::Serialize;
use serde_json::Value;

use super::policies::Tested;

/// As JSON, a public contract: fields are added, never renamed.
#[derive(Serialize)]
pub(super) struct Failure {
    line: usize,
    name: String,
    /// The case as it is written.
    case: Value,
    /// The file of its policy.
    policy: String,
    /// `NAMESPACE/NAME` of the policy's resource; none for a bare pluginConfig.
    plugin: Option<String>,
    mismatches: Vec<Mismatch>,
    source: String,
    request: String,
    proxy: String,
    why: Vec<String>,
}

/// A field of the case that does not hold.
#[derive(Serialize)]
struct Mismatch {
    field: String,
    wanted: String,
    got: String,
}

impl Failure {
    /// Of a case on a line, run on a proxy.
    pub(super) fn new(
        line: usize,
        case: &Case,
        written: Value,
        node: &NodeSpec,
        failed: &cases::Failure,
        tested: &Tested,
    ) -> Self {
        let mismatches = failed.broken.iter().map(|broken| {
            let Broken { field, wanted, got } = broken.clone();
            Mismatch { field, wanted, got }
        });
        Self {
            line,
            name: case.name.clone(),
            case: written,
            policy: tested.file.clone(),
            plugin: tested.plugin.full_name(),
            mismatches: mismatches.collect(),
            source: source(case, failed),
            request: request(case),
            proxy: proxy(node, failed),
            why: why(failed, tested),
        }
    }

    /// As people read it.
    pub(super) fn within<'a>(&'a self, file: &'a str) -> impl fmt::Display {
        Within {
            failure: self,
            file,
        }
    }
}

struct Within<'a> {
    failure: &'a Failure,
    file: &'a str,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failure, file } = self;
        writeln!(f, "{file}:{}: failed: {}", failure.line, failure.name)?;
        let fields = failure.mismatches.iter().map(|it| it.field.len());
        let width = fields.max().unwrap_or_default().max("request".len());
        let mut line = |what: &str, text: &str| writeln!(f, "  {what:<width$}  {text}");
        for Mismatch { field, wanted, got } in &failure.mismatches {
            line(field, wanted)?;
            line("got", got)?;
        }
        line("source", &failure.source)?;
        line("request", &failure.request)?;
        line("proxy", &failure.proxy)?;
        for (i, reason) in failure.why.iter().enumerate() {
            line(if i == 0 { "why" } else { "" }, reason)?;
        }
        Ok(())
    }
}

/// Who asks, as the case says and as the policy understood it.
fn source(case: &Case, failed: &cases::Failure) -> String {
    let seen = &failed.explanation.source;
    let given = match (&case.principal, &case.principals) {
        _ if case.passthrough => "TLS that the proxy does not terminate".to_owned(),
        (Some(principal), _) => principal.clone(),
        (None, Some(none)) if none.is_empty() => "a certificate without URI SAN".to_owned(),
        (None, Some(principals)) => principals.join(" and "),
        (None, None) => "no client certificate".to_owned(),
    };
    let mut parts = vec![given];
    if failed.explanation.direct.is_some() {
        let caller = seen.principal.as_deref().unwrap_or("somebody");
        parts.push(format!("a forwarder that speaks for {caller}"));
    }
    parts.extend(case.ip.map(|ip| format!("from {ip}")));
    let mut understood = vec![seen.class.to_string()];
    understood.extend(seen.mesh.as_ref().map(|mesh| format!("mesh {mesh}")));
    understood.extend(seen.note.clone());
    format!("{} ({})", parts.join(", "), understood.join(", "))
}

/// What is asked.
fn request(case: &Case) -> String {
    let mut parts = Vec::new();
    let words = [&case.method, &case.host, &case.path];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    parts.push(match words.as_slice() {
        _ if case.is_tcp() => "a TCP connection".to_owned(),
        [] => "HTTP".to_owned(),
        words => words.join(" "),
    });
    parts.extend(case.port.map(|port| format!("port {}", port.0)));
    parts.extend(case.sni.as_ref().map(|sni| format!("SNI {sni}")));
    let headers = case.headers.iter();
    parts.extend(headers.map(|HeaderLine(name, value)| format!("{name}: {value}")));
    parts.join(", ")
}

/// Who decides.
fn proxy(node: &NodeSpec, failed: &cases::Failure) -> String {
    let mut parts = vec![format!("mesh {}", failed.explanation.destination_mesh)];
    let named = [("namespace", &node.namespace), ("workload", &node.workload)];
    for (what, name) in named {
        parts.extend(name.as_ref().map(|name| format!("{what} {name}")));
    }
    let labels = node.labels.iter();
    parts.extend(labels.map(|(key, value)| format!("{key}={value}")));
    parts.join(", ")
}

/// What decided, and what kept the rule from it that should have.
fn why(failed: &cases::Failure, tested: &Tested) -> Vec<String> {
    let explanation = &failed.explanation;
    let mut why = Vec::new();
    if explanation.left_to_http {
        why.push("The HTTP filter decides. On a port that is not of tcp.httpPorts:".into());
    }
    why.push(match (&explanation.decided_by, explanation.verdict) {
        (Deciding::Rule(name), Verdict::Deny) => {
            format!("The {} matches; that is final.", rule(name, failed, tested))
        }
        (Deciding::Rule(name), Verdict::Allow) => format!(
            "No DENY rule matches, and the {} does.",
            rule(name, failed, tested)
        ),
        (Deciding::Default(SourceClass::InvalidIdentity), _) => {
            "A source without one valid identity is always denied.".into()
        }
        (Deciding::Default(class), verdict) => format!(
            "No DENY or ALLOW rule matches, and the default for {class} is {}.",
            verdict.as_str()
        ),
    });
    let wants = failed.broken.iter().find(|broken| broken.field == "want");
    let wanted = wants.and_then(|want| want.wanted.split_once("rule:"));
    if let Some((_, wanted)) = wanted {
        let mut rules = explanation.rules.iter();
        let trace = rules.find(|trace| trace.name == wanted);
        why.extend(
            trace
                .into_iter()
                .flat_map(|it| undecided(it, failed, tested)),
        );
    }
    why
}

/// Why a rule did not decide.
fn undecided(trace: &RuleTrace, failed: &cases::Failure, tested: &Tested) -> Vec<String> {
    let rule = rule(&trace.name, failed, tested);
    let Outcome::NotMatched { misses } = &trace.outcome else {
        let but = match (&failed.explanation.decided_by, failed.explanation.verdict) {
            (Deciding::Rule(_), Verdict::Deny) if trace.action == Action::Allow => "a DENY decides",
            (Deciding::Rule(_), _) => "it stands behind the one that decides",
            (Deciding::Default(_), _) => "it does not let in such a source",
        };
        return vec![format!("The {rule} matches too, but {but}.")];
    };
    let mut lines = vec![format!("The {rule} does not match:")];
    let index = index(&trace.name, failed).unwrap_or_default();
    lines.extend(misses.iter().map(|miss| {
        let line = tested.line(&format!("rules[{index}].{}", miss.field));
        format!("  line {line}, {}: {}", miss.field, miss.why)
    }));
    lines
}

/// A rule by its action, its name and its place.
fn rule(name: &str, failed: &cases::Failure, tested: &Tested) -> String {
    let Some(index) = index(name, failed) else {
        return format!("rule {name}");
    };
    let action = failed.explanation.rules.get(index).map(|rule| rule.action);
    let action = action.map_or("", Action::as_str);
    let line = tested.line(&format!("rules[{index}]"));
    format!("{action} rule {name} ({}:{line})", tested.file)
}

fn index(name: &str, failed: &cases::Failure) -> Option<usize> {
    let mut rules = failed.explanation.rules.iter();
    rules.position(|rule| rule.name == name)
}
