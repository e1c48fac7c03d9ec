//! Sets of small numbers.

/// A set of the numbers below a bound, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Box<[u64]>);

/// A set that does not change any more: its numbers, or its bits where those are shorter.
#[derive(Clone, Debug)]
pub(super) enum Set {
    Few(Box<[u32]>),
    Many(Bits),
}

impl Bits {
    /// Nothing yet, of the numbers below this.
    pub(super) fn none_of(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)].into())
    }

    /// Adds a number; one that is not below the bound is not added.
    fn insert(&mut self, number: u32) {
        let word = usize::try_from(number / 64).ok();
        if let Some(word) = word.and_then(|at| self.0.get_mut(at)) {
            *word |= 1u64.wrapping_shl(number % 64);
        }
    }

    /// Adds all of a set.
    pub(super) fn add(&mut self, set: &Set) {
        match set {
            Set::Few(numbers) => numbers.iter().for_each(|number| self.insert(*number)),
            Set::Many(bits) => self.add_bits(bits),
        }
    }

    /// Adds all of another.
    pub(super) fn add_bits(&mut self, other: &Self) {
        let words = self.0.iter_mut().zip(&other.0);
        words.for_each(|(word, more)| *word |= more);
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Keeps what another has too.
    pub(super) fn keep_bits(&mut self, other: &Self) {
        let words = self.0.iter_mut().zip(&other.0);
        words.for_each(|(word, kept)| *word &= kept);
    }

    /// The numbers below the bound that it has not, in their order; and perhaps some from the bound on.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(at, word)| {
            let mut left = !word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                // The lowest bit that is set, taken out.
                left &= left.checked_sub(1)?;
                at.checked_mul(64)?.checked_add(usize::try_from(bit).ok()?)
            })
        })
    }
}

impl Set {
    /// Of these numbers, in any order, all below the bound.
    pub(super) fn new(numbers: &[usize], bound: usize) -> Self {
        let numbers = numbers
            .iter()
            .filter_map(|number| u32::try_from(*number).ok());
        let few = Self::Few(numbers.collect());
        match &few {
            Self::Few(numbers) if numbers.len() > bound / 32 => {
                let mut bits = Bits::none_of(bound);
                bits.add(&few);
                Self::Many(bits)
            }
            _ => few,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_added_is_missing() {
        let bound = 200;
        let few = Set::new(&[199, 0, 64], bound);
        let many = Set::new(&(10..190).collect::<Vec<_>>(), bound);
        assert!(matches!(few, Set::Few(_)) && matches!(many, Set::Many(_)));
        let mut bits = Bits::none_of(bound);
        bits.add(&few);
        let missing: Vec<usize> = bits.missing().take_while(|n| *n < bound).collect();
        let want: Vec<usize> = (0..bound).filter(|n| ![0, 64, 199].contains(n)).collect();
        assert_eq!(missing, want);
        let mut both = Bits::none_of(bound);
        both.add(&many);
        both.keep_bits(&bits);
        bits.add(&many);
        assert_eq!(bits.missing().take_while(|n| *n < bound).count(), 18);
        assert_eq!(
            both.missing().take_while(|n| *n < bound).count(),
            bound - 1,
            "64 is in both"
        );
    }
}
