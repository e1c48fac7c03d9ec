//! Hosts: what a `Host` header, an `:authority` or an SNI names, and the patterns for it.

use std::borrow::Cow;
use std::fmt;

use crate::pattern::{InvalidPattern, Pattern};

/// The host as rules see it: lower-cased, without port and without trailing dots.
#[must_use]
pub(crate) fn normalized(authority: &[u8]) -> Cow<'_, [u8]> {
    let host = without_port(authority);
    let dots = host.iter().rev().take_while(|b| **b == b'.').count();
    let host = host.get(..host.len().saturating_sub(dots)).unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Cuts `:port`; the colons of an IPv6 address in brackets are not a port's.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|b| *b == b':') {
        Some(colon) if !authority.iter().skip(colon).any(|b| *b == b']') => {
            authority.get(..colon).unwrap_or(authority)
        }
        _ => authority,
    }
}

/// A written pattern as it is compared with hosts: lower-cased, without the trailing dot.
pub(crate) fn as_compared(text: &str) -> String {
    let mut text = text.to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Reads a pattern for hosts or SNIs: a [`Pattern`], lower-cased, without the trailing dot.
///
/// # Errors
/// [`InvalidHost`]; among them a pattern with a port, which could never match.
pub(crate) fn parse_pattern(text: &str) -> Result<Pattern, InvalidHost> {
    let pattern = Pattern::parse(&as_compared(text)).map_err(InvalidHost::Pattern)?;
    let fixed = pattern.fixed();
    // An IPv6 address, or as much of one as there is.
    let inside = match &pattern {
        Pattern::Prefix(_) => fixed
            .strip_prefix('[')
            .map(|rest| rest.strip_suffix(']').unwrap_or(rest)),
        Pattern::Suffix(_) => fixed
            .strip_suffix(']')
            .map(|rest| rest.strip_prefix('[').unwrap_or(rest)),
        _ => fixed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']')),
    };
    let in_brackets = inside.is_some_and(|inside| !inside.contains(['[', ']']));
    let is_open = matches!(pattern, Pattern::Prefix(_) | Pattern::Any);
    if fixed.contains("://") {
        Err(InvalidHost::Scheme)
    } else if fixed.ends_with('.') && !is_open {
        Err(InvalidHost::Dots)
    } else if fixed.contains(':') && !in_brackets {
        Err(InvalidHost::Port)
    } else if let Some(c) = fixed
        .chars()
        .find(|c| matches!(c, '/' | '?' | '#' | '@') || c.is_whitespace())
    {
        Err(InvalidHost::Character(c))
    } else {
        Ok(pattern)
    }
}

/// Why a text is not a pattern for hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidHost {
    /// Not a pattern at all.
    Pattern(InvalidPattern),
    /// It has a scheme.
    Scheme,
    /// It has more than one dot at its end.
    Dots,
    /// It has a port.
    Port,
    /// It has a character that no host has.
    Character(char),
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(why) => why.fmt(f),
            Self::Scheme => f.write_str("a host has no scheme, it would never match"),
            Self::Dots => f.write_str("a host loses the dots at its end, it would never match"),
            Self::Port => f.write_str("a host has no port here, it would never match"),
            Self::Character(c) => write!(f, "a host cannot have {c:?}, it would never match"),
        }
    }
}

impl std::error::Error for InvalidHost {}

impl InvalidHost {
    /// What to write instead.
    #[must_use]
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::Pattern(why) => why.mend(),
            Self::Scheme => "write what stands behind ://",
            Self::Dots => "leave the dots out",
            Self::Port => "leave the port out and name it under ports",
            Self::Character(_) => {
                "write a name such as catalog.shop.svc.cluster.local or *.shop.svc.cluster.local"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_seen_without_case_port_and_trailing_dot() {
        for (authority, want) in [
            ("Catalog.Shop", "catalog.shop"),
            ("catalog.shop:8080", "catalog.shop"),
            ("catalog.shop.:8080", "catalog.shop"),
            ("catalog.shop.", "catalog.shop"),
            ("catalog.shop..:80", "catalog.shop"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(
                normalized(authority.as_bytes()).as_ref(),
                want.as_bytes(),
                "{authority}"
            );
        }
    }

    #[test]
    fn a_pattern_is_lower_cased_and_has_no_port() {
        assert_eq!(
            parse_pattern("*.Shop.").map(|p| p.to_string()),
            Ok("*.shop".into())
        );
        assert_eq!(
            parse_pattern("[::1]").map(|p| p.to_string()),
            Ok("[::1]".into())
        );
        for text in ["[2001:*", "[::1]*", "*:db8::1]"] {
            assert!(parse_pattern(text).is_ok(), "{text}");
        }
        for text in ["[::1]:*", "*:80", "*]:80", "2001:*"] {
            assert_eq!(parse_pattern(text), Err(InvalidHost::Port), "{text}");
        }
        assert_eq!(parse_pattern("shop:80"), Err(InvalidHost::Port));
        assert_eq!(parse_pattern("shop:*"), Err(InvalidHost::Port));
        assert_eq!(parse_pattern("[::1]:80"), Err(InvalidHost::Port));
        assert_eq!(parse_pattern("::1]"), Err(InvalidHost::Port));
        assert_eq!(parse_pattern("http://shop"), Err(InvalidHost::Scheme));
        assert_eq!(parse_pattern("https://*"), Err(InvalidHost::Scheme));
        for text in ["shop..", "*.shop..", ".."] {
            assert_eq!(parse_pattern(text), Err(InvalidHost::Dots), "{text}");
        }
        for text in ["shop.", "shop..*", "shop.*"] {
            assert!(parse_pattern(text).is_ok(), "{text}");
        }
        assert_eq!(parse_pattern("shop/v1"), Err(InvalidHost::Character('/')));
        assert_eq!(
            parse_pattern(""),
            Err(InvalidHost::Pattern(InvalidPattern::Empty))
        );
        assert_eq!(
            parse_pattern("a*b"),
            Err(InvalidHost::Pattern(InvalidPattern::Star))
        );
    }
}
