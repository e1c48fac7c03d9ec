//! What the metrics tell apart.

use std::fmt::Write as _;

use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder};

use crate::{answer::Reason, catalog::SyncState, wire::Transport};

/// Where a reply came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The catalogs.
    Catalog,
    /// A kept upstream reply.
    Cache,
    /// An upstream server, just now.
    Upstream,
    /// Nowhere: the query itself was refused, or nobody answered.
    None,
}

/// What a reply said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the response codes' usual names say it")]
pub enum Outcome {
    NoError,
    NoData,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
    BadVers,
    Other,
}

/// How one exchange with one upstream server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// With a reply.
    Answered,
    /// With a reply that sends us to the next server: SERVFAIL, REFUSED, NOTIMP or FORMERR.
    Declined,
    /// With a cut reply, asked again over TCP.
    Truncated,
    /// Without a reply in time.
    TimedOut,
    /// With an error of the network.
    Unreachable,
}

pub(super) const EXCHANGES: [Exchange; 5] = [
    Exchange::Answered,
    Exchange::Declined,
    Exchange::Truncated,
    Exchange::TimedOut,
    Exchange::Unreachable,
];

/// What came of comparing what the cluster's DNS answered with what we would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShadowResult {
    /// They say the same.
    Same,
    /// The name exists for both, with other data.
    Differs,
    /// The name exists for us alone.
    OursOnly,
    /// The name exists for the cluster's DNS alone.
    TheirsOnly,
    /// They differed, and did not any more when asked again.
    Racing,
    /// The cluster's DNS gave no whole answer.
    Failed,
    /// There was no room to compare.
    Skipped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ExchangeLabels {
    pub(super) server: String,
    pub(super) result: Exchange,
}

/// How writing a snapshot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Written {
    Written,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WriteLabels {
    pub(super) result: Written,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServerLabels {
    pub(super) server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct QueryLabels {
    pub(super) transport: Transport,
    pub(super) source: Source,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AnswerLabels {
    pub(super) reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ShadowLabels {
    pub(super) result: ShadowResult,
    pub(super) reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CatalogLabels {
    pub(super) cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CatalogStateLabels {
    pub(super) cluster: String,
    pub(super) state: SyncState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct GatewayLabels {
    pub(super) address: String,
}

pub(super) const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];
pub(super) const SOURCES: [Source; 4] = [
    Source::Catalog,
    Source::Cache,
    Source::Upstream,
    Source::None,
];
pub(super) const OUTCOMES: [Outcome; 9] = [
    Outcome::NoError,
    Outcome::NoData,
    Outcome::FormErr,
    Outcome::ServFail,
    Outcome::NxDomain,
    Outcome::NotImp,
    Outcome::Refused,
    Outcome::BadVers,
    Outcome::Other,
];
/// All reasons of answers of our own.
pub const REASONS: [Reason; 9] = [
    Reason::Local,
    Reason::Gateway,
    Reason::ClusterIp,
    Reason::NoData,
    Reason::Any,
    Reason::NotFound,
    Reason::NotSynced,
    Reason::Class,
    Reason::Transfer,
];
/// All results of a comparison.
pub const RESULTS: [ShadowResult; 7] = [
    ShadowResult::Same,
    ShadowResult::Differs,
    ShadowResult::OursOnly,
    ShadowResult::TheirsOnly,
    ShadowResult::Racing,
    ShadowResult::Failed,
    ShadowResult::Skipped,
];
pub(super) const STATES: [SyncState; 4] = [
    SyncState::Synced,
    SyncState::Stale,
    SyncState::Pending,
    SyncState::TimedOut,
];

impl Source {
    /// The word for logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Cache => "cache",
            Self::Upstream => "upstream",
            Self::None => "none",
        }
    }
}

impl Outcome {
    /// What a response code says; `data` tells whether there are answers.
    pub fn of(rcode: u16, data: bool) -> Self {
        match rcode {
            0 if data => Self::NoError,
            0 => Self::NoData,
            1 => Self::FormErr,
            2 => Self::ServFail,
            3 => Self::NxDomain,
            4 => Self::NotImp,
            5 => Self::Refused,
            16 => Self::BadVers,
            _ => Self::Other,
        }
    }

    /// The word for logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::NoData => "nodata",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::BadVers => "badvers",
            Self::Other => "other",
        }
    }
}

impl ShadowResult {
    /// The word for logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::OursOnly => "ours-only",
            Self::TheirsOnly => "theirs-only",
            Self::Racing => "racing",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Exchange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Declined => "declined",
            Self::Truncated => "truncated",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Written {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Failed => "failed",
        }
    }
}

impl Transport {
    /// The word for logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

macro_rules! label_values {
    ($($label:ty),*) => {$(
        impl prometheus_client::encoding::EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                encoder.write_str(self.as_str())
            }
        }
    )*};
}

label_values!(
    Transport,
    Source,
    Outcome,
    Exchange,
    Reason,
    ShadowResult,
    SyncState,
    Written
);
