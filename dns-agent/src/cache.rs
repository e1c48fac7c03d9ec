//! Upstream replies, kept as long as their TTLs allow.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use crate::{
    config,
    name::Name,
    wire::{CLASS_IN, Message, Query, rtype},
};

/// How long a server's failure is kept: long enough that a failing name is not asked again by every client at once
/// (RFC 9520 §3.2 asks for 1 s), short enough not to outlast a passing fault (RFC 2308 §7.1 allows 5 min).
const FAILURE: Duration = Duration::from_secs(1);

/// What makes two questions the same for an upstream server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    question: Box<[u8]>,
    /// Recursion desired.
    pub rd: bool,
    /// Checking disabled.
    pub cd: bool,
    /// DNSSEC records wanted.
    pub dnssec_ok: bool,
}

impl Key {
    /// The key of a query.
    pub fn of(query: &Query) -> Self {
        let name = query.name.as_wire();
        let mut question = Vec::with_capacity(name.len() + 4);
        question.extend_from_slice(name);
        question.extend_from_slice(&query.rtype.to_be_bytes());
        question.extend_from_slice(&query.class.to_be_bytes());
        Self {
            question: question.into(),
            rd: query.flags.recursion_desired(),
            cd: query.flags.checking_disabled(),
            dnssec_ok: query.dnssec_ok(),
        }
    }

    /// The key of a question of our own, in class IN.
    pub fn own(name: &Name, rtype: u16) -> Self {
        let mut question = name.as_wire().to_vec();
        question.extend_from_slice(&rtype.to_be_bytes());
        question.extend_from_slice(&CLASS_IN.to_be_bytes());
        Self {
            question: question.into(),
            rd: true,
            cd: false,
            dnssec_ok: false,
        }
    }

    /// The question as it travels, in lower case.
    pub fn question(&self) -> &[u8] {
        &self.question
    }

    fn rtype(&self) -> u16 {
        let bytes = self.question.len().checked_sub(4);
        let bytes = bytes.and_then(|at| self.question.get(at..at + 2));
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u16::from_be_bytes)
    }
}

/// A bounded set of replies; the least recently used one goes first.
#[derive(Debug)]
pub struct Cache {
    entries: Option<Mutex<LruCache<Key, Entry>>>,
    max_ttl: Duration,
    max_negative_ttl: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    message: Arc<Message>,
    stored: Instant,
    until: Instant,
}

impl Cache {
    /// A cache as configured; with no entries it keeps nothing.
    pub fn new(config: &config::Cache) -> Self {
        Self {
            entries: NonZeroUsize::new(config.entries).map(|size| Mutex::new(LruCache::new(size))),
            max_ttl: config.max_ttl,
            max_negative_ttl: config.max_negative_ttl,
        }
    }

    /// A reply that is still good, and its age in whole seconds.
    pub fn get(&self, key: &Key) -> Option<(Arc<Message>, u32)> {
        let mut entries = self.lock()?;
        let entry = entries.get(key)?;
        let now = Instant::now();
        if now >= entry.until {
            entries.pop(key);
            return None;
        }
        let age = now.duration_since(entry.stored).as_secs();
        Some((
            Arc::clone(&entry.message),
            u32::try_from(age).unwrap_or(u32::MAX),
        ))
    }

    /// Keeps a reply for as long as it may be. `max_negative_ttl` bounds a denial further.
    pub fn put(&self, key: Key, message: &Arc<Message>, max_negative_ttl: Option<Duration>) {
        let Some(lifetime) = self.lifetime(&key, message, max_negative_ttl) else {
            return;
        };
        let stored = Instant::now();
        let entry = Entry {
            message: Arc::clone(message),
            stored,
            until: stored + lifetime,
        };
        if let Some(mut entries) = self.lock() {
            entries.put(key, entry);
        }
    }

    /// How many replies are kept, some of which may have become too old.
    pub fn len(&self) -> usize {
        self.lock().map_or(0, |entries| entries.len())
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lifetime(
        &self,
        key: &Key,
        message: &Message,
        max_negative_ttl: Option<Duration>,
    ) -> Option<Duration> {
        const NOERROR: u16 = 0;
        const SERVFAIL: u16 = 2;
        const NXDOMAIN: u16 = 3;
        if message.flags().truncated() {
            return None;
        }
        let seconds = |ttl: u32| Duration::from_secs(u64::from(ttl));
        let found = match key.rtype() {
            rtype::ANY => message.has_answers(),
            rtype => message.answers_type(rtype),
        };
        let lifetime = match message.rcode() {
            NOERROR if found => seconds(message.least_ttl()?).min(self.max_ttl),
            // A denial without an SOA must not be kept (RFC 2308 §5).
            NOERROR | NXDOMAIN => seconds(message.negative_ttl()?.min(message.least_ttl()?))
                .min(self.max_negative_ttl)
                .min(max_negative_ttl.unwrap_or(Duration::MAX)),
            SERVFAIL => FAILURE,
            _ => return None,
        };
        (!lifetime.is_zero()).then_some(lifetime)
    }

    fn lock(&self) -> Option<MutexGuard<'_, LruCache<Key, Entry>>> {
        let entries = self.entries.as_ref()?;
        // Every operation leaves the map whole.
        Some(entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Parsed, ask, parse};

    const QUESTION: &[u8] = b"\x01a\x00\x00\x01\x00\x01";

    fn query() -> Query {
        match parse(&ask(QUESTION, 1, true, false, None)) {
            Parsed::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }

    /// A reply with one A record.
    fn message(ttl: u32) -> Arc<Message> {
        let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        bytes.extend(QUESTION);
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 4, 192, 0, 2, 1]);
        Arc::new(Message::parse(bytes).unwrap())
    }

    fn cache(entries: usize) -> Cache {
        Cache::new(&config::Cache {
            entries,
            max_ttl: Duration::from_secs(100),
            max_negative_ttl: Duration::from_secs(10),
        })
    }

    /// The TTL that a client sees now.
    fn ttl_seen(cache: &Cache) -> Option<u32> {
        let (message, age) = cache.get(&Key::of(&query()))?;
        let mut out = Vec::new();
        message.write(&mut out, &query(), 512, age);
        Message::parse(out).unwrap().least_ttl()
    }

    #[tokio::test(start_paused = true)]
    async fn ttls_count_down_and_the_reply_goes_when_they_end() {
        let cache = cache(10);
        cache.put(Key::of(&query()), &message(3), None);
        for expected in [Some(3), Some(2), Some(1), None] {
            assert_eq!(ttl_seen(&cache), expected);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(cache.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_longer_than_configured() {
        let cache = cache(10);
        cache.put(Key::of(&query()), &message(1_000), None);
        tokio::time::advance(Duration::from_secs(99)).await;
        assert_eq!(ttl_seen(&cache), Some(901));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ttl_seen(&cache), None);
    }

    #[tokio::test]
    async fn the_reply_that_was_not_used_for_longest_goes_first() {
        let cache = cache(2);
        let key = |name: u8| {
            let question = [1, name, 0, 0, 1, 0, 1];
            match parse(&ask(&question, 1, true, false, None)) {
                Parsed::Query(query) => Key::of(&query),
                other => panic!("{other:?}"),
            }
        };
        cache.put(key(b'a'), &message(9), None);
        cache.put(key(b'b'), &message(9), None);
        assert!(cache.get(&key(b'a')).is_some());
        cache.put(key(b'c'), &message(9), None);
        let kept = [b'a', b'b', b'c'].map(|name| cache.get(&key(name)).is_some());
        assert_eq!(kept, [true, false, true]);
    }
}
