//! Which crate may know which: the direction between them is the design.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::{none, sources};

/// Package → the packages of this workspace that it may depend on, in any way.
const DIRECTIONS: [(&str, &[&str]); 8] = [
    // Itself for its tests alone, which switch on what it offers; cargo refuses it for more.
    ("crossmesh-policy", &["crossmesh-policy"]),
    ("crossmesh-proto", &[]),
    ("crossmesh-filter", &["crossmesh-policy"]),
    ("crossmesh-cli", &["crossmesh-policy", "crossmesh-proto"]),
    ("crossmesh-dns-agent", &["crossmesh-proto"]),
    // It runs the binaries and loads the .wasm, as users do; a crate it linked would not be what users run.
    ("crossmesh-e2e", &[]),
    // Nothing that is shipped knows it: it feeds what both others read.
    ("crossmesh-fuzz", &["crossmesh-filter", "crossmesh-policy"]),
    ("xtask", &[]),
];

/// All that the pure engine may need: it runs inside every proxy.
const POLICY_NEEDS: [&str; 3] = ["serde", "serde_json", "serde_path_to_error"];

/// What it may need besides, behind a feature.
const POLICY_MAY_NEED: [&str; 1] = ["schemars"];

/// Its features, and who alone may switch them on; no proxy has a use for them. The command line prints the JSON Schema that
/// schemars derives from the very types that are read, and runs cases, as the engine's own tests do.
const POLICY_OFFERS: [(&str, &[&str]); 2] = [
    ("cases", &["crossmesh-cli", "crossmesh-policy"]),
    ("schema", &["crossmesh-cli"]),
];

/// Where hickory may be, and how: in tests, as a reading of our bytes by other eyes. What answers names in production writes
/// them itself.
const HICKORY_USERS: [(&str, &str); 2] =
    [("crossmesh-dns-agent", "dev"), ("crossmesh-e2e", "normal")];

struct Dependency {
    package: String,
    on: String,
    /// `normal`, `dev` or `build`.
    kind: String,
    /// It is a folder of this workspace.
    member: bool,
    /// Only with a feature.
    optional: bool,
    /// Which of its features are switched on, the default ones unmentioned.
    features: Vec<String>,
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").expect("run by cargo");
    let arguments = [
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(sources::root())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().expect("packages").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn dependencies() -> Vec<Dependency> {
    let metadata = metadata();
    let of = |package: &Value| {
        let name = text(&package["name"]);
        let dependency = move |on: &Value| Dependency {
            package: name.clone(),
            on: text(&on["name"]),
            kind: on["kind"].as_str().unwrap_or("normal").to_owned(),
            member: on["path"].is_string(),
            optional: on["optional"] == true,
            features: on["features"]
                .as_array()
                .expect("features")
                .iter()
                .map(text)
                .collect(),
        };
        package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .map(dependency)
            .collect::<Vec<_>>()
    };
    packages(&metadata).flat_map(of).collect()
}

#[test]
fn crates_know_each_other_only_in_the_directions_of_the_design() {
    let directions: std::collections::BTreeMap<_, _> = DIRECTIONS.into_iter().collect();
    let mut violations = Vec::new();
    for package in packages(&metadata()) {
        let name = text(&package["name"]);
        if !directions.contains_key(name.as_str()) {
            violations.push(format!(
                "{name}: a new crate; decide what it may depend on, and write it into DIRECTIONS (xtask/tests/invariants/\
                 crates.rs) and ARCHITECTURE.md"
            ));
        }
    }
    for dependency in dependencies().iter().filter(|dependency| dependency.member) {
        let Dependency {
            package, on, kind, ..
        } = dependency;
        if !directions
            .get(package.as_str())
            .is_some_and(|allowed| allowed.contains(&on.as_str()))
        {
            violations.push(format!(
                "{package} depends on {on} ({kind}), against the direction between crates; move what both need to where \
                 both may look"
            ));
        }
    }
    none(&violations);
}

#[test]
fn the_engine_needs_nothing_but_serde() {
    let foreign = dependencies()
        .into_iter()
        .filter(|dependency| dependency.package == "crossmesh-policy" && dependency.kind != "dev")
        .filter(|dependency| !POLICY_NEEDS.contains(&dependency.on.as_str()))
        .filter(|dependency| {
            let offered = POLICY_MAY_NEED.contains(&dependency.on.as_str());
            !(offered && dependency.optional)
        })
        .map(|dependency| {
            format!(
                "policy/Cargo.toml: {}; the engine is pure, so let its caller do this",
                dependency.on
            )
        });
    none(&foreign.collect::<Vec<_>>());
}

#[test]
fn what_the_engine_offers_is_only_for_those_who_asked_for_it() {
    let mut violations = Vec::new();
    for package in packages(&metadata()) {
        if package["name"] == "crossmesh-policy" && !package["features"]["default"].is_null() {
            violations.push(
                "policy/Cargo.toml: a default feature; every proxy would carry it".to_owned(),
            );
        }
    }
    for dependency in dependencies()
        .iter()
        .filter(|dependency| dependency.on == "crossmesh-policy")
    {
        let Dependency {
            package, features, ..
        } = dependency;
        for feature in features {
            let mut offers = POLICY_OFFERS.iter();
            if !offers.any(|(offered, to)| offered == feature && to.contains(&package.as_str())) {
                violations.push(format!(
                    "{package} switches on the feature {feature} of crossmesh-policy; see POLICY_OFFERS for whom it is"
                ));
            }
        }
    }
    none(&violations);
}

#[test]
fn hickory_only_checks_what_we_answer() {
    let mut violations = Vec::new();
    for Dependency {
        package, on, kind, ..
    } in dependencies()
        .iter()
        .filter(|dependency| dependency.on.starts_with("hickory"))
    {
        if !HICKORY_USERS.contains(&(package.as_str(), kind.as_str())) {
            violations.push(format!(
                "{package} depends on {on} ({kind}); hickory serves only the tests of the agent and the end-to-end tests"
            ));
        }
    }
    none(&violations);
}

#[test]
fn every_crate_inherits_the_lint_table() {
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for package in packages(&metadata()) {
        let manifest = text(&package["manifest_path"]);
        let written = std::fs::read_to_string(&manifest).expect("a manifest");
        let table = written.split("\n[lints]\n").nth(1).unwrap_or_default();
        let inherits = table
            .lines()
            .take_while(|line| !line.starts_with('['))
            .any(|line| line.trim() == "workspace = true");
        if !inherits && !written.contains("\nlints.workspace = true\n") {
            violations.push(format!("{manifest}: add `[lints]` with `workspace = true`"));
        }
        seen.insert(manifest);
    }
    assert_eq!(seen.len(), DIRECTIONS.len(), "{seen:?}");
    none(&violations);
}
