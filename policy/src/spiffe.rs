//! SPIFFE IDs, read strictly.
//!
//! The grammar is that of [SPIFFE-ID §2](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md) and, for
//! workloads, [X509-SVID §2](https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md). Whatever a looser
//! reader would repair (upper case, escapes, empty segments) is refused: two spellings of one identity are two ways
//! around a rule.

use std::fmt;
use std::ops::Range;

const SCHEME: &str = "spiffe://";
/// SPIFFE-ID §2.3: an ID of up to 2048 bytes must be supported; longer ones are refused.
const MAX_ID: usize = 2048;
/// SPIFFE-ID §2.3: a trust domain name is at most 255 bytes.
const MAX_TRUST_DOMAIN: usize = 255;

/// The ID of a workload: `spiffe://<trust domain>/<path>`, with a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: Box<str>,
    trust_domain: Range<usize>,
    /// Namespace and service account, when the path is exactly `/ns/<ns>/sa/<sa>`.
    workload: Option<(Range<usize>, Range<usize>)>,
}

impl SpiffeId {
    /// Reads an ID from the bytes of a certificate's URI SAN.
    ///
    /// # Errors
    /// The first thing that makes it not a workload's SPIFFE ID.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidSpiffeId> {
        if bytes.len() > MAX_ID {
            return Err(InvalidSpiffeId::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidSpiffeId::NotText)?;
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        check_trust_domain(domain)?;
        let path = path.ok_or(InvalidSpiffeId::NoPath)?;
        check_path(path)?;
        let domain_end = SCHEME.len().saturating_add(domain.len());
        Ok(Self {
            text: text.into(),
            trust_domain: SCHEME.len()..domain_end,
            workload: workload_ranges(path, domain_end.saturating_add(1)),
        })
    }

    /// The whole ID, as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// All but the scheme: trust domain, slash, path.
    pub(crate) fn without_scheme(&self) -> &str {
        self.text.strip_prefix(SCHEME).unwrap_or(&self.text)
    }

    /// The trust domain, without scheme or path.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.slice(&self.trust_domain)
    }

    /// What follows `<trust domain>/`: never empty, without a leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text
            .get(self.trust_domain.end.saturating_add(1)..)
            .unwrap_or_default()
    }

    /// The Kubernetes namespace, when the path is exactly `/ns/<ns>/sa/<sa>`.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.workload.as_ref().map(|(ns, _)| self.slice(ns))
    }

    /// The Kubernetes service account, when the path is exactly `/ns/<ns>/sa/<sa>`.
    #[must_use]
    pub fn service_account(&self) -> Option<&str> {
        self.workload.as_ref().map(|(_, sa)| self.slice(sa))
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks the name of a trust domain: 1 to 255 of `a-z`, `0-9`, `.`, `-`, `_`.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn check_trust_domain(name: &str) -> Result<(), InvalidSpiffeId> {
    if name.is_empty() {
        return Err(InvalidSpiffeId::NoTrustDomain);
    }
    if name.len() > MAX_TRUST_DOMAIN {
        return Err(InvalidSpiffeId::LongTrustDomain(name.len()));
    }
    match name
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_'))
    {
        None => Ok(()),
        Some(':') => Err(InvalidSpiffeId::Port),
        Some('@') => Err(InvalidSpiffeId::UserInfo),
        Some('%') => Err(InvalidSpiffeId::PercentEncoding),
        Some('?') => Err(InvalidSpiffeId::Query),
        Some('#') => Err(InvalidSpiffeId::Fragment),
        Some(c) => Err(InvalidSpiffeId::TrustDomainCharacter(c)),
    }
}

/// The characters that a path segment may have.
pub(crate) fn is_path_character(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_')
}

fn check_path(path: &str) -> Result<(), InvalidSpiffeId> {
    if path.is_empty() {
        return Err(InvalidSpiffeId::NoPath);
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(InvalidSpiffeId::EmptySegment),
            "." | ".." => return Err(InvalidSpiffeId::DotSegment),
            _ => {}
        }
        match segment.chars().find(|c| !is_path_character(*c)) {
            None => {}
            Some('%') => return Err(InvalidSpiffeId::PercentEncoding),
            Some('?') => return Err(InvalidSpiffeId::Query),
            Some('#') => return Err(InvalidSpiffeId::Fragment),
            Some(c) => return Err(InvalidSpiffeId::PathCharacter(c)),
        }
    }
    Ok(())
}

/// Where namespace and service account lie in the whole text, whose path begins at `start`.
fn workload_ranges(path: &str, start: usize) -> Option<(Range<usize>, Range<usize>)> {
    let mut segments = path.split('/');
    let (ns_word, ns, sa_word, sa) = (
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
    );
    if ns_word != "ns" || sa_word != "sa" || segments.next().is_some() {
        return None;
    }
    let ns_start = start.saturating_add("ns/".len());
    let ns_end = ns_start.saturating_add(ns.len());
    let sa_start = ns_end.saturating_add("/sa/".len());
    Some((
        ns_start..ns_end,
        sa_start..sa_start.saturating_add(sa.len()),
    ))
}

/// Why some bytes are not the SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSpiffeId {
    /// Not UTF-8.
    NotText,
    /// Longer than 2048 bytes; the length.
    TooLong(usize),
    /// Does not begin with `spiffe://`, in lower case.
    Scheme,
    /// Nothing between `spiffe://` and the first slash.
    NoTrustDomain,
    /// A trust domain of more than 255 bytes; the length.
    LongTrustDomain(usize),
    /// A character that a trust domain may not have.
    TrustDomainCharacter(char),
    /// A user before `@`.
    UserInfo,
    /// A port after `:`.
    Port,
    /// A query after `?`.
    Query,
    /// A fragment after `#`.
    Fragment,
    /// A percent-encoded character.
    PercentEncoding,
    /// A trust domain alone, which is no workload.
    NoPath,
    /// Two slashes in a row, or one at the end.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A character that a path may not have.
    PathCharacter(char),
}

impl fmt::Display for InvalidSpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::TooLong(n) => write!(f, "it has {n} bytes, at most {MAX_ID} are allowed"),
            Self::Scheme => write!(f, "it does not begin with {SCHEME}"),
            Self::NoTrustDomain => f.write_str("its trust domain is empty"),
            Self::LongTrustDomain(n) => write!(
                f,
                "its trust domain has {n} bytes, at most {MAX_TRUST_DOMAIN} are allowed"
            ),
            Self::TrustDomainCharacter(c) => write!(
                f,
                "its trust domain has {c:?}, only a-z, 0-9, '.', '-' and '_' are allowed"
            ),
            Self::UserInfo => f.write_str("its trust domain has a user ('@')"),
            Self::Port => f.write_str("its trust domain has a port (':')"),
            Self::Query => f.write_str("it has a query ('?')"),
            Self::Fragment => f.write_str("it has a fragment ('#')"),
            Self::PercentEncoding => f.write_str("it has percent-encoding ('%')"),
            Self::NoPath => f.write_str("it has no path: a trust domain is not a workload"),
            Self::EmptySegment => {
                f.write_str("its path has an empty segment ('//' or a '/' at the end)")
            }
            Self::DotSegment => f.write_str("its path has a segment '.' or '..'"),
            Self::PathCharacter(c) => write!(
                f,
                "its path has {c:?}, only a-z, A-Z, 0-9, '.', '-' and '_' are allowed"
            ),
        }
    }
}

impl std::error::Error for InvalidSpiffeId {}

#[cfg(test)]
mod tests;
