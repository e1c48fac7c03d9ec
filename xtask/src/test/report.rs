//! What `cargo xtask test` says at its end.

use std::time::Duration;

use anyhow::Result;

use super::stage::Stage;
use super::tally::{Count, Tally};
use crate::table;

/// A stage that ended, or was not begun.
pub(crate) struct Ended {
    pub(crate) stage: Stage,
    pub(crate) how: How,
    took: Duration,
    tally: Tally,
}

/// How a stage ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Well.
    Passed,
    /// For this reason it did not.
    Failed(String),
}

impl Ended {
    pub(crate) fn new(stage: Stage, took: Duration, tally: Tally, result: Result<()>) -> Self {
        let how = match result {
            Ok(()) => How::Passed,
            // The first line: a table has room for no more, and all of it was said when it happened.
            Err(error) => How::Failed(
                format!("{error:#}")
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ),
        };
        Self {
            stage,
            how,
            took,
            tally,
        }
    }

    pub(crate) fn not_run(stage: Stage, why: String) -> Self {
        Self {
            stage,
            how: How::Failed(why),
            took: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// A stage that failed for another reason than a failing test counts as one failure, so that `0 failed` means it.
    fn failures(&self) -> u64 {
        match self.how {
            How::Passed => 0,
            How::Failed(_) => self.tally.sum().failed.max(1),
        }
    }
}

/// The table, the reasons of what failed, and the last line.
pub(crate) fn text(ended: &[Ended]) -> String {
    let mut rows =
        vec![["STAGE", "MINUTES", "PASSED", "FAILED", "IGNORED", "RESULT"].map(str::to_owned)];
    for stage in ended {
        let result = if stage.how == How::Passed {
            "ok"
        } else {
            "FAILED"
        };
        let minutes = format!("{:.1}", stage.took.as_secs_f64() / 60.0);
        let sum = Some(stage.tally.sum()).filter(|sum| *sum != Count::default());
        rows.push(row(stage.stage.to_string(), minutes, sum, result));
        for (package, count) in stage.tally.packages() {
            rows.push(row(format!("  {package}"), String::new(), Some(count), ""));
        }
    }
    let mut text = table::aligned(&rows);
    text.push('\n');
    for stage in ended {
        if let How::Failed(why) = &stage.how {
            text.push_str(&format!("{}: {why}\n", stage.stage));
        }
    }
    let passed: u64 = ended.iter().map(|stage| stage.tally.sum().passed).sum();
    let failed: u64 = ended.iter().map(Ended::failures).sum();
    text.push_str(&format!("{passed} passed, {failed} failed\n"));
    text
}

fn row(name: String, minutes: String, count: Option<Count>, result: &str) -> [String; 6] {
    let number =
        |of: fn(Count) -> u64| count.map(|count| of(count).to_string()).unwrap_or_default();
    [
        name,
        minutes,
        number(|c| c.passed),
        number(|c| c.failed),
        number(|c| c.ignored),
        result.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn ended(stage: Stage, printed: &str, result: Result<()>) -> Ended {
        let mut tally = Tally::default();
        printed.lines().for_each(|line| tally.read(line));
        Ended::new(stage, Duration::from_secs(90), tally, result)
    }

    const GOOD: &str = "   Doc-tests a_b\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
    const BAD: &str =
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";

    #[track_caller]
    fn check(stages: &[Ended], last: &str) {
        let text = text(stages);
        assert_eq!(text.lines().last(), Some(last), "{text}");
        assert!(text.ends_with(&format!("\n{last}\n")), "{text}");
    }

    #[test]
    fn the_last_line_counts_tests_and_stages_that_failed_without_one() {
        check(
            &[
                ended(Stage::Format, "", Ok(())),
                ended(Stage::Unit, GOOD, Ok(())),
            ],
            "3 passed, 0 failed",
        );
        check(
            &[
                ended(Stage::Unit, GOOD, Ok(())),
                ended(Stage::E2e, BAD, Err(anyhow!("two"))),
            ],
            "4 passed, 2 failed",
        );
        check(
            &[
                ended(Stage::Format, "", Err(anyhow!("x"))),
                ended(Stage::Unit, GOOD, Ok(())),
            ],
            "3 passed, 1 failed",
        );
        check(
            &[Ended::not_run(
                Stage::E2e,
                "not run, because wasm failed".to_owned(),
            )],
            "0 passed, 1 failed",
        );
        check(
            &[ended(Stage::Unit, GOOD, Err(anyhow!("1 ignored")))],
            "3 passed, 1 failed",
        );
    }

    #[test]
    fn the_table_names_stage_minutes_packages_and_the_reason() {
        let text = text(&[ended(Stage::Unit, GOOD, Err(anyhow!("because\nof much")))]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "STAGE  MINUTES  PASSED  FAILED  IGNORED  RESULT",
                "unit   1.5      3       0       0        FAILED",
                "  a-b           3       0       0",
                "",
                "unit: because",
                "3 passed, 1 failed",
            ]
        );
    }
}
