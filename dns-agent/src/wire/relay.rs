//! An upstream's message, kept as bytes and given on as bytes: only the identifier, the TTLs, the question's case,
//! EDNS (present iff asked for) and the length change.

use std::net::IpAddr;

use super::{
    Flags, HEADER, Query, Rcode, Section, options,
    query::{Counts, header},
    reader::Reader,
    rtype,
    writer::put,
};

/// A whole, well-formed reply of an upstream.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Box<[u8]>,
    flags: Flags,
    /// Where the records begin.
    body: usize,
    records: Box<[Record]>,
    opt: Option<Opt>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    section: Section,
    rtype: u16,
    /// Offset of the TTL; the record begins where the one before it ended.
    ttl_at: usize,
    ttl: u32,
    end: usize,
}

#[derive(Clone, Debug)]
struct Opt {
    extended_rcode: u8,
    options: Box<[u8]>,
}

impl Message {
    /// Reads a reply; `None` when it is no reply with one question, or when its counts and lengths disagree with its
    /// bytes. A failure that repeats no question and has no records is a reply too: servers that could not read the
    /// query, or would not, send no more than the header.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader::new(&bytes);
        let (_, flags, counts) = header(&mut reader)?;
        if !flags.is_response() || flags.opcode() != 0 {
            return None;
        }
        match counts.questions {
            0 if counts.answers == 0 && counts.authorities == 0 && is_failure(flags) => {}
            1 => {
                reader.plain_name()?;
                reader.take(4)?;
            }
            _ => return None,
        }
        let body = reader.at();
        let mut records = Vec::new();
        let mut opt = None;
        for section in sections(&counts) {
            let start = reader.at();
            reader.skip_name()?;
            let root = reader.at() - start == 1;
            let rtype = reader.u16()?;
            reader.u16()?;
            let ttl_at = reader.at();
            let ttl = reader.u32()?;
            let length = usize::from(reader.u16()?);
            let rdata = reader.take(length)?;
            if rtype == rtype::OPT {
                if opt.is_some() || !root || section != Section::Additional {
                    return None;
                }
                let [extended_rcode, ..] = ttl.to_be_bytes();
                opt = Some(Opt {
                    extended_rcode,
                    options: options::end_to_end(rdata)?,
                });
            } else if opt.is_none() {
                records.push(Record {
                    section,
                    rtype,
                    ttl_at,
                    // RFC 2181 §8: a TTL with the top bit set counts as zero.
                    ttl: if ttl > i32::MAX as u32 { 0 } else { ttl },
                    end: reader.at(),
                });
            }
            // What follows OPT is left out: its compression pointers could not follow once OPT is gone, and
            // additional records are optional (RFC 2181 §9) while TSIG and SIG(0) concern one hop only.
        }
        Some(Self {
            flags,
            body,
            records: records.into(),
            opt,
            bytes: bytes.into(),
        })
    }

    /// The identifier.
    pub fn id(&self) -> u16 {
        Reader::new(&self.bytes).u16().unwrap_or_default()
    }

    /// The flags as received.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The whole response code, with EDNS' upper bits.
    pub fn rcode(&self) -> u16 {
        let high = self.opt.as_ref().map_or(0, |opt| opt.extended_rcode);
        (u16::from(high) << 4) | (self.flags.0 & Flags::RCODE)
    }

    /// Whether the reply has an OPT record.
    pub fn has_edns(&self) -> bool {
        self.opt.is_some()
    }

    /// The whole response code as the sender of `query` gets it. What has no place in the header becomes the general
    /// failure without EDNS; so does the refusal of the version of EDNS that we chose for asking, not the client.
    pub fn rcode_for(&self, query: &Query) -> u16 {
        let rcode = self.rcode();
        if (query.edns.is_none() && rcode > Flags::RCODE) || rcode == Rcode::BadVers as u16 {
            return Rcode::ServFail as u16;
        }
        rcode
    }

    /// Whether it is for clients of one part of the network only (RFC 7871 §7.3.1).
    pub fn is_tailored(&self) -> bool {
        let options = self.opt.as_ref().map(|opt| &*opt.options);
        let scope = options.and_then(options::client_subnet_scope);
        scope.is_some_and(|bits| bits > 0)
    }

    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        let options = self.opt.as_ref().map_or(0, |opt| opt.options.len());
        size_of::<Self>() + self.bytes.len() + size_of_val(&*self.records) + options
    }

    /// The question as it travels; empty when a failure repeats none.
    pub fn question(&self) -> &[u8] {
        self.bytes.get(HEADER..self.body).unwrap_or_default()
    }

    /// Whether the answer section has anything.
    pub fn has_answers(&self) -> bool {
        self.records
            .iter()
            .any(|record| record.section == Section::Answer)
    }

    /// Whether the answer section has a record of this type.
    pub fn answers_type(&self, rtype: u16) -> bool {
        self.records
            .iter()
            .any(|record| record.section == Section::Answer && record.rtype == rtype)
    }

    /// The smallest TTL of all records, in seconds; `None` without records.
    pub fn least_ttl(&self) -> Option<u32> {
        self.records.iter().map(|record| record.ttl).min()
    }

    /// The addresses in the answer section, whoever's they are: those of the name asked for and of the names that it
    /// stands for.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let answers = self.records.iter();
        let answers = answers.filter(|record| record.section == Section::Answer);
        answers.filter_map(|record| {
            // The data lies between its length, behind the TTL, and the record's end.
            let data = self.bytes.get(record.ttl_at + 6..record.end)?;
            match record.rtype {
                rtype::A => Some(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
                rtype::AAAA => Some(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
                _ => None,
            }
        })
    }

    /// The texts in the answer section, each as its strings (RFC 1035 §3.3.14). One whose lengths are wrong is left out.
    pub fn texts(&self) -> impl Iterator<Item = Vec<&[u8]>> {
        let answers = self.records.iter();
        let answers = answers
            .filter(|record| record.section == Section::Answer && record.rtype == rtype::TXT);
        answers.filter_map(|record| {
            let data = self.bytes.get(record.ttl_at + 6..record.end)?;
            let mut reader = Reader::new(data);
            let mut strings = Vec::new();
            while reader.at() < data.len() {
                let length = reader.u8()?;
                strings.push(reader.take(usize::from(length))?);
            }
            Some(strings)
        })
    }

    /// The ports and targets of the SRV records in the answer section, the targets in wire form and lower case; `None`
    /// when one cannot be read.
    pub fn locations(&self) -> Option<Vec<(u16, Box<[u8]>)>> {
        let answers = self.records.iter();
        let answers = answers
            .filter(|record| record.section == Section::Answer && record.rtype == rtype::SRV);
        let location = |record: &Record| {
            // Behind the data's length come priority and weight, 2 bytes each.
            let mut reader = Reader::new(&self.bytes).from(record.ttl_at + 6 + 4);
            Some((reader.u16()?, reader.whole_name()?))
        };
        answers.map(location).collect()
    }

    /// For how long a denial may be kept, in seconds: the lesser of the SOA's TTL and its minimum (RFC 2308 §5).
    /// `None` without an SOA in the authority section.
    pub fn negative_ttl(&self) -> Option<u32> {
        let (_, soa) = self.soa()?;
        let minimum = self.bytes.get(soa.end.checked_sub(4)?..soa.end)?;
        let minimum = u32::from_be_bytes(minimum.try_into().ok()?);
        Some(soa.ttl.min(minimum))
    }

    /// The zone that denies the name, in wire form and lower case: the owner of the SOA in the authority section (RFC 2308
    /// §2.1). `None` when the name is not denied, or nobody says for whom.
    pub fn denied_by(&self) -> Option<Box<[u8]>> {
        let (start, _) = self.soa()?;
        let denied = self.rcode() == Rcode::NxDomain as u16;
        denied.then(|| Reader::new(&self.bytes).from(start).whole_name())?
    }

    /// The SOA in the authority section, and where it begins.
    fn soa(&self) -> Option<(usize, &Record)> {
        let starts = self.records.iter().map(|record| record.end);
        let starts = std::iter::once(self.body).chain(starts);
        starts
            .zip(&self.records)
            .find(|(_, record)| record.section == Section::Authority && record.rtype == rtype::SOA)
    }

    /// Writes the message as the reply to `query`, whose question must be the same but for its case, in at most
    /// `limit` bytes, every TTL reduced by `age` seconds.
    pub fn write(&self, out: &mut Vec<u8>, query: &Query, limit: usize, age: u32) {
        out.clear();
        out.resize(HEADER, 0);
        query.push_question(out);
        let edns = query.edns;
        let options = self.opt.as_ref().map_or(&[][..], |opt| &opt.options);
        // Options are of less use than records: they go first when room is short.
        let mut room = limit.saturating_sub(if edns.is_some() { 11 } else { 0 });
        let mut counts = [0_u16; 3];
        let mut cut = self.flags.truncated();
        let mut start = self.body;
        for record in &self.records {
            let bytes = self.bytes.get(start..record.end).unwrap_or_default();
            if out.len() + bytes.len() > room {
                cut |= record.section != Section::Additional;
                break;
            }
            let ttl_at = out.len() + (record.ttl_at - start);
            out.extend_from_slice(bytes);
            let ttl = record.ttl.saturating_sub(age).to_be_bytes();
            if let Some(place) = out.get_mut(ttl_at..ttl_at + 4) {
                place.copy_from_slice(&ttl);
            }
            let [answers, authorities, additionals] = &mut counts;
            *match record.section {
                Section::Answer => answers,
                Section::Authority => authorities,
                Section::Additional => additionals,
            } += 1;
            start = record.end;
        }
        let rcode = self.rcode_for(query);
        let [answers, authorities, mut additionals] = counts;
        if let Some(edns) = edns {
            room += 11;
            let fits = out.len() + 11 + options.len() <= room;
            // The DO bit is the query's (RFC 3225 §3), whoever keeps or leaves it out on the way.
            push_opt(out, rcode, edns.dnssec_ok, if fits { options } else { &[] });
            additionals += 1;
        }
        put(out, 0, query.id);
        put(
            out,
            2,
            self.reply_flags(query, cut) | (rcode & Flags::RCODE),
        );
        put(out, 4, 1);
        put(out, 6, answers);
        put(out, 8, authorities);
        put(out, 10, additionals);
    }

    /// Authentic data is told only to who asked for it (RFC 6840 §5.8).
    fn reply_flags(&self, query: &Query, cut: bool) -> u16 {
        let theirs = Flags::RD | Flags::CD;
        let mut flags = self.flags.0 & !(theirs | Flags::TC | Flags::RCODE | Flags::AD);
        flags |= query.flags.0 & theirs;
        if query.flags.authentic_data() || query.dnssec_ok() {
            flags |= self.flags.0 & Flags::AD;
        }
        if cut {
            flags |= Flags::TC;
        }
        flags
    }
}

/// Whether the header's response code tells that the server could not or would not answer.
fn is_failure(flags: Flags) -> bool {
    let failures = [
        Rcode::FormErr,
        Rcode::ServFail,
        Rcode::NotImp,
        Rcode::Refused,
    ];
    let rcode = flags.0 & Flags::RCODE;
    failures.iter().any(|failure| *failure as u16 == rcode)
}

fn sections(counts: &Counts) -> impl Iterator<Item = Section> + use<> {
    let repeat = |section, count: u16| std::iter::repeat_n(section, usize::from(count));
    repeat(Section::Answer, counts.answers)
        .chain(repeat(Section::Authority, counts.authorities))
        .chain(repeat(Section::Additional, counts.additionals))
}

fn push_opt(out: &mut Vec<u8>, rcode: u16, dnssec_ok: bool, options: &[u8]) {
    super::writer::push_opt(out, rcode, dnssec_ok);
    let at = out.len() - 2;
    put(out, at, u16::try_from(options.len()).unwrap_or(0));
    out.extend_from_slice(options);
}
