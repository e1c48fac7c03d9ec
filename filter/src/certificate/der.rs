//! DER, as far as a certificate needs it (X.690 §8, §10): elements of one tag byte and a definite, minimal length, one
//! after another. It goes no deeper than its caller asks, so no input can make it recurse.

/// The universal tag BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;
/// The universal tag OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// The universal tag OBJECT IDENTIFIER.
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
/// The universal tag SEQUENCE, constructed.
pub(super) const SEQUENCE: u8 = 0x30;

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Its identifier octet.
    pub(super) tag: u8,
    /// Its contents octets.
    pub(super) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// What is in it, if this is its tag.
    pub(super) fn elements(self, tag: u8) -> Option<Elements<'a>> {
        (self.tag == tag).then(|| Elements::of(self.content))
    }
}

/// Elements one after another. An item is none where they are malformed; nothing follows it.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements in these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is in the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Self> {
        self.expect_bytes(tag).map(Self::of)
    }

    /// The contents of the next element, which must have this tag.
    pub(super) fn expect_bytes(&mut self, tag: u8) -> Option<&'a [u8]> {
        let element = self.next()??;
        (element.tag == tag).then_some(element.content)
    }

    /// Some if no element is left.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    fn read(&mut self) -> Option<Element<'a>> {
        let (tag, rest) = self.rest.split_first()?;
        // Tags of several bytes occur nowhere in a certificate.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Element { tag: *tag, content })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Option<Element<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.read();
        if element.is_none() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// A length: below 128 in one byte, else the number of its bytes, then these. DER allows only the shortest form.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    // Three bytes are 16 MiB: no certificate is larger.
    let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if size.is_empty() || size.len() > 3 || size.first() == Some(&0) {
        return None;
    }
    let length = size
        .iter()
        .fold(0, |length: usize, byte| (length << 8) | usize::from(*byte));
    (length >= 0x80).then_some((length, rest))
}
