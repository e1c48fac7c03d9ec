//! Patterns for whole identities: a whole, exact trust domain, then a pattern for the path.

use std::fmt;

use crate::pattern::{InvalidPattern, Pattern};
use crate::spiffe::{InvalidSpiffeId, SpiffeId, check_trust_domain, is_path_character};

/// A pattern for SPIFFE IDs, such as `bar.com/ns/batch/sa/*`. `spiffe://` may be left out, as in Istio.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PrincipalPattern {
    /// Never a pattern: `*.com/…` would let in a trust domain that anybody can register.
    trust_domain: Box<str>,
    path: Pattern,
}

impl PrincipalPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPrincipal`]; among them patterns that no SPIFFE ID can match.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPrincipal> {
        let text = text.strip_prefix("spiffe://").unwrap_or(text);
        let (trust_domain, path) = match text.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (text, None),
        };
        if trust_domain.contains('*') {
            return Err(InvalidPrincipal::TrustDomainPattern);
        }
        check_trust_domain(trust_domain).map_err(InvalidPrincipal::Id)?;
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or(InvalidPrincipal::Id(InvalidSpiffeId::NoPath))?;
        let pattern = Pattern::parse(path).map_err(InvalidPrincipal::Pattern)?;
        match &pattern {
            Pattern::Exact(path) => {
                let whole = format!("spiffe://{trust_domain}/{path}");
                SpiffeId::parse(whole.as_bytes()).map_err(InvalidPrincipal::Id)?;
            }
            Pattern::Prefix(fixed) if fixed.starts_with('/') => {
                return Err(InvalidPrincipal::Id(InvalidSpiffeId::EmptySegment));
            }
            Pattern::Prefix(fixed) | Pattern::Suffix(fixed) => check_part(fixed)?,
            Pattern::Any => {}
        }
        Ok(Self {
            trust_domain: trust_domain.into(),
            path: pattern,
        })
    }

    /// Whether it names exactly one identity.
    #[must_use]
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.path, Pattern::Exact(_))
    }

    /// The trust domain it is about.
    #[must_use]
    pub(crate) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The pattern for what follows the trust domain.
    #[must_use]
    pub(crate) fn path(&self) -> &Pattern {
        &self.path
    }

    /// Whether the identity fits.
    #[must_use]
    pub(crate) fn matches(&self, id: &SpiffeId) -> bool {
        *self.trust_domain == *id.trust_domain() && self.path.matches(id.path().as_bytes())
    }
}

/// Refuses what can be no part of a path.
fn check_part(fixed: &str) -> Result<(), InvalidPrincipal> {
    if let Some(c) = fixed.chars().find(|c| *c != '/' && !is_path_character(*c)) {
        return Err(InvalidPrincipal::Id(match c {
            '%' => InvalidSpiffeId::PercentEncoding,
            '?' => InvalidSpiffeId::Query,
            '#' => InvalidSpiffeId::Fragment,
            c => InvalidSpiffeId::PathCharacter(c),
        }));
    }
    if fixed.contains("//") {
        return Err(InvalidPrincipal::Id(InvalidSpiffeId::EmptySegment));
    }
    Ok(())
}

impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.trust_domain, self.path)
    }
}

/// Why a text is not a pattern for identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidPrincipal {
    /// A `*` in the trust domain, or instead of one.
    TrustDomainPattern,
    /// A `*` where none may stand.
    Pattern(InvalidPattern),
    /// Not what a SPIFFE ID can be.
    Id(InvalidSpiffeId),
}

impl fmt::Display for InvalidPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrustDomainPattern => {
                f.write_str("the trust domain of a principal must be whole and exact")
            }
            Self::Pattern(why) => why.fmt(f),
            Self::Id(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for InvalidPrincipal {}

impl InvalidPrincipal {
    /// What to write instead.
    #[must_use]
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::TrustDomainPattern => {
                "write one principal for each trust domain, such as bar.com/ns/batch/sa/*"
            }
            Self::Pattern(why) => why.mend(),
            Self::Id(_) => {
                "write <trust domain>/ns/<namespace>/sa/<service account>, '*' only behind the trust domain"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, id: &str, want: bool) {
        let parsed = PrincipalPattern::parse(pattern).expect(pattern);
        let id = SpiffeId::parse(id.as_bytes()).expect(id);
        assert_eq!(parsed.matches(&id), want, "{pattern} on {id}");
    }

    #[test]
    fn the_trust_domain_is_exact_and_the_star_stands_behind_it() {
        check(
            "bar.com/ns/batch/sa/*",
            "spiffe://bar.com/ns/batch/sa/nightly",
            true,
        );
        check(
            "spiffe://bar.com/ns/batch/sa/*",
            "spiffe://bar.com/ns/batch/sa/nightly",
            true,
        );
        check(
            "bar.com/ns/batch/sa/*",
            "spiffe://bar.com.evil/ns/batch/sa/nightly",
            false,
        );
        check("bar.com/*", "spiffe://bar.com/workload", true);
        check(
            "bar.com/*/sa/nightly",
            "spiffe://bar.com/ns/batch/sa/nightly",
            true,
        );
        check(
            "bar.com/ns/batch/sa/nightly",
            "spiffe://bar.com/ns/batch/sa/nightly",
            true,
        );
        check(
            "bar.com/ns/batch/sa/nightly",
            "spiffe://bar.com/ns/batch/sa/nightly2",
            false,
        );
    }

    #[test]
    fn what_matches_nothing_or_too_much_is_refused() {
        use InvalidPrincipal::*;
        for (text, why) in [
            ("*", TrustDomainPattern),
            ("*.com/ns/a/sa/b", TrustDomainPattern),
            ("bar*/ns/a/sa/b", TrustDomainPattern),
            ("bar.com", Id(InvalidSpiffeId::NoPath)),
            ("bar.com/", Id(InvalidSpiffeId::NoPath)),
            (
                "Bar.com/ns/a/sa/b",
                Id(InvalidSpiffeId::TrustDomainCharacter('B')),
            ),
            ("bar.com/ns//sa/b", Id(InvalidSpiffeId::EmptySegment)),
            ("bar.com//*", Id(InvalidSpiffeId::EmptySegment)),
            ("bar.com/ns//*", Id(InvalidSpiffeId::EmptySegment)),
            ("bar.com/ns/a b*", Id(InvalidSpiffeId::PathCharacter(' '))),
            ("bar.com/ns/*/sa/b", Pattern(InvalidPattern::Star)),
            ("https://bar.com/x", Id(InvalidSpiffeId::Port)),
            ("", Id(InvalidSpiffeId::NoTrustDomain)),
        ] {
            assert_eq!(PrincipalPattern::parse(text), Err(why), "{text}");
        }
    }
}
