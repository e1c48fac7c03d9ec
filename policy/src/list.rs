//! The values of a list field, and where they are looked up if there are many: one rule may list ten thousand callers, and a client
//! may have each of many values compared with a list.

mod listed;

use std::sync::Arc;

use crate::index::{Key, Table};
pub(crate) use listed::Listed;

/// Comparing with so many values costs no more than a look-up.
const SHORT: usize = 8;

/// Where the values of a list are that may match; nothing for a short list, or one in which nothing can be looked up.
///
/// It follows from the list, so two of them never differ where their lists do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct LookUp(Option<Arc<Places>>);

/// Values by their places in the list.
#[derive(Debug)]
struct Places {
    by_key: Table<Vec<u32>>,
    /// Those without a key.
    rest: Box<[u32]>,
}

impl LookUp {
    /// For this list.
    pub(crate) fn of<P: Listed>(list: Option<&[P]>) -> Self {
        let long = list.filter(|list| list.len() > SHORT);
        Self(long.and_then(|list| Places::of(&mut list.iter().map(Listed::key)).map(Arc::new)))
    }

    /// Whether one of the list's values matches. The list is the one that this was made of.
    pub(crate) fn finds<P: Listed>(&self, list: &[P], value: P::Value<'_>) -> bool {
        match &self.0 {
            None => list.iter().any(|listed| listed.fits(value)),
            Some(places) => finds_at(places, list, value, &|_| true),
        }
    }

    /// Whether one of the list's values is so and matches. The list is the one that this was made of.
    pub(crate) fn finds_one<P: Listed>(
        &self,
        list: &[P],
        value: P::Value<'_>,
        is_so: fn(&P) -> bool,
    ) -> bool {
        match &self.0 {
            None => list
                .iter()
                .any(|listed| is_so(listed) && listed.fits(value)),
            Some(places) => finds_at(places, list, value, &is_so),
        }
    }
}

/// Not inlined: it would stand between the short lists, which nearly all are.
#[inline(never)]
fn finds_at<P: Listed>(
    places: &Places,
    list: &[P],
    value: P::Value<'_>,
    is_so: &dyn Fn(&P) -> bool,
) -> bool {
    let mut hit = |place| {
        let listed: Option<&P> = list.get(place);
        listed.is_some_and(|listed| is_so(listed) && listed.fits(value))
    };
    P::look_up(value, &mut |text| places.any(text, &mut hit))
}

/// Neither of these is generic: they would be in the filter once for each kind of value.
impl Places {
    /// None if nothing can be looked up.
    fn of(keys: &mut dyn Iterator<Item = Option<Key>>) -> Option<Self> {
        let mut by_key: Table<Vec<u32>> = Table::default();
        let mut rest = Vec::new();
        let mut some = false;
        for (place, key) in (0..).zip(keys) {
            match key {
                None => rest.push(place),
                Some(key) => {
                    some = true;
                    by_key.entry(key).push(place);
                }
            }
        }
        some.then(|| Self {
            by_key,
            rest: rest.into(),
        })
    }

    /// Whether the test holds for one of those that may match.
    fn any(&self, text: &[u8], hit: &mut dyn FnMut(usize) -> bool) -> bool {
        let mut hit = |place: &u32| usize::try_from(*place).is_ok_and(&mut *hit);
        let mut found = self.rest.iter().any(&mut hit);
        if !found {
            self.by_key.matching(text, &mut |places| {
                found = found || places.iter().any(&mut hit);
            });
        }
        found
    }
}

impl PartialEq for LookUp {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LookUp {}

impl std::hash::Hash for LookUp {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[cfg(test)]
mod tests;
