//! Shadow mode: what the cluster's DNS answered, compared with what we would have. Beside the clients' way: whoever answers
//! them only leaves a note here, and where there is no room for it, it is counted and forgotten.

mod compare;
mod throttle;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    answer::{Answer, Question, Reason, Reply, Servers, answer},
    cache::{Kept, Key},
    index::Index,
    metrics::{ShadowResult, SharedMetrics},
    name::Text,
    sources::Published,
    upstream::Upstream,
    wire::rtype,
};
use compare::{compare, ours_in_words, theirs_in_words};
use throttle::Throttle;

/// Notes that may wait to be looked at.
const NOTES: usize = 4096;
/// Differences that may wait until they are looked at again.
const DIFFERENCES: usize = 1024;
/// How many of them are asked again at a time.
const AGAIN: usize = 4;

/// A query that the cluster's DNS answered instead of us.
#[derive(Debug)]
pub struct Note {
    index: Arc<Index>,
    key: Key,
    theirs: Kept,
}

/// Where notes are left.
#[derive(Clone, Debug)]
pub struct Shadow {
    notes: mpsc::Sender<Note>,
    metrics: SharedMetrics,
}

/// Looks at the notes.
#[derive(Debug)]
pub struct Watcher {
    notes: mpsc::Receiver<Note>,
    published: Published,
    upstream: Arc<Upstream>,
    settle: Duration,
    metrics: SharedMetrics,
    /// Differences by their questions, with the queries that met them since the first.
    differences: HashMap<Key, u64>,
    /// When each is asked again, the first first.
    due: VecDeque<(Instant, Key)>,
    throttle: Throttle,
}

/// A difference asked again.
type Again = BoxFuture<'static, (Key, Kept)>;

impl Shadow {
    /// A shadow, and who looks at what it is told. A difference counts when it is there still after `settle`.
    pub fn new(
        published: Published,
        upstream: Arc<Upstream>,
        settle: Duration,
        metrics: SharedMetrics,
    ) -> (Self, Watcher) {
        let (send, notes) = mpsc::channel(NOTES);
        let watcher = Watcher {
            notes,
            published,
            upstream,
            settle,
            metrics: Arc::clone(&metrics),
            differences: HashMap::new(),
            due: VecDeque::new(),
            throttle: Throttle::default(),
        };
        let shadow = Self {
            notes: send,
            metrics,
        };
        (shadow, watcher)
    }

    /// Leaves a note. Never waits.
    pub fn note(&self, index: Arc<Index>, ours: Reason, key: Key, theirs: Kept) {
        let note = Note { index, key, theirs };
        if self.notes.try_send(note).is_err() {
            self.metrics.count_shadow(ShadowResult::Skipped, ours, 1);
        }
    }
}

impl Watcher {
    /// Looks at notes until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut again: FuturesUnordered<Again> = FuturesUnordered::new();
        loop {
            let next = self.due.front().filter(|_| again.len() < AGAIN);
            let next = next.map(|(at, _)| *at);
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                note = self.notes.recv() => match note {
                    Some(note) => self.look(note),
                    None => return,
                },
                () = due => {
                    if let Some((_, key)) = self.due.pop_front() {
                        let upstream = Arc::clone(&self.upstream);
                        again.push(Box::pin(async move {
                            let theirs = upstream.ask_again(&key, Servers::Cluster).await;
                            (key, theirs)
                        }));
                    }
                }
                Some((key, theirs)) = again.next() => self.look_again(&key, &theirs),
            }
        }
    }

    fn look(&mut self, note: Note) {
        let Note { index, key, theirs } = note;
        let Some((ours, rtype)) = ours(&index, &key) else {
            return;
        };
        let result = compare(&ours, &theirs, rtype);
        if matches!(result, ShadowResult::Same | ShadowResult::Failed) {
            self.metrics.count_shadow(result, ours.reason, 1);
            return;
        }
        // It may be that one of us has only heard of a change before the other, or keeps what was true a moment ago.
        if let Some(queries) = self.differences.get_mut(&key) {
            *queries += 1;
        } else if self.differences.len() < DIFFERENCES {
            self.differences.insert(key.clone(), 1);
            self.due.push_back((Instant::now() + self.settle, key));
        } else {
            self.metrics
                .count_shadow(ShadowResult::Skipped, ours.reason, 1);
        }
    }

    fn look_again(&mut self, key: &Key, theirs: &Kept) {
        let queries = self.differences.remove(key).unwrap_or_default();
        let index = self.published.load_full();
        let Some((ours, rtype)) = ours(&index, key) else {
            // Now the cluster's DNS would be asked in any mode.
            self.metrics
                .count_shadow(ShadowResult::Racing, Reason::NotFound, queries);
            return;
        };
        let result = match compare(&ours, theirs, rtype) {
            ShadowResult::Same => ShadowResult::Racing,
            result => result,
        };
        self.metrics.count_shadow(result, ours.reason, queries);
        if matches!(result, ShadowResult::Racing | ShadowResult::Failed) {
            return;
        }
        if let Some(unsaid) = self.throttle.admit(Instant::now()) {
            info!(
                name = %Text(key.name()),
                rtype = %rtype::name(rtype),
                result = result.as_str(),
                reason = ours.reason.as_str(),
                ours = ours_in_words(&ours),
                theirs = theirs_in_words(theirs),
                queries,
                unsaid,
                "shadow: would be answered otherwise"
            );
        }
    }
}

/// What we would answer, and the type asked for; `None` when we would ask the cluster's DNS as well, and for all types at
/// once, which whoever is asked answers with the least there is.
fn ours<'i>(index: &'i Index, key: &Key) -> Option<(Reply<'i>, u16)> {
    let question = Question {
        name: key.name(),
        rtype: key.rtype(),
        class: key.class(),
    };
    match answer(index, question, 0) {
        Answer::Reply(reply) if question.rtype != rtype::ANY => Some((reply, question.rtype)),
        Answer::Reply(_) | Answer::Forward(_) => None,
    }
}
