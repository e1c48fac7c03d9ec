//! How files and folders look.

use std::path::Path;

use crate::{none, sources};

/// Beyond this a file has a second idea in it.
const MOST_LINES: usize = 500;

/// Names that say nothing, so that everything fits.
const GRAB_BAGS: [&str; 4] = ["common", "util", "utils", "helpers"];

/// Homes of users, by which a path works for one person only. In parts, so that this file may be searched too.
const HOMES: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Tests of the file or folder beside which they are, which says what they are for: `foo/tests.rs`, `foo/tests/…`. The
/// package `tests/` is none, but for the tests of its own.
fn is_test(source: &sources::Source) -> bool {
    let (_, inside) = source.path.split_once('/').unwrap_or_default();
    inside.starts_with("tests/") || inside.contains("/tests/") || inside.ends_with("/tests.rs")
}

#[test]
fn modules_are_named_files_and_folders_name_an_idea() {
    let mut violations = Vec::new();
    for source in sources::rust() {
        if Path::new(&source.path)
            .file_name()
            .is_some_and(|name| name == "mod.rs")
        {
            violations.push(format!(
                "{}: rename it to the module's name, beside its folder: foo.rs and foo/",
                source.path
            ));
        }
    }
    for folder in sources::folders() {
        let name = folder.rsplit('/').next().unwrap_or_default();
        if GRAB_BAGS.contains(&name) {
            violations.push(format!("{folder}/: name the idea that its files share; without one, move them to their users"));
        }
    }
    none(&violations);
}

#[test]
fn files_are_small() {
    let exempt = |source: &sources::Source| {
        source.is_below("gen") || source.is_below("tests") || source.path.ends_with("/tests.rs")
    };
    let large = sources::rust()
        .into_iter()
        .filter(|source| !exempt(source))
        .filter_map(|source| {
            // Tests at the end of the file are not counted: they belong to it, and are read apart.
            let lines = source
                .text
                .split("\n#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default()
                .lines()
                .count();
            let message = format!(
                "{}: {lines} lines, more than {MOST_LINES}; give its second idea a file",
                source.path
            );
            (lines > MOST_LINES).then_some(message)
        });
    none(&large.collect::<Vec<_>>());
}

#[test]
fn every_module_begins_with_what_it_is_for() {
    let silent = sources::rust()
        .into_iter()
        .filter(|source| source.is_below("src") && !source.is_below("gen") && !is_test(source))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| {
            format!(
                "{}:1: begin with a `//!` sentence that says what the module is for",
                source.path
            )
        });
    none(&silent.collect::<Vec<_>>());
}

#[test]
fn no_file_names_somebodys_home() {
    let mut violations = Vec::new();
    for source in sources::all() {
        for (place, line) in source.places() {
            if let Some(home) = HOMES.iter().find(|home| line.contains(**home)) {
                violations.push(format!("{place}: a path below {home}; make it relative, or take it from the environment"));
            }
        }
    }
    none(&violations);
}
