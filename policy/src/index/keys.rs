//! The dimensions by which rules are told apart: what a rule wants of each, and what a request has.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::facts::Facts;
use crate::ip_block::bits_of;
use crate::list::Listed;
use crate::path::PathPattern;
use crate::pattern::Pattern;
use crate::policy::Common;
use crate::principal::PrincipalPattern;
use crate::rule::{From, Header, Namespaced, Terms, To};
use crate::source::Source;
use crate::spec::Action;
use crate::truth::Fact;

/// One thing that rules are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    /// The path of the SPIFFE ID: one account, whatever its trust domain.
    Workload,
    /// The whole SPIFFE ID.
    Principal,
    Namespace,
    /// The name of the service account, whatever its namespace.
    Account,
    TrustDomain,
    /// The class of the source, for items that are about sources without an identity.
    Class,
    Path,
    /// The same, for templates that begin alike.
    PathEnding,
    /// One segment of the path, by its number, for templates that begin and end alike.
    Segment(usize),
    Host,
    Sni,
    Port,
    Method,
    /// The address that the connection comes from, as a string of bits: a block is what such a string begins with.
    Address,
    /// Which headers there are.
    HeaderNames,
    /// The values of one header.
    Header(Arc<str>),
}

/// What a rule wants of a dimension: one of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
}

impl Dimension {
    /// All but single headers and segments, which only the rules name; the likelier ones first.
    pub(super) const ALL: [Self; 14] = [
        Self::Workload,
        Self::Path,
        Self::Host,
        Self::Namespace,
        Self::TrustDomain,
        Self::Sni,
        Self::Port,
        Self::Method,
        Self::Account,
        Self::Class,
        Self::Principal,
        Self::PathEnding,
        Self::Address,
        Self::HeaderNames,
    ];

    /// Those of which a connection has a value, or is known to have none; the others are unknown for all of it.
    pub(super) fn of_connections() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|dimension| !dimension.is_http()).collect()
    }

    /// Whether only HTTP tells its value.
    pub(super) fn is_http(&self) -> bool {
        match self {
            Self::Path
            | Self::PathEnding
            | Self::Segment(_)
            | Self::Host
            | Self::Method
            | Self::HeaderNames
            | Self::Header(_) => true,
            Self::Workload
            | Self::Principal
            | Self::Namespace
            | Self::Account
            | Self::TrustDomain
            | Self::Class
            | Self::Sni
            | Self::Port
            | Self::Address => false,
        }
    }

    /// What the part wants; none if it can apply whatever the value is. `uses` counts the parts that ask for a header.
    pub(super) fn keys(
        &self,
        part: &Terms<'_>,
        common: &Common,
        uses: &dyn Fn(&str) -> usize,
    ) -> Option<Vec<Key>> {
        match self {
            Self::Workload => of_items(part.from, &workloads),
            Self::Principal => of_items(part.from, &|from| each(&from.principals.any, &whole)),
            Self::Namespace => of_items(part.from, &namespaces),
            Self::Account => of_items(part.from, &|from| {
                each(&from.service_accounts.any, &|account| account.name.key())
            }),
            Self::TrustDomain => of_items(part.from, &|from| trust_domains(from, common)),
            Self::Class => of_items(part.from, &|from: &From| {
                let class = from.without_identity?.class();
                Some(vec![exact(class.as_str())])
            }),
            Self::Address => of_items(part.from, &|from| each(&from.ip_blocks.any, &Listed::key)),
            Self::Path => of_items(part.to, &|to: &To| each(&to.paths.any, &Listed::key)),
            Self::PathEnding => of_items(part.to, &|to: &To| each(&to.paths.any, &path_ending)),
            Self::Segment(number) => of_items(part.to, &|to: &To| {
                each(&to.paths.any, &|path| segment(path, *number))
            }),
            Self::Host => of_items(part.to, &|to: &To| each(&to.hosts.any, &Listed::key)),
            Self::Sni => of_items(part.to, &|to: &To| each(&to.snis.any, &Listed::key)),
            Self::Method => of_items(part.to, &|to: &To| each(&to.methods.any, &Listed::key)),
            Self::Port => of_items(part.to, &|to: &To| each(&to.ports.any, &Listed::key)),
            Self::HeaderNames => {
                // All conditions must hold, so one of them suffices: the one that tells most.
                let there = part
                    .when
                    .iter()
                    .filter(|header| must_be_there(header, part));
                let rarest = there.min_by_key(|header| uses(&header.name))?;
                Some(vec![exact(&rarest.name)])
            }
            Self::Header(name) => {
                let of_it = part.when.iter().filter(|header| *header.name == **name);
                of_it
                    .filter_map(|header| each(&header.values.any, &Listed::key))
                    .next()
            }
        }
    }

    /// Whether a request may have any number of values of it, as its client pleases.
    pub(super) fn has_many(&self) -> bool {
        matches!(self, Self::HeaderNames | Self::Header(_))
    }

    /// Whether an ALLOW rule wants every value that the request has, so that any one of them leads to it. Of the names of
    /// headers it wants one that is among them.
    pub(super) fn any_leads_to_allow(&self) -> bool {
        !matches!(self, Self::HeaderNames)
    }

    /// Calls with what the request has, until told to stop: mostly one value, of a path its forms, of headers all. Not
    /// generic: it would be in the filter once for each caller.
    pub(super) fn each_of(
        &self,
        facts: &Facts<'_>,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Fact<()> {
        let found = match self {
            Self::Workload
            | Self::Principal
            | Self::Namespace
            | Self::Account
            | Self::TrustDomain
            | Self::Class => self.of_source(facts.source).map(each),
            Self::Path | Self::PathEnding => facts.path().map(|path| {
                each(path.raw().text())?;
                path.cleaned()
                    .map_or(ControlFlow::Continue(()), |clean| each(clean.text()))
            }),
            Self::Segment(number) => match facts.path() {
                Fact::Is(path) => {
                    let forms = [Some(path.raw()), path.cleaned()];
                    let mut found = Fact::Absent;
                    for segment in forms.iter().flatten() {
                        if let Some(text) = segment.segment_text(*number) {
                            found = Fact::Is(each(text));
                            if matches!(found, Fact::Is(ControlFlow::Break(()))) {
                                break;
                            }
                        }
                    }
                    found
                }
                Fact::Absent => Fact::Absent,
                Fact::Unknown => Fact::Unknown,
            },
            Self::Host => facts.host().map(each),
            Self::Method => facts.method().map(each),
            Self::Sni => Fact::from(facts.sni.as_deref()).map(each),
            Self::Port => Fact::from(facts.port).map(|port| each(&port.to_be_bytes())),
            Self::Address => match facts.source_ip {
                // Not absent: every connection comes from somewhere.
                None => Fact::Unknown,
                Some(address) => Fact::Is(each(&bits_of(address))),
            },
            Self::HeaderNames => facts
                .header_names()
                .map(|mut names| names.try_for_each(each)),
            Self::Header(name) => facts
                .header(name)
                .map(|values| values.iter().copied().try_for_each(each)),
        };
        found.map(|_| ())
    }

    /// What the source has; unknown for what only a request has.
    pub(super) fn of_source<'s>(&self, source: &'s Source) -> Fact<&'s [u8]> {
        let id = source.id.as_ref();
        match self {
            Self::Workload => id.map(|id| id.path().as_bytes()).into(),
            Self::Principal => id.map(|id| id.without_scheme().as_bytes()).into(),
            Self::Namespace => source.namespace().map(str::as_bytes).into(),
            Self::Account => source.service_account().map(str::as_bytes).into(),
            Self::TrustDomain => source.trust_domain().map(str::as_bytes).into(),
            Self::Class => Fact::Is(source.class().as_str().as_bytes()),
            Self::Path
            | Self::PathEnding
            | Self::Segment(_)
            | Self::Host
            | Self::Sni
            | Self::Port
            | Self::Method
            | Self::Address
            | Self::HeaderNames
            | Self::Header(_) => Fact::Unknown,
        }
    }
}

/// The keys of all items together; none if one item does not constrain the dimension, or there are no items.
///
/// Neither this nor [`each`] is inlined: in the filter they would stand once for each list of the language.
#[inline(never)]
fn of_items<I>(items: Option<&[I]>, keys: &dyn Fn(&I) -> Option<Vec<Key>>) -> Option<Vec<Key>> {
    let mut all: Vec<Key> = Vec::new();
    for item in items? {
        all.append(&mut keys(item)?);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// The keys of a list; none if there is no list, or one of its values matches everything.
#[inline(never)]
fn each<P>(list: &Option<Box<[P]>>, key: &dyn Fn(&P) -> Option<Key>) -> Option<Vec<Key>> {
    list.as_ref()?.iter().map(key).collect()
}

/// A header without which the rule does not hold.
fn must_be_there(header: &Header, part: &Terms<'_>) -> bool {
    header.values.any.is_some() || part.action == Action::Allow
}

pub(crate) fn exact(text: &str) -> Key {
    Key::Exact(text.as_bytes().into())
}

pub(crate) fn prefix(text: &str) -> Key {
    Key::Prefix(text.as_bytes().into())
}

pub(crate) fn suffix(text: &str) -> Key {
    Key::Suffix(text.as_bytes().into())
}

/// A whole SPIFFE ID, without its scheme; none where it begins with no more than its trust domain, and ends in something.
pub(super) fn whole(principal: &PrincipalPattern) -> Option<Key> {
    match principal.path() {
        Pattern::Suffix(_) => None,
        _ => principal.key(),
    }
}

fn path_ending(path: &PathPattern) -> Option<Key> {
    match path {
        PathPattern::Plain(Pattern::Prefix(_)) => None,
        PathPattern::Plain(plain) => plain.key(),
        PathPattern::Template(template) => {
            let end = template.literal_ending();
            (!end.is_empty()).then(|| suffix(&end))
        }
    }
}

fn segment(path: &PathPattern, number: usize) -> Option<Key> {
    match path {
        PathPattern::Plain(_) => None,
        PathPattern::Template(template) => template.literal_at(number).map(exact),
    }
}

fn workloads(from: &From) -> Option<Vec<Key>> {
    let by_account = each(&from.service_accounts.any, &Namespaced::key);
    by_account.or_else(|| each(&from.principals.any, &|principal| principal.path().key()))
}

fn namespaces(from: &From) -> Option<Vec<Key>> {
    let by_namespace = each(&from.namespaces.any, &Listed::key);
    by_namespace.or_else(|| {
        each(&from.service_accounts.any, &|account| {
            account.namespace.key()
        })
    })
}

fn trust_domains(from: &From, common: &Common) -> Option<Vec<Key>> {
    let by_name = each(&from.trust_domains.any, &Listed::key);
    let by_principal = || {
        each(&from.principals.any, &|principal| {
            Some(exact(principal.trust_domain()))
        })
    };
    by_name.or_else(by_principal).or_else(|| {
        let meshes = from.meshes.any.as_ref()?;
        Some(
            meshes
                .iter()
                .flat_map(|mesh| of_mesh(mesh.index, common))
                .collect(),
        )
    })
}

/// The trust domains of a mesh.
pub(super) fn of_mesh(index: usize, common: &Common) -> impl Iterator<Item = Key> {
    let listed = common.trust_domains.iter();
    let theirs = listed.filter(move |(_, of)| of.index == index);
    theirs.map(|(name, _)| exact(name))
}
