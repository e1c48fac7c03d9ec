//! Continuous integration runs what people run.

use std::os::unix::fs::PermissionsExt as _;

use crate::sources;

#[test]
fn continuous_integration_runs_the_test_command_and_nothing_else() {
    let path = sources::root().join(".ci/run");
    let script = std::fs::read_to_string(&path).expect(".ci/run is in the checkout");
    let commands: Vec<&str> = script
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|line| !line.starts_with("set ") && !line.starts_with("cd "))
        .collect();
    assert_eq!(
        commands,
        ["exec cargo xtask test"],
        ".ci/run: move what it does besides into a stage of `cargo xtask test`"
    );
    let mode = path.metadata().expect("its mode").permissions().mode();
    assert!(
        mode & 0o111 != 0,
        ".ci/run: make it executable, `chmod +x .ci/run`"
    );
}
