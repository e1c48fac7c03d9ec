//! One line of the log about one request or connection. What the client chose is quoted, escaped and cut: it cannot forge a line.

use std::fmt;

use crossmesh_policy::{Decision, HttpRequest};

use crate::identities::Identity;
use crate::telemetry;

/// How much is shown of each value that the client chose, in bytes.
const SHOWN: usize = 256;

/// A decision in words.
pub(crate) struct Line<'a> {
    /// What was done.
    pub(crate) what: &'a str,
    /// Who asked.
    pub(crate) identity: &'a Identity,
    /// This proxy's mesh.
    pub(crate) destination_mesh: &'a str,
    /// What was decided.
    pub(crate) decision: &'a Decision<'a>,
    /// What was asked; none of a TCP connection.
    pub(crate) request: Option<&'a HttpRequest<'a>>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.identity.source;
        write!(
            f,
            "{}: verdict={} decided_by={} source_class={} source_mesh={} destination_mesh={} principal={}",
            self.what,
            self.decision.verdict.as_str(),
            self.decision.decided_by,
            source.class().as_str(),
            telemetry::source_mesh(source),
            self.destination_mesh,
            source.principal().unwrap_or("-"),
        )?;
        if let Some(note) = self.identity.note() {
            write!(f, " identity={}", Shown(Some(note.as_bytes())))?;
        }
        if let Some(request) = self.request {
            write!(
                f,
                " method={} host={} path={}",
                Shown(request.method),
                Shown(request.host),
                Shown(request.path),
            )?;
        }
        Ok(())
    }
}

/// Bytes made safe.
struct Shown<'a>(Option<&'a [u8]>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else {
            return f.write_str("-");
        };
        match bytes.split_at_checked(SHOWN) {
            Some((start, rest)) if !rest.is_empty() => {
                write!(f, "\"{}\"(+{} bytes)", start.escape_ascii(), rest.len())
            }
            _ => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}
