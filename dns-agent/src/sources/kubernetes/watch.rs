//! One resource of one API server: listed, then watched, for ever.

use std::{
    io::ErrorKind,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Request;
use kube::{Client, core::WatchEvent};
use tokio::{sync::Notify, time::timeout};

use super::{
    access::describe,
    backoff::Backoff,
    bounds::{Bounds, weight},
    list::{NoList, list},
    objects::Object,
    queue::Sender,
    reply::Lines,
};

/// How long a watch may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take before it is told that nothing is heard: what ended a moment ago is mostly had again at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a watch may be silent: API servers send a bookmark about every minute. That a connection is dead is noticed much
/// sooner (see `connection`); this is for what goes on answering in front of an API server that has gone.
const SILENCE: Duration = Duration::from_secs(100);
/// How long a watch is asked for, in seconds; the server ends it then.
const WATCH: u32 = 300;
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
    /// Who is to hear that the API server has no such resource (any more), if it need not have it.
    pub(super) missing: Option<Arc<Notify>>,
}

impl Resource {
    /// Tells whoever is to hear it, if this error says that there is no such resource.
    pub(super) fn hear(&self, error: &kube::Error) -> bool {
        let missing = matches!(error, kube::Error::Api(status) if status.code == 404);
        match &self.missing {
            Some(hear) if missing => {
                hear.notify_one();
                true
            }
            _ => false,
        }
    }
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
    /// Nothing can be known now, or nothing is heard of changes.
    Problem(String),
    /// Nothing can be known, because the API server itself says so: the account may not, or there is no such thing. It is
    /// tried again all the same.
    Refused(String),
    /// The problem is over.
    Well,
}

impl<K> Event<K> {
    /// The same, if the API server may be believed: one that begins refuses everybody for a moment.
    pub(super) fn believed(self, believed: bool) -> Self {
        match self {
            Self::Refused(problem) if !believed => Self::Problem(problem),
            event => event,
        }
    }
}

/// Whoever wanted to know has gone.
#[derive(Debug)]
pub(super) struct Unwanted;

/// Tells what an event is of.
pub(super) type Wrap<'f, K, T> = &'f (dyn Fn(Event<K>) -> T + Sync);

/// Why a watch ended.
enum End {
    /// As watches do; from the last version on it can go on.
    Cut,
    /// So can it, but nobody can say since when nothing was heard.
    Broken(String),
    /// The version is too old for the server, or an event was lost: everything must be listed anew.
    Relist(Option<String>),
    /// It cannot be had now.
    Failed(String),
}

/// Sends everything that becomes known of a resource, until nobody wants it any more.
pub(super) async fn follow<K: Object, T>(
    client: &Client,
    resource: &Resource,
    send: &Sender<T>,
    wrap: Wrap<'_, K, T>,
) -> Unwanted {
    let mut following = Following {
        client,
        resource,
        send,
        wrap,
        well: true,
        listed: false,
        bounds: Bounds::default(),
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
    wrap: Wrap<'f, K, T>,
    /// Whether the last word was not of a problem.
    well: bool,
    /// Whether it was listed once.
    listed: bool,
    /// How much is kept of it.
    bounds: Bounds,
}

impl<K: Object, T> Following<'_, K, T> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Unwanted> {
        let mut backoff = Backoff::default();
        let mut version = None;
        let mut expired_before = false;
        loop {
            let Some(from) = version.take() else {
                let listing = list(self.client, self.resource);
                let listed = match self.listed {
                    true => self.heard_soon(listing).await?,
                    false => listing.await,
                };
                match listed {
                    Ok((objects, at)) => {
                        self.listed = true;
                        self.bounds.clear();
                        for object in &objects {
                            // They were counted while they came.
                            let _ = self.bounds.put(object);
                        }
                        self.tell(Event::Listed(objects), self.bounds.bytes())
                            .await?;
                        self.well().await?;
                        version = Some(at);
                    }
                    Err(NoList { problem, refused }) => {
                        let say = if refused {
                            Event::Refused
                        } else {
                            Event::Problem
                        };
                        self.trouble(problem, say).await?;
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
            if lasted || matches!(end, End::Cut | End::Broken(_)) {
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
                End::Broken(problem) | End::Failed(problem) => {
                    self.problem(problem).await?;
                    version = Some(at);
                }
            }
            if !lasted && !at_once {
                backoff.wait().await;
            }
        }
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
        let opening = timeout(PATIENCE, Lines::open(self.client, request));
        let mut lines = match self.heard_soon(opening).await? {
            Ok(Ok(lines)) => lines,
            // Its definition may be gone, with all objects.
            Ok(Err(error)) if self.resource.hear(&error) => {
                return Ok(End::Relist(Some(describe(&error))));
            }
            Ok(Err(error)) => return Ok(ended(&error)),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
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
                Ok(Ok(None)) => return Ok(End::Cut),
                Ok(Err(error)) => {
                    let why = describe(&kube::Error::ReadEvents(error));
                    return Ok(End::Broken(format!("the watch broke off: {why}")));
                }
                Err(_) => {
                    let seconds = SILENCE.as_secs();
                    return Ok(End::Broken(format!("the watch was silent for {seconds} s")));
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
                    let bytes = match self.bounds.put(&object) {
                        Ok(bytes) => bytes,
                        Err(problem) => return Ok(End::Relist(Some(problem))),
                    };
                    object.resource_version().clone_into(version);
                    self.tell(Event::Put(object), bytes).await?;
                }
                WatchEvent::Deleted(object) => {
                    self.bounds.remove(&object);
                    object.resource_version().clone_into(version);
                    let bytes = weight(&object);
                    self.tell(Event::Gone(object), bytes).await?;
                }
                WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Ok(ended(&kube::Error::Api(status))),
            }
        }
    }

    /// Waits for what lets changes be heard again. Where that takes long, it is told that nothing is heard: what was known
    /// may have changed, and nobody must take it for all that there is.
    async fn heard_soon<F: Future>(&mut self, again: F) -> Result<F::Output, Unwanted> {
        let mut again = pin!(again);
        if let Ok(found) = timeout(AT_ONCE, &mut again).await {
            return Ok(found);
        }
        self.problem("nothing is heard of changes now".to_owned())
            .await?;
        Ok(again.await)
    }

    async fn tell(&self, event: Event<K>, bytes: usize) -> Result<(), Unwanted> {
        self.send.send((self.wrap)(event), bytes).await
    }

    async fn problem(&mut self, problem: String) -> Result<(), Unwanted> {
        self.trouble(problem, Event::Problem).await
    }

    async fn trouble(
        &mut self,
        problem: String,
        say: fn(String) -> Event<K>,
    ) -> Result<(), Unwanted> {
        self.well = false;
        let problem = format!("{}: {problem}", self.resource.name);
        let bytes = problem.len();
        self.tell(say(problem), bytes).await
    }

    async fn well(&mut self) -> Result<(), Unwanted> {
        if !self.well {
            self.well = true;
            self.tell(Event::Well, 0).await?;
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

/// A request for this, or why there is none.
pub(super) fn get(uri: &str) -> Result<Request<Vec<u8>>, String> {
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
