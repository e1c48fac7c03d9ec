//! The words for one matcher that does not hold: what the request has, and what the rule wants.

use std::fmt::Display;

use crate::facts::{Facts, MOST_VALUES};
use crate::request::Node;
use crate::rule::{Among, From, Header, To};
use crate::truth::{Fact, Field};

/// Why `field` of an item of `from` does not hold.
pub(super) fn from(from: &From, field: Field, facts: &Facts<'_>) -> String {
    let source = facts.source;
    let text = |value: Option<&str>| Fact::from(value.map(str::to_owned));
    match field {
        Field::Class => format!(
            "the source is {}, and an ALLOW lets such a source in only where it says so",
            source.class()
        ),
        Field::UnlistedTrustDomain => format!(
            "no mesh lists the trust domain {}, and only an exact principal could let it in",
            source.trust_domain().unwrap_or_default()
        ),
        Field::Plaintext => format!("the source is not plaintext but {}", source.class()),
        Field::Passthrough => format!("the source is not passthrough but {}", source.class()),
        Field::Meshes | Field::NotMeshes => among(
            "the source's mesh",
            text(source.mesh()),
            &from.meshes,
            field,
        ),
        Field::TrustDomains | Field::NotTrustDomains => among(
            "the source's trust domain",
            text(source.trust_domain()),
            &from.trust_domains,
            field,
        ),
        Field::Namespaces | Field::NotNamespaces => among(
            "the source's namespace",
            text(source.namespace()),
            &from.namespaces,
            field,
        ),
        Field::ServiceAccounts | Field::NotServiceAccounts => {
            let account = source.namespace().zip(source.service_account());
            let account = account.map(|(ns, sa)| format!("{ns}/{sa}"));
            among(
                "the source's service account",
                account.into(),
                &from.service_accounts,
                field,
            )
        }
        Field::Principals | Field::NotPrincipals => among(
            "the source's principal",
            text(source.principal()),
            &from.principals,
            field,
        ),
        _ => {
            let address = facts.source_ip.map(|ip| ip.to_string());
            among(
                "the direct peer's address",
                address.into(),
                &from.ip_blocks,
                field,
            )
        }
    }
}

/// Why `field` of an item of `to` does not hold.
pub(super) fn to(to: &To, field: Field, node: &Node, facts: &Facts<'_>) -> String {
    let own = &to.own;
    match field {
        Field::OwnNamespaces | Field::NotOwnNamespaces => among(
            "this proxy's namespace",
            node.namespace.clone().into(),
            &own.namespaces,
            field,
        ),
        Field::Workloads | Field::NotWorkloads => {
            let workload = node.namespace.as_ref().zip(node.workload.as_ref());
            let workload = workload.map(|(ns, name)| format!("{ns}/{name}"));
            among(
                "this proxy's workload",
                workload.into(),
                &own.workloads,
                field,
            )
        }
        Field::Labels | Field::NotLabels => {
            let labels: Vec<String> = node
                .labels
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            let labels = if labels.is_empty() {
                "(none)".into()
            } else {
                labels.join(", ")
            };
            if field.is_not() {
                let unwanted = list(own.labels.none.as_deref());
                format!(
                    "this proxy's labels are {labels}, each must be there and differ from {unwanted}"
                )
            } else {
                let wanted = own.labels.any.as_deref().unwrap_or_default();
                let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                format!(
                    "this proxy's labels are {labels}, all of {} must be there",
                    wanted.join(", ")
                )
            }
        }
        Field::Hosts | Field::NotHosts => among(
            "the request's host",
            facts.host().map(lossy),
            &to.hosts,
            field,
        ),
        Field::Ports | Field::NotPorts => among(
            "the port",
            facts.port.map(|port| port.to_string()).into(),
            &to.ports,
            field,
        ),
        Field::Methods | Field::NotMethods => among(
            "the request's method",
            facts.method().map(lossy),
            &to.methods,
            field,
        ),
        Field::Paths | Field::NotPaths => {
            let path = facts.path().map(|path| {
                let raw = lossy(path.raw().text());
                match path.cleaned() {
                    None => raw,
                    Some(clean) => format!("{raw} (cleaned: {})", lossy(clean.text())),
                }
            });
            among("the request's path", path, &to.paths, field)
        }
        _ => among(
            "the SNI",
            facts.sni.as_deref().map(lossy).into(),
            &to.snis,
            field,
        ),
    }
}

/// Why a condition on a header does not hold.
pub(super) fn header(header: &Header, field: Field, facts: &Facts<'_>) -> String {
    let what = format!("the header {}", header.name);
    let values = facts.header(&header.name).map(|values| {
        let texts: Vec<String> = values.iter().copied().map(lossy).collect();
        texts.join(", ")
    });
    match values {
        Fact::Unknown if !facts.is_connection() => format!(
            "{what} has more than {MOST_VALUES} values, which are not looked at, it {}",
            wants(&Fact::Unknown, &header.values, field)
        ),
        values => among(&what, values, &header.values, field),
    }
}

/// The sentence for a list field or its `not…` form, which does not hold for the value.
fn among<P: Display>(what: &str, value: Fact<String>, lists: &Among<P>, field: Field) -> String {
    let wants = wants(&value, lists, field);
    match value {
        Fact::Is(value) => format!("{what} is {value}, it {wants}"),
        Fact::Absent => format!("{what} is absent, it {wants}"),
        Fact::Unknown => format!("{what} is not known on TCP, it {wants}"),
    }
}

fn wants<P: Display>(value: &Fact<String>, lists: &Among<P>, field: Field) -> String {
    if field.is_not() {
        let absent_too = if matches!(value, Fact::Absent) {
            "be there and "
        } else {
            ""
        };
        format!("must {absent_too}not be {}", list(lists.none.as_deref()))
    } else {
        format!("must be {}", list(lists.any.as_deref()))
    }
}

fn list<P: Display>(patterns: Option<&[P]>) -> String {
    let texts: Vec<String> = patterns
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    texts.join(" or ")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
