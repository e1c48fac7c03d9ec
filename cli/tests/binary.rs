//! What the cases cannot say: readers that have gone, and the help.
#![cfg(test)]

use std::process::{Command, Output};

fn crossmesh(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmesh"));
    command.args(args);
    command
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

const SIDECAR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasm-plugins/sidecar.yaml");

#[test]
fn a_reader_that_has_gone_is_no_failure_and_hides_none() {
    let gone = |args: &[&str]| -> Output {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        crossmesh(args).stdout(writer).output().unwrap()
    };
    let explain = ["policy", "explain", SIDECAR, "--node-mesh", "west"];
    for args in [
        &["policy", "check", SIDECAR][..],
        &explain,
        &["--help"],
        &["--version"],
    ] {
        let output = gone(args);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new()),
            "{args:?}"
        );
    }
    let output = gone(&["policy", "check", "nothing.yaml", SIDECAR]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn every_flag_of_the_contract_is_in_the_help() {
    for (args, flags) in [
        (&["policy", "check", "--help"][..], "FILE --format"),
        (
            &["policy", "explain", "--help"],
            "FILE --plugin --format --principal --passthrough --source-ip --host --port --method --path --header --sni \
             --tcp --node-mesh --node-namespace --node-workload --node-label",
        ),
        (&["policy", "schema", "--help"], "--resource"),
        (
            &["dns", "table", "--help"],
            "--agent --timeout --format --json CROSSMESH_AGENT",
        ),
        (
            &["dns", "explain", "--help"],
            "NAME --type --namespace --agent --timeout --format --json",
        ),
        (
            &["dns", "doctor", "--help"],
            "--resolv-conf --agent --timeout --format --json",
        ),
        (&["--help"], "policy dns --version Examples: status:"),
        (&["policy", "--help"], "check explain schema Examples:"),
        (&["dns", "--help"], "table explain doctor Examples:"),
    ] {
        let output = crossmesh(args).output().unwrap();
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        for flag in flags.split_whitespace() {
            assert!(
                help.contains(flag),
                "{args:?} does not mention {flag}:\n{help}"
            );
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = crossmesh(&["--version"]).output().unwrap();
    assert_eq!(
        text(&output.stdout),
        format!("crossmesh {}\n", env!("CARGO_PKG_VERSION"))
    );
}
