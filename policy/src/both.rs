//! TLS that passes through and names no server. Nobody can tell it from plaintext, for its first bytes are the client's choice: it
//! must be let in as both.

use crate::decide::Decision;
use crate::policy::Policy;
use crate::request::{Protocol, Request};
use crate::source::{Source, SourceClass};
use crate::spec::Verdict;

/// What is decided about a connection that may be either.
#[derive(Debug)]
pub(crate) struct Both<'p> {
    pub(crate) passthrough: Decision<'p>,
    /// None if plaintext is left to the HTTP filter there.
    pub(crate) plaintext: Option<Decision<'p>>,
}

impl Policy {
    /// The decisions about a source that may be plaintext as well as what it is said to be; none if it is surely that.
    pub(crate) fn as_both(&self, source: &Source, request: &Request<'_>) -> Option<Both<'_>> {
        let is_named = request.sni.is_some_and(|sni| !sni.is_empty());
        if source.class() != SourceClass::Passthrough || is_named {
            return None;
        }
        let plaintext = Source::plaintext();
        Some(Both {
            passthrough: self.decide_as_told(source, request),
            plaintext: match request.protocol {
                Protocol::Tcp => self.decide_connection(&plaintext, request),
                Protocol::Http(_) => Some(self.decide_as_told(&plaintext, request)),
            },
        })
    }
}

impl<'p> Both<'p> {
    /// The decision about the one that is told.
    pub(crate) fn told(&self, as_plaintext: bool) -> Option<&Decision<'p>> {
        if as_plaintext {
            self.plaintext.as_ref()
        } else {
            Some(&self.passthrough)
        }
    }

    /// What denies either denies it. Told is the one that is denied, else TLS, which it mostly is.
    pub(crate) fn joined(self) -> Decision<'p> {
        let Self {
            passthrough,
            plaintext,
        } = self;
        match plaintext {
            None => passthrough,
            Some(plaintext)
                if passthrough.verdict == Verdict::Allow && plaintext.verdict == Verdict::Deny =>
            {
                beside(plaintext, passthrough)
            }
            Some(plaintext) => beside(passthrough, plaintext),
        }
    }
}

/// The one that is told, with the AUDIT rules that the other one matches too, and with a candidate that denies where it would
/// deny either.
fn beside<'p>(mut told: Decision<'p>, other: Decision<'p>) -> Decision<'p> {
    for rule in other.audits {
        if !told.audits.contains(&rule) {
            told.audits.push(rule);
        }
    }
    if let Some(candidate) = other.candidate
        && candidate.verdict == Verdict::Deny
        && told
            .candidate
            .is_none_or(|own| own.verdict == Verdict::Allow)
    {
        told.candidate = Some(candidate);
    }
    told
}
