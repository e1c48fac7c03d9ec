//! The policy language by its cases: files of policies with requests and what must become of them, and of policies
//! that must be refused with exactly these words. The cases of the ready resources in `wasm-plugins/` run here too.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crossmesh_policy::{
    Action, Deciding, Explanation, HttpRequest, Node, Outcome, Peer, Program, Protocol, Request,
    RuleTrace, SourceClass, Verdict, parse,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// A pluginConfig; else that of the WasmPlugin in the file `x.yaml` beside `x.cases.yaml`.
    policy: Option<Value>,
    #[serde(default)]
    node: NodeCase,
    cases: Vec<Case>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NodeCase {
    mesh: Option<String>,
    namespace: Option<String>,
    workload: Option<String>,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The only URI SAN; without any of these three the source is plaintext.
    principal: Option<String>,
    /// All URI SANs of the certificate.
    principals: Option<Vec<String>>,
    #[serde(default)]
    passthrough: bool,
    host: Option<String>,
    port: Option<u16>,
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    sni: Option<String>,
    ip: Option<IpAddr>,
    #[serde(default)]
    tcp: bool,
    /// In place of the suite's.
    node: Option<NodeCase>,
    /// `ALLOW rule:NAME`, `DENY default:CLASS`, …
    want: String,
    #[serde(default)]
    audits: Vec<String>,
    /// What the candidate would decide.
    candidate: Option<String>,
    /// The direct peer's principal, where the explanation shows it beside another source.
    direct: Option<String>,
    /// What the TCP filter does at the first bytes: the same notation, or `left to HTTP`.
    first_bytes: Option<String>,
    /// Rule name → its first miss, `FIELD: WHY`.
    #[serde(default)]
    misses: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    name: String,
    /// A whole policy; or one rule, or one item of from or to of an ALLOW or DENY rule, in a policy that is otherwise
    /// right.
    policy: Option<Value>,
    rule: Option<Value>,
    allow_from: Option<Value>,
    deny_from: Option<Value>,
    allow_to: Option<Value>,
    /// What it says, a problem a line.
    problems: Vec<String>,
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    assert!(!found.is_empty(), "no {ending} in {}", folder.display());
    found
}

fn yaml<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn compile(policy: &Value) -> Result<Program, String> {
    let spec = parse(policy.to_string().as_bytes()).map_err(|e| e.to_string())?;
    Program::compile(&spec).map_err(|e| e.to_string())
}

#[test]
fn every_request_is_decided_as_its_case_says() {
    let beside = files("../wasm-plugins", ".cases.yaml");
    for path in files("tests/cases/decide", ".yaml")
        .into_iter()
        .chain(beside)
    {
        for suite in yaml::<Vec<Suite>>(&path) {
            let policy = suite.policy.clone().unwrap_or_else(|| plugin_config(&path));
            let program = compile(&policy).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for case in &suite.cases {
                let whole = format!("{}: {}", path.display(), case.name);
                check(
                    &program,
                    case.node.as_ref().unwrap_or(&suite.node),
                    case,
                    &whole,
                );
            }
        }
    }
}

fn plugin_config(cases: &Path) -> Value {
    let resource = PathBuf::from(cases.to_string_lossy().replace(".cases.yaml", ".yaml"));
    yaml::<Value>(&resource)["spec"]["pluginConfig"].clone()
}

fn check(program: &Program, node: &NodeCase, case: &Case, whole: &str) {
    let node = Node {
        mesh: node.mesh.clone(),
        namespace: node.namespace.clone(),
        workload: node.workload.clone(),
        labels: node.labels.clone(),
    };
    let sans: Vec<&[u8]> = case
        .principals
        .iter()
        .flatten()
        .chain(&case.principal)
        .map(String::as_bytes)
        .collect();
    let peer = if case.passthrough {
        Peer::Passthrough
    } else if case.principal.is_some() || case.principals.is_some() {
        Peer::Certificate { uri_sans: &sans }
    } else {
        Peer::Plaintext
    };
    let bytes = |text: &'_ Option<String>| text.clone().map(String::into_bytes);
    let (host, method, path, sni) = (
        bytes(&case.host),
        bytes(&case.method),
        bytes(&case.path),
        bytes(&case.sni),
    );
    let headers: Vec<(&[u8], &[u8])> = case
        .headers
        .iter()
        .map(|(k, v)| (k.as_bytes(), v.as_bytes()))
        .collect();
    let request = Request {
        source_ip: case.ip,
        port: case.port,
        sni: sni.as_deref(),
        protocol: if case.tcp {
            Protocol::Tcp
        } else {
            Protocol::Http(HttpRequest {
                host: host.as_deref(),
                method: method.as_deref(),
                path: path.as_deref(),
                headers: &headers,
            })
        },
    };
    let policy = program
        .bind(&node)
        .unwrap_or_else(|e| panic!("{whole}: {e}"));
    let direct = policy.identify(&peer);
    let source = policy.caller(&direct, &request);
    let decision = policy.decide(&source, &request);
    let got = format!("{} {}", decision.verdict.as_str(), decision.decided_by);
    assert_eq!(got, case.want, "{whole}");
    assert_eq!(decision.audits, case.audits, "{whole}: audits");
    let candidate = decision
        .candidate
        .map(|c| format!("{} {}", c.verdict.as_str(), c.decided_by));
    assert_eq!(candidate, case.candidate, "{whole}: candidate");
    if let Some(want) = &case.first_bytes {
        let got = match policy.decide_connection(&direct, &request) {
            None => "left to HTTP".into(),
            Some(decision) => format!("{} {}", decision.verdict.as_str(), decision.decided_by),
        };
        assert_eq!(got, *want, "{whole}: first bytes");
    }

    let explanation = program
        .explain(&node, &peer, &request)
        .unwrap_or_else(|e| panic!("{whole}: {e}"));
    assert_eq!(explanation.verdict, decision.verdict, "{whole}: explain");
    let counted = |trace: &&RuleTrace| trace.action == Action::Audit && trace.matched();
    let counted: BTreeSet<&str> = explanation
        .rules
        .iter()
        .filter(counted)
        .map(|trace| &*trace.name)
        .collect();
    let audits: BTreeSet<&str> = decision.audits.iter().copied().collect();
    assert_eq!(counted, audits, "{whole}: audits explained");
    check_explanation(&explanation, whole);
    let candidate = explanation.candidate.map(|(verdict, by)| match by {
        Deciding::Rule(name) => format!("{} rule:{name}", verdict.as_str()),
        Deciding::Default(class) => format!("{} default:{class}", verdict.as_str()),
    });
    assert_eq!(candidate, case.candidate, "{whole}: candidate explained");
    let direct = explanation.direct.and_then(|peer| peer.principal);
    assert_eq!(direct, case.direct, "{whole}: direct peer");
    for (rule, want) in &case.misses {
        let trace = explanation
            .rules
            .iter()
            .find(|r| r.name == *rule)
            .expect(whole);
        let Outcome::NotMatched { misses } = &trace.outcome else {
            panic!("{whole}: {rule} matched");
        };
        assert_eq!(
            format!("{}: {}", misses[0].field, misses[0].why),
            *want,
            "{whole}"
        );
    }
}

/// The traces alone must give the same decision: else what is explained is not what is done.
fn check_explanation(explanation: &Explanation, whole: &str) {
    let first = |action: Action| {
        let mut rules = explanation.rules.iter();
        rules.find(|rule| rule.action == action && rule.outcome == Outcome::Matched)
    };
    let deciding = first(Action::Deny).or_else(|| match explanation.source.class {
        SourceClass::InvalidIdentity => None,
        _ => first(Action::Allow),
    });
    let marked: Vec<_> = explanation
        .rules
        .iter()
        .filter(|rule| rule.decided)
        .collect();
    match (&explanation.decided_by, deciding) {
        (Deciding::Rule(name), Some(rule)) => {
            assert_eq!(*name, rule.name, "{whole}");
            assert_eq!(marked, [rule], "{whole}");
            let verdict = if rule.action == Action::Deny {
                Verdict::Deny
            } else {
                Verdict::Allow
            };
            assert_eq!(explanation.verdict, verdict, "{whole}");
        }
        (Deciding::Default(class), None) => {
            assert_eq!(*class, explanation.source.class, "{whole}");
            assert!(marked.is_empty(), "{whole}");
        }
        (by, rule) => panic!("{whole}: decided by {by:?}, but the traces say {rule:?}"),
    }
}

#[test]
fn every_mistake_is_refused_in_the_words_of_its_case() {
    let mut wrong = Vec::new();
    for path in files("tests/cases/invalid", ".yaml") {
        for refusal in yaml::<Vec<Refusal>>(&path) {
            let said = compile(&refusal.whole_policy())
                .err()
                .unwrap_or_else(|| "accepted".into());
            if said != refusal.problems.join("\n") {
                wrong.push(format!("{}: {}\n{said}", path.display(), refusal.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases say something else:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

impl Refusal {
    fn whole_policy(&self) -> Value {
        if let Some(policy) = &self.policy {
            return policy.clone();
        }
        let rule = |action: &str, part: &str, item: &Value| {
            let mut rule = serde_json::json!({"name": "r", "action": action});
            if part == "to" && action == "ALLOW" {
                rule["from"] = serde_json::json!([{"meshes": ["*"]}]);
            }
            rule[part] = serde_json::json!([item]);
            rule
        };
        let rule = match (
            &self.rule,
            &self.allow_from,
            &self.deny_from,
            &self.allow_to,
        ) {
            (Some(whole), ..) => whole.clone(),
            (_, Some(item), ..) => rule("ALLOW", "from", item),
            (_, _, Some(item), _) => rule("DENY", "from", item),
            (_, _, _, Some(item)) => rule("ALLOW", "to", item),
            _ => panic!(
                "{}: no policy, rule, allow_from, deny_from or allow_to",
                self.name
            ),
        };
        serde_json::json!({
            "schema": "crossmesh/v1",
            "mesh": "east",
            "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
            "rules": [rule],
        })
    }
}
