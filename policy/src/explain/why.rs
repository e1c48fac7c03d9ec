//! The words for one matcher that does not hold: what the request has, and what the rule wants.

use std::fmt::Display;

use crate::facts::{Facts, MOST_VALUES};
use crate::quote::shown;
use crate::request::Node;
use crate::rule::{Among, From, Header, To};
use crate::source::SourceClass;
use crate::truth::{Fact, Field};

/// Why `field` of an item of `from` does not hold.
pub(super) fn from(from: &From, field: Field, facts: &Facts<'_>) -> String {
    let source = facts.source;
    let text = |value: Option<&str>| Fact::from(value.map(|text| shown(text.as_bytes())));
    match field {
        Field::Class if source.class() == SourceClass::InvalidIdentity => {
            "the source has no valid identity, and no ALLOW lets such a source in".into()
        }
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
            let account = account.map(|(ns, sa)| shown(format!("{ns}/{sa}").as_bytes()));
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
            let what = "the direct peer's address";
            let wants = |value| wants(value, &from.ip_blocks, field, as_number);
            match facts.source_ip {
                Some(ip) => format!("{what} is {ip}, it {}", wants(&Fact::Is(()))),
                None => format!("{what} is not known, it {}", wants(&Fact::Unknown)),
            }
        }
    }
}

/// Why `field` of an item of `to` does not hold.
pub(super) fn to(to: &To, field: Field, node: &Node, facts: &Facts<'_>) -> String {
    let own = &to.own;
    let text = |value: Option<&str>| Fact::from(value.map(|text| shown(text.as_bytes())));
    let bytes = |value: Fact<&[u8]>| value.map(shown);
    match field {
        Field::OwnNamespaces | Field::NotOwnNamespaces => among(
            "this proxy's namespace",
            text(node.namespace.as_deref()),
            &own.namespaces,
            field,
        ),
        Field::Workloads | Field::NotWorkloads => {
            let workload = node.namespace.as_ref().zip(node.workload.as_ref());
            let workload = workload.map(|(ns, name)| shown(format!("{ns}/{name}").as_bytes()));
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
                .map(|(k, v)| shown(format!("{k}={v}").as_bytes()))
                .collect();
            let labels = if labels.is_empty() {
                "(none)".into()
            } else {
                labels.join(", ")
            };
            if field.is_not() {
                let unwanted = list(own.labels.none.as_deref(), " or ", as_text);
                format!(
                    "this proxy's labels are {labels}, each must be there and differ from {unwanted}"
                )
            } else {
                let wanted = list(own.labels.any.as_deref(), ", ", as_text);
                format!("this proxy's labels are {labels}, all of {wanted} must be there")
            }
        }
        Field::Hosts | Field::NotHosts => {
            among("the request's host", bytes(facts.host()), &to.hosts, field)
        }
        Field::Ports | Field::NotPorts => {
            let port = Fact::from(facts.port.map(|port| port.to_string()));
            let wants = wants(&port, &to.ports, field, as_number);
            is("the port", port, &wants)
        }
        Field::Methods | Field::NotMethods => among(
            "the request's method",
            bytes(facts.method()),
            &to.methods,
            field,
        ),
        Field::Paths | Field::NotPaths => {
            let path = facts.path().map(|path| {
                let raw = shown(path.raw().text());
                match path.cleaned() {
                    None => raw,
                    Some(clean) => format!("{raw} (cleaned: {})", shown(clean.text())),
                }
            });
            among("the request's path", path, &to.paths, field)
        }
        _ => among(
            "the SNI",
            bytes(facts.sni.as_deref().into()),
            &to.snis,
            field,
        ),
    }
}

/// Why a condition on a header does not hold.
pub(super) fn header(header: &Header, field: Field, facts: &Facts<'_>) -> String {
    let what = format!("the header {}", header.name);
    let values = facts.header(&header.name).map(|values| {
        let texts: Vec<String> = values.iter().copied().map(shown).collect();
        texts.join(", ")
    });
    match values {
        Fact::Unknown if !facts.is_connection() => format!(
            "{what} has more than {MOST_VALUES} values, which are not looked at, it {}",
            wants(&values, &header.values, field, as_text)
        ),
        values => among(&what, values, &header.values, field),
    }
}

/// The sentence for a list field of texts or its `not…` form, which does not hold for the value as it is shown.
fn among<P: Display>(what: &str, value: Fact<String>, lists: &Among<P>, field: Field) -> String {
    let wants = wants(&value, lists, field, as_text);
    is(what, value, &wants)
}

fn is(what: &str, value: Fact<String>, wants: &str) -> String {
    match value {
        Fact::Is(value) => format!("{what} is {value}, it {wants}"),
        Fact::Absent => format!("{what} is absent, it {wants}"),
        Fact::Unknown => format!("{what} is not known on TCP, it {wants}"),
    }
}

fn wants<P: Display, T>(
    value: &Fact<T>,
    lists: &Among<P>,
    field: Field,
    display: fn(&P) -> String,
) -> String {
    if field.is_not() {
        let absent_too = if matches!(value, Fact::Absent) {
            "be there and "
        } else {
            ""
        };
        let unwanted = list(lists.none.as_deref(), " or ", display);
        format!("must {absent_too}not be {unwanted}")
    } else {
        format!("must be {}", list(lists.any.as_deref(), " or ", display))
    }
}

fn list<P>(patterns: Option<&[P]>, between: &str, display: fn(&P) -> String) -> String {
    let texts: Vec<String> = patterns.unwrap_or_default().iter().map(display).collect();
    texts.join(between)
}

fn as_text<P: Display>(pattern: &P) -> String {
    shown(pattern.to_string().as_bytes())
}

/// Numbers and addresses need no care.
fn as_number<P: Display>(pattern: &P) -> String {
    pattern.to_string()
}
