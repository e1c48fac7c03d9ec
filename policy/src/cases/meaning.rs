//! What of a case means nothing, whatever the policy decides: a case that can never hold, or that asks what nobody could.

use super::{Case, HeaderLine, LEFT_TO_HTTP};
use crate::policy::Program;
use crate::problem::Problem;
use crate::rule::Rule;
use crate::rule_set::WrittenRules;
use crate::source::SourceClass;
use crate::spec::Action;
use crate::spec::read::nearest;

/// The words for the default of a class whose sources are always denied.
const INVALID: &str = SourceClass::InvalidIdentity.as_str();

impl Case {
    /// All of it.
    pub(super) fn meaningless(&self, program: &Program) -> Vec<Problem> {
        let mut problems = self.contradictions();
        problems.extend(self.unsendable());
        let active = Some(&program.active);
        let decisions = [
            ("want", Some(&self.want), active),
            (
                "candidate",
                self.candidate.as_ref(),
                program.candidate.as_ref(),
            ),
            ("first_bytes", self.first_bytes.as_ref(), active),
        ];
        for (field, text, rules) in decisions {
            let Some(text) = text else { continue };
            let said = match rules {
                Some(_) if field == "first_bytes" && text.eq_ignore_ascii_case(LEFT_TO_HTTP) => {
                    left_to_http(text)
                }
                Some(rules) => decision(text, rules),
                None => Err(Said::new(
                    "the policy has no candidate",
                    "leave it out, or write a candidate into the policy",
                )),
            };
            problems.extend(said.err().map(|said| said.about(field, Some(text))));
        }
        for (i, name) in self.audits.iter().flatten().enumerate() {
            let said = audit(name, &program.active).err();
            problems.extend(said.map(|said| said.about(&format!("audits[{i}]"), Some(name))));
        }
        for name in self.misses.keys() {
            let said = rule(name, &program.active).err();
            problems.extend(said.map(|said| said.about(&format!("misses.{name}"), None)));
        }
        problems
    }

    /// Fields that exclude each other.
    fn contradictions(&self) -> Vec<Problem> {
        let of_http = [
            ("host", self.host.is_some()),
            ("method", self.method.is_some()),
            ("path", self.path.is_some()),
            ("headers", !self.headers.is_empty()),
        ];
        let identity = [
            ("principal", self.principal.is_some()),
            ("principals", self.principals.is_some()),
        ];
        let mut problems = Vec::new();
        let mut exclude = |fields: &[(&str, bool)], problem: &str, mend: &str| {
            let given = fields.iter().filter(|(_, given)| *given);
            problems.extend(given.map(|(field, _)| Said::new(problem, mend).about(field, None)));
        };
        if self.passthrough {
            exclude(
                &identity,
                "of TLS that this proxy does not terminate no certificate is seen",
                "leave it out, or passthrough",
            );
            exclude(
                &of_http,
                "of TLS that this proxy does not terminate no request is seen",
                "leave it out, or passthrough",
            );
        } else if self.tcp {
            exclude(
                &of_http,
                "a TCP connection has none",
                "leave it out, or tcp",
            );
        }
        if self.principal.is_some() {
            exclude(
                &[("principals", self.principals.is_some())],
                "principal says already what the certificate has",
                "write all URI SANs under principals, and no principal",
            );
        }
        problems
    }

    /// What cannot be sent as it is written.
    fn unsendable(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (i, HeaderLine(name, _)) in self.headers.iter().enumerate() {
            let lower = name.to_ascii_lowercase();
            let mend = match &*lower {
                "host" | ":authority" => "write it as host".into(),
                ":method" | ":path" => format!("write it as {}", lower.trim_start_matches(':')),
                _ if is_token(&lower) => continue,
                _ => "write the name alone, such as x-tier".into(),
            };
            let said = Said::new("no header of this name reaches the policy", &mend);
            problems.push(said.about(&format!("headers[{i}]"), Some(name)));
        }
        if let Some(method) = self.method.as_ref().filter(|method| !is_token(method)) {
            let said = Said::new("it is no HTTP method", "write one such as GET");
            problems.push(said.about("method", Some(method)));
        }
        let in_no_request = |path: &&String| !path.starts_with('/') && *path != "*";
        if let Some(path) = self.path.as_ref().filter(in_no_request) {
            let said = Said::new("it is no path of a request", "begin it with '/'");
            problems.push(said.about("path", Some(path)));
        }
        problems
    }
}

/// What is wrong, before it is known where.
struct Said {
    problem: String,
    mend: String,
}

impl Said {
    fn new(problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            mend: mend.into(),
        }
    }

    fn about(self, field: &str, value: Option<&str>) -> Problem {
        Problem {
            rule: None,
            field: field.into(),
            value: value.map(|text| format!("{text:?}")),
            problem: self.problem,
            mend: self.mend,
        }
    }
}

/// What the policy could not be bound to, in the words of a case.
pub(super) fn nowhere(problem: Problem, program: &Program) -> Problem {
    let meshes: Vec<&str> = program.meshes().collect();
    let mend = format!("write node: {{mesh: …}}, one of {}", meshes.join(", "));
    Problem {
        field: "node.mesh".into(),
        mend: format!("{mend}; or mesh in the policy"),
        ..problem
    }
}

/// Whether a decision is one that this policy could come to.
fn decision(text: &str, rules: &WrittenRules) -> Result<(), Said> {
    let (verdict, by) = text.split_once(' ').unwrap_or((text, ""));
    let (kind, name) = by.split_once(':').unwrap_or(("", by));
    match (verdict, kind) {
        ("ALLOW" | "DENY", "rule") => {
            let rule = rule(name, rules)?;
            if rule.action == Action::Audit {
                return Err(Said::new(
                    format!("{name} is an AUDIT rule, which decides nothing"),
                    format!("write audits: [{name}], and here what decides"),
                ));
            }
            if rule.action.as_str() != verdict {
                let action = rule.action.as_str();
                return Err(Said::new(
                    format!("the policy's rule {name} has action: {action}"),
                    format!("write {action} rule:{name}"),
                ));
            }
            Ok(())
        }
        ("ALLOW" | "DENY", "default") => {
            let classes = SourceClass::ALL.map(SourceClass::as_str);
            if !classes.contains(&name) {
                return Err(Said::new(
                    format!("there is no class {name:?} of sources"),
                    one_of(name, &classes),
                ));
            }
            if (verdict, name) == ("ALLOW", INVALID) {
                return Err(Said::new(
                    "a source without one valid identity is always denied",
                    format!("write DENY default:{INVALID}"),
                ));
            }
            Ok(())
        }
        _ => Err(Said::new(
            "it is no decision",
            meant(text, rules).unwrap_or_else(|| {
                "write ALLOW or DENY, then rule:NAME or default:CLASS, such as DENY default:peerMesh"
                    .into()
            }),
        )),
    }
}

fn left_to_http(text: &str) -> Result<(), Said> {
    if text == LEFT_TO_HTTP {
        return Ok(());
    }
    Err(Said::new(
        "it is no decision",
        format!("did you mean {LEFT_TO_HTTP}?"),
    ))
}

/// What a decision in other words probably is: the verdict in another case, `rule:` or `default:` left out.
fn meant(text: &str, rules: &WrittenRules) -> Option<String> {
    let (verdict, by) = text.split_once(' ').unwrap_or((text, ""));
    let verdict = verdict.to_ascii_uppercase();
    if !matches!(&*verdict, "ALLOW" | "DENY") {
        return None;
    }
    let by = by.trim();
    if by.is_empty() {
        return Some(format!(
            "say by what too: {verdict} rule:NAME, or {verdict} default:CLASS"
        ));
    }
    let (kind, name) = by.split_once(':').unwrap_or(("", by));
    let name = name.trim();
    let is_class = SourceClass::ALL.iter().any(|class| class.as_str() == name);
    let kind = match kind.trim().to_ascii_lowercase().as_str() {
        "default" => "default",
        "" if is_class => "default",
        "rule" => "rule",
        "" if rules.rules.iter().any(|rule| &*rule.name == name) => "rule",
        _ => return None,
    };
    Some(format!("did you mean {verdict} {kind}:{name}?"))
}

fn audit(name: &str, rules: &WrittenRules) -> Result<(), Said> {
    let action = rule(name, rules)?.action;
    if action == Action::Audit {
        return Ok(());
    }
    Err(Said::new(
        format!("the policy's rule {name} has action: {}", action.as_str()),
        "leave it out: here stand rules that only count, of action: AUDIT",
    ))
}

/// The rule of a name.
fn rule<'r>(name: &str, rules: &'r WrittenRules) -> Result<&'r Rule, Said> {
    let of_name = |rule: &&Rule| *rule.name == *name;
    rules.rules.iter().find(of_name).ok_or_else(|| {
        let names: Vec<&str> = rules.rules.iter().map(|rule| &*rule.name).collect();
        let mend = if names.is_empty() {
            "it has no rules; write what the defaults decide".into()
        } else {
            one_of(name, &names)
        };
        Said::new(format!("the policy has no rule {name}"), mend)
    })
}

/// So many names are listed in a mend.
const MOST_LISTED: usize = 10;

fn one_of(written: &str, words: &[&str]) -> String {
    let mut all: Vec<&str> = words.iter().copied().take(MOST_LISTED).collect();
    if words.len() > MOST_LISTED {
        all.push("…");
    }
    let all = format!("write one of {}", all.join(", "));
    match nearest(written, words) {
        Some(word) => format!("did you mean {word}? {all}"),
        None => all,
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}
