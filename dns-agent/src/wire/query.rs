//! Reading a query: the header, exactly one question, and EDNS.

use super::{HEADER, Rcode, UDP_SIZE, options, reader::Reader, rtype};
use crate::name::MAX_NAME;

/// What a received datagram or TCP message is.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one look, and a box would cost an allocation a query"
)]
#[derive(Clone, Debug)]
pub enum Parsed {
    /// Not a query; any reply could feed a loop or a reflection.
    Ignore,
    /// A query to be refused from its header alone.
    Reject(Rejection),
    /// A query.
    Query(Query),
}

/// What is needed to refuse a message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The message's identifier.
    pub id: u16,
    /// The message's flags.
    pub flags: Flags,
    /// Why.
    pub rcode: Rcode,
}

/// One question with what is needed to reply to it. Owned and, but for options that few queries have, of fixed size: a query
/// costs no allocation.
#[derive(Clone, Debug)]
pub struct Query {
    /// The identifier to repeat.
    pub id: u16,
    /// The query's flags.
    pub flags: Flags,
    /// The name in lower case.
    pub name: QueryName,
    /// The name with the sender's case, to be repeated to the byte.
    pub original: QueryName,
    /// The type asked for.
    pub rtype: u16,
    /// The class asked for.
    pub class: u16,
    /// Present when the query has an OPT record.
    pub edns: Option<Edns>,
    /// The options of that record that are not meant for us alone, as they travel.
    pub options: Box<[u8]>,
}

/// What a query's OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP reply that the sender takes, in bytes, as sent.
    pub size: u16,
    /// The version; ours is 0.
    pub version: u8,
    /// Whether DNSSEC records are asked for.
    pub dnssec_ok: bool,
}

/// The second word of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    pub(super) const QR: u16 = 0x8000;
    pub(super) const AA: u16 = 0x0400;
    pub(super) const TC: u16 = 0x0200;
    pub(super) const RD: u16 = 0x0100;
    pub(super) const RA: u16 = 0x0080;
    pub(super) const AD: u16 = 0x0020;
    pub(super) const CD: u16 = 0x0010;
    pub(super) const OPCODE: u16 = 0x7800;
    pub(super) const RCODE: u16 = 0x000f;

    /// Recursion desired.
    pub fn recursion_desired(self) -> bool {
        self.0 & Self::RD != 0
    }

    /// Checking disabled (RFC 4035 §3.2.2).
    pub fn checking_disabled(self) -> bool {
        self.0 & Self::CD != 0
    }

    /// Authentic data: in a query, that the sender wants to know (RFC 6840 §5.7).
    pub fn authentic_data(self) -> bool {
        self.0 & Self::AD != 0
    }

    /// The reply was cut.
    pub fn truncated(self) -> bool {
        self.0 & Self::TC != 0
    }

    /// It is a reply.
    pub fn is_response(self) -> bool {
        self.0 & Self::QR != 0
    }

    /// 0 is a plain query.
    pub fn opcode(self) -> u16 {
        (self.0 & Self::OPCODE) >> 11
    }
}

/// A name of at most 255 bytes, in wire form with its final zero, held in place.
#[derive(Clone)]
pub struct QueryName {
    bytes: [u8; MAX_NAME],
    length: u8,
}

impl QueryName {
    /// The wire form.
    pub fn as_wire(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    fn new(wire: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_NAME];
        bytes.get_mut(..wire.len())?.copy_from_slice(wire);
        Some(Self {
            bytes,
            length: u8::try_from(wire.len()).ok()?,
        })
    }

    fn lower_case(&self) -> Self {
        let mut lower = self.clone();
        // Length bytes are at most 63 and so never letters.
        lower.bytes.make_ascii_lowercase();
        lower
    }
}

impl std::fmt::Debug for QueryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crate::name::Text(self.as_wire()).fmt(f)
    }
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram a message.
    Udp,
    /// A stream, each message behind its length.
    Tcp,
}

impl Query {
    /// The largest reply, in bytes: over UDP 512, or with EDNS what the sender takes, between 512 and 1232.
    pub fn reply_limit(&self, transport: Transport) -> usize {
        match (transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(edns)) => usize::from(edns.size.clamp(512, UDP_SIZE)),
        }
    }

    /// Whether DNSSEC records are asked for.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The length of the question on the wire, in bytes.
    pub fn question_length(&self) -> usize {
        usize::from(self.original.length) + 4
    }

    pub(super) fn push_question(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.original.as_wire());
        out.extend_from_slice(&self.rtype.to_be_bytes());
        out.extend_from_slice(&self.class.to_be_bytes());
    }
}

/// Reads a message that came to our port.
pub fn parse(message: &[u8]) -> Parsed {
    let mut reader = Reader::new(message);
    let Some((id, flags, counts)) = header(&mut reader) else {
        return Parsed::Ignore;
    };
    if flags.is_response() {
        return Parsed::Ignore;
    }
    let reject = |rcode| Parsed::Reject(Rejection { id, flags, rcode });
    if flags.opcode() != 0 {
        return reject(Rcode::NotImp);
    }
    // Exactly one question (RFC 9619).
    if counts.questions != 1 {
        return reject(Rcode::FormErr);
    }
    body(&mut reader, id, flags, counts).map_or_else(|| reject(Rcode::FormErr), Parsed::Query)
}

pub(super) struct Counts {
    pub(super) questions: u16,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    pub(super) additionals: u16,
}

pub(super) fn header(reader: &mut Reader<'_>) -> Option<(u16, Flags, Counts)> {
    let mut words = Reader::new(reader.take(HEADER)?);
    Some((
        words.u16()?,
        Flags(words.u16()?),
        Counts {
            questions: words.u16()?,
            answers: words.u16()?,
            authorities: words.u16()?,
            additionals: words.u16()?,
        },
    ))
}

fn body(reader: &mut Reader<'_>, id: u16, flags: Flags, counts: Counts) -> Option<Query> {
    let original = QueryName::new(reader.plain_name()?)?;
    let rtype = reader.u16()?;
    let class = reader.u16()?;
    let mut edns = None;
    let mut options = Box::default();
    // IXFR puts a record into the authority section; whatever is there is only stepped over.
    let others = u32::from(counts.answers) + u32::from(counts.authorities);
    for at in 0..others + u32::from(counts.additionals) {
        let start = reader.at();
        reader.skip_name()?;
        let root = reader.at() - start == 1;
        let record = reader.u16()?;
        let size = reader.u16()?;
        let extended = reader.u32()?.to_be_bytes();
        let length = reader.u16()?;
        let data = reader.take(usize::from(length))?;
        if record != rtype::OPT {
            continue;
        }
        // One OPT, in the additional section, owned by the root (RFC 6891 §6.1.1).
        if edns.is_some() || !root || at < others {
            return None;
        }
        let [_, version, high, _] = extended;
        // What the options of another version look like is not ours to say; its sender is told the version (§6.1.3).
        if version == 0 {
            options = options::of_query(data)?;
        }
        edns = Some(Edns {
            size,
            version,
            dnssec_ok: high & 0x80 != 0,
        });
    }
    Some(Query {
        id,
        flags,
        name: original.lower_case(),
        original,
        rtype,
        class,
        edns,
        options,
    })
}
