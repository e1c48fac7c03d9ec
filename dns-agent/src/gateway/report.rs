//! What the last probes and look-ups of gateways found, for whoever asks why. Not part of what is published: it changes
//! with every probe, and answers do not.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// What was found last.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By address; those that are probed.
    pub probes: BTreeMap<SocketAddr, Probed>,
    /// Why the last look-up of a name failed, by name; those whose did.
    pub problems: BTreeMap<Arc<str>, String>,
}

/// What is known of a probed address.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// Whether it is used.
    pub healthy: bool,
    /// When its last probe began, and whether that reached it.
    pub last: Option<(Instant, bool)>,
}

/// Where the follower of gateways leaves its report.
pub type SharedReport = Arc<ArcSwap<Report>>;
