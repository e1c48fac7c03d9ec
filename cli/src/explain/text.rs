//! An explanation for people: the verdict first, then why, then everything else.

use std::fmt::{self, Formatter};

use crossmesh_policy::{
    Action, Deciding, Mode, Outcome, RuleTrace, SourceClass, SourceSeen, Verdict,
};

use super::Answer;
use super::json::decided;
use crate::args::Explain;
use crate::input::Input;

/// The whole answer.
pub(super) struct Text<'a> {
    pub(super) args: &'a Explain,
    pub(super) input: &'a Input,
    pub(super) answer: &'a Answer<'a>,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.verdict(f)?;
        if self.answer.explanation.left_to_http {
            writeln!(
                f,
                "The TCP filter does not decide here: the port is in tcp.httpPorts, and a request could still be allowed. \
                 Above is what becomes of a connection that carries none; give --method, --path and so on instead of --tcp."
            )?;
        }
        self.candidate(f)?;
        writeln!(f, "\nsource     {}", self.source())?;
        if let Some(direct) = &self.answer.explanation.direct {
            writeln!(f, "forwarder  {}", self.forwarder(direct))?;
        }
        writeln!(f, "request    {}", self.request())?;
        writeln!(f, "proxy      {}", self.proxy())?;
        let absent: Vec<&str> = self.answer.hints.all().collect();
        if !absent.is_empty() {
            writeln!(f, "not given  {}", absent.join(", "))?;
        }
        let plugin = self.answer.plugin;
        let mode = self.answer.explanation.mode.as_str();
        writeln!(
            f,
            "policy     {}:{}, {plugin}, mode {mode}",
            self.input.name, plugin.line
        )?;
        let rules = &self.answer.explanation.rules;
        if rules.is_empty() {
            return writeln!(f, "\nThe policy has no rules.");
        }
        writeln!(f, "\nrules")?;
        for (i, trace) in rules.iter().enumerate() {
            self.rule(f, i, trace)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let explanation = &self.answer.explanation;
        let verdict = explanation.verdict.as_str();
        write!(f, "{verdict} by {}", decided(&explanation.decided_by))?;
        match (explanation.mode, explanation.verdict) {
            (Mode::Enforce, _) => writeln!(f)?,
            (Mode::DryRun, Verdict::Deny) => {
                writeln!(f, "  *** DRY_RUN: NOT ENFORCED, the request passes ***")?
            }
            (Mode::DryRun, Verdict::Allow) => writeln!(f, "  *** DRY_RUN: nothing is refused ***")?,
        }
        match (&explanation.decided_by, explanation.verdict) {
            (Deciding::Rule(name), Verdict::Deny) => {
                writeln!(f, "The DENY rule {name} matches; that is final.")
            }
            (Deciding::Rule(name), Verdict::Allow) => {
                writeln!(f, "No DENY rule matches, and the ALLOW rule {name} does.")
            }
            (Deciding::Default(SourceClass::InvalidIdentity), _) => {
                writeln!(
                    f,
                    "A source without one valid identity is always denied, whatever the rules say."
                )
            }
            (Deciding::Default(class), _) => {
                writeln!(
                    f,
                    "No DENY or ALLOW rule matches, and the default for {class} is {verdict}."
                )
            }
        }?;
        if self.args.is_tcp() {
            writeln!(
                f,
                "Nothing of HTTP is known on TCP: an ALLOW that asks for it does not match, a DENY or AUDIT does."
            )?;
        }
        Ok(())
    }

    /// What the candidate would decide, and whether that is something else.
    fn candidate(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let explanation = &self.answer.explanation;
        let Some((verdict, decided_by)) = &explanation.candidate else {
            return Ok(());
        };
        write!(
            f,
            "The candidate: {} by {}",
            verdict.as_str(),
            decided(decided_by)
        )?;
        if let Some(line) = self.answer.candidate_line() {
            write!(f, " (line {line})")?;
        }
        if *verdict == explanation.verdict {
            writeln!(f, ", the same verdict.")
        } else {
            writeln!(f, ", another verdict; it is counted and not enforced.")
        }
    }

    fn source(&self) -> String {
        let explanation = &self.answer.explanation;
        let mut parts = described(&explanation.source);
        if explanation.direct.is_none() {
            parts.extend(self.source_ip());
        }
        parts.join(", ")
    }

    /// The direct peer that spoke for the source.
    fn forwarder(&self, direct: &SourceSeen) -> String {
        let mut parts = described(direct);
        parts.extend(self.source_ip());
        parts.push("the direct peer, whose x-forwarded-client-cert is believed".into());
        parts.join(", ")
    }

    fn source_ip(&self) -> Option<String> {
        let ip = self.args.source.source_ip?;
        Some(format!("from {ip}"))
    }

    fn request(&self) -> String {
        let request = &self.args.request;
        let mut parts = Vec::new();
        if self.args.is_tcp() {
            parts.push("a TCP connection".to_owned());
        } else {
            let words = [&request.method, &request.host, &request.path];
            let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
            parts.push(if words.is_empty() {
                "HTTP".into()
            } else {
                words.join(" ")
            });
        }
        parts.extend(request.port.map(|port| format!("port {port}")));
        parts.extend(request.sni.as_ref().map(|sni| format!("SNI {sni}")));
        parts.extend(
            request
                .header
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        parts.join(", ")
    }

    fn proxy(&self) -> String {
        let node = &self.args.node;
        let mut parts = vec![format!("mesh {}", self.answer.explanation.destination_mesh)];
        parts.extend(
            node.node_namespace
                .as_ref()
                .map(|namespace| format!("namespace {namespace}")),
        );
        parts.extend(
            node.node_workload
                .as_ref()
                .map(|workload| format!("workload {workload}")),
        );
        parts.extend(
            node.node_label
                .iter()
                .map(|(key, value)| format!("{key}={value}")),
        );
        parts.join(", ")
    }

    fn rule(&self, f: &mut Formatter<'_>, index: usize, trace: &RuleTrace) -> fmt::Result {
        let RuleTrace {
            name,
            action,
            outcome,
            decided,
        } = trace;
        let line = self.answer.line(index, "");
        write!(f, "  {} {name} (line {line}): ", action.as_str())?;
        match outcome {
            Outcome::Matched => writeln!(f, "{}", self.matched(*action, *decided)),
            Outcome::NotMatched { misses } => {
                writeln!(f, "does not match")?;
                for miss in misses {
                    let line = self.answer.line(index, &miss.field);
                    write!(f, "    line {line}, {}: {}", miss.field, miss.why)?;
                    match self.answer.hints.of(&miss.field).as_slice() {
                        [] => writeln!(f)?,
                        flags => writeln!(f, " ({} was not given)", flags.join(", "))?,
                    }
                }
                Ok(())
            }
        }
    }

    fn matched(&self, action: Action, decided: bool) -> &'static str {
        match (action, self.answer.explanation.verdict) {
            _ if decided => "matches and DECIDES",
            (Action::Audit, _) => "matches; it is counted and decides nothing",
            (Action::Allow, Verdict::Deny) => "matches, but a DENY decides",
            _ => "matches too, after the one that decides",
        }
    }
}

/// A source in the policy's words.
fn described(source: &SourceSeen) -> Vec<String> {
    let mut parts = vec![source.class.to_string()];
    match source.class {
        SourceClass::Plaintext => {
            parts.push("no client certificate (--principal gives one)".into())
        }
        SourceClass::Passthrough => parts.push("TLS that this proxy does not terminate".into()),
        _ => {}
    }
    let known = [
        ("mesh", &source.mesh),
        ("trust domain", &source.trust_domain),
        ("namespace", &source.namespace),
        ("service account", &source.service_account),
    ];
    parts.extend(
        known
            .iter()
            .filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?))),
    );
    parts.extend(source.note.clone());
    parts
}
