//! Running the real binary by a line as one types it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{Answer, words};

/// Runs `crossmesh` with what stands behind it in `command`: words, and `< FILE` at the end.
pub(crate) fn crossmesh(command: &str, dir: &Path) -> Answer {
    let (command, stdin) = match command.split_once(" < ") {
        Some((command, file)) => (command, File::open(dir.join(file)).unwrap().into()),
        None => (command, Stdio::null()),
    };
    let output = Command::new(env!("CARGO_BIN_EXE_crossmesh"))
        .args(words(command))
        .current_dir(dir)
        .stdin(stdin)
        .output()
        .unwrap();
    Answer {
        status: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
