//! The options of EDNS (RFC 6891 §6.1.2): which of them are passed on.

use super::reader::Reader;

/// Options that concern one hop only: cookie, TCP keepalive, padding (RFC 7873, 7828, 7830).
const HOP_BY_HOP: [u16; 3] = [10, 11, 12];
/// Which part of the network a client is in (EDNS Client Subnet, RFC 7871).
const CLIENT_SUBNET: u16 = 8;
/// So many bytes of a query's options are passed on. The longest that tells a client's network has 24.
const MOST: usize = 256;

/// The options of `data` that are not meant for one hop only; `None` when their lengths are wrong.
pub(super) fn end_to_end(data: &[u8]) -> Option<Box<[u8]>> {
    let mut kept = Vec::new();
    let mut reader = Reader::new(data);
    while reader.at() < data.len() {
        let start = reader.at();
        let (code, _) = option(&mut reader)?;
        if !HOP_BY_HOP.contains(&code) {
            kept.extend_from_slice(data.get(start..reader.at())?);
        }
    }
    Some(kept.into())
}

/// The same of a query. More than anybody needs is not passed on at all: no server has to know any option.
pub(super) fn of_query(data: &[u8]) -> Option<Box<[u8]>> {
    let kept = end_to_end(data)?;
    Some(if kept.len() > MOST {
        Box::default()
    } else {
        kept
    })
}

/// How much of a client's address the answer is for, in bits, where options say so; 0: it is for everybody.
pub(super) fn client_subnet_scope(options: &[u8]) -> Option<u8> {
    let mut reader = Reader::new(options);
    while reader.at() < options.len() {
        let (code, data) = option(&mut reader)?;
        if code == CLIENT_SUBNET {
            // Behind the family and the length of what was asked with.
            return data.get(3).copied();
        }
    }
    None
}

fn option<'o>(reader: &mut Reader<'o>) -> Option<(u16, &'o [u8])> {
    let code = reader.u16()?;
    let length = reader.u16()?;
    Some((code, reader.take(usize::from(length))?))
}
