//! A sidecar's access log: one JSON object a line, with what the filter decided.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

/// Envoy writes the line after the response has gone out; this long without it means that none comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// An access log's file.
#[derive(Clone, Debug)]
pub struct AccessLog {
    path: PathBuf,
}

/// One line. What Envoy has no value for is absent.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// The response's status code; 0 if there was none.
    pub status: u16,
    /// Envoy's or the filter's reason for it.
    pub details: Option<String>,
    /// The filter's filter state.
    pub source_mesh: Option<String>,
    /// Likewise.
    pub destination_mesh: Option<String>,
    /// Likewise: verdict, and the rule or the default that decided.
    pub decision: Option<String>,
    /// Likewise: `false` where a refusal was not carried out.
    pub enforced: Option<String>,
    /// The peer's URI SANs.
    pub peer: Option<String>,
    /// The request's `x-request-id`: which request this is.
    pub request_id: Option<String>,
}

impl AccessLog {
    /// A log in this file.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Envoy's access logger that writes this file. The filter state's keys are the filter's public contract.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": self.path,
                "log_format": {"omit_empty_values": true, "json_format": {
                    "source_mesh": "%FILTER_STATE(wasm.crossmesh_source_mesh:PLAIN)%",
                    "destination_mesh": "%FILTER_STATE(wasm.crossmesh_destination_mesh:PLAIN)%",
                    "decision": "%FILTER_STATE(wasm.crossmesh_decision:PLAIN)%",
                    "enforced": "%FILTER_STATE(wasm.crossmesh_enforced:PLAIN)%",
                    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "method": "%REQ(:METHOD)%",
                    "host": "%REQ(:AUTHORITY)%",
                    "path": "%REQ(:PATH)%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                }},
            },
        })
    }

    /// All that has been written so far.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse =
            |line| serde_json::from_str(line).with_context(|| format!("access log line {line}"));
        whole.lines().map(parse).collect()
    }

    /// The line of the request with this `x-request-id`, once it has been written.
    pub async fn entry(&self, request_id: &str) -> Result<Entry> {
        let is_it = |entry: &Entry| entry.request_id.as_deref() == Some(request_id);
        self.once(&format!("a line of request {request_id}"), |entries| {
            entries.into_iter().find(is_it)
        })
        .await
    }

    /// The last line, once there are more than `lines`.
    pub async fn longer_than(&self, lines: usize) -> Result<Entry> {
        self.once(&format!("more than {lines} lines"), |entries| {
            if entries.len() > lines {
                entries.into_iter().next_back()
            } else {
                None
            }
        })
        .await
    }

    async fn once<T>(&self, what: &str, find: impl Fn(Vec<Entry>) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(self.entries()?) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("{} does not get {what}", self.path.display());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}
