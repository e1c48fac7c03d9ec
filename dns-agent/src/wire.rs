//! DNS messages as bytes (RFC 1035 §4): reading a query, writing a reply, relaying an upstream's message.
//!
//! Nothing here can panic on any bytes, and nothing here knows names, catalogs or policy. A message codec of our own
//! rather than a library's, because an answer keeps the question's bytes and a relayed message its own, and because
//! the hot path reads a name once into a fixed buffer and allocates nothing.

mod options;
mod query;
mod reader;
mod relay;
mod writer;

pub use query::{Edns, Flags, Parsed, Query, QueryName, Rejection, Transport, parse};
pub use relay::Message;
pub use writer::{Ede, Owner, Section, Writer, ask, ask_with_options, in_case_of, reject};

/// The size of a UDP message that we accept and send, in bytes: what passes every path unfragmented (DNS flag day
/// 2020).
pub const UDP_SIZE: u16 = 1232;
/// The length of a message header, in bytes.
pub const HEADER: usize = 12;

/// Class IN.
pub const CLASS_IN: u16 = 1;

/// The types that are treated apart; every other type is only a number here.
pub mod rtype {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A zone's server.
    pub const NS: u16 = 2;
    /// Start of a zone of authority.
    pub const SOA: u16 = 6;
    /// Host information; the minimal reply to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// A text.
    pub const TXT: u16 = 16;
    /// An IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Where a service listens (RFC 2782).
    pub const SRV: u16 = 33;
    /// The pseudo-record of EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Incremental zone transfer.
    pub const IXFR: u16 = 251;
    /// Zone transfer.
    pub const AXFR: u16 = 252;
    /// Every type.
    pub const ANY: u16 = 255;

    /// A type by its usual name, in either case, or as `TYPE` and its number.
    pub fn parse(text: &str) -> Option<u16> {
        let upper = text.to_ascii_uppercase();
        match upper.strip_prefix("TYPE") {
            Some(number) => number.parse().ok(),
            None => (1..=ANY).find(|rtype| name(*rtype) == upper),
        }
    }

    /// The usual name of a type, or `TYPE` and its number (RFC 3597 §5).
    pub fn name(rtype: u16) -> std::borrow::Cow<'static, str> {
        let name = match rtype {
            A => "A",
            NS => "NS",
            5 => "CNAME",
            SOA => "SOA",
            12 => "PTR",
            HINFO => "HINFO",
            15 => "MX",
            TXT => "TXT",
            AAAA => "AAAA",
            SRV => "SRV",
            43 => "DS",
            48 => "DNSKEY",
            64 => "SVCB",
            65 => "HTTPS",
            IXFR => "IXFR",
            AXFR => "AXFR",
            ANY => "ANY",
            other => return format!("TYPE{other}").into(),
        };
        name.into()
    }
}

/// The response codes that we send ourselves; a relayed message keeps its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Rcode {
    /// No error.
    NoError = 0,
    /// The query cannot be read.
    FormErr = 1,
    /// We could not find out.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
    /// The operation is not offered.
    NotImp = 4,
    /// The operation is not allowed.
    Refused = 5,
    /// The query's EDNS version is newer than ours (RFC 6891 §6.1.3).
    BadVers = 16,
}
