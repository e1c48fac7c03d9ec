//! A long list of patterns, looked up: a client may have each of many values compared with it.

use std::sync::Arc;

use super::keys::{Key, pattern};
use super::table::Table;
use crate::pattern::Pattern;

/// Comparing with so many patterns costs no more than a look-up.
const SHORT: usize = 8;

/// Where to look whether one of a list's patterns matches; nothing for a short list, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct LookUp(Option<Arc<Table<()>>>);

impl LookUp {
    /// For this list.
    pub(crate) fn of(list: Option<&[Pattern]>) -> Self {
        let long = list.filter(|list| list.len() > SHORT);
        Self(long.map(|list| {
            let mut table = Table::default();
            for each in list {
                // What every value begins with stands for every value.
                let key = pattern(each).unwrap_or_else(|| Key::Prefix([].into()));
                *table.entry(key) = ();
            }
            Arc::new(table)
        }))
    }

    /// Whether one of the list's patterns matches. The list is the one that this was made of.
    pub(crate) fn finds(&self, list: &[Pattern], value: &[u8]) -> bool {
        match &self.0 {
            None => list.iter().any(|pattern| pattern.matches(value)),
            Some(table) => table.has(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_finds_what_a_scan_finds() {
        let short = ["a", "b*", "*c"];
        let long: Vec<String> = (0..20).map(|i| format!("x{i}")).collect();
        let with_all = ["*"];
        for more in [&[][..], &short, &with_all] {
            let texts = long.iter().map(String::as_str).chain(more.iter().copied());
            let list: Vec<Pattern> = texts.map(|text| Pattern::parse(text).unwrap()).collect();
            let look_up = LookUp::of(Some(&list));
            assert!(look_up.0.is_some());
            for value in [
                "", "a", "ab", "b", "ba", "c", "ac", "ca", "x1", "x20", "x2 ",
            ] {
                let value = value.as_bytes();
                let scanned = list.iter().any(|pattern| pattern.matches(value));
                assert_eq!(look_up.finds(&list, value), scanned, "{value:?} {more:?}");
            }
        }
        assert!(LookUp::of(None).0.is_none());
    }
}
