//! The memory that Envoy writes its answers into.
//!
//! Envoy asks for it by a callback for each answer. Nearly all answers are short and one is read at a time, so one block is
//! kept for the next: a request then costs the allocator nothing. An answer that is said to be anything but the memory that was
//! asked for last is not read: a wrong size would reach what else this VM keeps.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::{null_mut, slice_from_raw_parts_mut};

use super::Failure;

/// What every answer of up to this size gets, in bytes: the headers of most requests fit.
const BLOCK: usize = 4096;

type Block = MaybeUninit<[u8; BLOCK]>;

thread_local! {
    /// The block that no answer is in.
    static SPARE: Cell<Option<Box<Block>>> = const { Cell::new(None) };
    /// What was asked for last, and how many bytes of it, until it comes back as an answer.
    static LENT: Cell<(*mut u8, usize)> = const { Cell::new((null_mut(), 0)) };
}

/// Memory for an answer of this size, to be handed over as [`Returned`].
pub(super) fn allocate(size: usize) -> *mut u8 {
    let data: *mut u8 = if size > BLOCK {
        Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
    } else {
        let spare = SPARE.try_with(Cell::take).unwrap_or_default();
        Box::into_raw(spare.unwrap_or_else(Box::new_uninit)).cast()
    };
    LENT.set((data, size));
    data
}

/// What Envoy says that it returned: memory by [`allocate`], filled, or none.
pub(super) struct Returned {
    pub(super) data: *mut u8,
    pub(super) size: usize,
}

impl Returned {
    pub(super) fn new() -> Self {
        Self {
            data: null_mut(),
            size: 0,
        }
    }

    /// The answer of the call, which ended well. Memory that is not what was asked for stays where it is: whose it is, nobody
    /// knows.
    pub(super) fn take(self, call: &'static str) -> Result<Answer, Failure> {
        let lent = LENT.replace((null_mut(), 0));
        if !self.data.is_null() && lent != (self.data, self.size) {
            return Err(Failure::malformed(call));
        }
        Ok(Answer(self))
    }
}

/// What Envoy returned.
pub(crate) struct Answer(Returned);

impl Default for Answer {
    /// An empty one.
    fn default() -> Self {
        Self(Returned::new())
    }
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Returned { data, size } = self.0;
        if data.is_null() {
            return &[];
        }
        // SAFETY: `allocate` made it for so many bytes, which Envoy has filled; it keeps no pointer to it.
        unsafe { std::slice::from_raw_parts(data, size) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Returned { data, size } = self.0;
        if data.is_null() {
            return;
        }
        if size > BLOCK {
            // SAFETY: `allocate` made it as a box of so many bytes.
            drop(unsafe { Box::from_raw(slice_from_raw_parts_mut(data, size)) });
            return;
        }
        // SAFETY: `allocate` made it as a box of a block.
        let block = unsafe { Box::from_raw(data.cast::<Block>()) };
        // Where the thread ends, there is no next one to keep it for.
        let _ = SPARE.try_with(|spare| spare.set(Some(block)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy does: asks for memory, writes into it, and says where and how much.
    fn answer(text: &[u8]) -> Answer {
        let data = allocate(text.len());
        // SAFETY: so many bytes were asked for.
        unsafe { data.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        let size = text.len();
        Returned { data, size }.take("a call").unwrap()
    }

    #[test]
    fn one_block_serves_one_answer_after_the_other() {
        let first = answer(b"one");
        let at = first.as_ptr();
        drop(first);
        let second = answer(b"another");
        assert_eq!(second.as_ptr(), at);
        assert_eq!(*second, *b"another");
    }

    #[test]
    fn answers_of_any_size_that_are_read_at_once_do_not_meet() {
        let sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK];
        let texts: Vec<Vec<u8>> = (1..).zip(sizes).map(|(n, size)| vec![n; size]).collect();
        let answers: Vec<Answer> = texts.iter().map(|text| answer(text)).collect();
        for (answer, text) in answers.iter().zip(&texts) {
            assert_eq!(**answer, **text);
        }
    }

    #[test]
    fn memory_that_was_not_asked_for_last_is_no_answer() {
        let earlier = allocate(8);
        let last = allocate(8);
        for (data, size) in [(earlier, 8), (last, 7), (last, 9), (last, usize::MAX)] {
            LENT.set((last, 8));
            let failure = Returned { data, size }.take("a call").err();
            assert_eq!(failure, Some(Failure::malformed("a call")));
        }
        // Nor is it an answer twice.
        assert!(
            Returned {
                data: last,
                size: 8
            }
            .take("a call")
            .is_err()
        );
    }

    #[test]
    fn no_memory_is_an_empty_answer() {
        assert_eq!(*Answer::default(), *b"");
    }
}
