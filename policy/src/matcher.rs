//! Whether a rule holds for a request.
//!
//! One piece of code serves the decision and the explanation: an item answers with the first field that fails, which
//! the one ignores and the other tells.

use crate::facts::Facts;
use crate::list::Listed;
use crate::path::{Form, Operands, PathPattern};
use crate::principal::PrincipalPattern;
use crate::request::Node;
use crate::rule::{Among, From, Header, Label, Own, Terms, To, WithoutIdentity};
use crate::source::SourceClass;
use crate::spec::Action;
use crate::truth::{Fact, Field, Match};

impl<P: Listed> Among<P> {
    /// Both lists against one value, which is asked for only if there is a list.
    fn holds<'v>(
        &self,
        fact: impl FnOnce() -> Fact<P::Value<'v>>,
        action: Action,
        fields: (Field, Field),
    ) -> Match {
        // Most fields of most rules are absent.
        if !self.is_given() {
            return Match::Yes;
        }
        let [any, none] = self.look_ups();
        self.judge(
            fact(),
            action,
            fields,
            |list, value| any.finds(list, value),
            |list, value| !none.finds(list, value),
        )
    }

    /// Absent values resolve against the caller: no positive matcher matches one; a `not…` matcher on one is false in
    /// an ALLOW, true elsewhere.
    fn judge<V: Copy>(
        &self,
        fact: Fact<V>,
        action: Action,
        (any, none): (Field, Field),
        wanted: impl Fn(&[P], V) -> bool,
        unwanted: impl Fn(&[P], V) -> bool,
    ) -> Match {
        let positive = match (&self.any, fact) {
            (None, _) => Match::Yes,
            (Some(list), Fact::Is(value)) if wanted(list, value) => Match::Yes,
            (Some(_), Fact::Is(_) | Fact::Absent) => Match::No(any),
            (Some(_), Fact::Unknown) => Match::Maybe(any),
        };
        positive.and(|| match (&self.none, fact) {
            (None, _) => Match::Yes,
            (Some(list), Fact::Is(value)) if unwanted(list, value) => Match::Yes,
            (Some(_), Fact::Absent) if action != Action::Allow => Match::Yes,
            (Some(_), Fact::Is(_) | Fact::Absent) => Match::No(none),
            (Some(_), Fact::Unknown) => Match::Maybe(none),
        })
    }
}

/// Of a value that has several forms or parts an ALLOW needs every one to hold, a DENY or AUDIT any.
fn parts_hold<T: Copy>(parts: &[T], action: Action, test: impl Fn(T) -> bool) -> bool {
    let mut parts = parts.iter().copied();
    if action == Action::Allow {
        parts.all(test)
    } else {
        parts.any(test)
    }
}

impl Terms<'_> {
    /// Whether they hold, of a rule that is bound to its proxy. The `own` parts are taken as matching.
    pub(crate) fn hold(&self, facts: &Facts<'_>) -> Match {
        let action = self.action;
        any_item(self.from, |from| from.holds(facts, action))
            .and(|| any_item(self.to, |to| to.holds(facts, action)))
            .and(|| all_headers(self.when, facts, action))
    }
}

/// The items of `from` or `to` are ORed: the first Yes wins, else the first Maybe, else the first No.
fn any_item<I>(items: Option<&[I]>, test: impl Fn(&I) -> Match) -> Match {
    let mut best: Option<Match> = None;
    for item in items.unwrap_or_default() {
        match (test(item), best) {
            (Match::Yes, _) => return Match::Yes,
            (maybe @ Match::Maybe(_), None | Some(Match::No(_))) => best = Some(maybe),
            (no @ Match::No(_), None) => best = Some(no),
            _ => {}
        }
    }
    best.unwrap_or(Match::Yes)
}

pub(crate) fn all_headers(when: &[Header], facts: &Facts<'_>, action: Action) -> Match {
    when.iter().fold(Match::Yes, |so_far, header| {
        so_far.and(|| header.holds(facts, action))
    })
}

impl From {
    pub(crate) fn holds(&self, facts: &Facts<'_>, action: Action) -> Match {
        let source = facts.source;
        self.class_holds(facts, action)
            .and(|| {
                let mesh = || source.mesh_index().into();
                self.meshes
                    .holds(mesh, action, (Field::Meshes, Field::NotMeshes))
            })
            .and(|| self.trust_domain_holds(facts, action))
            .and(|| {
                let namespace = || source.namespace().map(str::as_bytes).into();
                let fields = (Field::Namespaces, Field::NotNamespaces);
                self.namespaces.holds(namespace, action, fields)
            })
            .and(|| {
                let account = || source.namespace().zip(source.service_account()).into();
                let fields = (Field::ServiceAccounts, Field::NotServiceAccounts);
                self.service_accounts.holds(account, action, fields)
            })
            .and(|| {
                let id = || source.id.as_ref().into();
                self.principals
                    .holds(id, action, (Field::Principals, Field::NotPrincipals))
            })
            .and(|| {
                // Every connection comes from somewhere: an address that is not given is not known, rather than absent.
                let address = || facts.source_ip.map_or(Fact::Unknown, Fact::Is);
                self.ip_blocks
                    .holds(address, action, (Field::IpBlocks, Field::NotIpBlocks))
            })
    }

    /// What a source must be before an item is asked for anything else.
    fn class_holds(&self, facts: &Facts<'_>, action: Action) -> Match {
        let class = facts.source.class;
        match self.without_identity {
            Some(WithoutIdentity::Plaintext) if class != SourceClass::Plaintext => {
                Match::No(Field::Plaintext)
            }
            Some(WithoutIdentity::Passthrough) if class != SourceClass::Passthrough => {
                Match::No(Field::Passthrough)
            }
            Some(_) => Match::Yes,
            None if action != Action::Allow => Match::Yes,
            None => match class {
                SourceClass::SameMesh | SourceClass::PeerMesh => Match::Yes,
                SourceClass::UnknownTrustDomain if self.names_exactly(facts) => Match::Yes,
                SourceClass::UnknownTrustDomain => Match::No(Field::UnlistedTrustDomain),
                SourceClass::Plaintext
                | SourceClass::Passthrough
                | SourceClass::InvalidIdentity => Match::No(Field::Class),
            },
        }
    }

    fn names_exactly(&self, facts: &Facts<'_>) -> bool {
        let principals = self.principals.any.as_deref().unwrap_or_default();
        let [any, _] = self.principals.look_ups();
        let id = facts.source.id.as_ref();
        id.is_some_and(|id| any.finds_one(principals, id, PrincipalPattern::is_exact))
    }

    /// A trust domain that no mesh lists is there all the same: a DENY's pattern may match it.
    fn trust_domain_holds(&self, facts: &Facts<'_>, action: Action) -> Match {
        let domain = || facts.source.trust_domain().map(str::as_bytes).into();
        let fields = (Field::TrustDomains, Field::NotTrustDomains);
        self.trust_domains.holds(domain, action, fields)
    }
}

impl To {
    /// The part that is about the request.
    pub(crate) fn holds(&self, facts: &Facts<'_>, action: Action) -> Match {
        let host = || facts.host();
        self.hosts
            .holds(host, action, (Field::Hosts, Field::NotHosts))
            .and(|| {
                let port = || facts.port.into();
                self.ports
                    .holds(port, action, (Field::Ports, Field::NotPorts))
            })
            .and(|| {
                let method = || facts.method();
                self.methods
                    .holds(method, action, (Field::Methods, Field::NotMethods))
            })
            .and(|| paths_hold(&self.paths, facts, action))
            .and(|| {
                let sni = || facts.sni.as_deref().into();
                self.snis.holds(sni, action, (Field::Snis, Field::NotSnis))
            })
    }
}

/// Where a match helps the caller, a template takes what Envoy's would take of the path that Envoy sees; where it does not, no odd
/// byte gets around it.
fn with_operands((form, is_given): (Form<'_>, bool), helps: bool) -> (Form<'_>, Operands) {
    let operands = if helps && is_given {
        Operands::OfEnvoy
    } else {
        Operands::Any
    };
    (form, operands)
}

fn paths_hold(paths: &Among<PathPattern>, facts: &Facts<'_>, action: Action) -> Match {
    if !paths.is_given() {
        return Match::Yes;
    }
    let fields = (Field::Paths, Field::NotPaths);
    let forms = facts
        .path()
        .map(|path| [(path.raw(), true), (path.clean(), false)]);
    let [any, none] = paths.look_ups();
    let allows = action == Action::Allow;
    paths.judge(
        forms.as_slice(),
        action,
        fields,
        |list, forms| {
            parts_hold(forms, action, |form| {
                any.finds(list, with_operands(form, allows))
            })
        },
        |list, forms| {
            parts_hold(forms, action, |form| {
                !none.finds(list, with_operands(form, !allows))
            })
        },
    )
}

impl Own {
    /// The part of a `to` item that is about the proxy.
    pub(crate) fn holds(&self, node: &Node, action: Action) -> Match {
        let namespace: Option<&str> = node.namespace.as_deref();
        let fields = (Field::OwnNamespaces, Field::NotOwnNamespaces);
        let own = || namespace.map(str::as_bytes).into();
        self.namespaces
            .holds(own, action, fields)
            .and(|| {
                let workload = || namespace.zip(node.workload.as_deref()).into();
                let fields = (Field::Workloads, Field::NotWorkloads);
                self.workloads.holds(workload, action, fields)
            })
            .and(|| labels_hold(&self.labels, node, action))
    }
}

fn labels_hold(labels: &Among<Label>, node: &Node, action: Action) -> Match {
    let value = |label: &Label| node.labels.get(&*label.key);
    let wanted = labels.any.as_deref().unwrap_or_default();
    if !wanted
        .iter()
        .all(|l| value(l).is_some_and(|v| l.value.matches(v.as_bytes())))
    {
        return Match::No(Field::Labels);
    }
    let unwanted = labels.none.as_deref().unwrap_or_default();
    let free = unwanted.iter().all(|l| match value(l) {
        Some(v) => !l.value.matches(v.as_bytes()),
        None => action != Action::Allow,
    });
    if free {
        Match::Yes
    } else {
        Match::No(Field::NotLabels)
    }
}

impl Header {
    fn holds(&self, facts: &Facts<'_>, action: Action) -> Match {
        let fields = (Field::HeaderValues, Field::HeaderNotValues);
        let [any, none] = self.values.look_ups();
        self.values.judge(
            facts.header(&self.name),
            action,
            fields,
            |list, values| parts_hold(values, action, |value| any.finds(list, value)),
            |list, values| parts_hold(values, action, |value| !none.finds(list, value)),
        )
    }
}
