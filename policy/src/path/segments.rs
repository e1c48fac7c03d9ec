//! The segments of a path, cut once: thousands of templates may ask for them, of a path as long as its client pleases.

use std::cell::OnceCell;

use super::is_template_byte;
use crate::work;

/// One form of a request's path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'p> {
    text: &'p [u8],
    segments: &'p Segments,
}

/// Where the segments of a path end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segments(OnceCell<Cut>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cut {
    /// Of each segment behind the first slash where it ends, and whether it has an odd byte. None where there is no slash first.
    ends: Box<[(usize, bool)]>,
    /// Where the last odd byte is.
    last_odd: Option<usize>,
}

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'p> {
    pub(super) text: &'p [u8],
    /// Whether it has a byte that no operator of Envoy's `uri_template` takes. A slash is none such.
    pub(super) is_odd: bool,
}

impl<'p> Form<'p> {
    pub(super) fn new(text: &'p [u8], segments: &'p Segments) -> Self {
        Self { text, segments }
    }

    /// The whole of it.
    pub(crate) fn text(self) -> &'p [u8] {
        self.text
    }

    /// The text of the segment with this number, counted from the first slash.
    pub(crate) fn segment_text(self, number: usize) -> Option<&'p [u8]> {
        self.segment(number).map(|segment| segment.text)
    }

    pub(super) fn segment(self, number: usize) -> Option<Part<'p>> {
        work::done(1);
        let cut = self.cut();
        let (end, is_odd) = *cut.ends.get(number)?;
        let text = self.text.get(cut.begin(number)?..end)?;
        Some(Part { text, is_odd })
    }

    /// The segment with this number and all behind it.
    pub(super) fn tail_from(self, number: usize) -> Option<Part<'p>> {
        let cut = self.cut();
        cut.ends.get(number)?;
        let begin = cut.begin(number)?;
        Some(Part {
            text: self.text.get(begin..)?,
            is_odd: cut.last_odd.is_some_and(|odd| odd >= begin),
        })
    }

    fn cut(self) -> &'p Cut {
        self.segments.0.get_or_init(|| Cut::of(self.text))
    }
}

impl Cut {
    fn of(text: &[u8]) -> Self {
        let Some((b'/', _)) = text.split_first() else {
            return Self::default();
        };
        work::done(text.len());
        let mut ends = Vec::new();
        let (mut is_odd, mut last_odd) = (false, None);
        for (at, byte) in text.iter().enumerate().skip(1) {
            if *byte == b'/' {
                ends.push((at, is_odd));
                is_odd = false;
            } else if !is_template_byte(*byte) {
                is_odd = true;
                last_odd = Some(at);
            }
        }
        ends.push((text.len(), is_odd));
        Self {
            ends: ends.into(),
            last_odd,
        }
    }

    /// Where the segment with this number begins, if there is one.
    fn begin(&self, number: usize) -> Option<usize> {
        let slash = match number.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before)?.0,
        };
        slash.checked_add(1)
    }
}
