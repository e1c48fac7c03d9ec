//! Upstream replies, kept as long as their TTLs allow.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use crate::{
    config,
    name::Name,
    upstream::Failure,
    wire::{CLASS_IN, Message, Query, rtype},
};

/// How long a server's failure, or that of all servers to reply, is kept: long enough that a failing name is not asked again by every client at once
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
    /// EDNS options: the answer may be for whoever sends these alone, such as clients of one network (RFC 7871).
    options: Box<[u8]>,
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
            options: query.options.clone(),
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
            options: Box::default(),
        }
    }

    /// The question as it travels, in lower case.
    pub fn question(&self) -> &[u8] {
        &self.question
    }

    /// The options that travel with it.
    pub fn options(&self) -> &[u8] {
        &self.options
    }

    /// The name asked for, in wire form and lower case.
    pub fn name(&self) -> &[u8] {
        let end = self.question.len().saturating_sub(4);
        self.question.get(..end).unwrap_or_default()
    }

    /// The type asked for.
    pub fn rtype(&self) -> u16 {
        self.word(4)
    }

    /// The class asked for.
    pub fn class(&self) -> u16 {
        self.word(2)
    }

    fn word(&self, before_end: usize) -> u16 {
        let bytes = self.question.len().checked_sub(before_end);
        let bytes = bytes.and_then(|at| self.question.get(at..at + 2));
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u16::from_be_bytes)
    }
}

/// What came of a question: a reply, or the reason why there was none.
pub type Kept = Result<Arc<Message>, Failure>;

/// A bounded set of replies; the least recently used one goes first.
#[derive(Debug)]
pub struct Cache {
    entries: Option<Mutex<Entries>>,
    max_bytes: usize,
    max_ttl: Duration,
    max_negative_ttl: Duration,
}

#[derive(Debug)]
struct Entries {
    all: LruCache<Key, Entry>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    kept: Kept,
    bytes: usize,
    stored: Instant,
    until: Instant,
}

impl Cache {
    /// A cache as configured; with no entries it keeps nothing.
    pub fn new(config: &config::Cache) -> Self {
        Self {
            entries: NonZeroUsize::new(config.entries).map(|size| {
                Mutex::new(Entries {
                    all: LruCache::new(size),
                    bytes: 0,
                })
            }),
            max_bytes: config.max_bytes,
            max_ttl: config.max_ttl,
            max_negative_ttl: config.max_negative_ttl,
        }
    }

    /// A reply that is still good, and its age in whole seconds.
    pub fn get(&self, key: &Key) -> Option<(Kept, u32)> {
        let mut entries = self.lock()?;
        let entry = entries.all.get(key)?;
        let now = Instant::now();
        if now >= entry.until {
            entries.remove(key);
            return None;
        }
        let age = now.duration_since(entry.stored).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        Some((entry.kept.clone(), age))
    }

    /// Keeps a reply for as long as it may be. `max_negative_ttl` bounds a denial further.
    pub fn put(&self, key: Key, kept: &Kept, max_negative_ttl: Option<Duration>) {
        let lifetime = match kept {
            Ok(message) => self.lifetime(&key, message, max_negative_ttl),
            // Of our own making and soon over, while silence lasts (RFC 9520 §3.2 asks to keep only the latter).
            Err(Failure::Overload | Failure::Loop) => None,
            Err(Failure::Silent | Failure::Unreachable) => Some(FAILURE),
        };
        let Some(lifetime) = lifetime else { return };
        let message = kept.as_ref().map_or(0, |message| message.size());
        let bytes = size_of::<(Key, Entry)>() + key.question.len() + key.options.len() + message;
        let Some(mut entries) = self.lock().filter(|_| bytes <= self.max_bytes) else {
            return;
        };
        let stored = Instant::now();
        let entry = Entry {
            kept: kept.clone(),
            bytes,
            stored,
            until: stored + lifetime,
        };
        entries.bytes += bytes;
        // What was there under this key, or else the last one when there is no room for one more.
        if let Some((_, old)) = entries.all.push(key, entry) {
            entries.bytes -= old.bytes;
        }
        while entries.bytes > self.max_bytes {
            let Some((_, old)) = entries.all.pop_lru() else {
                break;
            };
            entries.bytes -= old.bytes;
        }
    }

    /// Forgets what is kept of these names, in wire form and lower case.
    pub fn forget(&self, names: &HashSet<&[u8]>) {
        let Some(mut entries) = self.lock().filter(|_| !names.is_empty()) else {
            return;
        };
        let all = entries.all.iter().map(|(key, _)| key);
        let gone: Vec<Key> = all
            .filter(|key| names.contains(key.name()))
            .cloned()
            .collect();
        for key in gone {
            entries.remove(&key);
        }
    }

    /// How many replies are kept, some of which may have become too old.
    pub fn len(&self) -> usize {
        self.lock().map_or(0, |entries| entries.all.len())
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
        // What is for one part of the network only is for those alone who said that they are in it.
        let is_strangers = key.options.is_empty() && message.is_tailored();
        if message.flags().truncated() || is_strangers {
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

    fn lock(&self) -> Option<MutexGuard<'_, Entries>> {
        let entries = self.entries.as_ref()?;
        // Every operation leaves the map whole.
        Some(entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.all.pop(key) {
            self.bytes -= old.bytes;
        }
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
    fn message(ttl: u32) -> Kept {
        let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        bytes.extend(QUESTION);
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 4, 192, 0, 2, 1]);
        Ok(Arc::new(Message::parse(bytes).unwrap()))
    }

    fn cache(entries: usize) -> Cache {
        Cache::new(&config::Cache {
            entries,
            max_bytes: 1 << 20,
            max_ttl: Duration::from_secs(100),
            max_negative_ttl: Duration::from_secs(10),
        })
    }

    fn key(name: u8) -> Key {
        let question = [1, name, 0, 0, 1, 0, 1];
        match parse(&ask(&question, 1, true, false, None)) {
            Parsed::Query(query) => Key::of(&query),
            other => panic!("{other:?}"),
        }
    }

    /// The TTL that a client sees now.
    fn ttl_seen(cache: &Cache) -> Option<u32> {
        let (message, age) = cache.get(&Key::of(&query()))?;
        let mut out = Vec::new();
        let message = message.unwrap();
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
        cache.put(key(b'a'), &message(9), None);
        cache.put(key(b'b'), &message(9), None);
        assert!(cache.get(&key(b'a')).is_some());
        cache.put(key(b'c'), &message(9), None);
        let kept = [b'a', b'b', b'c'].map(|name| cache.get(&key(name)).is_some());
        assert_eq!(kept, [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_silence_of_all_servers_is_kept_for_a_second_and_our_own_overload_is_not() {
        let check = |failure: Failure, kept: bool| {
            let cache = cache(10);
            cache.put(key(b'a'), &Err(failure), None);
            let found = cache.get(&key(b'a')).and_then(|(found, _)| found.err());
            assert_eq!(found, kept.then_some(failure));
            cache
        };
        check(Failure::Overload, false);
        let caches = [Failure::Silent, Failure::Unreachable].map(|failure| check(failure, true));
        tokio::time::advance(Duration::from_secs(1)).await;
        for cache in caches {
            assert!(cache.get(&key(b'a')).is_none());
        }
    }

    #[tokio::test]
    async fn replies_take_no_more_memory_than_allowed() {
        let one = {
            let cache = cache(10);
            cache.put(key(b'a'), &message(9), None);
            cache.lock().unwrap().bytes
        };
        let check = |max_bytes: usize, kept: [bool; 3]| {
            let cache = Cache {
                max_bytes,
                ..cache(10)
            };
            for name in [b'a', b'b', b'b', b'c'] {
                cache.put(key(name), &message(9), None);
            }
            let found = [b'a', b'b', b'c'].map(|name| cache.get(&key(name)).is_some());
            assert_eq!(found, kept, "in {max_bytes} bytes");
            let count = kept.iter().filter(|kept| **kept).count();
            assert_eq!(cache.lock().unwrap().bytes, count * one);
        };
        check(3 * one, [true; 3]);
        check(3 * one - 1, [false, true, true]);
        check(one, [false, false, true]);
        check(one - 1, [false; 3]);
    }
}
