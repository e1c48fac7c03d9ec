//! What the values of lists match, and by what they are found.

use std::net::IpAddr;

use crate::index::{Key, exact, prefix, suffix};
use crate::ip_block::{IpBlock, bits_of};
use crate::path::{Form, Operands, PathPattern};
use crate::pattern::Pattern;
use crate::principal::PrincipalPattern;
use crate::rule::Namespaced;
use crate::source::MeshRef;
use crate::spiffe::SpiffeId;

/// A value of a list field.
pub(crate) trait Listed {
    /// What it is compared with.
    type Value<'v>: Copy;

    /// Whether it matches.
    fn fits(&self, value: Self::Value<'_>) -> bool;

    /// What the text of every value that it matches is, begins with or ends with; others' may, too. None if there is no such thing.
    fn key(&self) -> Option<Key>;

    /// Looks a value up by its text.
    fn look_up(value: Self::Value<'_>, by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl Listed for Pattern {
    type Value<'v> = &'v [u8];

    fn fits(&self, value: &[u8]) -> bool {
        self.matches(value)
    }

    fn key(&self) -> Option<Key> {
        match self {
            Self::Exact(text) => Some(exact(text)),
            Self::Prefix(text) => Some(prefix(text)),
            Self::Suffix(text) => Some(suffix(text)),
            Self::Any => None,
        }
    }

    fn look_up(value: &[u8], by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(value)
    }
}

impl Listed for PathPattern {
    type Value<'v> = (Form<'v>, Operands);

    fn fits(&self, (form, operands): (Form<'_>, Operands)) -> bool {
        self.matches(form, operands)
    }

    fn key(&self) -> Option<Key> {
        match self {
            Self::Plain(plain) => plain.key(),
            Self::Template(template) => {
                let start = template.literal_prefix();
                // All paths begin with a slash.
                if start.len() > 1 {
                    return Some(prefix(&start));
                }
                let end = template.literal_ending();
                (!end.is_empty()).then(|| suffix(&end))
            }
        }
    }

    fn look_up((form, _): (Form<'_>, Operands), by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(form.text())
    }
}

impl Listed for PrincipalPattern {
    type Value<'v> = &'v SpiffeId;

    fn fits(&self, id: &SpiffeId) -> bool {
        self.matches(id)
    }

    fn key(&self) -> Option<Key> {
        let trust_domain = self.trust_domain();
        Some(match self.path() {
            Pattern::Exact(path) => exact(&format!("{trust_domain}/{path}")),
            Pattern::Prefix(path) => prefix(&format!("{trust_domain}/{path}")),
            Pattern::Any | Pattern::Suffix(_) => prefix(&format!("{trust_domain}/")),
        })
    }

    fn look_up(id: &SpiffeId, by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(id.without_scheme().as_bytes())
    }
}

/// Looked up as SPIFFE IDs have it, `ns/NAMESPACE/sa/ACCOUNT`.
impl Listed for Namespaced {
    type Value<'v> = (&'v str, &'v str);

    fn fits(&self, (namespace, name): (&str, &str)) -> bool {
        self.matches(namespace, name)
    }

    fn key(&self) -> Option<Key> {
        match (&self.namespace, &self.name) {
            (Pattern::Exact(ns), Pattern::Exact(sa)) => Some(exact(&format!("ns/{ns}/sa/{sa}"))),
            (Pattern::Exact(ns), Pattern::Prefix(sa)) => Some(prefix(&format!("ns/{ns}/sa/{sa}"))),
            (Pattern::Exact(ns), _) => Some(prefix(&format!("ns/{ns}/sa/"))),
            (Pattern::Prefix(ns), _) => Some(prefix(&format!("ns/{ns}"))),
            (Pattern::Suffix(ns), Pattern::Exact(sa)) => Some(suffix(&format!("{ns}/sa/{sa}"))),
            (Pattern::Any, Pattern::Exact(sa)) => Some(suffix(&format!("/sa/{sa}"))),
            (_, Pattern::Suffix(sa)) => Some(suffix(sa)),
            _ => None,
        }
    }

    fn look_up((namespace, name): (&str, &str), by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(format!("ns/{namespace}/sa/{name}").as_bytes())
    }
}

impl Listed for IpBlock {
    type Value<'v> = IpAddr;

    fn fits(&self, address: IpAddr) -> bool {
        self.contains(address)
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Prefix(self.leading_bits().into()))
    }

    fn look_up(address: IpAddr, by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(&bits_of(address))
    }
}

impl Listed for u16 {
    type Value<'v> = Self;

    fn fits(&self, port: Self) -> bool {
        *self == port
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Exact(self.to_be_bytes().into()))
    }

    fn look_up(port: Self, by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(&port.to_be_bytes())
    }
}

/// There are few meshes.
impl Listed for MeshRef {
    /// The index of a mesh.
    type Value<'v> = usize;

    fn fits(&self, index: usize) -> bool {
        self.index == index
    }

    fn key(&self) -> Option<Key> {
        None
    }

    fn look_up(_: usize, by_text: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        by_text(&[])
    }
}
