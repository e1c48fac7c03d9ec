//! Which of several addresses comes first.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that are spread evenly whichever of them one name's queries get. A plain count would not be: resolvers ask
/// for A and AAAA in turn, so that of two addresses the A queries would always get the same one.
#[derive(Debug)]
pub(super) struct Rotation(AtomicU64);

impl Default for Rotation {
    /// Begins anywhere, so that not every agent's first answer is the same.
    fn default() -> Self {
        Self(AtomicU64::new(getrandom::u64().unwrap_or_default()))
    }
}

impl Rotation {
    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): one addition shared by all
    /// threads, and a mixing of its result.
    pub(super) fn next(&self) -> usize {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(GAMMA, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // Any of its bits will do.
        mixed as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_comes_about_equally_often_whoever_asks_in_between() {
        for places in [2, 3, 4, 7] {
            // Alone; before an AAAA query; one name among ten.
            for every in [1, 2, 3, 4, 8, 10] {
                let rotation = Rotation(AtomicU64::new(42));
                let mut count = vec![0; places];
                for _ in 0..places * 1000 {
                    count[rotation.next() % places] += 1;
                    for _ in 1..every {
                        rotation.next();
                    }
                }
                assert!(
                    count.iter().all(|count| (850..1150).contains(count)),
                    "{places} places, every {every}: {count:?}"
                );
            }
        }
    }
}
