//! The resources that are shipped, `wasm-plugins/`: they pass the check that we tell everybody to run, and the two
//! kinds of them say the same and decide what the cases beside them say, with a case for every rule.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Where a warning is meant: it allows everything on purpose.
const OPEN: &str = "telemetry-only.yaml";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm-plugins")
}

/// What is there beside the policies: an EnvoyFilter without one. The end-to-end tests run it.
const WITHOUT_POLICY: &str = "server-first.yaml";

/// The names of the resources with a policy in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".yaml") && !name.ends_with(".cases.yaml"))
        .filter(|name| name != WITHOUT_POLICY)
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_resource_is_good() {
    for folder in [folder(), folder().join("traffic-extension")] {
        for name in names(&folder) {
            let output = Command::new(env!("CARGO_BIN_EXE_crossmesh"))
                .args(["policy", "check"])
                .arg(folder.join(&name))
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{name}: {said}");
            let unmeant = said
                .lines()
                .find(|line| name != OPEN || !line.contains(": warning: "));
            assert_eq!(unmeant, None, "{name}");
        }
    }
}

fn test_policies(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crossmesh"))
        .current_dir(folder())
        .args(["policy", "test", "--every-rule"])
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Of both kinds, and with a case for every rule.
#[test]
fn every_case_holds() {
    let (status, said) = test_policies(&["."]);
    assert_eq!(status, Some(0), "{said}");
    for name in names(&folder()) {
        let extension = format!("traffic-extension/{name}");
        let cases = name.replace(".yaml", ".cases.yaml");
        assert!(said.contains(&format!("./{cases}: ok, ")), "{said}");
        let (status, said) = test_policies(&["--policy", &extension, &cases]);
        assert_eq!(status, Some(0), "{said}");
    }
}

#[test]
fn every_resource_has_its_cases_and_its_traffic_extension() {
    let plugins = names(&folder());
    assert_eq!(
        plugins,
        [
            "client.yaml",
            "dry-run.yaml",
            "gateway.yaml",
            "sidecar.yaml",
            "tcp.yaml",
            OPEN
        ]
    );
    assert_eq!(names(&folder().join("traffic-extension")), plugins);
    for name in plugins {
        let cases = folder().join(name.replace(".yaml", ".cases.yaml"));
        assert!(cases.is_file(), "{}", cases.display());
    }
}

/// What WasmPlugin has in `spec` and TrafficExtension in `spec.wasm` (istio.io/api 1.31,
/// `extensions/v1alpha1/traffic_extension.proto`); the rest of `spec` is the same in both.
const OF_WASM: [&str; 5] = ["url", "pluginName", "failStrategy", "type", "pluginConfig"];

#[test]
fn both_kinds_say_the_same() {
    for name in names(&folder()) {
        let mut expected = read(&folder().join(&name));
        let extension = read(&folder().join("traffic-extension").join(&name));
        assert_eq!(expected["kind"], "WasmPlugin", "{name}");
        expected["kind"] = json!("TrafficExtension");
        let spec = expected["spec"].as_object_mut().unwrap();
        let wasm = OF_WASM.iter().filter_map(|key| spec.remove_entry(*key));
        let wasm: Value = wasm.collect();
        assert!(wasm["pluginConfig"].is_object(), "{name}");
        expected["spec"]["wasm"] = wasm;
        assert_eq!(extension, expected, "{name}");
    }
}
