//! The decision: any DENY that matches denies; else any ALLOW that matches allows; else the default of the source's
//! class. AUDIT never decides.

use std::fmt;

use crate::facts::Facts;
use crate::policy::Policy;
use crate::request::{Protocol, Request};
use crate::source::{Source, SourceClass};
use crate::spec::{Mode, Verdict};

/// What was decided, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'p> {
    /// Whether the request may pass. In DRY_RUN this is what it would be.
    pub verdict: Verdict,
    /// The rule or default that decided.
    pub decided_by: DecidedBy<'p>,
    /// The class that it is told for: the source's, or `plaintext` where TLS without a server name is denied as that.
    pub source_class: SourceClass,
    /// The AUDIT rules that matched, in written order.
    pub audits: Vec<&'p str>,
    /// What the candidate would have decided, if there is one.
    pub candidate: Option<Candidate<'p>>,
}

/// What the candidate rules would have decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'p> {
    /// Its verdict.
    pub verdict: Verdict,
    /// Its rule or default that decided.
    pub decided_by: DecidedBy<'p>,
    /// Whether it would leave the connection to the HTTP filter, and allows only what that could still refuse.
    pub left_to_http: bool,
}

/// What decided. Written as `rule:NAME` or `default:CLASS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy<'p> {
    /// The first in written order among the matching rules of the deciding action.
    Rule(&'p str),
    /// No rule: the default of this class.
    Default(SourceClass),
}

impl fmt::Display for DecidedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::Default(class) => write!(f, "default:{class}"),
        }
    }
}

impl Policy {
    /// Decides one request, or one TCP connection. On TCP the decision is final: what HTTP would tell is unknown, so
    /// an ALLOW that needs it does not match and a DENY or AUDIT does. TLS that passes through without a server name is
    /// decided as plaintext too.
    #[must_use]
    pub fn decide(&self, source: &Source, request: &Request<'_>) -> Decision<'_> {
        match self.as_both(source, request) {
            Some(both) => both.joined(),
            None => self.decide_as_told(source, request),
        }
    }

    /// Decides about a source that is what it is said to be.
    pub(crate) fn decide_as_told(&self, source: &Source, request: &Request<'_>) -> Decision<'_> {
        let facts = Facts::new(source, request);
        let (verdict, decided_by) = self.active.verdict(&facts);
        Decision {
            verdict,
            decided_by,
            source_class: source.class(),
            audits: self.active.audits(&facts),
            candidate: self.candidate.as_ref().map(|rules| {
                let (verdict, decided_by) = rules.verdict(&facts);
                Candidate {
                    verdict,
                    decided_by,
                    left_to_http: false,
                }
            }),
        }
    }

    /// Decides a connection at its first bytes; none if that is left to the HTTP filter.
    ///
    /// On a port of `tcp.httpPorts` the HTTP filter follows, and only what every request would be refused is refused
    /// here: a listed forwarder may speak for anybody, so its connections are always left, and in DRY_RUN nothing is refused, so
    /// all are. None follows TLS that is not terminated here: that is decided for good on every port.
    ///
    /// A candidate by which the connection would be left to the HTTP filter allows it, by what might let a request in: that
    /// filter, which could say more, never sees one.
    #[must_use]
    pub fn decide_connection(
        &self,
        source: &Source,
        request: &Request<'_>,
    ) -> Option<Decision<'_>> {
        let request = Request {
            protocol: Protocol::Tcp,
            ..*request
        };
        let of_http = |port| self.common.http_ports.contains(&port);
        let http_follows =
            request.port.is_some_and(of_http) && source.class() != SourceClass::Passthrough;
        if !http_follows {
            return Some(self.decide(source, &request));
        }
        let facts = Facts::new(source, &request);
        let refuses_nothing = self.common.mode == Mode::DryRun;
        if refuses_nothing || self.is_forwarder(source) || self.active.may_allow(&facts).is_some() {
            return None;
        }
        let mut decision = self.decide(source, &request);
        let may_allow = self
            .candidate
            .as_ref()
            .and_then(|rules| rules.may_allow(&facts));
        if let Some(decided_by) = may_allow {
            decision.candidate = Some(Candidate {
                verdict: Verdict::Allow,
                decided_by,
                left_to_http: true,
            });
        }
        Some(decision)
    }
}
