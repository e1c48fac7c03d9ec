//! Who is at the other end of the connection.

use std::rc::Rc;

use crossmesh_policy::Peer;

use crate::encoding;
use crate::host::{self, Attribute, Failure};
use crate::identities::Identity;
use crate::root::Active;

/// Envoy's `TrafficDirection.OUTBOUND`.
const OUTBOUND: i64 = 2;

/// The peer's identity; none where this listener carries the workload's own requests out, which are not judged here.
///
/// Whoever presents a client certificate calls a workload behind this proxy, whichever direction the listener is
/// declared to have (Istio declares those of gateways outbound). So with a certificate one attribute is all that is
/// read. A listener of unspecified direction is judged too.
pub(crate) fn read(active: &Active) -> Result<Option<Rc<Identity>>, Failure> {
    if let Some(uri_san) = host::attribute(Attribute::PEER_URI_SAN)? {
        return Ok(Some(active.identities.of_uri_san(&active.policy, &uri_san)));
    }
    let peer = if presented_certificate()? {
        Peer::Certificate { uri_sans: &[] }
    } else if is_outbound()? {
        return Ok(None);
    } else {
        Peer::Plaintext
    };
    Ok(Some(Rc::new(Identity::of_peer(&active.policy, &peer))))
}

/// Envoy answers this for every connection. Were it not to, the peer is not thought to be without a certificate: that
/// class can be allowed by a policy, the one for a certificate without identity cannot.
fn presented_certificate() -> Result<bool, Failure> {
    match host::attribute(Attribute::MTLS)? {
        None => Ok(true),
        Some(value) => encoding::boolean(&value).ok_or(Failure::malformed("proxy_get_property")),
    }
}

fn is_outbound() -> Result<bool, Failure> {
    match host::attribute(Attribute::LISTENER_DIRECTION)? {
        None => Ok(false),
        Some(value) => encoding::integer(&value)
            .ok_or(Failure::malformed("proxy_get_property"))
            .map(|direction| direction == OUTBOUND),
    }
}
