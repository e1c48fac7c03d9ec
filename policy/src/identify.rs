//! From a peer to a source: its class, its mesh, and whom it speaks for.

use crate::policy::Policy;
use crate::request::Peer;
use crate::source::{Source, SourceClass};
use crate::spiffe::SpiffeId;

impl Policy {
    /// Who a peer is to this proxy. The same peer is always the same source, so the result may be kept by the value
    /// of its certificate's SAN.
    #[must_use]
    pub fn identify(&self, peer: &Peer<'_>) -> Source {
        let sans = match peer {
            Peer::Plaintext => return Source::plaintext(),
            Peer::Passthrough => return Source::without_identity(SourceClass::Passthrough, None),
            Peer::Certificate { uri_sans } => *uri_sans,
        };
        let invalid = |note| Source::without_identity(SourceClass::InvalidIdentity, Some(note));
        let [san] = sans else {
            return invalid(match sans.len() {
                0 => "the certificate has no URI SAN".into(),
                n => format!("the certificate has {n} URI SANs, a workload has exactly one"),
            });
        };
        match SpiffeId::parse(san) {
            Ok(id) => self.located(id),
            Err(why) => invalid(format!(
                "{} is not a workload's SPIFFE ID: {why}",
                shown(san)
            )),
        }
    }

    fn located(&self, id: SpiffeId) -> Source {
        let listed = self.common.trust_domains.get(id.trust_domain());
        let class = match listed {
            None => SourceClass::UnknownTrustDomain,
            Some(mesh) if mesh.index == self.mesh.index => SourceClass::SameMesh,
            Some(_) => SourceClass::PeerMesh,
        };
        Source {
            class,
            mesh: listed.cloned(),
            id: Some(id),
            note: None,
        }
    }
}

/// So many bytes of a SAN are shown: sources are kept, and whoever makes certificates makes them as long as he pleases.
const SHOWN: usize = 256;

/// A SAN, or its beginning, as a log line may have it.
fn shown(san: &[u8]) -> String {
    match san.split_at_checked(SHOWN) {
        Some((begins, rest)) if !rest.is_empty() => {
            format!(
                "{:?}… ({} bytes)",
                String::from_utf8_lossy(begins),
                san.len()
            )
        }
        _ => format!("{:?}", String::from_utf8_lossy(san)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_san_only_the_beginning_is_shown() {
        assert_eq!(shown(b"spiffe://A"), "\"spiffe://A\"");
        let whole = format!("{:?}", "\u{1}".repeat(SHOWN));
        assert_eq!(shown(&[1; SHOWN]), whole);
        assert_eq!(shown(&[1; 90_000]), format!("{whole}… (90000 bytes)"));
    }
}
