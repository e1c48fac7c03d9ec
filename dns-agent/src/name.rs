//! DNS names in the form in which they travel (RFC 1035 §3.1): length-prefixed labels, ending with the root's zero.

use std::{borrow::Borrow, fmt};

use thiserror::Error;

/// The longest name on the wire, in bytes (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label, in bytes (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;

/// A name in wire form, without compression and in lower case, so that equal names are equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text is no name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Two dots in a row, or a dot at the start.
    #[error("a label is empty")]
    EmptyLabel,
    /// More than 63 bytes between two dots.
    #[error("the label \"{0}\" is longer than 63 bytes")]
    LongLabel(String),
    /// More than 255 bytes on the wire.
    #[error("the name is longer than 255 bytes")]
    LongName,
    /// A character that no host or service label has.
    #[error("the label \"{0}\" has a character other than letters, digits, \"-\" and \"_\"")]
    Character(String),
}

impl Name {
    /// Reads a name as people write it; a final dot is accepted and makes no difference.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let text = text.strip_suffix('.').unwrap_or(text);
        if !text.is_empty() {
            for label in text.split('.') {
                push_label(&mut wire, label)?;
            }
        }
        Self::terminated(wire)
    }

    /// The name one label below this one.
    pub fn child(&self, label: &str) -> Result<Self, InvalidName> {
        let mut wire = Vec::with_capacity(self.0.len() + label.len() + 1);
        push_label(&mut wire, label)?;
        wire.extend_from_slice(&self.0);
        if wire.len() > MAX_NAME {
            return Err(InvalidName::LongName);
        }
        Ok(Self(wire.into()))
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let length = usize::from(*self.0.first()?);
        let rest = self.0.get(length + 1..).filter(|rest| !rest.is_empty())?;
        Some(Self(rest.into()))
    }

    /// The wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    fn terminated(mut wire: Vec<u8>) -> Result<Self, InvalidName> {
        wire.push(0);
        if wire.len() > MAX_NAME {
            return Err(InvalidName::LongName);
        }
        Ok(Self(wire.into()))
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.0).fmt(f)
    }
}

/// The labels of a name in wire form, the leftmost first, without the root.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first()?;
        if *length == 0 {
            return None;
        }
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        Some(label)
    })
}

/// Whether `name` is `ancestor` or below it. Both in wire form and lower case.
pub fn is_under(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(extra) = name.len().checked_sub(ancestor.len()) else {
        return false;
    };
    if !name.ends_with(ancestor) {
        return false;
    }
    // The bytes of the ancestor must begin at a label, not inside one.
    let mut at = 0;
    for label in labels(name) {
        if at >= extra {
            break;
        }
        at += label.len() + 1;
    }
    at == extra
}

/// Shows a name in wire form as text, `\DDD` for what is not printable (RFC 1035 §5.1), without a final dot.
#[derive(Clone, Copy)]
pub struct Text<'n>(pub &'n [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for label in labels(self.0) {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        if first {
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text is a label as Kubernetes names things: lower-case letters, digits and inner dashes (RFC 1123).
pub fn is_kubernetes_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_LABEL
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn push_label(wire: &mut Vec<u8>, label: &str) -> Result<(), InvalidName> {
    if label.is_empty() {
        return Err(InvalidName::EmptyLabel);
    }
    let Some(length) = u8::try_from(label.len())
        .ok()
        .filter(|length| usize::from(*length) <= MAX_LABEL)
    else {
        return Err(InvalidName::LongLabel(label.to_owned()));
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(fits) {
        return Err(InvalidName::Character(label.to_owned()));
    }
    wire.push(length);
    wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_lower_case_and_a_final_dot_makes_no_difference() {
        assert_eq!(n("Catalog.Shop."), n("catalog.shop"));
        assert_eq!(n("Catalog.Shop").to_string(), "catalog.shop");
        assert_eq!(n(".").to_string(), ".");
    }

    #[test]
    fn what_is_no_name_says_why() {
        let check = |text: &str, error: &str| {
            assert_eq!(Name::parse(text).unwrap_err().to_string(), error);
        };
        check("a..b", "a label is empty");
        check(
            "a b",
            "the label \"a b\" has a character other than letters, digits, \"-\" and \"_\"",
        );
        check(
            &"a".repeat(64),
            &format!("the label \"{}\" is longer than 63 bytes", "a".repeat(64)),
        );
        let long = format!("{0}.{0}.{0}.{0}", "a".repeat(63));
        check(&long, "the name is longer than 255 bytes");
    }

    #[test]
    fn being_under_a_name_respects_labels() {
        let check = |name: &str, ancestor: &str, expected: bool| {
            assert_eq!(
                is_under(n(name).as_wire(), n(ancestor).as_wire()),
                expected,
                "{name} under {ancestor}"
            );
        };
        check("a.cluster.local", "cluster.local", true);
        check("cluster.local", "cluster.local", true);
        check("xcluster.local", "cluster.local", false);
        check("local", "cluster.local", false);
        check("a.b", ".", true);
    }

    #[test]
    fn bytes_inside_a_label_that_look_like_the_ancestor_are_not_the_ancestor() {
        // One label whose bytes end as `\x05local\x00` would: length 9, "abc\x05local".
        let name = [9, b'a', b'b', b'c', 5, b'l', b'o', b'c', b'a', b'l', 0];
        assert!(!is_under(&name, n("local").as_wire()));
    }

    #[test]
    fn unprintable_bytes_are_shown_by_number() {
        assert_eq!(Text(&[3, b'a', b'.', 7, 0]).to_string(), "a\\.\\007");
    }
}
