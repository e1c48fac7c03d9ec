//! Everything that an API server has of one resource, page by page.

use std::time::Duration;

use kube::Client;
use tokio::time::timeout;

use super::{
    access::{describe, one_line},
    bounds::{check, weight},
    objects::{Object, Page},
    reply::{self, Failure},
    watch::{Resource, encoded, get},
};

/// Objects in a page: what is in memory at a time is bounded. Fewer, where they are so large that a page is too long.
const PAGE: usize = 500;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no list.
pub(super) struct NoList {
    pub(super) problem: String,
    /// Whether the API server itself refuses it.
    pub(super) refused: bool,
}

impl From<String> for NoList {
    fn from(problem: String) -> Self {
        Self {
            problem,
            refused: false,
        }
    }
}

/// Asks for all objects; they and the version of the list.
pub(super) async fn list<K: Object>(
    client: &Client,
    resource: &Resource,
) -> Result<(Vec<K>, String), NoList> {
    let Resource { path, selector, .. } = resource;
    let mut objects = Vec::new();
    let mut next = String::new();
    let mut size = PAGE;
    let mut bytes: usize = 0;
    loop {
        let mut uri = format!("{path}?limit={size}{selector}");
        if !next.is_empty() {
            uri = format!("{uri}&continue={}", encoded(&next));
        }
        let text = match text(client, &uri).await? {
            Ok(text) => text,
            Err(Failure::TooLong) if size > 1 => {
                size = (size / 8).max(1);
                continue;
            }
            Err(Failure::TooLong) => {
                let problem = "the reply is longer than any object can be";
                return Err(problem.to_owned().into());
            }
            Err(Failure::Refused(error)) => {
                resource.hear(&error);
                return Err(NoList {
                    problem: describe(&error),
                    refused: is_refused(&error),
                });
            }
        };
        let page: Page<K> = serde_json::from_str(&text)
            .map_err(|error| one_line(&format!("the reply is not understood: {error}")))?;
        bytes += page.items.iter().map(weight).sum::<usize>();
        objects.extend(page.items);
        // Who never comes to an end is not to have our memory.
        check(objects.len(), bytes)?;
        if page.metadata.r#continue.is_empty() {
            return Ok((objects, page.metadata.resource_version));
        }
        next = page.metadata.r#continue;
    }
}

/// Whether it is an API server that refuses, by its own kind of reply: what stands in front of one says anything.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if matches!((status.code, &*status.reason), (403, "Forbidden") | (404, "NotFound")))
}

async fn text(client: &Client, uri: &str) -> Result<Result<String, Failure>, String> {
    let request = get(uri)?;
    timeout(PATIENCE, reply::text(client, request))
        .await
        .map_err(|_| format!("no reply within {} s", PATIENCE.as_secs()))
}
