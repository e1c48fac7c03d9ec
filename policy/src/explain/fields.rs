//! All the fields for which an item does not apply.
//!
//! The code that decides stops at the first one. So each field is asked by that code alone, in an item that has nothing else.

use crate::facts::Facts;
use crate::matcher::all_headers;
use crate::request::Node;
use crate::rule::{Among, From, Header, Own, To, WithoutIdentity};
use crate::source::SourceClass;
use crate::spec::Action;
use crate::truth::{Doubt, Field, Match};

/// What an item is asked about.
pub(super) struct Ask<'a, 'f> {
    pub(super) node: &'a Node,
    pub(super) facts: &'a Facts<'f>,
    pub(super) action: Action,
    /// What counts as applying.
    pub(super) doubt: Doubt,
}

impl Ask<'_, '_> {
    /// Those of an item of `from`; none if it applies.
    pub(super) fn from(&self, item: &From) -> Vec<Field> {
        let test = |item: &From| self.failing(item.holds(self.facts, self.action));
        match test(item) {
            None => Vec::new(),
            // Whatever its fields say, such a source does not come in by it.
            Some(gate @ (Field::Class | Field::UnlistedTrustDomain)) => vec![gate],
            Some(first) => {
                let fields = self.fields_of_from(item).into_iter();
                all(first, fields.filter_map(|alone| test(&alone)))
            }
        }
    }

    /// Those of an item of `to`; none if it applies.
    pub(super) fn to(&self, item: &To) -> Vec<Field> {
        let test = |item: &To| {
            let own = item.own.holds(self.node, self.action);
            self.failing(own.and(|| item.holds(self.facts, self.action)))
        };
        match test(item) {
            None => Vec::new(),
            Some(first) => {
                let fields = fields_of_to(item).into_iter();
                all(first, fields.filter_map(|alone| test(&alone)))
            }
        }
    }

    /// Those of a condition on a header; none if it holds.
    pub(super) fn header(&self, header: &Header) -> Vec<Field> {
        let fields = sides(&header.values).map(|values| {
            let mut alone = header.clone();
            alone.values = values;
            alone
        });
        let test = |alone: Header| {
            self.failing(all_headers(
                std::slice::from_ref(&alone),
                self.facts,
                self.action,
            ))
        };
        fields.filter_map(test).collect()
    }

    /// The field for which something does not apply; none if it does.
    fn failing(&self, found: Match) -> Option<Field> {
        match found {
            _ if self.doubt.counts(found) => None,
            Match::No(field) | Match::Maybe(field) => Some(field),
            Match::Yes => None,
        }
    }

    /// Items of one field each, in which the source is what it must be before fields are asked.
    fn fields_of_from(&self, item: &From) -> Vec<From> {
        let From {
            without_identity: _,
            meshes,
            trust_domains,
            namespaces,
            service_accounts,
            principals,
            ip_blocks,
        } = item;
        let class = self.facts.source.class();
        // An ALLOW admits such a source by the principal that names it.
        let by_principal = self.action == Action::Allow && class == SourceClass::UnknownTrustDomain;
        let admits = || From {
            without_identity: match class {
                SourceClass::Plaintext => Some(WithoutIdentity::Plaintext),
                SourceClass::Passthrough => Some(WithoutIdentity::Passthrough),
                _ => None,
            },
            principals: if by_principal {
                only_any(principals)
            } else {
                Among::default()
            },
            ..From::default()
        };
        let mut fields = Vec::new();
        fields.extend(sides(meshes).map(|meshes| From { meshes, ..admits() }));
        fields.extend(sides(trust_domains).map(|trust_domains| From {
            trust_domains,
            ..admits()
        }));
        fields.extend(sides(namespaces).map(|namespaces| From {
            namespaces,
            ..admits()
        }));
        fields.extend(sides(service_accounts).map(|service_accounts| From {
            service_accounts,
            ..admits()
        }));
        fields.extend(sides(principals).map(|mut side| {
            if by_principal {
                side.any.clone_from(&principals.any);
            }
            From {
                principals: side,
                ..admits()
            }
        }));
        fields.extend(sides(ip_blocks).map(|ip_blocks| From {
            ip_blocks,
            ..admits()
        }));
        fields
    }
}

/// Items of one field each.
fn fields_of_to(item: &To) -> Vec<To> {
    let To {
        own: Own {
            namespaces,
            workloads,
            labels,
        },
        hosts,
        ports,
        methods,
        paths,
        snis,
    } = item;
    let own = |own| To {
        own,
        ..To::default()
    };
    let mut fields = Vec::new();
    fields.extend(sides(namespaces).map(|namespaces| {
        own(Own {
            namespaces,
            ..Own::default()
        })
    }));
    fields.extend(sides(workloads).map(|workloads| {
        own(Own {
            workloads,
            ..Own::default()
        })
    }));
    fields.extend(sides(labels).map(|labels| {
        own(Own {
            labels,
            ..Own::default()
        })
    }));
    fields.extend(sides(hosts).map(|hosts| To {
        hosts,
        ..To::default()
    }));
    fields.extend(sides(ports).map(|ports| To {
        ports,
        ..To::default()
    }));
    fields.extend(sides(methods).map(|methods| To {
        methods,
        ..To::default()
    }));
    fields.extend(sides(paths).map(|paths| To {
        paths,
        ..To::default()
    }));
    fields.extend(sides(snis).map(|snis| To {
        snis,
        ..To::default()
    }));
    fields
}

/// A list and its `not…` form, each alone, as far as they are there.
fn sides<P: Clone>(both: &Among<P>) -> impl Iterator<Item = Among<P>> + use<P> {
    let sides = [only_any(both), only_none(both)];
    sides.into_iter().filter(Among::is_given)
}

fn only_any<P: Clone>(both: &Among<P>) -> Among<P> {
    let mut any = both.clone();
    any.none = None;
    any
}

fn only_none<P: Clone>(both: &Among<P>) -> Among<P> {
    let mut none = both.clone();
    none.any = None;
    none
}

/// What each field says for itself, and in any case what the whole item does: `plaintext` and `passthrough` are asked before
/// fields are.
fn all(first: Field, alone: impl Iterator<Item = Field>) -> Vec<Field> {
    let gates = [Field::Class, Field::UnlistedTrustDomain];
    let mut fields: Vec<Field> = alone.filter(|field| !gates.contains(field)).collect();
    if !fields.contains(&first) {
        fields.insert(0, first);
    }
    fields
}
