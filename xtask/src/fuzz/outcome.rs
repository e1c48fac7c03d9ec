//! What libFuzzer says at its end (<https://llvm.org/docs/LibFuzzer.html#output>).

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// As many lines of what a target said are shown with a find.
const TAIL: usize = 30;

/// One run of one target.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How many inputs were tried.
    pub(super) executions: u64,
    /// Edges of the control flow that were reached.
    pub(super) edges: u64,
    /// Inputs that reach something of their own.
    pub(super) inputs: u64,
    /// The file of the input that made the target panic, if one did.
    pub(super) find: Option<PathBuf>,
    /// The end of what was said before that.
    pub(super) tail: String,
}

impl Outcome {
    pub(super) fn read(said: &str) -> Result<Self> {
        let executions = said
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .and_then(|number| number.trim().parse().ok())
            .context("libFuzzer does not say how many inputs it tried")?;
        // The last of the lines about progress: `#1234  DONE  cov: 56 ft: 78 corp: 9/10b …`.
        let progress = said
            .lines()
            .rfind(|line| line.starts_with('#') && line.contains(" cov: "));
        let after = |name: &str| {
            let rest = progress?.split_once(&format!(" {name}: "))?.1;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        let find = said.lines().find_map(|line| {
            line.split_once("Test unit written to ")
                .map(|(_, path)| path.into())
        });
        let panic = said.lines().position(|line| line.contains(" panicked at "));
        let tail: Vec<&str> = said
            .lines()
            .skip(panic.unwrap_or_default())
            .take(TAIL)
            .collect();
        Ok(Self {
            executions,
            // None is said of a target that ends at its first input.
            edges: after("cov").unwrap_or_default(),
            inputs: after("corp").unwrap_or_default(),
            find,
            tail: tail.join("\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "INFO: Loaded 1 PC tables (27 PCs)
#2	INITED cov: 4 ft: 5 corp: 1/1b exec/s: 0 rss: 61Mb
#5	NEW    cov: 6 ft: 8 corp: 2/3b lim: 4 exec/s: 0 rss: 61Mb L: 2/2 MS: 1 InsertByte-
#37864	DONE   cov: 12 ft: 34 corp: 7/20b lim: 4096 exec/s: 18932 rss: 62Mb
Done 37864 runs in 2 second(s)
stat::number_of_executed_units: 37864
stat::peak_rss_mb:              62
";

    #[test]
    fn a_run_that_finds_nothing() {
        let outcome = Outcome::read(QUIET).unwrap();
        let Outcome {
            executions,
            edges,
            inputs,
            find,
            ..
        } = outcome;
        assert_eq!((executions, edges, inputs, find), (37864, 12, 7, None));
    }

    #[test]
    fn a_run_that_finds_something() {
        let said = "#5\tNEW    cov: 6 ft: 8 corp: 2/3b lim: 4 exec/s: 0\n\
            thread '<unnamed>' panicked at src/x.rs:1:2:\nbecause\n\
            artifact_prefix='/t/'; Test unit written to /t/crash-a30d\nstat::number_of_executed_units: 9\n";
        let outcome = Outcome::read(said).unwrap();
        assert_eq!(outcome.find, Some("/t/crash-a30d".into()));
        assert!(
            outcome
                .tail
                .starts_with("thread '<unnamed>' panicked at src/x.rs"),
            "{}",
            outcome.tail
        );
        assert_eq!((outcome.executions, outcome.edges), (9, 6));
    }

    #[test]
    fn what_is_no_end_is_an_error() {
        assert!(Outcome::read("Segmentation fault").is_err());
    }
}
