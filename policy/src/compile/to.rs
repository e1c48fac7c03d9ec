//! One item of `to`.

use std::collections::BTreeMap;

use super::from::{namespace, namespaced};
use super::lists::{At, Fault, Report, among, first_given, not_form, refuse_empty};
use super::never::Never;
use crate::host;
use crate::path::{Form, Operands, PathForms, PathPattern};
use crate::pattern::Pattern;
use crate::rule::{Among, Label, Own, To};
use crate::spec::{Action, PortSpec, ToSpec};

pub(super) fn compile(spec: &ToSpec, action: Action, at: &At<'_>, report: &mut Report) -> To {
    let ToSpec {
        namespaces,
        not_namespaces,
        workloads,
        not_workloads,
        labels,
        not_labels,
        hosts,
        not_hosts,
        ports,
        not_ports,
        methods,
        not_methods,
        paths,
        not_paths,
        snis,
        not_snis,
    } = spec;
    let before = report.len();
    let to = To {
        own: Own {
            namespaces: among(
                at,
                "namespaces",
                (namespaces, not_namespaces),
                report,
                namespace,
            ),
            workloads: among(
                at,
                "workloads",
                (workloads, not_workloads),
                report,
                |text| namespaced(text, "shop/catalog"),
            ),
            labels: all_labels(at, (labels, not_labels), report),
        },
        hosts: among(at, "hosts", (hosts, not_hosts), report, host_pattern),
        ports: all_ports(at, (ports, not_ports), report),
        methods: among(at, "methods", (methods, not_methods), report, method),
        paths: among(at, "paths", (paths, not_paths), report, |text| {
            PathPattern::parse(text).map_err(|why| Fault::new(why, why.mend()))
        }),
        snis: among(at, "snis", (snis, not_snis), report, host_pattern),
    };
    check_item(spec, &to, action, at, report);
    if report.len() == before {
        Never { at, action, report }.to(spec);
    }
    to
}

/// What concerns an item as a whole.
fn check_item(spec: &ToSpec, to: &To, action: Action, at: &At<'_>, report: &mut Report) {
    let own = &to.own;
    let by_own = own.namespaces.is_given() || own.workloads.is_given() || own.labels.is_given();
    let by_request = to.ports.is_given() || to.methods.is_given() || to.paths.is_given();
    let by_claim = first_given(&[
        ("hosts", &spec.hosts),
        ("notHosts", &spec.not_hosts),
        ("snis", &spec.snis),
        ("notSnis", &spec.not_snis),
    ]);
    if !by_own && by_claim.is_none() && !by_request {
        report.problem(
            at,
            "the item is empty",
            "leave to out to match every destination",
        );
    }
    let named =
        own.namespaces.any.is_some() || own.workloads.any.is_some() || own.labels.any.is_some();
    if let (Action::Allow, Some((field, values)), false) = (action, by_claim, named) {
        report.list(
            &at.then(field),
            values,
            "Host and SNI are what the client claims, and an ALLOW must not rest on them alone",
            "write namespaces, workloads or labels in the same item too",
        );
    }
    if action == Action::Allow {
        warn_of_spellings(spec, to, at, report);
    }
}

/// What is cleaned to another path lets nothing in unless its list has that one too.
fn warn_of_spellings(spec: &ToSpec, to: &To, at: &At<'_>, report: &mut Report) {
    let listed = to.paths.any.as_deref().unwrap_or_default();
    for (i, text) in spec.paths.iter().flatten().enumerate() {
        let given = with_letters(text);
        let forms = PathForms::new(given.as_bytes());
        let matches = |clean: Form<'_>| {
            let mut listed = listed.iter();
            listed.any(|pattern: &PathPattern| pattern.matches(clean, Operands::Any))
        };
        if forms.cleaned().is_none_or(matches) {
            continue;
        }
        let mend = if text.contains('{') {
            "write a plain pattern that matches the cleaned path in the same list too"
        } else {
            "write the cleaned path in the same list too"
        };
        report.warn(
            &at.then("paths").item(i),
            "an ALLOW needs the path as it is given and as it is decoded and cleaned to match, and this is not clean",
            mend,
        );
    }
}

/// A path that the pattern matches: each operator stands for a letter, which cleaning never touches.
fn with_letters(pattern: &str) -> String {
    let letters = pattern.replace("{**}", "x").replace("{*}", "x");
    let letters = letters.replace('*', "x");
    if letters.starts_with('/') {
        letters
    } else {
        format!("/{letters}")
    }
}

fn host_pattern(text: &str) -> Result<Pattern, Fault> {
    host::parse_pattern(text).map_err(|why| Fault::new(why, why.mend()))
}

fn method(text: &str) -> Result<Pattern, Fault> {
    let pattern = Pattern::parse(text).map_err(|why| Fault::new(why, why.mend()))?;
    let fixed = pattern.fixed();
    if fixed.bytes().any(|b| b.is_ascii_lowercase()) {
        let mend = format!("write {}", text.to_ascii_uppercase());
        return Err(Fault::new(
            "methods are upper-case, it would never match",
            mend,
        ));
    }
    match fixed.chars().find(|c| !is_token(*c)) {
        None => Ok(pattern),
        Some(c) => Err(Fault::new(
            format!("no method has {c:?}, it would never match"),
            "write a method such as GET",
        )),
    }
}

/// The characters of an HTTP token (RFC 9110 §5.6.2).
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn all_ports(
    at: &At<'_>,
    (any, none): (&Option<Vec<PortSpec>>, &Option<Vec<PortSpec>>),
    report: &mut Report,
) -> Among<u16> {
    let mut read = |name: &str, ports: &Option<Vec<PortSpec>>| {
        let ports = ports.as_ref()?;
        refuse_empty(&at.then(name), ports.len(), report);
        Some(ports.iter().map(|PortSpec(port)| *port).collect())
    };
    let any = read("ports", any);
    Among::new(any, read(&not_form("ports"), none))
}

type Labels = Option<BTreeMap<String, String>>;

fn all_labels(at: &At<'_>, (any, none): (&Labels, &Labels), report: &mut Report) -> Among<Label> {
    let mut read = |name: &str, labels: &Labels| {
        let labels = labels.as_ref()?;
        let at = at.then(name);
        refuse_empty(&at, labels.len(), report);
        let mut read = Vec::with_capacity(labels.len());
        for (key, text) in labels {
            match Pattern::parse(text) {
                Ok(value) => read.push(Label {
                    key: key.as_str().into(),
                    value,
                }),
                Err(why) => report.value(&at.then(key), text, &why.to_string(), why.mend()),
            }
        }
        Some(read.into())
    };
    let any = read("labels", any);
    Among::unlisted(any, read(&not_form("labels"), none))
}

#[cfg(test)]
mod tests {
    use crate::{Program, parse};
    use serde_json::json;

    /// The mends of what is warned of in an ALLOW of these paths.
    fn mends(paths: &[&str]) -> Vec<String> {
        let policy = json!({
            "schema": "crossmesh/v1",
            "meshes": [{"id": "west", "trustDomains": ["bar.com"]}],
            "rules": [{"name": "r", "action": "ALLOW", "from": [{"meshes": ["west"]}], "to": [{"paths": paths}]}],
        });
        let spec = parse(policy.to_string().as_bytes()).expect("a policy");
        let program = Program::compile(&spec).expect("a valid policy");
        let mends = program.warnings().iter();
        mends.map(|warning| warning.mend.to_string()).collect()
    }

    #[test]
    fn what_is_not_clean_is_warned_of_wherever_it_stands() {
        for path in ["/a%20b", "/a%20b/*", "*%20x", "*//x", "/a/../b", "*/.."] {
            assert_eq!(
                mends(&[path]),
                ["write the cleaned path in the same list too"],
                "{path}"
            );
        }
        for path in [
            "/a%20b/{*}",
            "/{*}/a%20b",
            "/{**}/a%20b",
            "/{*}/%61/{**}",
            "/{*}/../b",
        ] {
            let plain =
                ["write a plain pattern that matches the cleaned path in the same list too"];
            assert_eq!(mends(&[path]), plain, "{path}");
        }
    }

    #[test]
    fn what_is_mended_or_clean_is_not() {
        for paths in [
            &["/a%20b", "/a b"][..],
            &["*%20x", "* x"],
            &["/{*}/a%20b", "*/a b"],
            &["/a%20b/{*}", "/a b/*"],
            &[
                "/.well-known/*",
                "/.*",
                "*.",
                "*../x",
                "/{*}/a",
                "/{**}",
                "*",
            ],
        ] {
            assert!(mends(paths).is_empty(), "{paths:?}");
        }
    }
}
