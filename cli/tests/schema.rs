//! The JSON Schema that `crossmesh policy schema` prints: the committed copies are what it prints, it accepts what the
//! parser accepts, and it refuses what is not of a policy's shape.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crossmesh_policy::{Program, cases, parse};
use jsonschema::Validator;
use serde_json::{Value, json};

#[path = "session/refusals.rs"]
mod refusals;

use refusals::{whole_policy, with_rule};

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_crossmesh"))
        .args(["policy", "schema"])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

fn validator(arguments: &[&str]) -> Validator {
    let schema = serde_json::from_str(&printed(arguments)).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(checkout(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn is_accepted(policy: &Value) -> bool {
    let spec = parse(policy.to_string().as_bytes());
    spec.is_ok_and(|spec| Program::compile(&spec).is_ok())
}

#[test]
fn the_committed_copies_are_what_is_printed() {
    for (path, arguments) in [
        ("docs/policy.schema.json", &[][..]),
        ("docs/policy-resource.schema.json", &["--resource"]),
        ("docs/policy-cases.schema.json", &["--cases"]),
    ] {
        let printed = printed(arguments);
        if std::env::var_os("CROSSMESH_BLESS").is_some() {
            std::fs::write(checkout(path), printed).unwrap();
            continue;
        }
        assert!(
            std::fs::read_to_string(checkout(path)).unwrap_or_default() == printed,
            "{path} is not what `crossmesh policy schema` prints; \
             run `CROSSMESH_BLESS=1 cargo test -p crossmesh-cli --test schema`"
        );
    }
}

#[test]
fn it_is_itself_a_schema_of_its_draft() {
    for arguments in [&[][..], &["--resource"], &["--cases"]] {
        let schema: Value = serde_json::from_str(&printed(arguments)).unwrap();
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        jsonschema::meta::validate(&schema).unwrap();
    }
}

/// Every definition and every field is described: that is what an editor shows.
#[test]
fn every_field_is_described() {
    for arguments in [&[][..], &["--cases"]] {
        let schema: Value = serde_json::from_str(&printed(arguments)).unwrap();
        describes_all(&schema);
    }
}

#[track_caller]
fn describes_all(schema: &Value) {
    let definitions = schema["$defs"].as_object().unwrap().iter();
    for (name, definition) in definitions.chain([(&"the whole".to_owned(), schema)]) {
        assert!(definition["description"].is_string(), "{name}");
        let fields = definition.get("properties").and_then(Value::as_object);
        for (field, schema) in fields.into_iter().flatten() {
            assert!(schema["description"].is_string(), "{name}.{field}");
        }
        let values = definition.get("oneOf").and_then(Value::as_array);
        for value in values.into_iter().flatten() {
            assert!(value["description"].is_string(), "{name}: {value}");
        }
    }
}

#[track_caller]
fn accepts(validator: &Validator, policy: &Value, whence: &str) {
    if let Some(error) = validator.iter_errors(policy).next() {
        panic!("{whence}: {}: {error}", error.instance_path());
    }
}

#[test]
fn every_policy_of_the_cases_is_valid() {
    let validator = validator(&[]);
    let mut policies = 0;
    for path in files("policy/tests/cases/decide") {
        for suite in yaml(&path).as_array().unwrap() {
            let policy = &suite["policy"];
            assert!(is_accepted(policy), "{}", path.display());
            accepts(&validator, policy, &path.display().to_string());
            policies += 1;
        }
    }
    assert!(policies > 10, "only {policies} policies");
}

#[test]
fn every_resource_is_valid() {
    let (bare, resource) = (validator(&[]), validator(&["--resource"]));
    for (folder, path) in [
        ("wasm-plugins", &["pluginConfig"][..]),
        ("wasm-plugins/traffic-extension", &["wasm", "pluginConfig"]),
    ] {
        for file in files(folder) {
            let whence = file.display().to_string();
            // Cases are no resources, and an EnvoyFilter has no policy.
            if whence.ends_with(".cases.yaml") || whence.ends_with("/server-first.yaml") {
                continue;
            }
            let mut document = yaml(&file);
            accepts(&resource, &document, &whence);
            let spec = &mut document["spec"];
            let config = path.iter().fold(spec, |value, key| &mut value[*key]);
            accepts(&bare, config, &whence);
            config["rulez"] = json!([]);
            assert!(!resource.is_valid(&document), "{whence}: rulez");
        }
    }
}

/// The engine's cases, and those that are shipped.
fn files_of_cases() -> Vec<PathBuf> {
    let mut shipped = files("wasm-plugins");
    shipped.retain(|path| path.to_string_lossy().ends_with(".cases.yaml"));
    shipped.extend(files("policy/tests/cases/decide"));
    shipped
}

#[test]
fn every_file_of_cases_is_valid() {
    let validator = validator(&["--cases"]);
    for file in files_of_cases() {
        let document = yaml(&file);
        assert!(cases::read(&document).is_ok(), "{}", file.display());
        accepts(&validator, &document, &file.display().to_string());
    }
}

/// A case that is right, with something put into one of its fields.
fn case_with(field: &str, value: &Value) -> Value {
    let mut case = json!({"name": "a", "want": "DENY default:plaintext"});
    case[field] = value.clone();
    json!([{"cases": [case]}])
}

/// What is no value of any field, and what is one of some.
#[test]
fn what_is_not_of_the_shape_of_cases_is_invalid() {
    let validator = validator(&["--cases"]);
    let values = [
        json!(null),
        json!(true),
        json!(1),
        json!(0),
        json!(70000),
        json!("a"),
        json!("8080"),
        json!("10.0.0.1"),
        json!([]),
        json!(["a"]),
        json!(["a", "b"]),
        json!([["a", "b"]]),
        json!([["a"]]),
        json!([["a", "b", "c"]]),
        json!({}),
        json!({"a": "b"}),
        json!({"mesh": "east"}),
        json!({"mesh": null}),
        json!({"labels": {"a": 1}}),
    ];
    let schema: Value = serde_json::from_str(&printed(&["--cases"])).unwrap();
    let fields = schema["$defs"]["Case"]["properties"].as_object().unwrap();
    assert!(fields.len() > 15);
    for field in fields.keys().map(String::as_str).chain(["none"]) {
        for value in &values {
            let document = case_with(field, value);
            let is_read = cases::read(&document).is_ok();
            let is_valid = validator.is_valid(&document);
            // A decision is read as a text; whether it is one, only the schema says without a policy.
            let is_decision = matches!(field, "want" | "candidate" | "first_bytes" | "audits");
            assert!(
                is_valid == is_read || (is_decision && is_read),
                "{field}: {value}: read {is_read}, valid {is_valid}"
            );
        }
    }
    for document in [
        json!([]),
        json!({}),
        json!([{}]),
        json!([{"cases": []}]),
        json!([{"cases": [{"name": "a"}]}]),
        json!([{"cases": [{"want": "DENY default:plaintext"}]}]),
        json!([{"cases": [["a", "DENY default:plaintext"]]}]),
    ] {
        assert!(cases::read(&document).is_err(), "{document}");
        assert!(!validator.is_valid(&document), "{document}");
    }
}

#[test]
fn a_decision_is_valid_in_its_own_words_only() {
    let validator = validator(&["--cases"]);
    for good in [
        "ALLOW rule:a-1",
        "DENY rule:a",
        "ALLOW default:sameMesh",
        "DENY default:invalidIdentity",
    ] {
        for field in ["want", "candidate", "first_bytes"] {
            let document = case_with(field, &json!(good));
            accepts(&validator, &document, good);
        }
    }
    let left = json!("left to HTTP");
    assert!(validator.is_valid(&case_with("first_bytes", &left)));
    for bad in [
        "left to HTTP",
        "DENY",
        "deny rule:a",
        "DENY rule:A",
        "DENY rule:",
        "DENY a",
        "DENY default:peermesh",
        "ALLOW default:invalidIdentity",
        "AUDIT rule:a",
        "DENY rule:a ",
        "DENY  rule:a",
    ] {
        for field in ["want", "candidate"] {
            let document = case_with(field, &json!(bad));
            assert!(!validator.is_valid(&document), "{field}: {bad}");
        }
    }
}

#[test]
fn what_is_not_of_the_shape_is_invalid() {
    let validator = validator(&[]);
    let path = checkout("policy/tests/cases/invalid/shape.yaml");
    for case in yaml(&path).as_array().unwrap() {
        assert!(!validator.is_valid(&whole_policy(case)), "{}", case["name"]);
    }
}

/// What needs more than one place of a policy, or a computation, is beyond a schema. It is listed, so that it does not
/// grow unseen.
const BEYOND: [&str; 20] = [
    "a mesh that is not listed",
    "a mesh twice",
    "a trust domain in two meshes",
    "a trust domain twice in one",
    "an unknown mesh",
    "a mesh with a slip",
    "its own mesh with a slip",
    "a mesh pattern that stands for none",
    "an unlisted trust domain",
    "an unlisted trust domain in a not",
    "a principal pattern of an unlisted trust domain in an ALLOW",
    "a principal that is no SPIFFE ID",
    "an IP block that is none",
    "an IP block with a prefix too long",
    "an IP block with host bits",
    "an IPv4 block written as IPv6",
    "a mistake in a candidate",
    "a forwarder of an unlisted trust domain",
    "a forwarder twice",
    "a forwarder for an unknown mesh",
];

#[test]
fn of_what_means_nothing_only_what_is_beyond_a_schema_is_valid() {
    let validator = validator(&[]);
    let cases = yaml(&checkout("policy/tests/cases/invalid/meaning.yaml"));
    let cases = cases.as_array().unwrap().iter();
    let valid = cases.filter(|case| validator.is_valid(&whole_policy(case)));
    let valid: BTreeSet<&str> = valid.map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(valid, BTreeSet::from(BEYOND));
}

/// Pieces of which strings are put together that come near to what the parser accepts.
const PIECES: [&str; 37] = [
    "",
    "*",
    "a",
    "Z9",
    "A",
    "/",
    "//",
    ".",
    "..",
    "-",
    "_",
    "{*}",
    "{**}",
    "{",
    "}",
    ":",
    "8080",
    "[::1]",
    "[",
    "?",
    "#",
    "@",
    "%2f",
    " ",
    "\t",
    "\n",
    "ä",
    ",",
    "spiffe://",
    "foo.com",
    "east",
    "::",
    "10.0.0.0/8",
    "0",
    "65",
    "535",
    "536",
];

/// A schema that refuses a good policy is worse than none: its author stops looking at it.
#[test]
fn no_string_that_the_parser_accepts_is_invalid() {
    let validator = validator(&[]);
    let fields: [(&str, Value); 14] = [
        ("/rules/0/from/0/meshes/0", json!({})),
        ("/rules/0/from/0/trustDomains/0", json!({})),
        ("/rules/0/from/0/namespaces/0", json!({"meshes": ["*"]})),
        (
            "/rules/0/from/0/serviceAccounts/0",
            json!({"meshes": ["*"]}),
        ),
        ("/rules/0/from/0/principals/0", json!({})),
        ("/rules/0/from/0/ipBlocks/0", json!({})),
        ("/rules/0/to/0/hosts/0", json!({})),
        ("/rules/0/to/0/methods/0", json!({})),
        ("/rules/0/to/0/paths/0", json!({})),
        ("/rules/0/to/0/ports/0", json!({})),
        ("/rules/0/to/0/snis/0", json!({})),
        ("/rules/0/when/0/values/0", json!({"header": "x-a"})),
        ("/rules/0/when/0/header", json!({"values": ["*"]})),
        ("/meshes/0/id", Value::Null),
    ];
    for (place, item) in fields {
        let (_, name) = place.trim_end_matches("/0").rsplit_once('/').unwrap();
        let part = place.split('/').nth(3).unwrap_or_default();
        let mut accepted = 0;
        for text in near_strings() {
            let mut policy = with_rule(&json!({"name": "r", "action": "DENY"}));
            if part == "id" {
                policy["mesh"] = json!("west");
                policy["meshes"][0]["id"] = json!(text);
            } else {
                let mut item = item.clone();
                item[name] = match name {
                    "header" => json!(text),
                    _ => json!([text]),
                };
                policy["rules"][0][part] = json!([item]);
            }
            if is_accepted(&policy) {
                accepted += 1;
                accepts(&validator, &policy, &format!("{place}: {text:?}"));
            }
        }
        assert!(accepted > 2, "{place}: only {accepted} strings accepted");
    }
}

fn near_strings() -> impl Iterator<Item = String> {
    let pairs = PIECES
        .iter()
        .flat_map(|a| PIECES.map(|b| format!("{a}{b}")));
    let slashed = PIECES
        .iter()
        .flat_map(|a| PIECES.map(|b| format!("/{a}/{b}")));
    let twice = PIECES
        .iter()
        .flat_map(|a| PIECES.map(|b| format!("{a}/{b}*")));
    pairs.chain(slashed).chain(twice)
}
