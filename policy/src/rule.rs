//! What rules mean: compiled matchers, as data. Nothing here can be wrong any more, and nothing here is a closure, so
//! that two policies can be compared as well as run.

use std::fmt;
use std::sync::Arc;

use crate::ip_block::IpBlock;
use crate::list::{Listed, LookUp};
use crate::path::PathPattern;
use crate::pattern::Pattern;
use crate::principal::PrincipalPattern;
use crate::source::{MeshRef, SourceClass};
use crate::spec::Action;

/// One rule: any of `from`, and any of `to`, and all of `when`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) action: Action,
    /// None: every source.
    pub(crate) from: Option<Vec<From>>,
    /// None: every destination.
    pub(crate) to: Option<Vec<To>>,
    pub(crate) when: Vec<Header>,
}

/// What must hold for a rule, or for a part of one: any of `from`, and any of `to`, and all of `when`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'r> {
    pub(crate) action: Action,
    /// None: every source. Never empty.
    pub(crate) from: Option<&'r [From]>,
    /// None: every destination. Never empty.
    pub(crate) to: Option<&'r [To]>,
    pub(crate) when: &'r [Header],
}

impl Rule {
    /// All that must hold.
    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            action: self.action,
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            when: &self.when,
        }
    }

    /// Whether an item of `from` says `passthrough: true`.
    pub(crate) fn names_passthrough(&self) -> bool {
        let mut from = self.from.iter().flatten();
        from.any(|from| from.without_identity == Some(WithoutIdentity::Passthrough))
    }
}

/// A list field together with its `not…` form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Among<P> {
    /// One of them must match; none if the field is absent.
    pub(crate) any: Option<Box<[P]>>,
    /// None of them may match; none if the field is absent.
    pub(crate) none: Option<Box<[P]>>,
    look_ups: [LookUp; 2],
}

impl<P> Default for Among<P> {
    fn default() -> Self {
        Self::unlisted(None, None)
    }
}

impl<P> Among<P> {
    /// Both lists, in which nothing is looked up.
    pub(crate) fn unlisted(any: Option<Box<[P]>>, none: Option<Box<[P]>>) -> Self {
        Self {
            any,
            none,
            look_ups: Default::default(),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.any.is_some() || self.none.is_some()
    }
}

impl<P: Listed> Among<P> {
    /// Both lists.
    pub(crate) fn new(any: Option<Box<[P]>>, none: Option<Box<[P]>>) -> Self {
        Self {
            look_ups: [any.as_deref(), none.as_deref()].map(LookUp::of),
            any,
            none,
        }
    }

    /// Where the values of the list itself and of its `not…` form are looked up.
    pub(crate) fn look_ups(&self) -> &[LookUp; 2] {
        &self.look_ups
    }
}

/// One item of `from`: all its fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct From {
    /// `plaintext: true` or `passthrough: true`.
    pub(crate) without_identity: Option<WithoutIdentity>,
    pub(crate) meshes: Among<MeshRef>,
    pub(crate) trust_domains: Among<Pattern>,
    pub(crate) namespaces: Among<Pattern>,
    pub(crate) service_accounts: Among<Namespaced>,
    pub(crate) principals: Among<PrincipalPattern>,
    pub(crate) ip_blocks: Among<IpBlock>,
}

/// A source that has no identity here, and that an item names as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WithoutIdentity {
    Plaintext,
    Passthrough,
}

impl WithoutIdentity {
    /// The class of such sources.
    pub(crate) fn class(self) -> SourceClass {
        match self {
            Self::Plaintext => SourceClass::Plaintext,
            Self::Passthrough => SourceClass::Passthrough,
        }
    }
}

/// One item of `to`: all its fields must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct To {
    /// What is known of the proxy before any request comes.
    pub(crate) own: Own,
    pub(crate) hosts: Among<Pattern>,
    pub(crate) ports: Among<u16>,
    pub(crate) methods: Among<Pattern>,
    pub(crate) paths: Among<PathPattern>,
    pub(crate) snis: Among<Pattern>,
}

impl To {
    /// Whether it asks for what only HTTP tells.
    pub(crate) fn asks_http(&self) -> bool {
        self.hosts.is_given() || self.methods.is_given() || self.paths.is_given()
    }
}

/// The part of a `to` item that is about the proxy itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) namespaces: Among<Pattern>,
    pub(crate) workloads: Among<Namespaced>,
    /// Unlike a list, all of the wanted labels must be there.
    pub(crate) labels: Among<Label>,
}

/// One label, `key=value pattern`.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) key: Box<str>,
    pub(crate) value: Pattern,
}

/// `namespace/name`, each a pattern of its own: a `*` never crosses the slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Namespaced {
    pub(crate) namespace: Pattern,
    pub(crate) name: Pattern,
}

impl Namespaced {
    pub(crate) fn matches(&self, namespace: &str, name: &str) -> bool {
        self.namespace.matches(namespace.as_bytes()) && self.name.matches(name.as_bytes())
    }
}

/// A condition on a header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// In lower case.
    pub(crate) name: Box<str>,
    pub(crate) values: Among<Pattern>,
}

impl fmt::Display for Namespaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl fmt::Display for MeshRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}
