//! A session as a file: files (`@ NAME` up to a line `@`), and commands with what they must answer.
//!
//! ```text
//! $ crossmesh policy check sidecar.yaml < input
//! = 2                  the exit status
//! > a line of standard output
//! ! a line of standard error
//! ```
//!
//! Lines that begin with `#` say what is claimed. With `CROSSMESH_BLESS` the file is written as it is answered now.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::command::Answer;

/// Replays a session in `dir`, where `run` runs its commands, and holds that they answer what stands there.
#[track_caller]
pub(crate) fn check(session: &Path, dir: &Path, run: &mut dyn FnMut(&str) -> Answer) {
    let want = fs::read_to_string(session).unwrap();
    let got = replay(&want, dir, run);
    if std::env::var_os("CROSSMESH_BLESS").is_some() {
        fs::write(session, got).unwrap();
        return;
    }
    if want != got {
        let lines = want
            .lines()
            .zip(got.lines())
            .position(|(want, got)| want != got);
        let line = lines.unwrap_or_else(|| want.lines().count().min(got.lines().count())) + 1;
        let session = session.display();
        panic!("{session}:{line}: answered otherwise; the whole session is now\n\n{got}");
    }
}

/// The session with the answers that are given now.
fn replay(session: &str, dir: &Path, run: &mut dyn FnMut(&str) -> Answer) -> String {
    let mut told = String::new();
    let mut lines = session.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(['=', '>', '!']) {
            continue;
        }
        told += line;
        told.push('\n');
        if let Some(name) = line.strip_prefix("@ ") {
            let mut content = String::new();
            for line in lines.by_ref() {
                told += line;
                told.push('\n');
                if line == "@" {
                    break;
                }
                content += line;
                content.push('\n');
            }
            fs::write(dir.join(name), content).unwrap();
        } else if let Some(command) = line.strip_prefix("$ ") {
            told += &written(run(command));
        }
    }
    told
}

fn written(answer: Answer) -> String {
    let Answer {
        status,
        stdout,
        stderr,
    } = answer;
    let mut told = String::new();
    writeln!(told, "= {status}").unwrap();
    for (mark, text) in [('>', stdout), ('!', stderr)] {
        for line in text.lines() {
            writeln!(told, "{}", format!("{mark} {line}").trim_end()).unwrap();
        }
    }
    told
}
