//! Items whose fields, each right by itself, leave nothing that could match.
//!
//! Only what is proven is refused: a policy that could match a known value is carried out. One that is not known, such as a
//! connection's path, counts against the caller even here; but nobody who writes such an item means that. Values are compared as
//! they are written, so that one copy of the code does for all kinds of them.

use super::lists::{At, Report, not_form};
use super::meshes::Meshes;
use crate::host::as_compared;
use crate::pattern::Pattern;
use crate::rule::From;
use crate::source::MeshRef;
use crate::spec::{Action, FromSpec, ToSpec, WhenSpec};

const TOGETHER: &str = "write values that go together, or an item for each";

/// Looks through one item of a rule with this action.
pub(super) struct Never<'a, 'r> {
    pub(super) at: &'a At<'a>,
    pub(super) action: Action,
    pub(super) report: &'r mut Report,
}

type List = Option<Vec<String>>;

/// How the values of a list are to be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    /// In either case, with or without a dot at the end.
    Host,
    /// `namespace/name`, each a pattern.
    Namespaced,
    /// A request may have several, as the spellings of its path are: a DENY or AUDIT may find one that is wanted, and another that
    /// is not excluded.
    Several,
}

/// Whether a pattern matches all that another one does. Of templates and principals only the same text is found to do so.
fn covers(wide: &str, narrow: &str) -> bool {
    // A '*' stands only at an end, so what begins or ends with fixed text has none there.
    match (wide.strip_suffix('*'), wide.strip_prefix('*')) {
        (Some(beginning), _) => narrow.starts_with(beginning),
        (_, Some(ending)) => narrow.ends_with(ending),
        _ => wide == narrow,
    }
}

/// Whether nothing matches both patterns. Any beginning goes with any ending.
fn are_apart(one: &str, other: &str) -> bool {
    let ends = |first: &str, second: &str| first.starts_with('*') && second.ends_with('*');
    !covers(one, other) && !covers(other, one) && !ends(one, other) && !ends(other, one)
}

fn in_two(named: &str) -> (&str, &str) {
    named.split_once('/').unwrap_or((named, ""))
}

impl Never<'_, '_> {
    pub(super) fn from(mut self, spec: &FromSpec, from: &From, meshes: &Meshes) {
        if let (Some(any), Some(none)) = (&from.ip_blocks.any, &from.ip_blocks.none) {
            let is_excluded = any
                .iter()
                .all(|block| none.iter().any(|wide| wide.covers(*block)));
            self.excluded("ipBlocks", is_excluded);
        }
        self.list(
            "principals",
            (&spec.principals, &spec.not_principals),
            Kind::Whole,
        );
        self.names(
            (&spec.namespaces, &spec.not_namespaces),
            "serviceAccounts",
            (&spec.service_accounts, &spec.not_service_accounts),
        );
        if from.without_identity.is_none() && !self.has_source(spec, from, meshes) {
            self.report.problem(
                self.at,
                "no trust domain fits all its meshes, trustDomains and principals, it would never match",
                TOGETHER,
            );
        }
    }

    pub(super) fn to(mut self, spec: &ToSpec) {
        self.names(
            (&spec.namespaces, &spec.not_namespaces),
            "workloads",
            (&spec.workloads, &spec.not_workloads),
        );
        let mut unwanted = spec.not_labels.iter().flatten();
        // All of the wanted labels must be there.
        let wanted = |key: &String| spec.labels.as_ref().and_then(|labels| labels.get(key));
        let is_excluded = unwanted
            .clone()
            .any(|(key, wide)| wanted(key).is_some_and(|value| covers(wide, value)));
        self.excluded("labels", is_excluded);
        self.absent(
            "labels",
            !is_excluded && unwanted.any(|(_, wide)| wide == "*"),
        );
        if let (Some(any), Some(none)) = (&spec.ports, &spec.not_ports) {
            self.excluded("ports", any.iter().all(|port| none.contains(port)));
        }
        for (name, any, none, kind) in [
            ("hosts", &spec.hosts, &spec.not_hosts, Kind::Host),
            ("methods", &spec.methods, &spec.not_methods, Kind::Whole),
            ("paths", &spec.paths, &spec.not_paths, Kind::Several),
            ("snis", &spec.snis, &spec.not_snis, Kind::Host),
        ] {
            self.list(name, (any, none), kind);
        }
    }

    pub(super) fn when(mut self, spec: &WhenSpec) {
        self.list("values", (&spec.values, &spec.not_values), Kind::Several);
    }

    /// Namespaces, and what is in one.
    fn names(&mut self, namespaces: (&List, &List), field: &str, named: (&List, &List)) {
        self.list("namespaces", namespaces, Kind::Whole);
        self.list(field, named, Kind::Namespaced);
        let (any, none) = namespaces;
        let is_outside = |named: &String| {
            let (namespace, _) = in_two(named);
            let mut none = none.iter().flatten();
            any.as_ref()
                .is_some_and(|any| any.iter().all(|one| are_apart(one, namespace)))
                || none.any(|wide| covers(wide, namespace))
        };
        if named
            .0
            .as_ref()
            .is_some_and(|all| all.iter().all(is_outside))
        {
            self.report.problem(
                &self.at.then(field),
                "the item's namespaces have none of them, it would never match",
                TOGETHER,
            );
        }
    }

    fn list(&mut self, name: &str, (any, none): (&List, &List), kind: Kind) {
        let Some(none) = none else { return };
        let is_all = |wide: &str| wide == "*" || (kind == Kind::Namespaced && wide == "*/*");
        let is_exact = kind != Kind::Several || self.action == Action::Allow;
        let covers = |wide: &str, value: &str| {
            if kind == Kind::Namespaced {
                let ((a, b), (c, d)) = (in_two(wide), in_two(value));
                covers(a, c) && covers(b, d)
            } else if kind == Kind::Host {
                covers(&as_compared(wide), &as_compared(value))
            } else {
                covers(wide, value)
            }
        };
        match any {
            Some(any) => {
                let is_excluded = any.iter().all(|value| {
                    none.iter()
                        .any(|wide| is_all(wide) || (is_exact && covers(wide, value)))
                });
                self.excluded(name, is_excluded);
            }
            None => self.absent(name, none.iter().any(|wide| is_all(wide))),
        }
    }

    fn excluded(&mut self, name: &str, is_excluded: bool) {
        if is_excluded {
            self.report.problem(
                &self.at.then(name),
                "its not… form excludes it all, it would never match",
                "leave out there what is meant",
            );
        }
    }

    /// A DENY or AUDIT matches where there is no value.
    fn absent(&mut self, name: &str, excludes_all: bool) {
        if excludes_all && self.action == Action::Allow {
            let each = match name {
                "labels" => "{KEY: \"*\"}",
                "workloads" => "[\"*/*\"]",
                "serviceAccounts" => "[\"*/*\"] and meshes or trustDomains",
                _ => "[\"*\"]",
            };
            self.report.problem(
                &self.at.then(&not_form(name)),
                "an ALLOW asks for a value that is there, and '*' excludes every one, it would never match",
                &format!("leave it out; where there must be none, write a DENY with {name}: {each}"),
            );
        }
    }

    /// Whether the certificate of any trust domain could match.
    fn has_source(&self, spec: &FromSpec, from: &From, meshes: &Meshes) -> bool {
        let strict = self.action == Action::Allow;
        let From {
            meshes: of_mesh,
            trust_domains,
            principals,
            ..
        } = from;
        let fits = |domain: &str| {
            let mesh = meshes.of_trust_domain(domain);
            let is_of = |list: &[MeshRef]| mesh.as_ref().is_some_and(|mesh| list.contains(mesh));
            let is_like = |list: &[Pattern]| list.iter().any(|p| p.matches(domain.as_bytes()));
            let excluded = |list: &[MeshRef]| is_of(list) || (strict && mesh.is_none());
            of_mesh.any.as_deref().is_none_or(is_of)
                && !of_mesh.none.as_deref().is_some_and(excluded)
                && trust_domains.any.as_deref().is_none_or(is_like)
                && !trust_domains.none.as_deref().is_some_and(is_like)
        };
        if let Some(principals) = &principals.any {
            return principals.iter().any(|p| fits(p.trust_domain()));
        }
        let excludes = of_mesh.none.is_some() || trust_domains.none.is_some();
        match (&of_mesh.any, &spec.trust_domains) {
            // Nothing to go together: most rules are so.
            (_, None) | (None, _) if !excludes => true,
            _ if strict || of_mesh.any.is_some() => meshes.trust_domains().any(fits),
            // Others than the listed ones may match too.
            (_, Some(listed)) => listed.iter().any(|text| {
                let mut none = spec.not_trust_domains.iter().flatten();
                if text.contains('*') {
                    !none.any(|wide| covers(wide, text))
                } else {
                    fits(text)
                }
            }),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{are_apart, covers};
    use crate::pattern::Pattern;

    /// Of all short patterns over two letters, and all strings that could tell them apart.
    #[test]
    fn what_covers_or_is_apart_is_so_for_every_string() {
        let mut texts = vec![String::new()];
        for length in 0..4 {
            let last: Vec<_> = texts
                .iter()
                .filter(|t| t.len() == length)
                .cloned()
                .collect();
            texts.extend(last.iter().flat_map(|t| [format!("{t}a"), format!("{t}b")]));
        }
        let short = texts.iter().filter(|t| (1..3).contains(&t.len()));
        let forms = short.flat_map(|t| [t.clone(), format!("{t}*"), format!("*{t}")]);
        let patterns: Vec<_> = forms
            .chain(["*".to_owned()])
            .map(|form| (Pattern::parse(&form).expect(&form), form))
            .collect();
        for (one, first) in &patterns {
            for (other, second) in &patterns {
                let wide = texts
                    .iter()
                    .all(|t| !other.matches(t.as_bytes()) || one.matches(t.as_bytes()));
                let apart = texts
                    .iter()
                    .all(|t| !other.matches(t.as_bytes()) || !one.matches(t.as_bytes()));
                assert_eq!(covers(first, second), wide, "{first} covers {second}");
                assert_eq!(
                    are_apart(first, second),
                    apart,
                    "{first} apart from {second}"
                );
            }
        }
    }
}
