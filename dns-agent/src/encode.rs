//! Writing an answer of our own as a message.

use std::{borrow::Cow, net::IpAddr};

use tokio::time::Instant;

use crate::{
    answer::{Reason, Records, Reply},
    gateway::Lifetimes,
    index::{Entry, Index, Location},
    name::{Name, labels},
    wire::{Owner, Query, Section, Writer, in_case_of, rtype},
};

/// The data of the minimal reply to ANY (RFC 8482 §4.2): CPU `RFC8482`, no operating system.
const HINFO: &[u8] = b"\x07RFC8482\x00";

/// The version of the Kubernetes DNS specification, as one string of a text.
const VERSION: &[u8] = b"\x051.1.0";

/// Writes `reply` to `query` into `out`, in at most `limit` bytes. No record with gateways' addresses, or with the names
/// that they are behind, lives longer than those.
pub fn encode(
    out: &mut Vec<u8>,
    index: &Index,
    query: &Query,
    reply: &Reply<'_>,
    limit: usize,
    gateways: &Lifetimes,
) {
    let ttl = ttl(index, reply, gateways);
    let mut writer = Writer::new(out, query, limit, reply.rcode, reply.ede);
    let answer = |writer: &mut Writer<'_>, rtype, data: &[u8]| {
        writer.record(Section::Answer, Owner::Question, rtype, ttl, data)
    };
    match reply.records {
        Records::None => {}
        Records::A { addresses, turn } => {
            for address in turn.of(addresses) {
                if !answer(&mut writer, rtype::A, &address.octets()) {
                    break;
                }
            }
        }
        Records::Aaaa { addresses, turn } => {
            for address in turn.of(addresses) {
                if !answer(&mut writer, rtype::AAAA, &address.octets()) {
                    break;
                }
            }
        }
        Records::Srv {
            locations,
            rotation,
        } => {
            for location in locations {
                if !answer(&mut writer, rtype::SRV, &srv(query, location)) {
                    break;
                }
            }
            let mut targets: Vec<_> = locations.iter().map(|location| &location.target).collect();
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                glue(&mut writer, index, target, ttl, rotation);
            }
        }
        Records::Soa => {
            answer(&mut writer, rtype::SOA, &soa(query, index.soa()));
        }
        Records::Ns => {
            let server = index.server();
            let named = in_case_of(query.original.as_wire(), server.as_wire());
            answer(&mut writer, rtype::NS, &named);
            glue(&mut writer, index, &server, ttl, 0);
        }
        Records::Version => {
            answer(&mut writer, rtype::TXT, VERSION);
        }
        Records::Hinfo => {
            answer(&mut writer, rtype::HINFO, HINFO);
        }
    }
    if reply.reason.is_ours() {
        writer.authoritative();
    }
    if reply.soa
        && let Some(zone) = index.zone(query.name.as_wire())
    {
        let owner = Owner::QuestionEnd(zone.as_wire().len());
        let data = soa(query, index.soa());
        writer.record(Section::Authority, owner, rtype::SOA, ttl, &data);
    }
    writer.finish();
}

/// The TTL of a reply's records, in seconds.
pub fn ttl(index: &Index, reply: &Reply<'_>, gateways: &Lifetimes) -> u32 {
    let most = index.settings().ttl;
    if reply.reason != Reason::Gateway || gateways.is_empty() {
        return most;
    }
    let now = Instant::now();
    match reply.records {
        Records::A { addresses, .. } => {
            gateways.ttl(most, addresses.iter().copied().map(IpAddr::from), now)
        }
        Records::Aaaa { addresses, .. } => {
            gateways.ttl(most, addresses.iter().copied().map(IpAddr::from), now)
        }
        Records::Srv { locations, .. } => {
            let hosts = locations.iter().filter_map(|location| {
                match index.entry(location.target.as_wire()) {
                    Some(Entry::Host(host)) => Some(host),
                    _ => None,
                }
            });
            let addresses = hosts.flat_map(|host| {
                let v4 = host.v4.iter().copied().map(IpAddr::from);
                v4.chain(host.v6.iter().copied().map(IpAddr::from))
            });
            gateways.ttl(most, addresses, now)
        }
        _ => most,
    }
}

/// The target is never compressed (RFC 2782).
fn srv(query: &Query, location: &Location) -> Vec<u8> {
    let target = in_case_of(query.original.as_wire(), location.target.as_wire());
    let mut data = Vec::with_capacity(6 + target.len());
    for number in [0, location.weight, location.port] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data.extend_from_slice(&target);
    data
}

/// The data of an SOA, whose two names are written whole and stand first.
fn soa<'d>(query: &Query, data: &'d [u8]) -> Cow<'d, [u8]> {
    let question = query.original.as_wire();
    if question == query.name.as_wire() {
        return Cow::Borrowed(data);
    }
    let length = |data: &[u8]| 1 + labels(data).map(|label| label.len() + 1).sum::<usize>();
    let (server, rest) = data.split_at(length(data).min(data.len()));
    let (person, numbers) = rest.split_at(length(rest).min(rest.len()));
    let names = [server, person].map(|name| in_case_of(question, name));
    Cow::Owned([&names.concat(), numbers].concat())
}

/// A target's addresses: those, and in the order, that a question for them would be answered with.
fn glue(writer: &mut Writer<'_>, index: &Index, target: &Name, ttl: u32, rotation: usize) {
    let Some(Entry::Host(host)) = index.entry(target.as_wire()) else {
        return;
    };
    let mut add = |rtype, data: &[u8]| {
        writer.record(Section::Additional, Owner::Other(target), rtype, ttl, data);
    };
    for address in host.turn(host.v4.len(), rotation).of(&host.v4) {
        add(rtype::A, &address.octets());
    }
    for address in host.turn(host.v6.len(), rotation).of(&host.v6) {
        add(rtype::AAAA, &address.octets());
    }
}
