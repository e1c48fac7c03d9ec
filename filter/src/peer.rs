//! Who is at the other end of the connection.
//!
//! | this proxy ends TLS | certificate | else | peer |
//! |---|---|---|---|
//! | yes | one | | its holder |
//! | | | a sidecar's outbound listener | none: it is the workload's own |
//! | yes | none | | plaintext |
//! | no | | it is internal, and Istio's filters name the tunnel's peer (HBONE) | that one |
//! | no | | TCP, and the TLS hello was inspected and names a server | passthrough |
//! | no | | TCP, and the client's first bytes may begin TLS | plaintext or passthrough |
//! | no | | | plaintext |
//!
//! Istio declares the listeners of gateways outbound too. But a gateway has no workload of its own: all that comes to it
//! is somebody's who calls a workload behind it, with a certificate, without one, or in TLS that it does not end.

use std::rc::Rc;

use crossmesh_policy::Peer;

use crate::encoding;
use crate::host::{self, Answer, Attribute, Failure};
use crate::identities::{self, Identity};
use crate::reads;
use crate::root::Active;

/// Envoy's `TrafficDirection.OUTBOUND`.
const OUTBOUND: i64 = 2;

/// What the address of an internal listener begins with.
const INTERNAL: &[u8] = b"envoy://";

/// Who is at the other end.
#[derive(Debug)]
pub(crate) enum End {
    /// A peer that calls a workload behind this proxy.
    Peer(Rc<Identity>),
    /// The same, by a certificate of which nobody knows yet whether its key is the peer's: the handshake may not be over.
    Claimed(Rc<Identity>),
    /// A peer without TLS, or one whose TLS does not end here. Its first bytes tell nothing surely, for it chose them: it has
    /// to be let in as both.
    PlaintextOrPassthrough,
    /// The workload itself: this listener carries its own requests out, which are not judged here.
    Own,
    /// Nobody knows before the handshake is over.
    NotYetKnown,
}

/// What has been heard of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing but what the server says now.
    Server,
    /// What the client says now: its first bytes.
    Client,
    /// Both may have been.
    Earlier {
        /// Whether the client's first bytes may have been the beginning of TLS.
        like_tls: bool,
    },
}

/// The peer of an HTTP request, the handshake being over.
///
/// Whoever presents a client certificate calls a workload behind this proxy, whichever direction the listener is
/// declared to have (Istio declares those of gateways outbound). So with a certificate one attribute is all that is
/// read. A listener of unspecified direction is judged too.
pub(crate) fn of_request(active: &Active) -> Result<End, Failure> {
    let digest = host::attribute(Attribute::PEER_DIGEST)?;
    let tls = digest.is_some() || is_tls()?;
    // Without TLS there is no certificate to ask for.
    if tls && let Some(identity) = holder(active, digest)? {
        return Ok(End::Peer(identity));
    }
    if carries_own(active)? {
        return Ok(End::Own);
    }
    if !tls && let Some(identity) = tunnelled(active)? {
        return Ok(End::Peer(identity));
    }
    Ok(End::Peer(active.identities.plaintext(&active.policy)))
}

/// The peer of a connection. As long as only the server was heard, no certificate is asked for unless one is there, because
/// Envoy may remember the answer.
pub(crate) fn of_connection(
    active: &Active,
    heard: Heard,
    sni: Option<&[u8]>,
) -> Result<End, Failure> {
    if is_tls()? {
        if heard == Heard::Server && !presented_certificate()? {
            return Ok(End::NotYetKnown);
        }
        if let Some(identity) = holder(active, host::attribute(Attribute::PEER_DIGEST)?)? {
            return Ok(if heard == Heard::Server {
                End::Claimed(identity)
            } else {
                End::Peer(identity)
            });
        }
        return if carries_own(active)? {
            Ok(End::Own)
        } else {
            Ok(End::Peer(active.identities.plaintext(&active.policy)))
        };
    }
    if carries_own(active)? {
        return Ok(End::Own);
    }
    if let Some(identity) = tunnelled(active)? {
        return Ok(End::Peer(identity));
    }
    if sni.is_some() {
        return Ok(End::Peer(active.identities.passthrough(&active.policy)));
    }
    let like_tls = match heard {
        // No server speaks before its client's TLS begins.
        Heard::Server => false,
        Heard::Client => reads::begins_like_tls()?,
        Heard::Earlier { like_tls } => like_tls,
    };
    Ok(if like_tls {
        End::PlaintextOrPassthrough
    } else {
        End::Peer(active.identities.plaintext(&active.policy))
    })
}

/// The server's identity, once there is a connection to it that it authenticated; none if there is no connection.
pub(crate) fn of_upstream(active: &Active) -> Result<Option<Rc<Identity>>, Failure> {
    if let Some(uri) = host::attribute(Attribute::UPSTREAM_URI_SAN)? {
        return active.identities.of_uri(&active.policy, &uri).map(Some);
    }
    if host::attribute(Attribute::UPSTREAM_ADDRESS)?.is_none() {
        return Ok(None);
    }
    if host::attribute(Attribute::UPSTREAM_TLS_VERSION)?.is_some() {
        let nameless = Identity::of_peer(&active.policy, &Peer::Certificate { uri_sans: &[] });
        return Ok(Some(Rc::new(nameless)));
    }
    Ok(Some(active.identities.plaintext(&active.policy)))
}

/// The holder of the client's certificate, by its digest if Envoy tells it.
fn holder(active: &Active, digest: Option<Answer>) -> Result<Option<Rc<Identity>>, Failure> {
    if let Some(digest) = digest {
        let identity = active.identities.of_digest(&active.policy, &digest)?;
        return Ok(Some(identity));
    }
    if presented_certificate()? {
        let identity = identities::certificate_of_connection(&active.policy)?;
        return Ok(Some(Rc::new(identity)));
    }
    Ok(None)
}

/// The peer of the tunnel that an internal listener is the end of.
///
/// Asked only where the connection itself carries no certificate: there is none on an internal listener.
fn tunnelled(active: &Active) -> Result<Option<Rc<Identity>>, Failure> {
    match host::attribute(Attribute::TUNNELLED_PRINCIPAL)? {
        Some(principal) if is_internal()? => active
            .identities
            .of_uri(&active.policy, &principal)
            .map(Some),
        _ => Ok(None),
    }
}

/// Whether the connection comes from this Envoy itself. It shows in what was connected to; only where Istio gives the
/// connection the addresses of the tunnel's ends it does not, and there the filter state shows by which it does that; no client
/// can set that. The other end's address would not do: Envoy takes it from `x-forwarded-for` where it is told to.
fn is_internal() -> Result<bool, Failure> {
    let address = host::attribute(Attribute::DESTINATION_ADDRESS)?;
    if address.is_some_and(|address| address.starts_with(INTERNAL)) {
        return Ok(true);
    }
    Ok(host::attribute(Attribute::TUNNELLED_DESTINATION)?.is_some())
}

/// Envoy answers this for every connection. Were it not to, the peer is not thought to be without a certificate: that
/// class can be allowed by a policy, the one for a certificate without identity cannot.
fn presented_certificate() -> Result<bool, Failure> {
    match host::attribute(Attribute::MTLS)? {
        None => Ok(true),
        Some(value) => encoding::boolean(&value).ok_or(Failure::malformed("proxy_get_property")),
    }
}

fn is_tls() -> Result<bool, Failure> {
    Ok(host::attribute(Attribute::TLS_VERSION)?.is_some())
}

/// Whether this listener carries out what the workload beside this proxy sends.
fn carries_own(active: &Active) -> Result<bool, Failure> {
    if active.is_gateway() {
        return Ok(false);
    }
    match host::attribute(Attribute::LISTENER_DIRECTION)? {
        None => Ok(false),
        Some(value) => encoding::integer(&value)
            .ok_or(Failure::malformed("proxy_get_property"))
            .map(|direction| direction == OUTBOUND),
    }
}
