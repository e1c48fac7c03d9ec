//! Paths: the two forms in which a request's path is tried, and the patterns for it.
//!
//! One path has many spellings (`/a/../b`, `//b`, `/%62`), and which of them the application will see is not known
//! here. So an ALLOW must hold for the spelling as Envoy gives it and for the cleaned one; a DENY for either.

mod segments;

use std::fmt;

use crate::pattern::{InvalidPattern, Pattern};

pub(crate) use segments::Form;
use segments::Segments;

/// A request's path, in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathForms<'a> {
    /// As Envoy gives it, cut at `?` and `#`.
    raw: &'a [u8],
    /// Decoded once, then slashes merged and dot segments resolved; none where that changes nothing.
    clean: Option<Vec<u8>>,
    /// The segments of each, cut when a template first asks.
    segments: [Segments; 2],
}

impl<'a> PathForms<'a> {
    /// Takes a path with its query, as in `:path`.
    #[must_use]
    pub(crate) fn new(path: &'a [u8]) -> Self {
        let end = path.iter().position(|b| matches!(b, b'?' | b'#'));
        let raw = end.and_then(|end| path.get(..end)).unwrap_or(path);
        let clean = (!is_clean(raw)).then(|| resolved(&decoded(raw)));
        Self {
            raw,
            clean: clean.filter(|clean| clean != raw),
            segments: Default::default(),
        }
    }

    /// As Envoy gives it, cut at `?` and `#`.
    pub(crate) fn raw(&self) -> Form<'_> {
        let [segments, _] = &self.segments;
        Form::new(self.raw, segments)
    }

    /// Decoded once, then slashes merged and dot segments resolved; none where that changes nothing.
    pub(crate) fn cleaned(&self) -> Option<Form<'_>> {
        let [_, segments] = &self.segments;
        Some(Form::new(self.clean.as_deref()?, segments))
    }

    /// The same, whether or not it changes anything.
    pub(crate) fn clean(&self) -> Form<'_> {
        self.cleaned().unwrap_or_else(|| self.raw())
    }
}

/// Whether cleaning would change nothing: no escape, no empty segment, no segment that begins with a dot.
fn is_clean(path: &[u8]) -> bool {
    let mut previous = 0;
    for byte in path {
        if *byte == b'%' || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = *byte;
    }
    true
}

/// Percent-decoding, once; what is not an escape stays as it is.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                    out.push(high.wrapping_shl(4) | low);
                    rest = tail;
                } else {
                    out.push(b'%');
                    rest = after;
                }
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Merges slashes and resolves `.` and `..` (RFC 3986 §5.2.4). `..` above the root stays at the root.
fn resolved(path: &[u8]) -> Vec<u8> {
    let absolute = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split(|b| *b == b'/') {
        ends_in_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for (i, segment) in kept.iter().enumerate() {
        if absolute || i > 0 {
            out.push(b'/');
        }
        out.extend_from_slice(segment);
    }
    if (ends_in_slash && !kept.is_empty()) || (absolute && kept.is_empty()) {
        out.push(b'/');
    }
    out
}

/// What the operators of a template stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Only the characters that Envoy's `uri_template` takes: those of a path segment (RFC 3986 §3.3) but `*` and `=`.
    OfEnvoy,
    /// Any bytes.
    Any,
}

fn is_template_byte(byte: u8) -> bool {
    // A few comparisons of bits, where a look through a string is one of each of its bytes: a path may be long.
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\''
            | b'(' | b')' | b'+' | b',' | b';' | b':' | b'@'
    )
}

/// A pattern for a path: a [`Pattern`], or a template with `{*}` (one segment) and `{**}` (the rest), as Envoy's
/// `uri_template` reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PathPattern {
    /// Exact, `prefix*`, `*suffix` or `*`.
    Plain(Pattern),
    /// A template.
    Template(Template),
}

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Template {
    /// The segments after the first slash.
    segments: Vec<Segment>,
    /// With `{**}` behind the segments: the text that must end the rest, often empty.
    rest: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Literal(Box<str>),
    One,
}

impl PathPattern {
    /// Reads a pattern for paths.
    ///
    /// # Errors
    /// [`InvalidPath`]; among them patterns that no path can match.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPath> {
        let templated = text.contains('{') || text.contains('}');
        if !text.starts_with('/') && (templated || !text.starts_with('*')) && !text.is_empty() {
            return Err(InvalidPath::NoSlash);
        }
        if let Some(c) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(InvalidPath::Query(c));
        }
        if templated {
            Template::parse(text).map(Self::Template)
        } else {
            Pattern::parse(text)
                .map(Self::Plain)
                .map_err(InvalidPath::Pattern)
        }
    }

    /// Whether one form of a path matches.
    #[must_use]
    pub(crate) fn matches(&self, path: Form<'_>, operands: Operands) -> bool {
        match self {
            Self::Plain(pattern) => pattern.matches(path.text()),
            Self::Template(template) => template.matches(path, operands),
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, InvalidPath> {
        let (before, rest) = match text.split_once("{**}") {
            Some((before, rest)) => (before, Some(rest)),
            None => (text, None),
        };
        if let Some(rest) = rest {
            if !before.ends_with('/') || !(rest.is_empty() || rest.starts_with('/')) {
                return Err(InvalidPath::Operator);
            }
            if rest.contains("{**}") || rest.contains("{*}") {
                return Err(InvalidPath::RestNotLast);
            }
            if rest.contains(['{', '}', '*']) {
                return Err(InvalidPath::Operator);
            }
            check_literals(rest.split('/').skip(1))?;
        }
        let before = if rest.is_some() {
            before.strip_suffix('/').unwrap_or(before)
        } else {
            before
        };
        let segments: Vec<Segment> = before
            .split('/')
            .skip(1)
            .map(|segment| match segment {
                "{*}" => Ok(Segment::One),
                literal if literal.contains(['{', '}', '*']) => Err(InvalidPath::Operator),
                literal => Ok(Segment::Literal(literal.into())),
            })
            .collect::<Result<_, _>>()?;
        let literals = segments.iter().map(|segment| match segment {
            Segment::One => "{*}",
            Segment::Literal(literal) => literal,
        });
        // Behind what stands before `{**}` comes more.
        check_literals(literals.chain(rest.is_some().then_some("{**}")))?;
        Ok(Self {
            segments,
            rest: rest.map(Into::into),
        })
    }

    /// What every matching path begins with: all before the first operator.
    pub(crate) fn literal_prefix(&self) -> String {
        let mut prefix = String::new();
        for segment in &self.segments {
            prefix.push('/');
            match segment {
                Segment::One => return prefix,
                Segment::Literal(literal) => prefix.push_str(literal),
            }
        }
        prefix
    }

    /// What every matching path ends with: all behind the last operator.
    pub(crate) fn literal_ending(&self) -> String {
        if let Some(ending) = &self.rest {
            return ending.to_string();
        }
        let literals = self
            .segments
            .iter()
            .rev()
            .map_while(|segment| match segment {
                Segment::One => None,
                Segment::Literal(literal) => Some(format!("/{literal}")),
            });
        let literals: Vec<String> = literals.collect();
        literals.into_iter().rev().collect()
    }

    /// The number of the first segment behind an operator that must be this text, counted from the first slash; none if there is
    /// none in front of `{**}`.
    pub(crate) fn literal_behind_operator(&self) -> Option<usize> {
        let numbered = self.segments.iter().enumerate();
        let mut behind = numbered.skip_while(|(_, segment)| **segment != Segment::One);
        let found = behind.find(|(_, segment)| **segment != Segment::One);
        found.map(|(number, _)| number)
    }

    /// The text that the segment with this number must be.
    pub(crate) fn literal_at(&self, number: usize) -> Option<&str> {
        match self.segments.get(number)? {
            Segment::One => None,
            Segment::Literal(literal) => Some(literal),
        }
    }

    /// Costs what the template's own segments do, however long the path is.
    fn matches(&self, path: Form<'_>, operands: Operands) -> bool {
        let fits = |(number, wanted): (usize, &Segment)| {
            let found = path.segment(number);
            found.is_some_and(|found| match wanted {
                Segment::One => {
                    !found.text.is_empty() && (operands == Operands::Any || !found.is_odd)
                }
                Segment::Literal(literal) => found.text == literal.as_bytes(),
            })
        };
        if !self.segments.iter().enumerate().all(fits) {
            return false;
        }
        let more = path.tail_from(self.segments.len());
        match &self.rest {
            None => more.is_none(),
            // An ending has no odd byte itself.
            Some(ending) => more.is_some_and(|rest| {
                rest.text.ends_with(ending.as_bytes())
                    && (operands == Operands::Any || !rest.is_odd)
            }),
        }
    }
}

/// Refuses what Envoy's `uri_template` has no segments for. Only the last segment may be empty.
fn check_literals<'t>(segments: impl Iterator<Item = &'t str>) -> Result<(), InvalidPath> {
    let mut segments = segments.peekable();
    while let Some(segment) = segments.next() {
        let operator = matches!(segment, "{*}" | "{**}");
        if segment.is_empty() && segments.peek().is_some() {
            return Err(InvalidPath::EmptySegment);
        }
        let fits = |c: &char| u8::try_from(*c).is_ok_and(is_template_byte);
        if let Some(c) = segment.chars().find(|c| !operator && !fits(c)) {
            return Err(InvalidPath::Literal(c));
        }
    }
    Ok(())
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(pattern) => pattern.fmt(f),
            Self::Template(template) => {
                for segment in &template.segments {
                    match segment {
                        Segment::One => f.write_str("/{*}")?,
                        Segment::Literal(literal) => write!(f, "/{literal}")?,
                    }
                }
                match &template.rest {
                    None => Ok(()),
                    Some(ending) => write!(f, "/{{**}}{ending}"),
                }
            }
        }
    }
}

/// Why a text is not a pattern for paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidPath {
    /// Not a pattern at all.
    Pattern(InvalidPattern),
    /// Does not begin with a slash (nor with the `*` of a suffix).
    NoSlash,
    /// Has a query or fragment; its first character.
    Query(char),
    /// A `{`, `}` or `*` that is not a whole segment `{*}` or `{**}`.
    Operator,
    /// An operator behind `{**}`.
    RestNotLast,
    /// An empty segment of a template.
    EmptySegment,
    /// A character that no literal of a template has.
    Literal(char),
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(why) => why.fmt(f),
            Self::NoSlash => f.write_str("it does not begin with '/', it would never match"),
            Self::Query(c) => write!(f, "a path is cut at {c:?}, it would never match"),
            Self::Operator => {
                f.write_str("'{*}' and '{**}' must each be a whole segment of a template")
            }
            Self::RestNotLast => f.write_str("'{**}' must be the last operator of a template"),
            Self::EmptySegment => f.write_str("a template has no empty segment ('//')"),
            Self::Literal(c) => write!(f, "a template cannot have {c:?}, as in Envoy"),
        }
    }
}

impl std::error::Error for InvalidPath {}

impl InvalidPath {
    /// What to write instead.
    #[must_use]
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::Pattern(why) => why.mend(),
            Self::NoSlash => "begin it with '/', or with '*' to match an ending",
            Self::Query(_) => "leave query and fragment out",
            Self::Operator => {
                "write /items/{*} or /files/{**}, or a plain pattern such as /items/*"
            }
            Self::EmptySegment => "write single slashes",
            Self::Literal(_) => {
                "write {*} for that segment, or a plain pattern such as /items/*, which may have it"
            }
            Self::RestNotLast => "leave out what follows, such as in /items/{*}/{**}",
        }
    }
}

#[cfg(test)]
mod tests;
