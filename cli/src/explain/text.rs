//! An explanation for people: the verdict first, then why, then everything else.

use std::fmt::{self, Formatter};

use crossmesh_policy::{
    Action, Deciding, Mode, Outcome, RuleTrace, SourceClass, SourceSeen, Verdict, shown,
};

use super::json::decided;
use super::{Answer, Set};
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
        if self.answer.explanation.left_to_http {
            self.left_to_http(f)?;
        } else {
            self.verdict(f)?;
            self.as_both(f)?;
            self.candidate(f)?;
        }
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
        let explanation = &self.answer.explanation;
        self.rules(f, Set::Active, &explanation.rules)?;
        if explanation.candidate.is_some() {
            self.rules(f, Set::Candidate, &explanation.candidate_rules)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    /// What the TCP filter does not decide has no verdict.
    fn left_to_http(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "LEFT TO HTTP: the TCP filter decides nothing about this connection"
        )?;
        writeln!(
            f,
            "The port is in tcp.httpPorts, and not every request would be refused: the HTTP filter decides about each. To ask about \
             one, give --method, --path and so on instead of --tcp."
        )
    }

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

    /// Of what may be plaintext too, what would become of either.
    fn as_both(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(both) = &self.answer.explanation.as_both else {
            return Ok(());
        };
        let (verdict, decided_by) = &both.passthrough;
        write!(
            f,
            "TLS without a server name cannot be told from plaintext: it must be let in as both. As passthrough: {} by {}; as \
             plaintext: ",
            verdict.as_str(),
            decided(decided_by)
        )?;
        match &both.plaintext {
            Some((verdict, decided_by)) => {
                writeln!(f, "{} by {}.", verdict.as_str(), decided(decided_by))
            }
            None => writeln!(f, "left to the HTTP filter (tcp.httpPorts)."),
        }
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
        let mut parts = described(&explanation.source, explanation.as_both.is_some());
        if explanation.direct.is_none() {
            parts.extend(self.source_ip());
        }
        parts.join(", ")
    }

    /// The direct peer that spoke for the source.
    fn forwarder(&self, direct: &SourceSeen) -> String {
        let mut parts = described(direct, false);
        parts.extend(self.source_ip());
        parts.push("the direct peer, whose x-forwarded-client-cert is believed".into());
        parts.join(", ")
    }

    fn source_ip(&self) -> Option<String> {
        let ip = self.args.source.source_ip?;
        Some(if self.answer.hides_address {
            format!(
                "from {ip}, which x-forwarded-for hides from a sidecar (from a gateway not: --gateway)"
            )
        } else {
            format!("from {ip}")
        })
    }

    fn request(&self) -> String {
        let request = &self.args.request;
        let mut parts = Vec::new();
        if self.args.is_tcp() {
            parts.push("a TCP connection".to_owned());
        } else {
            let words = [&request.method, &request.host, &request.path];
            let words: Vec<String> = words.into_iter().flatten().map(text).collect();
            parts.push(if words.is_empty() {
                "HTTP".into()
            } else {
                words.join(" ")
            });
        }
        parts.extend(request.port.map(|port| format!("port {port}")));
        parts.extend(request.sni.as_ref().map(|sni| format!("SNI {}", text(sni))));
        parts.extend(
            request
                .header
                .iter()
                .map(|(name, value)| format!("{name}: {}", text(value))),
        );
        parts.join(", ")
    }

    fn proxy(&self) -> String {
        let node = &self.args.node;
        let mut parts = vec![format!("mesh {}", self.answer.explanation.destination_mesh)];
        parts.extend(
            node.node_namespace
                .as_ref()
                .map(|namespace| format!("namespace {}", text(namespace))),
        );
        parts.extend(
            node.node_workload
                .as_ref()
                .map(|workload| format!("workload {}", text(workload))),
        );
        parts.extend(
            node.node_label
                .iter()
                .map(|(key, value)| text(&format!("{key}={value}"))),
        );
        parts.join(", ")
    }

    fn rules(&self, f: &mut Formatter<'_>, set: Set, rules: &[RuleTrace]) -> fmt::Result {
        let (title, none) = match set {
            Set::Active => ("rules", "The policy has no rules."),
            Set::Candidate => ("candidate's rules", "The candidate has no rules."),
        };
        if rules.is_empty() {
            return writeln!(f, "\n{none}");
        }
        let as_far = if self.answer.is_left(set) {
            ", as far as a connection tells"
        } else {
            ""
        };
        writeln!(f, "\n{title}{as_far}")?;
        for (i, trace) in rules.iter().enumerate() {
            self.rule(f, set, i, trace)?;
        }
        Ok(())
    }

    fn rule(
        &self,
        f: &mut Formatter<'_>,
        set: Set,
        index: usize,
        trace: &RuleTrace,
    ) -> fmt::Result {
        let line = self.answer.line(set, index, "");
        write!(
            f,
            "  {} {} (line {line}): ",
            trace.action.as_str(),
            trace.name
        )?;
        let hangs = self.answer.hangs(set, trace);
        match &trace.outcome {
            _ if hangs && trace.decided && !self.answer.explanation.left_to_http => {
                writeln!(f, "might match, and would decide")?
            }
            _ if hangs => writeln!(f, "hangs on the request")?,
            Outcome::Matched => writeln!(f, "{}", self.matched(set, trace))?,
            Outcome::NotMatched { .. } => writeln!(f, "does not match")?,
        }
        let Outcome::NotMatched { misses } = &trace.outcome else {
            return Ok(());
        };
        for miss in misses {
            let line = self.answer.line(set, index, &miss.field);
            write!(f, "    line {line}, {}: {}", miss.field, miss.why)?;
            match self.answer.hints.of(&miss.field).as_slice() {
                [] => writeln!(f)?,
                flags => writeln!(f, " ({} was not given)", flags.join(", "))?,
            }
        }
        Ok(())
    }

    fn matched(&self, set: Set, trace: &RuleTrace) -> &'static str {
        let explanation = &self.answer.explanation;
        let is_denied = match (set, &explanation.candidate) {
            (Set::Candidate, Some((verdict, _))) => *verdict == Verdict::Deny,
            _ => explanation.verdict == Verdict::Deny,
        };
        match (set, trace.action) {
            (Set::Active, Action::Audit) => "matches; it is counted and decides nothing",
            (Set::Candidate, Action::Audit) => "matches; in a candidate that does nothing",
            _ if explanation.left_to_http => "matches",
            (Set::Active, _) if trace.decided => "matches and DECIDES",
            (Set::Candidate, _) if trace.decided => "matches and would decide",
            (Set::Active, Action::Allow) if is_denied => "matches, but a DENY decides",
            (Set::Candidate, Action::Allow) if is_denied => "matches, but a DENY would decide",
            (Set::Active, _) => "matches too, after the one that decides",
            (Set::Candidate, _) => "matches too, after the one that would decide",
        }
    }
}

fn text(text: &String) -> String {
    shown(text.as_bytes())
}

/// A source in the policy's words; `as_both` if it may be plaintext or passthrough.
fn described(source: &SourceSeen, as_both: bool) -> Vec<String> {
    let mut parts = vec![source.class.to_string()];
    match source.class {
        SourceClass::Plaintext if as_both => {
            parts.push("TLS that this proxy does not terminate, or what begins like it".into())
        }
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
