//! The policy language by its cases: files of policies with requests and what must become of them, and of policies
//! that must be refused with exactly these words. The cases of the ready resources in `wasm-plugins/` run here too.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crossmesh_policy::cases::{self, Case, Runner};
use crossmesh_policy::{
    Action, Deciding, Explanation, Outcome, Program, SourceClass, Verdict, parse,
};
use serde::Deserialize;
use serde_json::Value;

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
        let suites = cases::read(&yaml(&path));
        for suite in suites.unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
            let policy = suite.policy.clone().unwrap_or_else(|| plugin_config(&path));
            let program = compile(&policy).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let runner = Runner::new(&program, &suite.node);
            for case in &suite.cases {
                check(&runner, case, &format!("{}: {}", path.display(), case.name));
            }
        }
    }
}

fn plugin_config(cases: &Path) -> Value {
    let resource = PathBuf::from(cases.to_string_lossy().replace(".cases.yaml", ".yaml"));
    yaml::<Value>(&resource)["spec"]["pluginConfig"].clone()
}

/// A case of ours says all that there is to say: what it leaves out must be absent.
fn check(runner: &Runner<'_>, case: &Case, whole: &str) {
    let ran = runner.run(case);
    let ran = ran.unwrap_or_else(|problems| panic!("{whole}: {problems:?}"));
    if let Some(failure) = &ran.failure {
        panic!("{whole}: {:?}", failure.broken);
    }
    assert_eq!(
        ran.audits,
        case.audits.clone().unwrap_or_default(),
        "{whole}"
    );
    let candidate = ran.candidate.as_ref();
    let candidate = candidate.map(|(verdict, by)| written((*verdict, by)));
    assert_eq!(candidate, case.candidate, "{whole}");

    let explanation = runner.explain(case).expect(whole);
    let direct = explanation.direct.as_ref();
    let direct = direct.and_then(|peer| peer.principal.clone());
    assert_eq!(direct, case.direct, "{whole}");
    assert_eq!(explanation.verdict, ran.verdict, "{whole}");
    assert_eq!(explanation.decided_by, ran.decided_by, "{whole}");
    assert_eq!(explanation.candidate, ran.candidate, "{whole}");
    let counted = explanation.rules.iter();
    let counted = counted.filter(|trace| trace.action == Action::Audit && trace.matched());
    let counted: BTreeSet<&str> = counted.map(|trace| &*trace.name).collect();
    let audits: BTreeSet<&str> = ran.audits.iter().map(String::as_str).collect();
    assert_eq!(counted, audits, "{whole}: audits explained");
    check_explanation(&explanation, whole);
}

fn written((verdict, by): (Verdict, &Deciding)) -> String {
    match by {
        Deciding::Rule(name) => format!("{} rule:{name}", verdict.as_str()),
        Deciding::Default(class) => format!("{} default:{class}", verdict.as_str()),
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
