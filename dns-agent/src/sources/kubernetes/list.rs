//! Everything that an API server has of one resource, page by page.

use std::time::Duration;

use kube::Client;
use tokio::time::timeout;

use super::{
    access::{describe, one_line},
    objects::{Groups, Object, Page},
    reply::{self, Failure},
    watch::{Resource, encoded, get},
};

/// Objects in a page: what is in memory at a time is bounded. Fewer, where they are so large that a page is too long.
const PAGE: usize = 500;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a list comes to.
pub(super) enum List<K> {
    /// All objects, and the version of the list.
    Known(Vec<K>, String),
    /// Nobody has defined the resource.
    Undefined,
}

/// Asks for all objects.
pub(super) async fn list<K: Object>(
    client: &Client,
    resource: &Resource,
) -> Result<List<K>, String> {
    let Resource { path, selector, .. } = resource;
    let mut objects = Vec::new();
    let mut next = String::new();
    let mut size = PAGE;
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
                return Err("the reply is longer than any object can be".to_owned());
            }
            Err(Failure::Refused(kube::Error::Api(status)))
                if status.code == 404 && resource.optional && is_undefined(client).await =>
            {
                return Ok(List::Undefined);
            }
            Err(Failure::Refused(error)) => return Err(describe(&error)),
        };
        let page: Page<K> = serde_json::from_str(&text)
            .map_err(|error| one_line(&format!("the reply is not understood: {error}")))?;
        objects.extend(page.items);
        if page.metadata.r#continue.is_empty() {
            return Ok(List::Known(objects, page.metadata.resource_version));
        }
        next = page.metadata.r#continue;
    }
}

/// Whether it is an API server that does not know the resource, and not something in front of it: it tells which groups of
/// resources it has. Anybody may ask that (the role `system:discovery`).
async fn is_undefined(client: &Client) -> bool {
    let Ok(Ok(text)) = text(client, "/apis").await else {
        return false;
    };
    let groups: Result<Groups, _> = serde_json::from_str(&text);
    groups.is_ok_and(|groups| groups.kind == "APIGroupList" && !groups.groups.is_empty())
}

async fn text(client: &Client, uri: &str) -> Result<Result<String, Failure>, String> {
    let request = get(uri)?;
    timeout(PATIENCE, reply::text(client, request))
        .await
        .map_err(|_| format!("no reply within {} s", PATIENCE.as_secs()))
}
