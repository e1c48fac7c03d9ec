//! `docs/policy.md` and `docs/filter.md`: every example in them is tried.
//!
//! - ```` ```yaml ```` is a policy, or a part of one that is put into a small policy; it must be accepted.
//! - ```` ```yaml NAME ```` is also a file for the commands below it; one whose name begins with `wrong` need not be good.
//!   One whose name ends with `.cases.yaml` is a file of cases, for the commands below it.
//! - ```` ```yaml envoy:NAME ```` and ```` ```yaml istio:NAME ```` are configurations of those: the end-to-end tests load them
//!   (`tests/tests/operators.rs`).
//! - ```` ```console ```` is a session: each `$ crossmesh …`, with `\` at the end of a line that goes on, is run and must
//!   answer what stands below it, standard output first.
//! - ```` ```promql ```` is queries, one a line: each metric in them is in the table of metrics, and has the labels.
//! - Between `<!-- errors -->` and `<!-- /errors -->` stands every error that the cases of the policy crate know, between
//!   `<!-- warnings -->` and `<!-- /warnings -->` every warning of `tests/cases/check-warnings.case`.
//!
//! `CROSSMESH_BLESS=1 cargo test -p crossmesh-cli --test docs` writes down answers and errors as they are now.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crossmesh_policy::{Invalid, Program, parse};
use serde_json::Value;

#[path = "session/command.rs"]
mod command;
#[path = "session/page.rs"]
mod page;
#[path = "session/queries.rs"]
mod queries;
#[path = "session/refusals.rs"]
mod refusals;
#[path = "session/crossmesh.rs"]
mod session;

use session::crossmesh;

/// What a part of a policy is put into.
const FRAME: &str = "\
schema: crossmesh/v1
meshes:
  - {id: east, trustDomains: [foo.com]}
  - {id: west, trustDomains: [bar.com]}
";

const ERRORS: (&str, &str) = ("<!-- errors -->\n", "<!-- /errors -->\n");
const WARNINGS: (&str, &str) = ("<!-- warnings -->\n", "<!-- /warnings -->\n");

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The document, and how many policies, commands and queries there are at least.
const DOCUMENTS: [(&str, [usize; 3]); 2] = [
    ("docs/policy.md", [16, 12, 0]),
    ("docs/filter.md", [2, 1, 5]),
];

#[test]
fn every_example_is_true() {
    for (name, least) in DOCUMENTS {
        let path = checkout(name);
        let written = fs::read_to_string(&path).unwrap();
        let mut tried = Tried::new(name, queries::Metrics::told(&written));
        let mut now = tried.document(&written);
        if written.contains(ERRORS.0) {
            now = with_table(&now, ERRORS, &errors());
            now = with_table(&now, WARNINGS, &warnings());
        }
        page::hold(name, &path, &written, &now);
        let found = [tried.policies, tried.commands, tried.queries];
        let enough = found
            .iter()
            .zip(least)
            .all(|(found, least)| *found >= least);
        assert!(enough, "{name}: {found:?} policies, commands and queries");
    }
}

/// Every metric, key of filter state and header of the public contract, and no other, is in the operators' page.
#[test]
fn operators_find_every_name_of_the_contract() {
    let of = |document: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(checkout(document)).unwrap();
        let text = text.split("## Public contract").last().unwrap();
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .filter(|word| word.starts_with("crossmesh_") || word.starts_with("x-crossmesh-"))
            .filter(|word| !word.starts_with("crossmesh_dns") && !word.ends_with(['_', '-']))
            .map(str::to_owned)
            .collect()
    };
    let mut told = of("docs/filter.md");
    // The module's file.
    assert!(told.remove("crossmesh_filter"));
    assert_eq!(told, of("ARCHITECTURE.md"));
}

/// What Istio and Envoy are told to make labels of is what the metrics are said to have.
#[test]
fn every_label_is_set_up() {
    let page = fs::read_to_string(checkout("docs/filter.md")).unwrap();
    let (_, set_up) = page.split_once("extraStatTags: [").unwrap();
    let (istio, _) = set_up.split_once(']').unwrap();
    let istio: BTreeSet<&str> = istio.split(", ").collect();
    let envoy = page.split("{tag_name: ").skip(1);
    let envoy: BTreeSet<&str> = envoy.filter_map(|tag| tag.split(',').next()).collect();
    let metrics = queries::Metrics::told(&page);
    assert_eq!(istio, metrics.labels());
    assert_eq!(envoy, metrics.labels());
}

/// An author who looks for a field finds it.
#[test]
fn every_field_is_in_the_reference() {
    let document = fs::read_to_string(checkout("docs/policy.md")).unwrap();
    let mut fields = BTreeSet::new();
    for schema in [
        crossmesh_policy::json_schema(),
        crossmesh_policy::cases::json_schema(),
    ] {
        let definitions = schema["$defs"].as_object().unwrap().values();
        for definition in definitions.chain([&schema]) {
            let properties = definition.get("properties").and_then(Value::as_object);
            fields.extend(
                properties
                    .into_iter()
                    .flatten()
                    .map(|(field, _)| field.clone()),
            );
        }
    }
    // The not… forms have one sentence for all of them.
    let missing: Vec<String> = fields
        .into_iter()
        .filter(|field| !field.starts_with("not"))
        .filter(|field| {
            !document.contains(&format!("`{field}`"))
                && !document.contains(&format!("`{field}: true`"))
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// The examples that were tried, in a directory with the files that they made.
struct Tried {
    name: &'static str,
    dir: tempfile::TempDir,
    policies: usize,
    commands: usize,
    queries: usize,
    metrics: queries::Metrics,
}

impl Tried {
    fn new(name: &'static str, metrics: queries::Metrics) -> Self {
        Self {
            name,
            dir: tempfile::tempdir().unwrap(),
            policies: 0,
            commands: 0,
            queries: 0,
            metrics,
        }
    }

    /// The document with the answers that are given now.
    fn document(&mut self, written: &str) -> String {
        page::page(self.name, written, |kind, text, place| {
            match kind.split_once(' ').unwrap_or((kind, "")) {
                ("yaml", name) if name.contains(':') => {
                    let parsed: Result<Value, _> = serde_saphyr::from_str(&text);
                    assert!(parsed.is_ok(), "{place}: {parsed:?}");
                    text
                }
                ("yaml", name) => self.policy(text, name, place),
                ("console", "") => self.session(&text, place),
                ("promql", "") => {
                    for query in text.lines() {
                        self.metrics.answer(query, place);
                        self.queries += 1;
                    }
                    text
                }
                ("text", "") => text,
                _ => panic!("{place}: a block of the kind {kind:?}, which nothing tries"),
            }
        })
    }

    fn policy(&mut self, text: String, name: &str, place: &str) -> String {
        let file = if name.is_empty() { "part.yaml" } else { name };
        if file.ends_with(".cases.yaml") {
            fs::write(self.dir.path().join(file), &text).unwrap();
            return text;
        }
        fs::write(self.dir.path().join(file), framed(&text)).unwrap();
        if !file.starts_with("wrong") {
            let answer = crossmesh(&format!("policy check {file}"), self.dir.path());
            assert_eq!(answer.status, 0, "{place}: {}", answer.stderr);
            self.policies += 1;
        }
        text
    }

    fn session(&mut self, text: &str, place: &str) -> String {
        page::session(text, place, |command| {
            let command = command.strip_prefix("crossmesh ");
            let command = command.unwrap_or_else(|| panic!("{place}: no command of crossmesh"));
            let answer = crossmesh(command, self.dir.path());
            self.commands += 1;
            answer.stdout + &answer.stderr
        })
    }
}

/// A policy as it stands, a list of rules, or fields beside the frame's.
fn framed(text: &str) -> String {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("schema:") || has("kind:") {
        return text.to_owned();
    }
    if text.starts_with("- ") {
        let rules = text.lines().map(|line| format!("  {line}\n"));
        return format!("{FRAME}rules:\n{}", rules.collect::<String>());
    }
    let frame: String = if has("meshes:") {
        FRAME
            .lines()
            .take(1)
            .map(|line| format!("{line}\n"))
            .collect()
    } else {
        FRAME.to_owned()
    };
    frame + text
}

/// The document with a table between its marks as it is now.
fn with_table(document: &str, (begin, end): (&str, &str), table: &str) -> String {
    let (before, rest) = document.split_once(begin).expect(begin);
    let (_, after) = rest.split_once(end).expect(end);
    format!("{before}{begin}{table}{end}{after}")
}

/// Every warning of the cases, once, with its field and mend.
fn warnings() -> String {
    let mut told = BTreeSet::new();
    let mut table =
        String::from("| field | what is seldom meant | what to write |\n|---|---|---|\n");
    let cases = fs::read_to_string(checkout("cli/tests/cases/check-warnings.case")).unwrap();
    for line in cases.lines().filter(|line| line.starts_with("! ")) {
        let Some((_, warning)) = line.split_once(": warning: ") else {
            continue;
        };
        let (said, mend) = warning.rsplit_once("; ").expect(line);
        // The name of the rule, if it stands in one, then the field.
        let said = said.split_once("\": ").map_or(said, |(_, said)| said);
        let (field, problem) = match said.split_once(": ") {
            Some((field, problem)) => (format!("`{}`", any_index(field)), problem),
            None => ("`failStrategy`".to_owned(), said),
        };
        if told.insert(problem.to_owned()) {
            table += &format!("| {field} | {} | {} |\n", cell(problem), cell(mend));
        }
    }
    table
}

/// Every error of the cases, once, with its field and mend.
fn errors() -> String {
    let mut told = BTreeSet::new();
    let mut table = String::from("| field | what is wrong | how to mend it |\n|---|---|---|\n");
    let cases = ["meaning", "never"].map(|name| {
        let path = checkout(&format!("policy/tests/cases/invalid/{name}.yaml"));
        serde_saphyr::from_str::<Vec<Value>>(&fs::read_to_string(path).unwrap()).unwrap()
    });
    for case in cases.iter().flatten() {
        for problem in refused(&refusals::whole_policy(case)).problems {
            let field = any_index(&problem.field);
            let row = format!(
                "| `{field}` | {} | {} |\n",
                cell(&problem.problem),
                cell(&problem.mend)
            );
            if told.insert(problem.problem) {
                table += &row;
            }
        }
    }
    table
}

fn refused(policy: &Value) -> Invalid {
    let compiled = parse(policy.to_string().as_bytes()).and_then(|spec| Program::compile(&spec));
    compiled.expect_err("a case of what is refused")
}

/// `rules[].to[]` of `rules[3].to[0]`.
fn any_index(field: &str) -> String {
    field.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Text in a cell of a table: as it is written, whatever Markdown makes of it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('*', "\\*")
        .replace('<', "\\<")
}
