//! Who a certificate's SAN says its holder is, kept by the SAN's bytes: parsing and looking up an identity costs more
//! than finding it again, and one peer sends many requests.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use crossmesh_policy::{Needs, Peer, Policy, Source};
use lru::LruCache;

use crate::telemetry::SourceLabel;

/// Peers of one policy in one VM. A workload with more peers than this at once pays for parsing, not with memory.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// No valid SPIFFE ID is longer (SPIFFE-ID §2.3), so nothing longer is worth keeping.
const LONGEST: usize = 2048;

/// A peer, as far as it does not depend on the request.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What the policy knows of it.
    pub(crate) source: Source,
    /// How metrics name it.
    pub(crate) label: SourceLabel,
    /// What a decision about it has to read.
    pub(crate) needs: Needs,
    /// Whether it speaks for others.
    pub(crate) is_forwarder: bool,
}

impl Identity {
    /// What the policy has to say of a source, whoever it is about.
    pub(crate) fn of(policy: &Policy, source: Source) -> Self {
        Self {
            label: SourceLabel::of(&source),
            needs: policy.needs(&source),
            is_forwarder: policy.is_forwarder(&source),
            source,
        }
    }

    /// Identifies a peer anew.
    pub(crate) fn of_peer(policy: &Policy, peer: &Peer<'_>) -> Self {
        Self::of(policy, policy.identify(peer))
    }
}

/// The identities seen last.
#[derive(Debug)]
pub(crate) struct Identities {
    kept: RefCell<LruCache<Box<[u8]>, Rc<Identity>>>,
}

impl Identities {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            kept: RefCell::new(LruCache::new(KEPT)),
        }
    }

    /// The identity in a certificate whose URI SAN this is.
    pub(crate) fn of_uri_san(&self, policy: &Policy, uri_san: &[u8]) -> Rc<Identity> {
        let certificate = Peer::Certificate {
            uri_sans: &[uri_san],
        };
        // No callback runs inside this function, so the borrow is free; were it not, identifying anew is right too.
        let Ok(mut kept) = self.kept.try_borrow_mut() else {
            return Rc::new(Identity::of_peer(policy, &certificate));
        };
        if let Some(identity) = kept.get(uri_san) {
            return Rc::clone(identity);
        }
        let identity = Rc::new(Identity::of_peer(policy, &certificate));
        if uri_san.len() <= LONGEST {
            kept.put(uri_san.into(), Rc::clone(&identity));
        }
        identity
    }
}
