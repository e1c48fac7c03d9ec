//! A cursor over a message that answers `None` beyond its end.

use crate::name::{MAX_LABEL, MAX_NAME};

#[derive(Clone, Debug)]
pub(super) struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes: [u8; 2] = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// Steps over a name, which may end in a compression pointer; the pointer is not followed.
    pub(super) fn skip_name(&mut self) -> Option<()> {
        let start = self.at;
        loop {
            match self.u8()? {
                0 => return Some(()),
                length if usize::from(length) <= MAX_LABEL => {
                    self.take(usize::from(length))?;
                }
                pointer if pointer >= 0xc0 => {
                    self.u8()?;
                    return Some(());
                }
                // 0x40 and 0x80 are no label types in use (RFC 6891 §5).
                _ => return None,
            }
            if self.at - start > MAX_NAME {
                return None;
            }
        }
    }

    /// The name here in lower case, its compression pointers followed. Each must lead further back than the one before, so
    /// that no message can lead around for ever.
    pub(super) fn whole_name(&self) -> Option<Box<[u8]>> {
        const POINTER: u8 = 0xc0;
        let mut name = Vec::new();
        let mut reader = self.clone();
        let mut bound = self.at;
        loop {
            match reader.u8()? {
                0 => break,
                length if usize::from(length) <= MAX_LABEL => {
                    name.push(length);
                    let label = reader.take(usize::from(length))?;
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                }
                pointer if pointer >= POINTER => {
                    let at = u16::from_be_bytes([pointer & !POINTER, reader.u8()?]);
                    reader.at = usize::from(at);
                    if reader.at >= bound {
                        return None;
                    }
                    bound = reader.at;
                }
                _ => return None,
            }
            if name.len() >= MAX_NAME {
                return None;
            }
        }
        name.push(0);
        Some(name.into())
    }

    /// The same message from another offset on.
    pub(super) fn from(&self, at: usize) -> Self {
        Self {
            message: self.message,
            at,
        }
    }

    /// An uncompressed name's bytes with its final zero.
    pub(super) fn plain_name(&mut self) -> Option<&'m [u8]> {
        let start = self.at;
        loop {
            match self.u8()? {
                0 => break,
                length if usize::from(length) <= MAX_LABEL => {
                    self.take(usize::from(length))?;
                }
                _ => return None,
            }
            if self.at - start > MAX_NAME {
                return None;
            }
        }
        let name = self.message.get(start..self.at)?;
        (name.len() <= MAX_NAME).then_some(name)
    }
}
