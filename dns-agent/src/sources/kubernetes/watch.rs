//! One resource of one API server: listed, then watched, for ever.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use http::Request;
use kube::{Client, core::WatchEvent};
use tokio::{
    sync::mpsc::{Sender, error::SendError},
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    access::{describe, one_line},
    objects::{Groups, Object, Page},
    reply::{self, Failure, Lines},
};

/// Objects in a page: what is in memory at a time is bounded. Fewer, where they are so large that a page is too long.
const PAGE: usize = 500;
/// How long a page may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a watch may be silent. API servers send a bookmark about every minute, so that a connection that is dead
/// without anybody having said so is noticed.
const SILENCE: Duration = Duration::from_secs(100);
/// How long a watch is asked for, in seconds; the server ends it then.
const WATCH: u32 = 300;
/// The shortest and the longest wait after a failure; in between it doubles.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A watch that lasted so long was not refused.
const LASTED: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// What it is called in messages.
    pub(super) name: &'static str,
    /// Its path on the API server.
    pub(super) path: String,
    /// What else is in the query, with `&` in front, percent-encoded.
    pub(super) selector: String,
    /// Whether the API server may not know it, because nobody has defined it there: then there are none, until somebody
    /// has.
    pub(super) optional: bool,
}

/// What became known of a resource.
#[derive(Clone, Debug)]
pub(super) enum Event<K> {
    /// These are all that there are.
    Listed(Vec<K>),
    /// This one is new, or other than before.
    Put(K),
    /// This one is gone.
    Gone(K),
    /// Nothing can be known now.
    Problem(String),
    /// The problem is over.
    Well,
}

/// Whoever wanted to know has gone.
#[derive(Debug)]
pub(super) struct Unwanted;

impl<T> From<SendError<T>> for Unwanted {
    fn from(_: SendError<T>) -> Self {
        Self
    }
}

/// Why a watch ended.
enum End {
    /// As watches do; from the last version on it can go on.
    Cut,
    /// The version is too old for the server, or an event was lost: everything must be listed anew.
    Relist(Option<String>),
    /// It cannot be had now.
    Failed(String),
}

/// Waits longer with every failure in a row, each time a random part less: not all agents come back at once.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    async fn wait(&mut self) {
        let longest = WAITS
            .0
            .saturating_mul(2_u32.saturating_pow(self.0))
            .min(WAITS.1);
        self.0 = self.0.saturating_add(1);
        let part = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        sleep(longest.mul_f64(1.0 - part / 2.0)).await;
    }
}

/// Sends everything that becomes known of a resource, until nobody wants it any more.
pub(super) async fn follow<K: Object, T>(
    client: &Client,
    resource: &Resource,
    send: &Sender<T>,
    wrap: fn(Event<K>) -> T,
) -> Unwanted {
    let mut following = Following {
        client,
        resource,
        send,
        wrap,
        well: true,
        undefined: false,
    };
    match following.run().await {
        Ok(never) => match never {},
        Err(unwanted) => unwanted,
    }
}

struct Following<'f, K, T> {
    client: &'f Client,
    resource: &'f Resource,
    send: &'f Sender<T>,
    wrap: fn(Event<K>) -> T,
    /// Whether the last word was not of a problem.
    well: bool,
    /// Whether the last word was that the API server does not know the resource.
    undefined: bool,
}

/// What a list comes to.
enum List<K> {
    /// All objects, and the version of the list.
    Known(Vec<K>, String),
    /// Nobody has defined the resource.
    Undefined,
}

impl<K: Object, T> Following<'_, K, T> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Unwanted> {
        let mut backoff = Backoff::default();
        let mut version = None;
        let mut expired_before = false;
        loop {
            let Some(from) = version.take() else {
                match self.list().await {
                    Ok(List::Known(objects, at)) => {
                        self.undefined = false;
                        self.tell(Event::Listed(objects)).await?;
                        self.well().await?;
                        version = Some(at);
                    }
                    Ok(List::Undefined) => {
                        if !self.undefined {
                            self.undefined = true;
                            self.tell(Event::Listed(Vec::new())).await?;
                        }
                        self.well().await?;
                        backoff.wait().await;
                    }
                    Err(problem) => {
                        self.problem(problem).await?;
                        backoff.wait().await;
                    }
                }
                continue;
            };
            let began = Instant::now();
            let mut at = from;
            let end = self.watch(&mut at).await?;
            let lasted = began.elapsed() > LASTED;
            // A watch that was had and ended is no failure, however short it was.
            if lasted || matches!(end, End::Cut) {
                backoff = Backoff::default();
                expired_before = false;
            }
            // An old version is the one thing that is better tried again at once; but not for ever.
            let at_once = matches!(end, End::Relist(None)) && !expired_before;
            expired_before |= at_once;
            match end {
                End::Cut => version = Some(at),
                End::Relist(None) => {}
                End::Relist(Some(problem)) => self.problem(problem).await?,
                End::Failed(problem) => {
                    self.problem(problem).await?;
                    version = Some(at);
                }
            }
            if !lasted && !at_once {
                backoff.wait().await;
            }
        }
    }

    async fn list(&self) -> Result<List<K>, String> {
        let mut objects = Vec::new();
        let mut next = String::new();
        let mut size = PAGE;
        loop {
            let Resource { path, selector, .. } = self.resource;
            let mut uri = format!("{path}?limit={size}{selector}");
            if !next.is_empty() {
                uri = format!("{uri}&continue={}", encoded(&next));
            }
            let text = match self.text(&uri).await? {
                Ok(text) => text,
                Err(Failure::TooLong) if size > 1 => {
                    size = (size / 8).max(1);
                    continue;
                }
                Err(Failure::TooLong) => {
                    return Err("the reply is longer than any object can be".to_owned());
                }
                Err(Failure::Refused(kube::Error::Api(status)))
                    if status.code == 404
                        && self.resource.optional
                        && self.is_undefined().await =>
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

    /// Whether it is an API server that does not know the resource, and not something in front of it: it tells which
    /// groups of resources it has. Anybody may ask that (the role `system:discovery`).
    async fn is_undefined(&self) -> bool {
        let Ok(Ok(text)) = self.text("/apis").await else {
            return false;
        };
        let groups: Result<Groups, _> = serde_json::from_str(&text);
        groups.is_ok_and(|groups| groups.kind == "APIGroupList" && !groups.groups.is_empty())
    }

    async fn text(&self, uri: &str) -> Result<Result<String, Failure>, String> {
        let request = get(uri)?;
        timeout(PAGE_PATIENCE, reply::text(self.client, request))
            .await
            .map_err(|_| format!("no reply within {} s", PAGE_PATIENCE.as_secs()))
    }

    async fn watch(&mut self, version: &mut String) -> Result<End, Unwanted> {
        let Resource { path, selector, .. } = self.resource;
        let uri = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={}{selector}",
            encoded(version)
        );
        let request = match get(&uri) {
            Ok(request) => request,
            Err(problem) => return Ok(End::Failed(problem)),
        };
        let begun = timeout(PAGE_PATIENCE, Lines::open(self.client, request)).await;
        let mut lines = match begun {
            Ok(Ok(lines)) => lines,
            // Its definition may be gone, with all objects: the list will tell.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && self.resource.optional => {
                return Ok(End::Relist(None));
            }
            Ok(Err(error)) => return Ok(ended(&error)),
            Err(_) => {
                let seconds = PAGE_PATIENCE.as_secs();
                return Ok(End::Failed(format!("no watch within {seconds} s")));
            }
        };
        self.well().await?;
        loop {
            let line = match timeout(SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                    return Ok(End::Relist(Some(format!(
                        "the reply is not understood: {error}"
                    ))));
                }
                // A connection that breaks is how watches end when a server does.
                Ok(Ok(None) | Err(_)) => return Ok(End::Cut),
                Err(_) => {
                    debug!(resource = self.resource.name, "a watch was silent for long");
                    return Ok(End::Cut);
                }
            };
            let event: WatchEvent<K> = match serde_json::from_slice(&line) {
                Ok(event) => event,
                // Cut in the middle of an event.
                Err(error) if error.is_eof() => return Ok(End::Cut),
                Err(error) => {
                    return Ok(End::Relist(Some(describe(&kube::Error::SerdeError(error)))));
                }
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    object.resource_version().clone_into(version);
                    self.tell(Event::Put(object)).await?;
                }
                WatchEvent::Deleted(object) => {
                    object.resource_version().clone_into(version);
                    self.tell(Event::Gone(object)).await?;
                }
                WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Ok(ended(&kube::Error::Api(status))),
            }
        }
    }

    async fn tell(&self, event: Event<K>) -> Result<(), Unwanted> {
        Ok(self.send.send((self.wrap)(event)).await?)
    }

    async fn problem(&mut self, problem: String) -> Result<(), Unwanted> {
        self.well = false;
        let problem = format!("{}: {problem}", self.resource.name);
        self.tell(Event::Problem(problem)).await
    }

    async fn well(&mut self) -> Result<(), Unwanted> {
        if !self.well {
            self.well = true;
            self.tell(Event::Well).await?;
        }
        Ok(())
    }
}

/// What it means that a watch cannot be had, or is ended by the server.
fn ended(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Relist(None),
        kube::Error::Api(status) if status.reason == "Expired" => End::Relist(None),
        _ => End::Failed(describe(error)),
    }
}

fn get(uri: &str) -> Result<Request<Vec<u8>>, String> {
    let request = Request::get(uri).body(Vec::new());
    request.map_err(|error| format!("no request can be made: {error}"))
}

/// Everything but letters and digits as `%XX` (RFC 3986 §2.1).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
