//! Writing a reply: the question's own bytes, then whole records while they fit.

use super::{CLASS_IN, Flags, HEADER, Query, Rcode, Rejection, UDP_SIZE, rtype};
use crate::name::{Name, labels};

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede {
    /// The information code.
    pub code: u16,
    /// A few words for whoever reads the reply.
    pub text: &'static str,
}

/// The sections after the question, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who says so; the SOA of a negative answer.
    Authority,
    /// What may help.
    Additional,
}

/// A record's owner name.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'n> {
    /// The name in the question, with the sender's case.
    Question,
    /// The last so many bytes of the name in the question, for an ancestor of it.
    QuestionEnd(usize),
    /// Another name; what it has in common with the one in the question has the sender's case.
    Other(&'n Name),
}

/// Writes one reply. Records that do not fit are left out whole; the reply is then marked as cut, unless the record
/// was an additional one, which nobody needs (RFC 2181 §9).
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    flags: u16,
    rcode: Rcode,
    name_length: usize,
    counts: [u16; 3],
    opt: Option<Opt>,
}

#[derive(Clone, Copy, Debug)]
struct Opt {
    dnssec_ok: bool,
    ede: Option<Ede>,
}

impl<'o> Writer<'o> {
    /// Begins a reply of at most `limit` bytes in `out`, which is emptied. With EDNS in the query, the reply has it too
    /// and room for it is kept. `ede` needs EDNS and is left out without it.
    pub fn new(
        out: &'o mut Vec<u8>,
        query: &Query,
        limit: usize,
        rcode: Rcode,
        ede: Option<Ede>,
    ) -> Self {
        out.clear();
        out.resize(HEADER, 0);
        put(out, 0, query.id);
        query.push_question(out);
        let opt = query.edns.map(|edns| Opt {
            dnssec_ok: edns.dnssec_ok,
            ede,
        });
        Self {
            out,
            limit: limit.saturating_sub(opt.as_ref().map_or(0, Opt::length)),
            flags: Flags::QR | Flags::RA | (query.flags.0 & (Flags::RD | Flags::CD)),
            rcode,
            name_length: query.original.as_wire().len(),
            counts: [0; 3],
            opt,
        }
    }

    /// Marks the reply as coming from whoever owns the name.
    pub fn authoritative(&mut self) {
        self.flags |= Flags::AA;
    }

    /// Adds a record of class IN. False when it did not fit.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        record: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> bool {
        let start = self.out.len();
        match owner {
            Owner::Question => self.pointer(HEADER),
            Owner::QuestionEnd(length) => {
                self.pointer(HEADER + self.name_length.saturating_sub(length));
            }
            Owner::Other(name) => self.other(name.as_wire()),
        }
        self.out.extend_from_slice(&record.to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length = u16::try_from(rdata.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(rdata);
        if self.out.len() > self.limit || usize::from(length) != rdata.len() {
            self.out.truncate(start);
            if section != Section::Additional {
                self.flags |= Flags::TC;
            }
            return false;
        }
        let [answers, authorities, additionals] = &mut self.counts;
        *match section {
            Section::Answer => answers,
            Section::Authority => authorities,
            Section::Additional => additionals,
        } += 1;
        true
    }

    /// Completes the message.
    pub fn finish(mut self) {
        let code = self.rcode as u16;
        if let Some(opt) = self.opt {
            opt.push(self.out, code);
            let [_, _, additionals] = &mut self.counts;
            *additionals += 1;
        }
        put(self.out, 2, self.flags | (code & Flags::RCODE));
        put(self.out, 4, 1);
        let [answers, authorities, additionals] = self.counts;
        put(self.out, 6, answers);
        put(self.out, 8, authorities);
        put(self.out, 10, additionals);
    }

    /// A name that ends as the question's does is written up to there (RFC 1035 §4.1.4).
    fn other(&mut self, name: &[u8]) {
        let question = self.out.get(HEADER..HEADER + self.name_length);
        let common = common_end(name, question.unwrap_or_default());
        // The root alone is shorter than what would point to it.
        if common <= 1 {
            self.out.extend_from_slice(name);
            return;
        }
        let own = name.len() - common;
        self.out.extend_from_slice(name.get(..own).unwrap_or(name));
        self.pointer(HEADER + self.name_length - common);
    }

    fn pointer(&mut self, to: usize) {
        // The question lies in the first 12 + 255 bytes, well within a pointer's 14 bits.
        let to = u16::try_from(to).unwrap_or(0) | 0xc000;
        self.out.extend_from_slice(&to.to_be_bytes());
    }
}

impl Opt {
    fn length(&self) -> usize {
        11 + self.ede.map_or(0, |ede| 6 + ede.text.len())
    }

    fn push(&self, out: &mut Vec<u8>, rcode: u16) {
        push_opt(out, rcode, self.dnssec_ok);
        let Some(ede) = self.ede else { return };
        let text = u16::try_from(ede.text.len()).unwrap_or(0);
        let at = out.len() - 2;
        put(out, at, 6 + text);
        for word in [15, 2 + text, ede.code] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(ede.text.as_bytes());
    }
}

/// A name in lower case, written whole, with the case of `question` where both end alike (RFC 4343: the case of a name is the
/// sender's to choose, and some senders look whether they get it back).
pub fn in_case_of(question: &[u8], name: &[u8]) -> Vec<u8> {
    let common = common_end(name, question);
    let (own, _) = name.split_at(name.len() - common);
    let (_, end) = question.split_at(question.len() - common);
    [own, end].concat()
}

/// How many bytes two names have in common at the end, in whole labels, whatever their case.
fn common_end(name: &[u8], other: &[u8]) -> usize {
    let pairs = name.iter().rev().zip(other.iter().rev());
    let same = pairs
        .take_while(|(one, other)| one.eq_ignore_ascii_case(other))
        .count();
    let mut left = name.len();
    for label in labels(name) {
        if left <= same {
            return left;
        }
        left = left.saturating_sub(label.len() + 1);
    }
    left.min(same)
}

/// Writes a refusal of a message that cannot be read: its header and nothing else.
pub fn reject(out: &mut Vec<u8>, rejection: Rejection) {
    out.clear();
    out.resize(HEADER, 0);
    put(out, 0, rejection.id);
    let kept = rejection.flags.0 & (Flags::OPCODE | Flags::RD | Flags::CD);
    put(
        out,
        2,
        Flags::QR | Flags::RA | kept | (rejection.rcode as u16 & Flags::RCODE),
    );
}

/// Writes a query of our own. `question` is a whole question as it travels. `edns` carries the DO bit.
pub fn ask(question: &[u8], id: u16, rd: bool, cd: bool, edns: Option<bool>) -> Vec<u8> {
    ask_with_options(question, id, rd, cd, edns, &[])
}

/// The same with these options, if it has EDNS.
pub fn ask_with_options(
    question: &[u8],
    id: u16,
    rd: bool,
    cd: bool,
    edns: Option<bool>,
    options: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + question.len() + 11 + options.len());
    out.resize(HEADER, 0);
    put(&mut out, 0, id);
    // AD says that we understand the bit in the reply (RFC 6840 §5.7); each client gets it only if it asked.
    let mut flags = Flags::AD;
    if rd {
        flags |= Flags::RD;
    }
    if cd {
        flags |= Flags::CD;
    }
    put(&mut out, 2, flags);
    put(&mut out, 4, 1);
    out.extend_from_slice(question);
    if let Some(dnssec_ok) = edns {
        push_opt(&mut out, 0, dnssec_ok);
        let at = out.len() - 2;
        put(&mut out, at, u16::try_from(options.len()).unwrap_or(0));
        out.extend_from_slice(options);
        put(&mut out, 10, 1);
    }
    out
}

/// An OPT record without options, its length last.
pub(super) fn push_opt(out: &mut Vec<u8>, rcode: u16, dnssec_ok: bool) {
    let high = u8::try_from(rcode >> 4).unwrap_or(u8::MAX);
    out.push(0);
    out.extend_from_slice(&rtype::OPT.to_be_bytes());
    out.extend_from_slice(&UDP_SIZE.to_be_bytes());
    out.extend_from_slice(&[high, 0, if dnssec_ok { 0x80 } else { 0 }, 0]);
    out.extend_from_slice(&[0, 0]);
}

pub(super) fn put(out: &mut [u8], at: usize, word: u16) {
    if let Some(place) = out.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}
