//! The real binary, run on the cases in `tests/cases/*.case`.
//!
//! A case file is a session: files (`@ NAME` up to a line `@`), then commands with what they must answer.
//!
//! ```text
//! $ crossmesh policy check sidecar.yaml < input
//! = 2                  the exit status
//! > a line of standard output
//! ! a line of standard error
//! ```
//!
//! Lines that begin with `#` say what is claimed. Commands run in a directory that holds only the session's files.
//! `CROSSMESH_BLESS=1 cargo test -p crossmesh-cli --test cases` writes down what is answered now.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "session/crossmesh.rs"]
mod session;

use session::{Answer, crossmesh};

/// One test for each case file, and one that no file is forgotten.
macro_rules! sessions {
    ($($claim:ident: $file:literal,)*) => {
        $(#[test]
        fn $claim() {
            check($file);
        })*

        #[test]
        fn every_case_file_is_run() {
            let run: BTreeSet<PathBuf> = [$(cases().join($file)),*].into();
            let there: BTreeSet<PathBuf> = fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(run, there);
        }
    };
}

sessions! {
    good_policies_are_summed_up_in_one_line: "check-good.case",
    a_problem_names_file_line_rule_field_value_and_mend: "check-problems.case",
    what_kubectl_would_change_is_refused: "check-yaml11.case",
    broken_yaml_is_refused_with_its_line: "check-syntax.case",
    all_kinds_of_resources_are_found: "check-resources.case",
    check_answers_as_data: "check-json.case",
    an_explanation_says_verdict_and_reasons: "explain-text.case",
    absent_values_are_told_by_their_flag: "explain-absent.case",
    an_explanation_is_data: "explain-json.case",
    dry_run_is_said_loudly: "explain-dry-run.case",
    a_candidate_is_shown_beside_the_verdict: "explain-candidate.case",
    behind_a_forwarder_source_and_peer_are_told_apart: "explain-forwarded.case",
    a_wrong_request_or_policy_is_refused: "explain-wrong.case",
    flags_of_the_table_are_checked: "table-wrong.case",
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[track_caller]
fn check(file: &str) {
    let path = cases().join(file);
    let want = fs::read_to_string(&path).unwrap();
    let got = replay(&want);
    if std::env::var_os("CROSSMESH_BLESS").is_some() {
        fs::write(&path, got).unwrap();
        return;
    }
    if want != got {
        let lines = want
            .lines()
            .zip(got.lines())
            .position(|(want, got)| want != got);
        let line = lines.unwrap_or_else(|| want.lines().count().min(got.lines().count())) + 1;
        panic!("{file}:{line}: answered otherwise; the whole session is now\n\n{got}");
    }
}

/// The session with the answers that are given now.
fn replay(session: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
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
            fs::write(dir.path().join(name), content).unwrap();
        } else if let Some(command) = line.strip_prefix("$ crossmesh ") {
            told += &answer(command, dir.path());
        }
    }
    told
}

fn answer(command: &str, dir: &Path) -> String {
    let Answer {
        status,
        stdout,
        stderr,
    } = crossmesh(command, dir);
    let mut told = String::new();
    writeln!(told, "= {status}").unwrap();
    for (mark, text) in [('>', stdout), ('!', stderr)] {
        for line in text.lines() {
            writeln!(told, "{}", format!("{mark} {line}").trim_end()).unwrap();
        }
    }
    told
}
