//! Running the real binary by a line as one types it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

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

/// Words as a shell splits them, quotes included, nothing else.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
