//! What a rule does not match, by its `not…` lists.

use super::keys::{Dimension, Key, exact, of_mesh, whole};
use crate::list::Listed;
use crate::path::PathPattern;
use crate::pattern::Pattern;
use crate::policy::Common;
use crate::rule::{Among, From, Terms, To};

/// The values of a dimension with which a rule cannot hold; not all of them, where not all can be said so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceptions(pub(super) Vec<Key>);

impl Dimension {
    /// The rule's exceptions; none if it holds for every value, or where there is none.
    pub(super) fn exceptions(&self, part: &Terms<'_>, common: &Common) -> Option<Exceptions> {
        let keys = match self {
            Self::Workload => in_all(part.from, &|from: &From| {
                each(
                    &from.service_accounts,
                    &|account| match (&account.namespace, &account.name) {
                        (Pattern::Exact(ns), Pattern::Exact(sa)) => {
                            Some(exact(&format!("ns/{ns}/sa/{sa}")))
                        }
                        _ => None,
                    },
                )
            }),
            Self::Principal => in_all(part.from, &|from: &From| each(&from.principals, &whole)),
            Self::Namespace => in_all(part.from, &|from: &From| {
                let by_account = each(&from.service_accounts, &|account| {
                    let all = account.name == Pattern::Any;
                    all.then(|| account.namespace.key()).flatten()
                });
                either(each(&from.namespaces, &Listed::key), by_account)
            }),
            Self::Account => in_all(part.from, &|from: &From| {
                each(&from.service_accounts, &|account| {
                    let all = account.namespace == Pattern::Any;
                    all.then(|| account.name.key()).flatten()
                })
            }),
            Self::TrustDomain => in_all(part.from, &|from: &From| {
                let meshes = from.meshes.none.as_deref();
                let by_mesh = meshes.map(|meshes| {
                    let keys = meshes.iter().flat_map(|mesh| of_mesh(mesh.index, common));
                    keys.collect()
                });
                either(each(&from.trust_domains, &Listed::key), by_mesh)
            }),
            Self::Address => in_all(part.from, &|from: &From| {
                each(&from.ip_blocks, &Listed::key)
            }),
            Self::Path => in_all(part.to, &|to: &To| {
                each(&to.paths, &|path| match path {
                    PathPattern::Plain(plain) => plain.key(),
                    PathPattern::Template(_) => None,
                })
            }),
            Self::Host => in_all(part.to, &|to: &To| each(&to.hosts, &Listed::key)),
            Self::Sni => in_all(part.to, &|to: &To| each(&to.snis, &Listed::key)),
            Self::Method => in_all(part.to, &|to: &To| each(&to.methods, &Listed::key)),
            Self::Port => in_all(part.to, &|to: &To| each(&to.ports, &Listed::key)),
            // Of several conditions on one header each has values of its own.
            Self::Header(name) => {
                let mut of_it = part.when.iter().filter(|header| *header.name == **name);
                of_it.find_map(|header| each(&header.values, &Listed::key))
            }
            Self::Class | Self::PathEnding | Self::Segment(_) | Self::HeaderNames => None,
        };
        keys.map(Exceptions)
    }
}

/// The keys of a `not…` list; those of its values that none can stand for are left out.
#[inline(never)]
fn each<P>(list: &Among<P>, key: &dyn Fn(&P) -> Option<Key>) -> Option<Vec<Key>> {
    Some(list.none.as_deref()?.iter().filter_map(key).collect())
}

/// One item has both lists: each rules out.
fn either(one: Option<Vec<Key>>, other: Option<Vec<Key>>) -> Option<Vec<Key>> {
    match (one, other) {
        (Some(mut one), Some(other)) => {
            one.extend(other);
            Some(one)
        }
        (one, other) => one.or(other),
    }
}

/// What every item has: the rule is out only where all of them are.
#[inline(never)]
fn in_all<I>(items: Option<&[I]>, keys: &dyn Fn(&I) -> Option<Vec<Key>>) -> Option<Vec<Key>> {
    let mut items = items?.iter().map(keys);
    let mut common = items.next()??;
    for keys in items {
        let mut keys = keys?;
        keys.sort_unstable();
        common.retain(|key| keys.binary_search(key).is_ok());
    }
    Some(common)
}
