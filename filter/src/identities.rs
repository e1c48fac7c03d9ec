//! Who a certificate says its holder is, kept by the certificate's digest, and whom a forwarder names, kept by what it
//! says: reading either and looking up an identity costs more than finding it again, and one peer sends many requests.

use std::cell::{OnceCell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;

use crossmesh_policy::{HttpRequest, Needs, Peer, Policy, Protocol, Request, Source, SourceClass};
use foldhash::fast::FixedState;
use lru::LruCache;

use crate::certificate;
use crate::host::{self, Attribute, Failure};
use crate::telemetry::SourceLabel;

/// Peers of one policy in one VM. A workload with more peers than this at once pays for parsing, not with memory.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// No valid SPIFFE ID is longer (SPIFFE-ID §2.3), no digest is, and forwarders seldom say more, so nothing longer is worth
/// keeping.
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
    /// Why it has no valid identity, if it presented a certificate all the same.
    pub(crate) flaw: Option<Flaw>,
}

/// Why an identity is invalid. The names are a public contract: a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The certificate has no URI SAN.
    NoUriSan,
    /// It has several.
    SeveralUriSans,
    /// It has one that is no workload's SPIFFE ID.
    NoSpiffeId,
    /// It is not what RFC 5280 calls a certificate, or Envoy does not show it.
    Unreadable,
    /// A DNS SAN of it has what no DNS name has, such as a comma.
    OddDnsSan,
    /// A forwarder names a caller whom it must not name, or none that can be read.
    Forwarded,
}

impl Flaw {
    /// All flaws.
    pub(crate) const ALL: [Self; 6] = [
        Self::NoUriSan,
        Self::SeveralUriSans,
        Self::NoSpiffeId,
        Self::Unreadable,
        Self::OddDnsSan,
        Self::Forwarded,
    ];

    /// As metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoUriSan => "noUriSan",
            Self::SeveralUriSans => "severalUriSans",
            Self::NoSpiffeId => "noSpiffeId",
            Self::Unreadable => "unreadable",
            Self::OddDnsSan => "oddDnsSan",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Identity {
    /// Identifies a peer anew.
    pub(crate) fn of_peer(policy: &Policy, peer: &Peer<'_>) -> Self {
        let flaw = match peer {
            Peer::Certificate { uri_sans: [] } => Flaw::NoUriSan,
            Peer::Certificate { uri_sans: [_] } => Flaw::NoSpiffeId,
            _ => Flaw::SeveralUriSans,
        };
        Self::of_source(policy, policy.identify(peer), flaw)
    }

    /// The holder of a certificate, as PEM.
    fn of_certificate(policy: &Policy, pem: Option<&[u8]>) -> Self {
        let nobody = |flaw| {
            let nobody = policy.identify(&Peer::Certificate { uri_sans: &[] });
            Self::of_source(policy, nobody, flaw)
        };
        match pem.and_then(certificate::names) {
            None => nobody(Flaw::Unreadable),
            Some(names) if names.has_odd_dns => nobody(Flaw::OddDnsSan),
            Some(names) => {
                let uri_sans: Vec<&[u8]> = names.uris.iter().map(Vec::as_slice).collect();
                Self::of_peer(
                    policy,
                    &Peer::Certificate {
                        uri_sans: &uri_sans,
                    },
                )
            }
        }
    }

    /// What the policy has to say of a source, whoever it is about.
    fn of_source(policy: &Policy, source: Source, flaw: Flaw) -> Self {
        Self {
            label: SourceLabel::of(&source),
            needs: policy.needs(&source),
            is_forwarder: policy.is_forwarder(&source),
            flaw: (source.class() == SourceClass::InvalidIdentity).then_some(flaw),
            source,
        }
    }

    /// Why it has no valid identity, in words.
    pub(crate) fn note(&self) -> Option<&str> {
        match self.flaw {
            Some(Flaw::Unreadable) => Some("the certificate cannot be read"),
            Some(Flaw::OddDnsSan) => Some("a DNS SAN of the certificate has what no DNS name has"),
            _ => self.source.note(),
        }
    }
}

/// The identities seen last.
#[derive(Debug)]
pub(crate) struct Identities {
    by_digest: Kept,
    by_uri: Kept,
    by_forwarded: Kept,
    plaintext: OnceCell<Rc<Identity>>,
    passthrough: OnceCell<Rc<Identity>>,
}

impl Identities {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            by_digest: Kept::new(),
            by_uri: Kept::new(),
            by_forwarded: Kept::new(),
            plaintext: OnceCell::new(),
            passthrough: OnceCell::new(),
        }
    }

    /// Whoever has no certificate.
    pub(crate) fn plaintext(&self, policy: &Policy) -> Rc<Identity> {
        let identify = || Rc::new(Identity::of_peer(policy, &Peer::Plaintext));
        Rc::clone(self.plaintext.get_or_init(identify))
    }

    /// Whoever speaks TLS that does not end here.
    pub(crate) fn passthrough(&self, policy: &Policy) -> Rc<Identity> {
        let identify = || Rc::new(Identity::of_peer(policy, &Peer::Passthrough));
        Rc::clone(self.passthrough.get_or_init(identify))
    }

    /// The holder of the certificate of this connection, which has this digest. Only of one not seen before is the
    /// certificate read.
    pub(crate) fn of_digest(
        &self,
        policy: &Policy,
        digest: &[u8],
    ) -> Result<Rc<Identity>, Failure> {
        self.by_digest
            .get(digest, || certificate_of_connection(policy))
    }

    /// The holder of the one URI SAN that somebody else read from a certificate.
    pub(crate) fn of_uri(&self, policy: &Policy, uri: &[u8]) -> Result<Rc<Identity>, Failure> {
        let certificate = Peer::Certificate { uri_sans: &[uri] };
        self.by_uri
            .get(uri, || Ok(Identity::of_peer(policy, &certificate)))
    }

    /// The caller whom a listed forwarder names; anybody else is who its certificate says.
    pub(crate) fn behind_forwarder(
        &self,
        policy: &Policy,
        direct: Rc<Identity>,
        http: &HttpRequest<'_>,
    ) -> Result<Rc<Identity>, Failure> {
        if !direct.is_forwarder {
            return Ok(direct);
        }
        let said = said_by(&direct.source, http);
        self.by_forwarded.get(&said, || {
            let request = Request {
                source_ip: None,
                port: None,
                sni: None,
                protocol: Protocol::Http(*http),
            };
            let caller = policy.caller(&direct.source, &request).into_owned();
            Ok(Identity::of_source(policy, caller, Flaw::Forwarded))
        })
    }
}

/// The holder of the certificate of this connection, read anew.
pub(crate) fn certificate_of_connection(policy: &Policy) -> Result<Identity, Failure> {
    let pem = host::attribute(Attribute::PEER_CERTIFICATE)?;
    Ok(Identity::of_certificate(policy, pem.as_deref()))
}

/// A forwarder and what it says of its caller. Each part after its size, so that no two say the same differently.
fn said_by(forwarder: &Source, http: &HttpRequest<'_>) -> Vec<u8> {
    let principal = forwarder.principal().unwrap_or_default().as_bytes();
    let mut said = Vec::new();
    for part in std::iter::once(principal).chain(Policy::forwarded_lines(http)) {
        said.extend_from_slice(&part.len().to_le_bytes());
        said.extend_from_slice(part);
    }
    said
}

/// A bounded memory of identities by what they were made of.
///
/// The hash is the same in every VM and no defence: a peer chooses among certificates that an authority signed for it, and
/// what could be slow is bounded.
#[derive(Debug)]
struct Kept(RefCell<LruCache<Box<[u8]>, Rc<Identity>, FixedState>>);

impl Kept {
    fn new() -> Self {
        Self(RefCell::new(LruCache::with_hasher(
            KEPT,
            FixedState::default(),
        )))
    }

    fn get(
        &self,
        key: &[u8],
        identify: impl FnOnce() -> Result<Identity, Failure>,
    ) -> Result<Rc<Identity>, Failure> {
        // Nothing is borrowed across a host call. A borrow that fails all the same costs what it would have saved.
        if let Ok(mut kept) = self.0.try_borrow_mut() {
            // Mostly it is whoever came last, and then there is nothing to hash, nor to move to the front.
            if let Some((newest, identity)) = kept.iter().next()
                && same(newest, key)
            {
                return Ok(Rc::clone(identity));
            }
            if let Some(identity) = kept.get(key) {
                return Ok(Rc::clone(identity));
            }
        }
        let identity = Rc::new(identify()?);
        if key.len() <= LONGEST
            && let Ok(mut kept) = self.0.try_borrow_mut()
        {
            kept.put(key.into(), Rc::clone(&identity));
        }
        Ok(identity)
    }
}

/// Whether both are the same, eight bytes at a time: slices are compared byte by byte in a VM, and every request has a digest
/// compared.
fn same(one: &[u8], other: &[u8]) -> bool {
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    rest == other_rest
        && words.len() == other_words.len()
        && words
            .iter()
            .zip(other_words)
            .all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn keys_are_the_same_only_if_every_byte_is() {
        let whole: Vec<u8> = (0..40).collect();
        for size in 0..whole.len() {
            let one = &whole[..size];
            assert!(same(one, one), "{size}");
            for shorter in 0..size {
                assert!(!same(one, &one[..shorter]), "{size}, {shorter}");
                assert!(!same(&one[..shorter], one), "{shorter}, {size}");
            }
            for at in 0..size {
                let mut other = one.to_vec();
                other[at] ^= 1;
                assert!(!same(one, &other), "{size}, byte {at}");
            }
        }
    }
}
