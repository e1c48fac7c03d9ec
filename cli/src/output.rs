//! Writing to standard output and error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Where results go. A reader that has gone away (`| head`) is no failure, and does not change the exit status.
pub(crate) struct Output;

impl Output {
    /// Writes a text to standard output.
    ///
    /// # Errors
    /// Any failure but a reader that has gone.
    pub(crate) fn result(&self, text: impl Display) -> io::Result<()> {
        put(&mut io::stdout().lock(), &text)
    }

    /// Writes one line to standard error.
    ///
    /// # Errors
    /// Any failure but a reader that has gone.
    pub(crate) fn note(&self, line: impl Display) -> io::Result<()> {
        put(&mut io::stderr().lock(), &format_args!("{line}\n"))
    }

    /// Writes a value as indented JSON to standard output.
    ///
    /// # Errors
    /// Any failure but a reader that has gone.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.result(format_args!("{text}\n"))
    }
}

fn put(to: &mut impl Write, text: &impl Display) -> io::Result<()> {
    match write!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
