//! What a question is answered with: a pure function of the index, the question and a rotation. It cannot fail.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    index::{Entry, Host, Index, Location, Mode, Origin, Standing, Turn},
    name::is_under,
    wire::{CLASS_IN, Ede, Rcode, rtype},
};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The name in wire form and lower case.
    pub name: &'q [u8],
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
}

/// What to do about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'i> {
    /// We know.
    Reply(Reply<'i>),
    /// Somebody else knows.
    Forward(Forward),
}

/// An answer of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'i> {
    /// The response code.
    pub rcode: Rcode,
    /// The answer section.
    pub records: Records<'i>,
    /// Whether the zone's SOA goes into the authority section.
    pub soa: bool,
    /// An extended error.
    pub ede: Option<Ede>,
    /// Why this is the answer.
    pub reason: Reason,
}

impl Reply<'_> {
    /// Whether the answer section has anything.
    pub fn has_records(&self) -> bool {
        self.records != Records::None
    }
}

/// The answer section of a reply of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records<'i> {
    /// Nothing.
    None,
    /// Addresses.
    A {
        /// All.
        addresses: &'i [Ipv4Addr],
        /// Which of them are given.
        turn: Turn,
    },
    /// Addresses.
    Aaaa {
        /// All.
        addresses: &'i [Ipv6Addr],
        /// Which of them are given.
        turn: Turn,
    },
    /// Service locations; the targets' addresses go into the additional section.
    Srv {
        /// All.
        locations: &'i [Location],
        /// Chooses which of a target's addresses come first, and which are given.
        rotation: usize,
    },
    /// The SOA itself.
    Soa,
    /// The zone's server; its addresses go into the additional section.
    Ns,
    /// The version of the names' specification, as a text.
    Version,
    /// The least that satisfies a question for every type (RFC 8482 §4.2).
    Hinfo,
}

/// To whom a question goes, and how its answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Which servers.
    pub to: Servers,
    /// Whether a denial may be untrue.
    pub doubt: Doubt,
    /// Why we do not answer ourselves.
    pub why: Elsewhere,
}

/// Whether a denial may be untrue, because a catalog that may have the name was never read: then it must not reach the
/// client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is true.
    None,
    /// It may be untrue.
    Some,
    /// It may be untrue if the name's namespace exists in the local cluster: the cluster's own DNS knows.
    IfNamespaceExists,
    /// It may be untrue unless the cluster's own zone says so: other servers know nothing of the cluster, and deny its
    /// names for a day.
    UnlessByZone,
}

/// Why somebody else is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elsewhere {
    /// The name is not below the cluster domain.
    Outside,
    /// It is an address's name, which the cluster's DNS knows or passes on.
    Reverse,
    /// Only the cluster's DNS knows its answer: an ExternalName, or what the policy leaves to it.
    Upstream,
    /// It is a pod's.
    Pod,
    /// No catalog has it.
    NotFound,
    /// We could answer, but only watch.
    Shadow,
}

/// All of them.
pub const ELSEWHERE: [Elsewhere; 6] = [
    Elsewhere::Outside,
    Elsewhere::Reverse,
    Elsewhere::Upstream,
    Elsewhere::Pod,
    Elsewhere::NotFound,
    Elsewhere::Shadow,
];

impl Elsewhere {
    /// The word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Reverse => "reverse",
            Self::Upstream => "upstream",
            Self::Pod => "pod",
            Self::NotFound => "not-found",
            Self::Shadow => "shadow",
        }
    }
}

/// The two sets of upstream servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Servers {
    /// The cluster's own DNS; where none is configured apart, the general servers.
    Cluster,
    /// The general servers.
    General,
}

/// Why an answer is as it is, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The local cluster has the service.
    Local,
    /// Only peers have it: their gateways.
    Gateway,
    /// Only peers have it: its own addresses there.
    ClusterIp,
    /// The name exists and has nothing of this type.
    NoData,
    /// A question for every type.
    Any,
    /// No catalog has the name.
    NotFound,
    /// A catalog that may have the name was never read.
    NotSynced,
    /// A class other than IN.
    Class,
    /// A zone transfer.
    Transfer,
}

impl Reason {
    /// Whether the reply speaks of a name of ours, rather than refusing to.
    pub fn is_ours(self) -> bool {
        !matches!(self, Self::NotSynced | Self::Class | Self::Transfer)
    }

    /// The word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gateway => "gateway",
            Self::ClusterIp => "cluster-ip",
            Self::NoData => "nodata",
            Self::Any => "any",
            Self::NotFound => "not-found",
            Self::NotSynced => "not-synced",
            Self::Class => "class",
            Self::Transfer => "transfer",
        }
    }
}

/// What a client gets in shadow mode, where `ours` is what it would get otherwise: whatever the cluster's DNS says, also a
/// denial that we would not trust. Only what no server should be asked is still refused.
pub fn in_shadow<'i>(ours: &Answer<'i>) -> Answer<'i> {
    match ours {
        Answer::Reply(reply) if matches!(reply.reason, Reason::Class | Reason::Transfer) => {
            ours.clone()
        }
        Answer::Reply(_) => forward(Servers::Cluster, Elsewhere::Shadow),
        Answer::Forward(to) => Answer::Forward(Forward {
            doubt: Doubt::None,
            ..*to
        }),
    }
}

/// Tells a client that a denial would be premature (RFC 8914 §4.15).
pub const NOT_READY: Ede = Ede {
    code: 14,
    text: "a catalog that may have this name has not been read yet",
};

/// Answers a question. `rotation` chooses which of several addresses comes first.
pub fn answer<'i>(index: &'i Index, question: Question<'_>, rotation: usize) -> Answer<'i> {
    if question.class != CLASS_IN {
        return refuse(Reason::Class);
    }
    if matches!(question.rtype, rtype::AXFR | rtype::IXFR) {
        return refuse(Reason::Transfer);
    }
    if index.zone(question.name).is_none() {
        // The cluster's DNS knows the names of its own addresses and passes on what it does not know.
        let reverse = REVERSE.iter().any(|zone| is_under(question.name, zone));
        return if reverse {
            forward(Servers::Cluster, Elsewhere::Reverse)
        } else {
            forward(Servers::General, Elsewhere::Outside)
        };
    }
    match index.entry(question.name) {
        // Of a peer's own domain others may know more.
        None if index.is_in_other_domain(question.name) => {
            let in_doubt = index.is_in_doubt_elsewhere(question.name);
            Answer::Forward(Forward {
                to: Servers::General,
                doubt: if in_doubt { Doubt::Some } else { Doubt::None },
                why: Elsewhere::Outside,
            })
        }
        Some(Entry::Upstream { .. }) => forward(Servers::Cluster, Elsewhere::Upstream),
        Some(_) if question.rtype == rtype::ANY => found(Records::Hinfo, Reason::Any),
        Some(Entry::Host(host)) if question.rtype == rtype::SRV => {
            locations(index, &host.locations, rotation)
        }
        Some(Entry::Host(host)) => addresses(host, question.rtype, rotation),
        Some(Entry::Service(found)) if question.rtype == rtype::SRV => {
            locations(index, found, rotation)
        }
        Some(Entry::Zone) if question.rtype == rtype::SOA => found(Records::Soa, Reason::Local),
        Some(Entry::Zone) if question.rtype == rtype::NS => found(Records::Ns, Reason::Local),
        Some(Entry::Version) if question.rtype == rtype::TXT => {
            found(Records::Version, Reason::Local)
        }
        Some(Entry::Service(_) | Entry::Zone | Entry::Version | Entry::Inner) => no_data(),
        None => unknown(index, question),
    }
}

/// `in-addr.arpa` and `ip6.arpa`.
pub(crate) const REVERSE: [&[u8]; 2] = [b"\x07in-addr\x04arpa\x00", b"\x03ip6\x04arpa\x00"];

fn locations<'i>(index: &'i Index, locations: &'i [Location], rotation: usize) -> Answer<'i> {
    if locations.is_empty() {
        return no_data();
    }
    let mut all = locations.iter();
    let origin = all.find_map(|location| origin(index, location));
    found(
        Records::Srv {
            locations,
            rotation,
        },
        origin.map_or(Reason::NoData, reason),
    )
}

fn addresses(host: &Host, rtype: u16, rotation: usize) -> Answer<'_> {
    match rtype {
        rtype::A if !host.v4.is_empty() => found(
            Records::A {
                addresses: &host.v4,
                turn: host.turn(host.v4.len(), rotation),
            },
            reason(host.origin),
        ),
        rtype::AAAA if !host.v6.is_empty() => found(
            Records::Aaaa {
                addresses: &host.v6,
                turn: host.turn(host.v6.len(), rotation),
            },
            reason(host.origin),
        ),
        _ => no_data(),
    }
}

/// Of a name without an entry.
fn unknown<'i>(index: &'i Index, question: Question<'_>) -> Answer<'i> {
    // What is not known as it is now proves nothing: the cluster's own DNS may know more.
    let we_deny = index.settings().mode == Mode::Authoritative && index.is_current();
    let in_doubt = |doubt| {
        Answer::Forward(Forward {
            to: Servers::Cluster,
            doubt,
            why: Elsewhere::NotFound,
        })
    };
    let standing = index.standing(question.name);
    let is_behind = index.settings().mode == Mode::Authoritative && !index.is_current();
    match standing {
        Standing::Elsewhere | Standing::Unclaimed
            if is_behind && index.may_be_service(question.name) =>
        {
            in_doubt(Doubt::UnlessByZone)
        }
        Standing::Pod => forward(Servers::Cluster, Elsewhere::Pod),
        Standing::Elsewhere => forward(Servers::Cluster, Elsewhere::Upstream),
        Standing::Unclaimed if !we_deny => forward(Servers::Cluster, Elsewhere::NotFound),
        Standing::InDoubtIfHere => in_doubt(Doubt::IfNamespaceExists),
        Standing::InDoubt if !we_deny => in_doubt(Doubt::Some),
        Standing::InDoubt => Answer::Reply(Reply {
            rcode: Rcode::ServFail,
            records: Records::None,
            soa: false,
            ede: Some(NOT_READY),
            reason: Reason::NotSynced,
        }),
        Standing::Absent | Standing::Unclaimed => Answer::Reply(Reply {
            rcode: Rcode::NxDomain,
            records: Records::None,
            soa: true,
            ede: None,
            reason: Reason::NotFound,
        }),
    }
}

fn forward<'i>(to: Servers, why: Elsewhere) -> Answer<'i> {
    Answer::Forward(Forward {
        to,
        doubt: Doubt::None,
        why,
    })
}

fn found(records: Records<'_>, reason: Reason) -> Answer<'_> {
    Answer::Reply(Reply {
        rcode: Rcode::NoError,
        records,
        soa: false,
        ede: None,
        reason,
    })
}

/// The name exists, so a denial of the name would be wrong: resolvers keep it for every type.
fn no_data<'i>() -> Answer<'i> {
    Answer::Reply(Reply {
        rcode: Rcode::NoError,
        records: Records::None,
        soa: true,
        ede: None,
        reason: Reason::NoData,
    })
}

fn refuse<'i>(reason: Reason) -> Answer<'i> {
    Answer::Reply(Reply {
        rcode: Rcode::Refused,
        records: Records::None,
        soa: false,
        ede: None,
        reason,
    })
}

fn origin(index: &Index, location: &Location) -> Option<Origin> {
    match index.entry(location.target.as_wire())? {
        Entry::Host(host) => Some(host.origin),
        _ => None,
    }
}

fn reason(origin: Origin) -> Reason {
    match origin {
        Origin::Local => Reason::Local,
        Origin::Gateway => Reason::Gateway,
        Origin::ClusterIp => Reason::ClusterIp,
    }
}
