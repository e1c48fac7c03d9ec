//! String patterns as Istio's AuthorizationPolicy has them: exact, `prefix*`, `*suffix` and `*`.
//!
//! A pattern is data, so that policies can be compared and intersected, not only run.

use std::fmt;

use crate::work;

/// A pattern for one string. It is matched against bytes: header values need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pattern {
    /// The whole string.
    Exact(Box<str>),
    /// All strings that begin so.
    Prefix(Box<str>),
    /// All strings that end so.
    Suffix(Box<str>),
    /// Every string, the empty one too; but never an absent value.
    Any,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] for an empty pattern, and for a `*` anywhere but at one end.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let (pattern, rest) = match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(""), _) => (Self::Any, ""),
            (Some(prefix), _) => (Self::Prefix(prefix.into()), prefix),
            (None, Some(suffix)) => (Self::Suffix(suffix.into()), suffix),
            (None, None) => (Self::Exact(text.into()), text),
        };
        if text.is_empty() {
            Err(InvalidPattern::Empty)
        } else if rest.contains('*') {
            Err(InvalidPattern::Star)
        } else {
            Ok(pattern)
        }
    }

    /// Whether the pattern holds for these bytes.
    #[must_use]
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        work::done(1);
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
            Self::Any => true,
        }
    }

    /// What is fixed in it: all but the `*`.
    #[must_use]
    pub(crate) fn fixed(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
            Self::Any => "",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Suffix(text) => write!(f, "*{text}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidPattern {
    /// Nothing at all.
    Empty,
    /// A `*` in the middle, or at both ends.
    Star,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Star => "a '*' may stand only at one end",
        })
    }
}

impl InvalidPattern {
    /// What to write instead.
    #[must_use]
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::Empty => "write a value, or leave the entry out",
            Self::Star => "write an exact value, prefix*, *suffix or *",
        }
    }
}

impl std::error::Error for InvalidPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, value: &str, want: bool) {
        let parsed = Pattern::parse(pattern).expect(pattern);
        assert_eq!(
            parsed.matches(value.as_bytes()),
            want,
            "{pattern} on {value}"
        );
        assert_eq!(parsed.to_string(), pattern);
    }

    #[test]
    fn the_four_forms_match_as_istio_s_do() {
        for (pattern, value, want) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web", "Web", false),
            ("web*", "web", true),
            ("web*", "web-2", true),
            ("web*", "aweb", false),
            ("*.com", "foo.com", true),
            ("*.com", ".com", true),
            ("*.com", "com", false),
            ("*", "", true),
            ("*", "x", true),
        ] {
            check(pattern, value, want);
        }
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["a*b", "*a*", "**", "a**"] {
            assert_eq!(Pattern::parse(text), Err(InvalidPattern::Star), "{text}");
        }
        assert_eq!(Pattern::parse(""), Err(InvalidPattern::Empty));
    }
}
