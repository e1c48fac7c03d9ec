//! Sub-commands: either silent, with their output kept in a log that is shown when they fail, or streamed as it comes.

use std::fs::{self, File};
use std::io::{Read as _, Write, pipe};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;

/// As much of a failed command's log as is shown; the rest is in the file.
const SHOWN_LINES: usize = 300;

/// Runs `command` under a progress line, its output going to `log`. A failure shows the log.
pub(crate) fn logged(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let progress = Progress::begin(what);
    let status = quiet(command, log)?;
    if status.success() {
        progress.done();
        return Ok(());
    }
    drop(progress);
    show(log)?;
    bail!(
        "`{}` failed ({status}); its whole output is in {}",
        line(command),
        log.display()
    );
}

/// As [`logged`], but returns what the command prints on stdout; only its stderr goes to `log`.
pub(crate) fn captured(what: &str, command: &mut Command, log: &Path) -> Result<String> {
    let progress = Progress::begin(what);
    let output = command
        .stdin(Stdio::null())
        .stderr(create(log)?)
        .output()
        .with_context(|| format!("`{}` could not be started", line(command)))?;
    if output.status.success() {
        progress.done();
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    drop(progress);
    show(log)?;
    bail!(
        "`{}` failed ({}); its whole output is in {}",
        line(command),
        output.status,
        log.display()
    );
}

/// Runs `command` with its output going to `log`, whatever comes of it.
pub(crate) fn quiet(command: &mut Command, log: &Path) -> Result<ExitStatus> {
    let file = create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(
            file.try_clone()
                .context("a log's handle could not be duplicated")?,
        )
        .stderr(file)
        .status()
        .with_context(|| format!("`{}` could not be started", line(command)))
}

/// Runs `command`, passing its output on to `out` as it comes, keeping it in `log`, and giving each line to `on_line`.
pub(crate) fn streamed(
    command: &mut Command,
    log: &Path,
    out: &mut impl Write,
    mut on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let mut file = create(log)?;
    // One pipe for both, so that the order in which cargo (stderr) and its tests (stdout) speak is kept.
    let (mut reader, writer) = pipe().context("no pipe could be had")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(
            writer
                .try_clone()
                .context("a pipe's handle could not be duplicated")?,
        )
        .stderr(writer)
        .spawn()
        .with_context(|| format!("`{}` could not be started", line(command)))?;
    // `command` still holds the writing end: with it open the reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut pending = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let length = reader
            .read(&mut chunk)
            .context("reading a command's output")?;
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .context("writing a command's output")?;
        file.write_all(bytes)
            .with_context(|| format!("writing {}", log.display()))?;
        pending.extend_from_slice(bytes);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = pending.drain(..=end).collect();
            on_line(String::from_utf8_lossy(&whole).trim_end());
        }
    }
    on_line(String::from_utf8_lossy(&pending).trim_end());
    child
        .wait()
        .with_context(|| format!("`{}` could not be waited for", line(command)))
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![
        Path::new(command.get_program())
            .file_name()
            .unwrap_or(command.get_program()),
    ];
    words.extend(command.get_args());
    words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn create(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    File::create(log).with_context(|| format!("creating {}", log.display()))
}

fn show(log: &Path) -> Result<()> {
    let bytes = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
        eprintln!("    {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_arrive_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/x.log");
        let mut lines = Vec::new();
        let script = "echo one; echo two >&2; printf thr; printf ee; exit 3";
        let mut out = Vec::new();
        let keep = |line: &str| lines.push(line.to_owned());
        let status = streamed(&mut shell(script), &log, &mut out, keep).unwrap();
        assert_eq!(out, b"one\ntwo\nthree");
        assert_eq!(status.code(), Some(3));
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\nthree");
    }

    #[test]
    fn a_failed_command_names_itself_and_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let error = logged("trying", &mut shell("echo because; exit 1"), &log)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("x.log"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&log).unwrap(), "because\n");
    }
}
