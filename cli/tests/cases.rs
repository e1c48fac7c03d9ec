//! The real binary, run on the cases in `tests/cases/*.case`.
//!
//! Commands run in a directory that holds only the session's files.
//! `CROSSMESH_BLESS=1 cargo test -p crossmesh-cli --test cases` writes down what is answered now.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "session/command.rs"]
mod command;
#[path = "session/replay.rs"]
mod replay;
#[path = "session/crossmesh.rs"]
mod session;

use session::crossmesh;

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
    what_is_wrong_around_a_policy_is_refused: "check-around.case",
    what_is_seldom_meant_is_warned_of: "check-warnings.case",
    check_answers_as_data: "check-json.case",
    an_explanation_says_verdict_and_reasons: "explain-text.case",
    absent_values_are_told_by_their_flag: "explain-absent.case",
    an_explanation_is_data: "explain-json.case",
    dry_run_is_said_loudly: "explain-dry-run.case",
    a_candidate_is_shown_beside_the_verdict: "explain-candidate.case",
    behind_a_forwarder_source_and_peer_are_told_apart: "explain-forwarded.case",
    tls_without_a_server_name_is_let_in_as_both: "explain-both.case",
    what_the_tcp_filter_leaves_has_no_verdict: "explain-left.case",
    all_that_does_not_hold_is_told: "explain-misses.case",
    values_are_shown_as_they_are: "explain-values.case",
    a_wrong_request_or_policy_is_refused: "explain-wrong.case",
    cases_that_hold_are_counted: "test-good.case",
    a_case_that_fails_says_what_was_asked_wanted_and_got: "test-fails.case",
    wrong_cases_are_told_by_line_and_field: "test-wrong.case",
    what_came_of_cases_is_data: "test-json.case",
    a_case_holds_only_where_what_it_says_is_decided: "test-strict.case",
    flags_of_the_table_are_checked: "table-wrong.case",
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[track_caller]
fn check(file: &str) {
    let dir = tempfile::tempdir().unwrap();
    replay::check(&cases().join(file), dir.path(), &mut |command| {
        let command = command.strip_prefix("crossmesh ");
        crossmesh(command.expect("a command of crossmesh"), dir.path())
    });
}
