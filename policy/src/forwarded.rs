//! `x-forwarded-client-cert`: whom a trusted forwarder speaks for.
//!
//! Each proxy on the way appends an element for the peer that it saw, so the rightmost one is our own Envoy's, and
//! what stands further left was written by whoever is named right of it. Therefore the header is read from the right,
//! only as far as listed forwarders vouch for it: whatever an outsider put at the left is never parsed, and cannot
//! change how the rest is. Format:
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>.

use std::borrow::Cow;

use crate::policy::Policy;
use crate::request::{HttpRequest, Peer, Protocol, Request};
use crate::source::{Source, SourceClass};

const HEADER: &[u8] = b"x-forwarded-client-cert";

impl Policy {
    /// Whether the source is listed under `forwarders`.
    #[must_use]
    pub fn is_forwarder(&self, source: &Source) -> bool {
        self.may_assert(source).is_some()
    }

    /// The source that a request really comes from: the direct peer, or, if that is a listed forwarder, the one that
    /// it names in `x-forwarded-client-cert`. From anybody else the header is ignored.
    #[must_use]
    pub fn caller<'s>(&self, direct: &'s Source, request: &Request<'_>) -> Cow<'s, Source> {
        match request.protocol {
            Protocol::Http(request) if self.is_forwarder(direct) => {
                let lines = Self::forwarded_lines(&request).rev();
                let elements = lines.flat_map(elements_from_right);
                Cow::Owned(self.walk(direct, elements))
            }
            _ => Cow::Borrowed(direct),
        }
    }

    /// All that [`Policy::caller`] looks at in a request, so that who it finds may be kept by these values and the direct
    /// peer's.
    pub fn forwarded_lines<'h>(
        request: &HttpRequest<'h>,
    ) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'h> {
        let lines = request.headers.iter().filter(|(name, _)| *name == HEADER);
        lines.map(|(_, line)| *line)
    }

    fn walk<'h>(&self, direct: &Source, mut elements: impl Iterator<Item = &'h [u8]>) -> Source {
        let Some(own) = elements.next() else {
            return direct.clone();
        };
        let seen = self.named(own);
        if seen.principal() != direct.principal() {
            return invalid(format!(
                "the nearest element of x-forwarded-client-cert does not name the direct peer: the proxy must run with \
                 forward_client_cert_details APPEND_FORWARD or SANITIZE_SET, and URI among the details ({})",
                seen.note().or(seen.principal()).unwrap_or("no URI")
            ));
        }
        let mut hop = direct.clone();
        // What a forwarder writes about another forwarder is its own word too: it may not speak through one for those
        // for whom it may not speak itself.
        let mut meshes: Option<Vec<usize>> = None;
        for element in elements {
            let Some(may_assert) = self.may_assert(&hop) else {
                break;
            };
            let allowed: Vec<usize> = match meshes {
                None => may_assert,
                Some(so_far) => so_far
                    .into_iter()
                    .filter(|mesh| may_assert.contains(mesh))
                    .collect(),
            };
            let source = self.named(element);
            if source.class() == SourceClass::InvalidIdentity {
                return source;
            }
            if !source
                .mesh_index()
                .is_some_and(|mesh| allowed.contains(&mesh))
            {
                return invalid(format!(
                    "{} may not speak for {}: its mesh is not in mayAssert of every forwarder on the way",
                    hop.principal().unwrap_or_default(),
                    source.principal().unwrap_or_default()
                ));
            }
            hop = source;
            meshes = Some(allowed);
        }
        hop
    }

    /// The meshes for which a source may speak; none if it is no forwarder.
    fn may_assert(&self, source: &Source) -> Option<Vec<usize>> {
        let id = source.id.as_ref()?;
        let mut forwarders = self.common.forwarders.iter();
        let forwarder = forwarders.find(|forwarder| forwarder.principal.matches(id))?;
        Some(forwarder.may_assert.iter().map(|mesh| mesh.index).collect())
    }

    /// The source that an element names.
    fn named(&self, element: &[u8]) -> Source {
        match uris(element) {
            None => invalid("an element of x-forwarded-client-cert cannot be read".into()),
            Some(uris) => {
                let uris: Vec<&[u8]> = uris.iter().map(|uri| &**uri).collect();
                self.identify(&Peer::Certificate { uri_sans: &uris })
            }
        }
    }
}

fn invalid(note: String) -> Source {
    Source::without_identity(SourceClass::InvalidIdentity, Some(note))
}

/// The elements of a line, the rightmost first.
fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(line);
    std::iter::from_fn(move || {
        let line = left?;
        match last_outside_quotes(line, b',') {
            None => left = None,
            Some(comma) => left = line.get(..comma),
        }
        let start = left.map_or(0, |left| left.len().saturating_add(1));
        line.get(start..).map(<[u8]>::trim_ascii)
    })
    .filter(|element| !element.is_empty())
}

/// Where the last `separator` stands that is in no quotes, read from the right.
fn last_outside_quotes(text: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        if *byte == b'"' && !is_escaped(text, at) {
            quoted = !quoted;
        } else if *byte == separator && !quoted {
            return Some(at);
        }
    }
    None
}

/// Whether an odd number of backslashes stands before a byte.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
        % 2
        == 1
}

/// All values of `URI` in an element; none if it is not `key=value` pairs, or a quote is left open. Keys have no case.
fn uris(element: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_quote = |at: &usize| element.get(*at) == Some(&b'"') && !is_escaped(element, *at);
    if (0..element.len()).filter(is_quote).count() % 2 == 1 {
        return None;
    }
    let mut uris = Vec::new();
    let mut left = element;
    loop {
        let (before, pair) = match last_outside_quotes(left, b';') {
            None => (None, left),
            Some(at) => (left.get(..at), left.get(at.saturating_add(1)..)?),
        };
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair.get(..equals)?, pair.get(equals.saturating_add(1)..)?);
        if key.trim_ascii().eq_ignore_ascii_case(b"uri") {
            uris.push(unquoted(value.trim_ascii())?);
        }
        match before {
            None => break,
            Some(before) => left = before,
        }
    }
    uris.reverse();
    Some(uris)
}

fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let Some(opened) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then(|| value.to_vec());
    };
    let inner = opened.strip_suffix(b"\"")?;
    let mut out = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(*byte);
        }
    }
    (!escaped).then_some(out)
}

#[cfg(test)]
mod tests;
