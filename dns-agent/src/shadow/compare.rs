//! Whether two answers say the same: by what they mean to a client, not by order, TTL or letters' case.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    answer::{Records, Reply},
    cache::Kept,
    metrics::{Outcome, ShadowResult},
    wire::{Message, Rcode, rtype},
};

/// What an answer is to a client.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// There is no such name.
    Denied,
    /// There is, with these data.
    Found(Data),
}

/// Data without order.
#[derive(Debug, PartialEq, Eq)]
enum Data {
    Addresses(BTreeSet<IpAddr>),
    /// Port and target, in lower case. Weights are a matter of taste.
    Locations(BTreeSet<(u16, Box<[u8]>)>),
    /// Of other types, whether there is anything.
    Any(bool),
}

/// Compares what we would say with what the cluster's DNS said.
pub(super) fn compare(ours: &Reply<'_>, theirs: &Kept, rtype: u16) -> ShadowResult {
    let theirs = theirs
        .as_deref()
        .ok()
        .and_then(|message| theirs_means(message, rtype));
    let (Some(ours), Some(theirs)) = (ours_means(ours), theirs) else {
        return ShadowResult::Failed;
    };
    match (ours, theirs) {
        (Meaning::Denied, Meaning::Denied) => ShadowResult::Same,
        (Meaning::Found(_), Meaning::Denied) => ShadowResult::OursOnly,
        (Meaning::Denied, Meaning::Found(_)) => ShadowResult::TheirsOnly,
        (Meaning::Found(ours), Meaning::Found(theirs)) if same(&ours, &theirs) => {
            ShadowResult::Same
        }
        (Meaning::Found(_), Meaning::Found(_)) => ShadowResult::Differs,
    }
}

/// Nothing is nothing, of whatever type.
fn same(ours: &Data, theirs: &Data) -> bool {
    ours == theirs || (ours.is_empty() && theirs.is_empty())
}

impl Data {
    fn is_empty(&self) -> bool {
        match self {
            Self::Addresses(all) => all.is_empty(),
            Self::Locations(all) => all.is_empty(),
            Self::Any(some) => !some,
        }
    }
}

fn ours_means(reply: &Reply<'_>) -> Option<Meaning> {
    let data = match &reply.records {
        Records::None => Data::Any(false),
        Records::A { addresses, .. } => {
            Data::Addresses(addresses.iter().copied().map(IpAddr::from).collect())
        }
        Records::Aaaa { addresses, .. } => {
            Data::Addresses(addresses.iter().copied().map(IpAddr::from).collect())
        }
        Records::Srv { locations: all, .. } => {
            let all = all.iter();
            Data::Locations(
                all.map(|at| (at.port, at.target.as_wire().into()))
                    .collect(),
            )
        }
        Records::Soa | Records::Ns | Records::Version | Records::Hinfo => Data::Any(true),
    };
    match reply.rcode {
        Rcode::NoError => Some(Meaning::Found(data)),
        Rcode::NxDomain => Some(Meaning::Denied),
        _ => None,
    }
}

/// `None`: that is no answer, but a failure, or not all of one.
fn theirs_means(message: &Message, rtype: u16) -> Option<Meaning> {
    if message.flags().truncated() {
        return None;
    }
    match message.rcode() {
        0 => {}
        3 => return Some(Meaning::Denied),
        _ => return None,
    }
    Some(Meaning::Found(match rtype {
        rtype::A => Data::Addresses(message.addresses().filter(IpAddr::is_ipv4).collect()),
        rtype::AAAA => Data::Addresses(message.addresses().filter(IpAddr::is_ipv6).collect()),
        rtype::SRV => Data::Locations(message.locations()?.into_iter().collect()),
        rtype => Data::Any(message.answers_type(rtype)),
    }))
}

/// For the log.
pub(super) fn ours_in_words(reply: &Reply<'_>) -> String {
    match &reply.records {
        Records::A { addresses, .. } => listed(addresses.iter()),
        Records::Aaaa { addresses, .. } => listed(addresses.iter()),
        Records::Srv { locations: all, .. } => {
            listed(all.iter().map(|at| format!("{}:{}", at.target, at.port)))
        }
        Records::None | Records::Soa | Records::Ns | Records::Version | Records::Hinfo => {
            let outcome = Outcome::of(reply.rcode as u16, reply.has_records());
            outcome.as_str().to_owned()
        }
    }
}

/// For the log.
pub(super) fn theirs_in_words(theirs: &Kept) -> String {
    match theirs {
        Err(failure) => failure.ede().text.to_owned(),
        Ok(message) if message.addresses().next().is_some() => listed(message.addresses()),
        Ok(message) => {
            let outcome = Outcome::of(message.rcode(), message.has_answers());
            outcome.as_str().to_owned()
        }
    }
}

fn listed<T: ToString>(all: impl Iterator<Item = T>) -> String {
    let all: Vec<String> = all.map(|one| one.to_string()).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        answer::Reason,
        index::{Location, Turn},
        name::Name,
        upstream::Failure,
    };

    /// `a.b.`
    const NAME: &[u8] = b"\x01a\x01b\x00";

    /// What their server says: a code, and records owned by the name asked for.
    fn theirs(rcode: u8, rtype: u16, data: &[&[u8]]) -> Kept {
        let count = u8::try_from(data.len()).unwrap();
        let mut bytes = vec![0, 1, 0x81, 0x80 | rcode, 0, 1, 0, count, 0, 0, 0, 0];
        bytes.extend(NAME);
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1]);
        for data in data {
            bytes.extend([0xc0, 12]);
            bytes.extend(rtype.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 9, 0, u8::try_from(data.len()).unwrap()]);
            bytes.extend(*data);
        }
        Ok(Arc::new(Message::parse(bytes).unwrap()))
    }

    fn ours(rcode: Rcode, records: Records<'_>) -> Reply<'_> {
        Reply {
            rcode,
            records,
            soa: false,
            ede: None,
            reason: Reason::Local,
        }
    }

    #[track_caller]
    fn check(rtype: u16, ours: &Reply<'_>, theirs: &Kept, expected: ShadowResult) {
        assert_eq!(compare(ours, theirs, rtype), expected);
    }

    #[test]
    fn addresses_are_the_same_in_any_order() {
        let two = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let ours = ours(
            Rcode::NoError,
            Records::A {
                addresses: &two,
                turn: Turn { first: 1, count: 2 },
            },
        );
        let (one, other): (&[u8], &[u8]) = (&[10, 0, 0, 1], &[10, 0, 0, 2]);
        let check = |data: &[&[u8]], expected| check(1, &ours, &theirs(0, 1, data), expected);
        check(&[other, one], ShadowResult::Same);
        check(&[one, other, one], ShadowResult::Same);
        check(&[one], ShadowResult::Differs);
        check(&[], ShadowResult::Differs);
    }

    #[test]
    fn a_name_that_only_one_has_is_told_apart_from_other_data() {
        let some = [[10, 0, 0, 1].into()];
        let found = || Records::A {
            addresses: &some,
            turn: Turn { first: 0, count: 1 },
        };
        let address: &[u8] = &[10, 0, 0, 1];
        let (yes, empty) = (
            ours(Rcode::NoError, found()),
            ours(Rcode::NoError, Records::None),
        );
        let no = ours(Rcode::NxDomain, Records::None);
        for (ours, theirs, expected) in [
            (&yes, theirs(3, 1, &[]), ShadowResult::OursOnly),
            (&empty, theirs(3, 1, &[]), ShadowResult::OursOnly),
            (&empty, theirs(0, 1, &[]), ShadowResult::Same),
            (&empty, theirs(0, 1, &[address]), ShadowResult::Differs),
            (&no, theirs(3, 1, &[]), ShadowResult::Same),
            (&no, theirs(0, 1, &[address]), ShadowResult::TheirsOnly),
            (&no, theirs(0, 1, &[]), ShadowResult::TheirsOnly),
            (&yes, theirs(2, 1, &[]), ShadowResult::Failed),
            (&yes, Err(Failure::Silent), ShadowResult::Failed),
        ] {
            check(1, ours, &theirs, expected);
        }
    }

    #[test]
    fn locations_are_ports_and_targets_however_they_are_written() {
        let at = |port| Location {
            port,
            weight: 100,
            target: Name::parse("x.a.b").unwrap(),
        };
        let ours_are = [at(80)];
        let ours = ours(
            Rcode::NoError,
            Records::Srv {
                locations: &ours_are,
                rotation: 0,
            },
        );
        // Priority, weight, port; then the target with its end as a pointer to the question's name.
        let written = |port: u8, label: u8| [0, 0, 0, 7, 0, port, 1, label, 0xc0, 12];
        let check = |data: &[u8], expected| check(33, &ours, &theirs(0, 33, &[data]), expected);
        check(&written(80, b'x'), ShadowResult::Same);
        check(&written(80, b'X'), ShadowResult::Same);
        check(
            &[0, 0, 0, 7, 0, 80, 1, b'x', 1, b'a', 1, b'b', 0],
            ShadowResult::Same,
        );
        check(&written(81, b'x'), ShadowResult::Differs);
        check(&written(80, b'y'), ShadowResult::Differs);
        // A pointer to itself.
        check(&[0, 0, 0, 7, 0, 80, 0xc0, 39], ShadowResult::Failed);
    }
}
