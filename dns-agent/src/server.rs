//! From a received message to its reply. What the catalogs or the cache know is answered at once, in the receive loop;
//! only what must be asked elsewhere becomes a task.

mod doubts;
mod guests;
mod rotation;
mod sockets;
mod tcp;
mod udp;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use tracing::{debug, warn};

pub(crate) use guests::Guests;
use rotation::Rotation;
pub use sockets::{Pair, Place, join, take};

use crate::{
    address_range::AddressRange,
    answer::{Answer, Forward, NOT_READY, Question, Reason, answer, in_shadow},
    cache::{Kept, Key},
    encode::encode,
    gateway::SharedLifetimes,
    index::Index,
    metrics::{Outcome, SharedMetrics, Source},
    name::Text,
    shadow::Shadow,
    sources::Published,
    upstream::{self, Failure, Upstream},
    wire::{
        Ede, Message, Owner, Parsed, Query, Rcode, Rejection, Section, Transport, Writer, parse,
        reject, rtype,
    },
};

/// Tells a client that it is not served (RFC 8914 §4.19).
const PROHIBITED: Ede = Ede {
    code: 18,
    text: "queries from this address are not allowed",
};

/// Everything that a reply is made from.
#[derive(Debug)]
pub struct Engine {
    index: Published,
    upstream: Arc<Upstream>,
    metrics: SharedMetrics,
    allow_from: Vec<AddressRange>,
    /// For how long gateways' addresses are good.
    lifetimes: SharedLifetimes,
    /// Which address comes first in the next answer with several.
    rotation: Rotation,
    /// Where what we would have answered is compared; `None`: we answer.
    shadow: Option<Shadow>,
}

/// What we would have answered from, and why.
type Shadowed = (Arc<Index>, Reason);

/// Where a message came from.
#[derive(Clone, Copy, Debug)]
struct Origin {
    transport: Transport,
    client: SocketAddr,
}

/// What to do after the first look at a message.
#[derive(Debug)]
enum Step {
    /// Send nothing.
    Silence,
    /// Send what was written.
    Send,
    /// Complete the reply elsewhere.
    Wait(Box<Waiting>),
}

/// A query whose reply must be asked for.
#[derive(Debug)]
struct Waiting {
    query: Query,
    key: Key,
    forward: Forward,
    shadowed: Option<Shadowed>,
    origin: Origin,
    began: Instant,
}

/// What is told of a query once it is answered.
struct Told<'t> {
    query: &'t Query,
    origin: Origin,
    source: Source,
    outcome: Outcome,
    reason: &'static str,
    began: Instant,
}

impl Engine {
    /// Replies from the published index and the upstream servers, with a shadow from these alone, to clients in one of these
    /// ranges.
    pub fn new(
        index: Published,
        upstream: Arc<Upstream>,
        metrics: SharedMetrics,
        allow_from: Vec<AddressRange>,
        lifetimes: SharedLifetimes,
        shadow: Option<Shadow>,
    ) -> Self {
        Self {
            allow_from,
            lifetimes,
            index,
            upstream,
            metrics,
            shadow,
            rotation: Rotation::default(),
        }
    }

    /// Looks at a message and, if that is enough, writes its reply into `out`.
    fn begin(&self, message: &[u8], origin: Origin, out: &mut Vec<u8>) -> Step {
        let began = Instant::now();
        let is_allowed = self.is_allowed(origin.client);
        let query = match parse(message) {
            Parsed::Ignore => {
                self.metrics.ignored.inc();
                return Step::Silence;
            }
            Parsed::Reject(rejection) => {
                let rejection = if is_allowed {
                    rejection
                } else {
                    self.prohibit(origin.client);
                    // Whoever is not served learns that and nothing else.
                    Rejection {
                        rcode: Rcode::Refused,
                        ..rejection
                    }
                };
                reject(out, rejection);
                let outcome = Outcome::of(rejection.rcode as u16, false);
                self.metrics.count(origin.transport, Source::None, outcome);
                debug!(client = %origin.client, outcome = outcome.as_str(), "query refused");
                return Step::Send;
            }
            Parsed::Query(query) => query,
        };
        let told = Told {
            query: &query,
            origin,
            source: Source::None,
            outcome: Outcome::BadVers,
            reason: "version",
            began,
        };
        if !is_allowed {
            self.prohibit(origin.client);
            self.refuse(&query, origin, Rcode::Refused, Some(PROHIBITED), out);
            self.tell(Told {
                outcome: Outcome::Refused,
                reason: PROHIBITED.text,
                ..told
            });
            return Step::Send;
        }
        if query.edns.is_some_and(|edns| edns.version > 0) {
            self.refuse(&query, origin, Rcode::BadVers, None, out);
            self.tell(told);
            return Step::Send;
        }
        let index = self.index.load();
        if let Some(told_to) = self.upstream.told_to_a_look(&query) {
            let outcome = match told_to {
                upstream::Told::Texts(texts) => {
                    self.introduce(&query, origin, &texts, index.settings().ttl, out);
                    Outcome::NoError
                }
                upstream::Told::Back => self.fail(&query, origin, Failure::Loop, out).0,
            };
            self.tell(Told {
                source: Source::Catalog,
                outcome,
                reason: "a look for forwarding loops",
                ..told
            });
            return Step::Send;
        }
        let question = Question {
            name: query.name.as_wire(),
            rtype: query.rtype,
            class: query.class,
        };
        let mut found = answer(&index, question, self.rotation.next());
        let mut shadowed = None;
        if self.shadow.is_some() {
            let given = in_shadow(&found);
            if let (Answer::Reply(ours), Answer::Forward(_)) = (&found, &given) {
                shadowed = Some((Arc::clone(&index), ours.reason));
            }
            found = given;
        }
        match found {
            Answer::Reply(reply) => {
                encode(
                    out,
                    &index,
                    &query,
                    &reply,
                    query.reply_limit(origin.transport),
                    &self.lifetimes.load(),
                );
                self.metrics.count_answer(reply.reason);
                self.tell(Told {
                    source: Source::Catalog,
                    outcome: Outcome::of(reply.rcode as u16, reply.has_records()),
                    reason: reply.reason.as_str(),
                    ..told
                });
                Step::Send
            }
            Answer::Forward(forward) => {
                let key = Key::of(&query);
                let kept = self.upstream.kept(&key);
                // What depends on another question is completed where that can be asked, unless its answer is kept too.
                let kept = kept.and_then(|(kept, age)| {
                    let forward = self.settled(&index, forward, &query, &kept)?;
                    Some((forward, kept, age))
                });
                if let Some((forward, kept, age)) = kept {
                    let (outcome, reason) = match &kept {
                        Ok(message) => self.relay(&query, forward, origin, message, age, out),
                        Err(failure) => self.fail(&query, origin, *failure, out),
                    };
                    self.note(shadowed, key, kept);
                    self.tell(Told {
                        source: Source::Cache,
                        outcome,
                        reason,
                        ..told
                    });
                    return Step::Send;
                }
                Step::Wait(Box::new(Waiting {
                    query,
                    key,
                    forward,
                    shadowed,
                    origin,
                    began,
                }))
            }
        }
    }

    /// Counts what came from where nobody is served.
    fn prohibit(&self, client: SocketAddr) {
        let refused = self.metrics.prohibited.inc().saturating_add(1);
        // Pods may have addresses that no default covers, such as global IPv6: that must be seen, and not fill the log.
        if refused.is_power_of_two() {
            warn!(%client, refused, "refused a query from an address that is not allowed; if it is a pod's or a node's, add its range to cluster.ranges or allowFrom");
        }
    }

    /// An IPv4 client is one, however the socket shows it.
    fn is_allowed(&self, client: SocketAddr) -> bool {
        let client = client.ip().to_canonical();
        self.allow_from.iter().any(|range| range.contains(client))
    }

    /// Asks for the reply and writes it into `out`.
    async fn complete(&self, waiting: Waiting, out: &mut Vec<u8>) {
        let Waiting {
            query,
            key,
            forward,
            shadowed,
            origin,
            began,
        } = waiting;
        let (kept, forward) = self.ask(&key, forward, &query).await;
        let (source, (outcome, reason)) = match &kept {
            Ok(message) => (
                Source::Upstream,
                self.relay(&query, forward, origin, message, 0, out),
            ),
            Err(failure) => (Source::None, self.fail(&query, origin, *failure, out)),
        };
        self.note(shadowed, key, kept);
        self.tell(Told {
            query: &query,
            origin,
            source,
            outcome,
            reason,
            began,
        });
    }

    fn note(&self, shadowed: Option<Shadowed>, key: Key, theirs: Kept) {
        if let (Some(shadow), Some((index, ours))) = (&self.shadow, shadowed) {
            shadow.note(index, ours, key, theirs);
        }
    }

    /// Writes the reply to a query that there was no room to ask for.
    fn turn_away(&self, waiting: &Waiting, out: &mut Vec<u8>) {
        self.metrics.overloaded.inc();
        let (outcome, reason) = self.fail(&waiting.query, waiting.origin, Failure::Overload, out);
        self.tell(Told {
            query: &waiting.query,
            origin: waiting.origin,
            source: Source::None,
            outcome,
            reason,
            began: waiting.began,
        });
    }

    /// Gives an upstream's message on, and tells what the client got and why. A denial that may be untrue becomes a
    /// failure: clients keep denials, and try again after failures.
    fn relay(
        &self,
        query: &Query,
        forward: Forward,
        origin: Origin,
        message: &Message,
        age: u32,
        out: &mut Vec<u8>,
    ) -> (Outcome, &'static str) {
        if message.rcode() == Rcode::NxDomain as u16 && self.is_doubted(forward, message) {
            self.refuse(query, origin, Rcode::ServFail, Some(NOT_READY), out);
            return (Outcome::ServFail, NOT_READY.text);
        }
        message.write(out, query, query.reply_limit(origin.transport), age);
        let outcome = Outcome::of(message.rcode_for(query), message.has_answers());
        (outcome, forward.why.as_str())
    }

    /// Tells who we are. The name exists, whatever type is asked for.
    fn introduce(
        &self,
        query: &Query,
        origin: Origin,
        texts: &[Vec<u8>],
        ttl: u32,
        out: &mut Vec<u8>,
    ) {
        let limit = query.reply_limit(origin.transport);
        let mut writer = Writer::new(out, query, limit, Rcode::NoError, None);
        let wanted = matches!(query.rtype, rtype::TXT | rtype::ANY);
        for text in texts.iter().filter(|_| wanted) {
            writer.record(Section::Answer, Owner::Question, rtype::TXT, ttl, text);
        }
        writer.finish();
    }

    fn fail(
        &self,
        query: &Query,
        origin: Origin,
        failure: Failure,
        out: &mut Vec<u8>,
    ) -> (Outcome, &'static str) {
        let ede = failure.ede();
        self.refuse(query, origin, Rcode::ServFail, Some(ede), out);
        (Outcome::ServFail, ede.text)
    }

    fn refuse(
        &self,
        query: &Query,
        origin: Origin,
        rcode: Rcode,
        ede: Option<Ede>,
        out: &mut Vec<u8>,
    ) {
        let limit = query.reply_limit(origin.transport);
        Writer::new(out, query, limit, rcode, ede).finish();
    }

    fn tell(&self, told: Told<'_>) {
        let Told {
            query,
            origin,
            source,
            outcome,
            reason,
            began,
        } = told;
        self.metrics.count(origin.transport, source, outcome);
        debug!(
            name = %Text(query.original.as_wire()),
            rtype = %rtype::name(query.rtype),
            client = %origin.client,
            transport = origin.transport.as_str(),
            source = source.as_str(),
            outcome = outcome.as_str(),
            reason,
            microseconds = began.elapsed().as_micros(),
            "query"
        );
    }
}
