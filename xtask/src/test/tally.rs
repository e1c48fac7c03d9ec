//! Counts tests from what `cargo test` prints, by package.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde_json::Value;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// The counts of one run of `cargo test`.
#[derive(Default)]
pub(crate) struct Tally {
    /// File name of a test program → its package. File names end in a hash, so they are unique.
    programs: BTreeMap<String, String>,
    /// The package whose tests are running.
    running: Option<String>,
    counts: BTreeMap<String, Count>,
}

impl Tally {
    /// Learns from cargo's messages (`--message-format json`, one a line) which package each test program belongs to.
    pub(crate) fn learn(&mut self, messages: &str) {
        for message in messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        {
            if let (Some(program), Some(id)) = (
                message["executable"].as_str(),
                message["package_id"].as_str(),
            ) {
                self.programs
                    .insert(file_name(program).to_owned(), package_name(id).to_owned());
            }
        }
    }

    /// Reads one line of what cargo and the tests print.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(program) = line
            .strip_prefix("     Running ")
            .and_then(|rest| rest.strip_suffix(')'))
        {
            // `Running unittests src/lib.rs (target/debug/deps/crossmesh_policy-0123)`
            let program = file_name(program);
            self.running = Some(
                self.programs
                    .get(program)
                    .map_or(program, String::as_str)
                    .to_owned(),
            );
        } else if let Some(library) = line.strip_prefix("   Doc-tests ") {
            self.running = Some(library.replace('_', "-"));
        } else if let Some(count) = line.strip_prefix("test result: ").and_then(count) {
            let package = self.running.clone().unwrap_or_else(|| "other".to_owned());
            *self.counts.entry(package).or_default() += count;
        }
    }

    /// The counts of each package that has tests, by name.
    pub(crate) fn packages(&self) -> impl Iterator<Item = (&str, Count)> {
        self.counts
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .filter(|(_, count)| *count != Count::default())
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> Count {
        let mut sum = Count::default();
        for count in self.counts.values() {
            sum += *count;
        }
        sum
    }
}

/// From `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s`.
fn count(result: &str) -> Option<Count> {
    let (_, numbers) = result.split_once(". ")?;
    let number = |what| {
        let found = numbers.split("; ").find_map(|part| part.strip_suffix(what));
        found.and_then(|number| number.trim().parse().ok())
    };
    Some(Count {
        passed: number("passed")?,
        failed: number("failed")?,
        ignored: number("ignored")?,
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// From `path+file:///checkout/policy#crossmesh-policy@0.1.0`, or `…/xtask#0.1.0` where folder and package are of one name.
fn package_name(id: &str) -> &str {
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => file_name(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"
{"reason":"compiler-artifact","package_id":"path+file:///c/policy#crossmesh-policy@0.1.0","executable":"/t/debug/deps/cases-01"}
{"reason":"compiler-artifact","package_id":"path+file:///c/xtask#0.1.0","executable":"/t/debug/deps/xtask-02"}
{"reason":"compiler-artifact","package_id":"path+file:///c/policy#crossmesh-policy@0.1.0","executable":null}
{"reason":"build-finished","success":true}"#;

    const OUTPUT: &str = "
     Running tests/cases.rs (target/debug/deps/cases-01)

running 2 tests
test a ... ok
test b ... FAILED

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running unittests src/main.rs (/t/debug/deps/xtask-02)
test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests crossmesh_policy
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
   Doc-tests crossmesh_proto
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn tests_are_counted_for_the_package_they_belong_to() {
        let mut tally = Tally::default();
        tally.learn(MESSAGES);
        OUTPUT.lines().for_each(|line| tally.read(line));
        let packages: Vec<_> = tally.packages().collect();
        assert_eq!(
            packages,
            [
                (
                    "crossmesh-policy",
                    Count {
                        passed: 3,
                        failed: 1,
                        ignored: 0
                    }
                ),
                (
                    "xtask",
                    Count {
                        passed: 5,
                        failed: 0,
                        ignored: 1
                    }
                ),
            ]
        );
        assert_eq!(
            tally.sum(),
            Count {
                passed: 8,
                failed: 1,
                ignored: 1
            }
        );
    }

    #[test]
    fn what_only_looks_like_a_result_is_not_counted() {
        let mut tally = Tally::default();
        tally.read("test result: unknown");
        tally.read("the test result: ok. 9 passed; 0 failed; 0 ignored");
        assert_eq!(tally.sum(), Count::default());
    }
}
