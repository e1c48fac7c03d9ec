//! How a step looks on a terminal, and how it is checked.

use std::io::{IsTerminal, Write, stdout};

use anyhow::{Context, Result, bail};

use crate::command::Command;

/// The place that the story is told on.
#[derive(Debug)]
pub(super) struct Stage {
    colour: bool,
    told: usize,
}

/// One step of the story.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// What the reader sees, in one sentence.
    pub(super) caption: &'a str,
    /// What is run.
    pub(super) command: Command,
    /// Which lines of its output are shown; a gap is shown as `…`.
    pub(super) shown: fn(&str) -> bool,
    /// What the output must contain for the caption to be true.
    pub(super) says: &'a [&'a str],
}

impl Stage {
    /// Colour only for a terminal, and never when `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn new() -> Self {
        let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: stdout().is_terminal() && !asked_not,
            told: 0,
        }
    }

    /// How many steps there were.
    pub(super) fn told(&self) -> usize {
        self.told
    }

    /// A line of text.
    pub(super) fn line(&self, text: &str) -> Result<()> {
        writeln!(stdout(), "{text}").context("writing to standard output")
    }

    /// A remark on the step that was just shown.
    pub(super) fn remark(&self, text: &str) -> Result<()> {
        self.line(&format!("   {}", self.dim(&format!("— {text}"))))
    }

    /// Shows a caption, runs its command, shows the output, and fails if that does not say what the caption claims.
    pub(super) async fn step(&mut self, step: Step<'_>) -> Result<()> {
        let Step {
            caption,
            command,
            shown,
            says,
        } = step;
        self.told += 1;
        self.line(&format!(
            "\n{}",
            self.bold(&format!("{}. {caption}", self.told))
        ))?;
        self.line(&format!("   {} {command}", self.dim("$")))?;
        let said = command.run().await?;
        for line in trimmed(&said.stdout, shown) {
            self.line(format!("   {line}").trim_end())?;
        }
        if said.code != Some(0) {
            bail!(
                "step {}: `{command}` failed ({:?}): {}",
                self.told,
                said.code,
                said.stderr
            );
        }
        if let Some(missing) = says.iter().find(|want| !said.stdout.contains(**want)) {
            bail!(
                "step {}: {missing:?} is not in what `{command}` printed:\n{}",
                self.told,
                said.stdout
            );
        }
        Ok(())
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn trimmed(output: &str, shown: fn(&str) -> bool) -> Vec<&str> {
    let mut lines: Vec<&str> = output
        .lines()
        .map(|line| if shown(line) { line } else { "…" })
        .collect();
    lines.dedup_by(|next, before| *next == "…" && *before == "…");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_shows_as_a_gap() {
        assert_eq!(
            trimmed("a\nxb\nxc\nd\nxe", |line| !line.starts_with('x')),
            ["a", "…", "d", "…"]
        );
    }
}
