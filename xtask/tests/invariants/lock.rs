//! Versions that Cargo.lock must not fall behind.

use crate::{none, sources};

/// Crates by prefix, the least version, and why.
const LEAST: [(&str, [u64; 3], &str); 1] = [(
    "hickory-",
    [0, 26, 3],
    "earlier ones lack security fixes (RUSTSEC-2026-0118 to 0120 and later ones)",
)];

/// Names and versions, as Cargo.lock writes them: `name = "…"` and, on the next line, `version = "…"`.
fn locked(lock: &str) -> Vec<(&str, [u64; 3])> {
    let lines: Vec<&str> = lock.lines().collect();
    lines
        .windows(2)
        .filter_map(|pair| {
            Some((
                quoted(pair[0], "name")?,
                version(quoted(pair[1], "version")?),
            ))
        })
        .collect()
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?
        .strip_prefix(" = \"")?
        .strip_suffix('"')
}

/// Major, minor and patch; what follows is of no order here.
fn version(text: &str) -> [u64; 3] {
    let release = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = release
        .split('.')
        .map(|part| part.parse().expect("a number in a version"));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[test]
fn no_locked_crate_is_older_than_is_safe() {
    let lock = std::fs::read_to_string(sources::root().join("Cargo.lock"))
        .expect("Cargo.lock is committed");
    let locked = locked(&lock);
    assert!(
        locked.iter().any(|(name, _)| *name == "xtask"),
        "Cargo.lock is written in a way this test cannot read"
    );
    let mut violations = Vec::new();
    for (prefix, least, why) in LEAST {
        for (name, version) in locked.iter().filter(|(name, _)| name.starts_with(prefix)) {
            if *version < least {
                violations.push(format!(
                    "Cargo.lock: {name} {version:?} < {least:?}: {why}; `cargo update -p {name}`"
                ));
            }
        }
    }
    none(&violations);
}
