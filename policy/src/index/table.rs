//! Values by exact keys, prefixes and suffixes of a byte string.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::keys::Key;
use crate::work;

/// Values by key. A look-up costs one hash for the whole and one for each length that a prefix or suffix has.
#[derive(Clone, Debug)]
pub(crate) struct Table<V> {
    exact: Map<V>,
    /// The length of the longest: what is longer is none of them, and need not be hashed.
    longest_exact: usize,
    prefix: Map<V>,
    prefix_lengths: BTreeSet<usize>,
    suffix: Map<V>,
    suffix_lengths: BTreeSet<usize>,
}

type Map<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<Fnv>>;

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            exact: Map::default(),
            longest_exact: 0,
            prefix: Map::default(),
            prefix_lengths: BTreeSet::new(),
            suffix: Map::default(),
            suffix_lengths: BTreeSet::new(),
        }
    }
}

impl<V> Table<V> {
    /// The value of a key, made if it has none.
    pub(crate) fn entry(&mut self, key: Key) -> &mut V
    where
        V: Default,
    {
        match key {
            Key::Exact(text) => {
                self.longest_exact = self.longest_exact.max(text.len());
                self.exact.entry(text).or_default()
            }
            Key::Prefix(text) => {
                self.prefix_lengths.insert(text.len());
                self.prefix.entry(text).or_default()
            }
            Key::Suffix(text) => {
                self.suffix_lengths.insert(text.len());
                self.suffix.entry(text).or_default()
            }
        }
    }

    /// Every value.
    pub(super) fn all(&self) -> impl Iterator<Item = &V> {
        let all = [&self.exact, &self.prefix, &self.suffix];
        all.into_iter().flat_map(|map| map.values())
    }

    /// Calls with the value of every key that matches.
    pub(crate) fn matching<'t>(&'t self, text: &[u8], each: &mut impl FnMut(&'t V)) {
        work::done(1);
        if text.len() <= self.longest_exact {
            work::done(text.len());
            if let Some(value) = self.exact.get(text) {
                each(value);
            }
        }
        for length in self.prefix_lengths.range(..=text.len()) {
            work::done(*length);
            if let Some(value) = text.get(..*length).and_then(|part| self.prefix.get(part)) {
                each(value);
            }
        }
        for length in self.suffix_lengths.range(..=text.len()) {
            work::done(*length);
            let from = text.len().saturating_sub(*length);
            if let Some(value) = text.get(from..).and_then(|part| self.suffix.get(part)) {
                each(value);
            }
        }
    }

    /// The same keys with other values.
    pub(super) fn map<W>(self, mut with: impl FnMut(V) -> W) -> Table<W> {
        let mut map = |values: Map<V>| {
            values
                .into_iter()
                .map(|(key, value)| (key, with(value)))
                .collect()
        };
        Table {
            exact: map(self.exact),
            longest_exact: self.longest_exact,
            prefix: map(self.prefix),
            prefix_lengths: self.prefix_lengths,
            suffix: map(self.suffix),
            suffix_lengths: self.suffix_lengths,
        }
    }
}

/// FNV-1a: quick for short keys, and the same in every VM.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
