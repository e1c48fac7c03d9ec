//! Three-valued truth, and how a matcher that fails says which field it was.

use crate::spec::Action;

/// Whether a matcher holds for what is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It holds.
    Yes,
    /// It depends on something that is not known yet; the first such field.
    Maybe(Field),
    /// It does not hold; the first field that fails.
    No(Field),
}

impl Match {
    /// Both: the first No wins, else the first Maybe.
    pub(crate) fn and(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No(_) => self,
            Self::Yes => next(),
            Self::Maybe(_) => match next() {
                no @ Self::No(_) => no,
                _ => self,
            },
        }
    }
}

/// Which matches count while something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Only those that are sure.
    Excluded,
    /// Those that depend on it too.
    Included,
}

impl Doubt {
    /// As a rule of this action counts when nothing more will be known: doubt never lets in, and never keeps a refusal
    /// back.
    pub(crate) fn settled(action: Action) -> Self {
        match action {
            Action::Allow => Self::Excluded,
            Action::Deny | Action::Audit => Self::Included,
        }
    }

    /// The other one.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Excluded => Self::Included,
            Self::Included => Self::Excluded,
        }
    }

    /// Whether a match counts.
    pub(crate) fn counts(self, found: Match) -> bool {
        match found {
            Match::Yes => true,
            Match::Maybe(_) => self == Self::Included,
            Match::No(_) => false,
        }
    }
}

/// A value that is there, is not there, or cannot be known at this point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact<T> {
    Is(T),
    Absent,
    Unknown,
}

impl<T> Fact<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Is(value) => Fact::Is(with(value)),
            Self::Absent => Fact::Absent,
            Self::Unknown => Fact::Unknown,
        }
    }
}

impl<C> Fact<C> {
    /// The parts of a value that has several.
    pub(crate) fn as_slice<T>(&self) -> Fact<&[T]>
    where
        C: AsRef<[T]>,
    {
        match self {
            Self::Is(parts) => Fact::Is(parts.as_ref()),
            Self::Absent => Fact::Absent,
            Self::Unknown => Fact::Unknown,
        }
    }
}

impl<T> From<Option<T>> for Fact<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Is)
    }
}

/// The matchers of the language, and the gates that hold before any matcher is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// An ALLOW lets in no plaintext, passthrough or invalid identity that it does not name.
    Class,
    /// An ALLOW lets an unlisted trust domain in only by an exact principal.
    UnlistedTrustDomain,
    Plaintext,
    Passthrough,
    Meshes,
    NotMeshes,
    TrustDomains,
    NotTrustDomains,
    Namespaces,
    NotNamespaces,
    ServiceAccounts,
    NotServiceAccounts,
    Principals,
    NotPrincipals,
    IpBlocks,
    NotIpBlocks,
    OwnNamespaces,
    NotOwnNamespaces,
    Workloads,
    NotWorkloads,
    Labels,
    NotLabels,
    Hosts,
    NotHosts,
    Ports,
    NotPorts,
    Methods,
    NotMethods,
    Paths,
    NotPaths,
    Snis,
    NotSnis,
    HeaderValues,
    HeaderNotValues,
}

impl Field {
    /// Whether it is the `not…` form of a field.
    pub(crate) fn is_not(self) -> bool {
        self.name().starts_with("not")
    }

    /// The name of the field in the language.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Class | Self::UnlistedTrustDomain => "",
            Self::Plaintext => "plaintext",
            Self::Passthrough => "passthrough",
            Self::Meshes => "meshes",
            Self::NotMeshes => "notMeshes",
            Self::TrustDomains => "trustDomains",
            Self::NotTrustDomains => "notTrustDomains",
            Self::Namespaces | Self::OwnNamespaces => "namespaces",
            Self::NotNamespaces | Self::NotOwnNamespaces => "notNamespaces",
            Self::ServiceAccounts => "serviceAccounts",
            Self::NotServiceAccounts => "notServiceAccounts",
            Self::Principals => "principals",
            Self::NotPrincipals => "notPrincipals",
            Self::IpBlocks => "ipBlocks",
            Self::NotIpBlocks => "notIpBlocks",
            Self::Workloads => "workloads",
            Self::NotWorkloads => "notWorkloads",
            Self::Labels => "labels",
            Self::NotLabels => "notLabels",
            Self::Hosts => "hosts",
            Self::NotHosts => "notHosts",
            Self::Ports => "ports",
            Self::NotPorts => "notPorts",
            Self::Methods => "methods",
            Self::NotMethods => "notMethods",
            Self::Paths => "paths",
            Self::NotPaths => "notPaths",
            Self::Snis => "snis",
            Self::NotSnis => "notSnis",
            Self::HeaderValues => "values",
            Self::HeaderNotValues => "notValues",
        }
    }
}
