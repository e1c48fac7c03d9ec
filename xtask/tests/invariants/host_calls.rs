//! The border to the host, and code that the compiler cannot check: in one place.

use crate::{none, sources};

/// Files that may do either, beside the filter's host calls, each with its reason.
const EXCEPTIONS: [(&str, &str); 2] = [
    (
        "filter/src/mock_host.rs",
        "stands in for Envoy in native tests: it calls back as Envoy does",
    ),
    (
        "filter/src/mock_host/functions.rs",
        "defines what host.rs calls",
    ),
];

// In parts, so that this file may be searched too.
const FOREIGN: [&str; 3] = [
    concat!("extern ", "\"C\""),
    concat!("extern ", "\"system\""),
    concat!("hostcalls", "::"),
];
const UNSAFETY: [&str; 7] = [
    concat!("un", "safe {"),
    concat!("un", "safe fn"),
    concat!("un", "safe impl"),
    concat!("un", "safe trait"),
    concat!("un", "safe extern"),
    concat!("un", "safe("),
    concat!("un", "safe_code"),
];

/// `filter/src/host.rs`, `filter/src/host/…`, `filter/src/host_….rs`, and the exceptions.
fn is_excepted(path: &str) -> bool {
    path.starts_with("filter/src/host")
        || EXCEPTIONS.iter().any(|(exception, _)| *exception == path)
}

#[test]
fn only_the_filters_host_module_calls_the_host() {
    let mut violations = Vec::new();
    for source in sources::rust()
        .iter()
        .filter(|source| !is_excepted(&source.path))
    {
        for (place, line) in source.code() {
            if let Some(found) = FOREIGN.iter().find(|foreign| line.contains(**foreign)) {
                violations.push(format!(
                    "{place}: `{found}`; calls of the host belong into filter/src/host.rs, which answers every status with a \
                     value: elsewhere one unexpected status ends the proxy's VM"
                ));
            }
        }
    }
    none(&violations);
}

#[test]
fn what_the_compiler_cannot_check_is_in_the_filters_host_module() {
    let mut violations = Vec::new();
    for source in sources::rust()
        .iter()
        .filter(|source| !is_excepted(&source.path))
    {
        for (place, line) in source.code() {
            if UNSAFETY.iter().any(|unsafety| line.contains(unsafety)) {
                violations.push(format!(
                    "{place}: find a safe way, or enter the file with its reason into EXCEPTIONS (xtask/tests/invariants/\
                     host_calls.rs)"
                ));
            }
        }
    }
    none(&violations);
}

#[test]
fn every_exception_is_still_needed() {
    let sources = sources::rust();
    let needed = |path: &str| {
        let mut code = sources
            .iter()
            .filter(|source| source.path == path)
            .flat_map(sources::Source::code);
        code.any(|(_, line)| UNSAFETY.iter().any(|unsafety| line.contains(unsafety)))
    };
    let stale = EXCEPTIONS
        .iter()
        .filter(|(path, _)| !needed(path))
        .map(|(path, _)| format!("{path}: is safe now, or gone; remove it from EXCEPTIONS"));
    none(&stale.collect::<Vec<_>>());
}
