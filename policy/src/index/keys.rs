//! The dimensions by which rules are told apart: what a rule wants of each, and what a request has.

use crate::facts::Facts;
use crate::path::PathPattern;
use crate::pattern::Pattern;
use crate::policy::Common;
use crate::rule::{From, Rule, To};
use crate::source::Source;
use crate::truth::Fact;

/// One thing that rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    /// The path of the SPIFFE ID: one account, whatever its trust domain.
    Workload,
    Namespace,
    TrustDomain,
    Path,
    Host,
    Sni,
    Port,
    Method,
}

/// What a rule wants of a dimension: one of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
}

impl Dimension {
    /// All, the likelier ones first.
    pub(super) const ALL: [Self; 8] = [
        Self::Workload,
        Self::Path,
        Self::Host,
        Self::Namespace,
        Self::TrustDomain,
        Self::Sni,
        Self::Port,
        Self::Method,
    ];

    /// Those of which a connection has a value, or is known to have none; the others are unknown for all of it.
    pub(super) fn of_connections() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|dimension| !dimension.is_http()).collect()
    }

    /// Whether only HTTP tells its value.
    pub(super) fn is_http(self) -> bool {
        match self {
            Self::Path | Self::Host | Self::Method => true,
            Self::Workload | Self::Namespace | Self::TrustDomain | Self::Sni | Self::Port => false,
        }
    }

    /// What the rule wants; none if it can apply whatever the value is.
    pub(super) fn keys(self, rule: &Rule, common: &Common) -> Option<Vec<Key>> {
        match self {
            Self::Workload => of_items(&rule.from, workloads),
            Self::Namespace => of_items(&rule.from, namespaces),
            Self::TrustDomain => of_items(&rule.from, |from| trust_domains(from, common)),
            Self::Path => of_items(&rule.to, |to: &To| each(&to.paths.any, path)),
            Self::Host => of_items(&rule.to, |to: &To| each(&to.hosts.any, pattern)),
            Self::Sni => of_items(&rule.to, |to: &To| each(&to.snis.any, pattern)),
            Self::Method => of_items(&rule.to, |to: &To| each(&to.methods.any, pattern)),
            Self::Port => of_items(&rule.to, |to: &To| {
                each(&to.ports.any, |port| {
                    Some(Key::Exact(port.to_be_bytes().into()))
                })
            }),
        }
    }

    /// What the request has: one value, or the two forms of a path.
    pub(super) fn of<'f>(self, facts: &'f Facts<'_>) -> Fact<[Option<&'f [u8]>; 2]> {
        let one = |value: &'f [u8]| [Some(value), None];
        match self {
            Self::Workload | Self::Namespace | Self::TrustDomain => {
                self.of_source(facts.source).map(one)
            }
            Self::Path => facts.path().map(|path| {
                let other = (*path.clean != *path.raw).then_some(&*path.clean);
                [Some(path.raw), other]
            }),
            Self::Host => facts.host().map(one),
            Self::Method => facts.method().map(one),
            Self::Sni => Fact::from(facts.sni.as_deref()).map(one),
            Self::Port => Fact::from(facts.port_bytes.as_ref()).map(|port| one(port)),
        }
    }

    /// What the source has; unknown for what only a request has.
    pub(super) fn of_source(self, source: &Source) -> Fact<&[u8]> {
        let id = source.id.as_ref();
        match self {
            Self::Workload => id.map(|id| id.path().as_bytes()).into(),
            Self::Namespace => source.namespace().map(str::as_bytes).into(),
            Self::TrustDomain => source.trust_domain().map(str::as_bytes).into(),
            Self::Path | Self::Host | Self::Sni | Self::Port | Self::Method => Fact::Unknown,
        }
    }
}

/// The keys of all items together; none if one item does not constrain the dimension, or there are no items.
fn of_items<I>(items: &Option<Vec<I>>, keys: impl Fn(&I) -> Option<Vec<Key>>) -> Option<Vec<Key>> {
    let mut all: Vec<Key> = Vec::new();
    for item in items.as_ref()? {
        all.extend(keys(item)?);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// The keys of a list; none if there is no list, or one of its values matches everything.
fn each<P>(list: &Option<Box<[P]>>, key: impl Fn(&P) -> Option<Key>) -> Option<Vec<Key>> {
    list.as_ref()?.iter().map(key).collect()
}

fn pattern(pattern: &Pattern) -> Option<Key> {
    Some(match pattern {
        Pattern::Exact(text) => Key::Exact(text.as_bytes().into()),
        Pattern::Prefix(text) => Key::Prefix(text.as_bytes().into()),
        Pattern::Suffix(text) => Key::Suffix(text.as_bytes().into()),
        Pattern::Any => return None,
    })
}

fn path(path: &PathPattern) -> Option<Key> {
    match path {
        PathPattern::Plain(plain) => pattern(plain),
        PathPattern::Template(template) => match template.literal_prefix() {
            prefix if prefix.len() > 1 => Some(Key::Prefix(prefix.into_bytes().into())),
            _ => None,
        },
    }
}

fn workloads(from: &From) -> Option<Vec<Key>> {
    let by_account = each(&from.service_accounts.any, |account| {
        match (&account.namespace, &account.name) {
            (Pattern::Exact(ns), Pattern::Exact(sa)) => {
                Some(Key::Exact(format!("ns/{ns}/sa/{sa}").into_bytes().into()))
            }
            (Pattern::Exact(ns), _) => {
                Some(Key::Prefix(format!("ns/{ns}/sa/").into_bytes().into()))
            }
            _ => None,
        }
    });
    by_account.or_else(|| each(&from.principals.any, |principal| pattern(principal.path())))
}

fn namespaces(from: &From) -> Option<Vec<Key>> {
    let by_namespace = each(&from.namespaces.any, pattern);
    by_namespace.or_else(|| {
        each(&from.service_accounts.any, |account| {
            pattern(&account.namespace)
        })
    })
}

fn trust_domains(from: &From, common: &Common) -> Option<Vec<Key>> {
    let exact = |name: &str| Key::Exact(name.as_bytes().into());
    let by_name = each(&from.trust_domains.any, pattern);
    let by_principal = || {
        each(&from.principals.any, |principal| {
            Some(exact(principal.trust_domain()))
        })
    };
    by_name.or_else(by_principal).or_else(|| {
        let meshes = from.meshes.any.as_ref()?;
        let listed = common.trust_domains.iter();
        let theirs = listed.filter(|(_, of)| meshes.iter().any(|mesh| mesh.index == of.index));
        Some(theirs.map(|(name, _)| exact(name)).collect())
    })
}
