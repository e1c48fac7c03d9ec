//! The SANs of a certificate: all of its URIs, which Envoy's attribute does not give.
//!
//! A workload's certificate has exactly one (X509-SVID §2). Envoy's `uri_san_peer_certificate` is the first, whether or
//! not more follow, so they are counted in the certificate itself (RFC 5280 §4.1, §4.2.1.6). It has been verified by
//! Envoy; here nothing is believed of its form all the same. What is not as the RFC has it is no certificate: `None`.

mod der;
mod pem;

use der::{Element, Elements};

#[cfg(test)]
mod tests;

/// The object identifier 2.5.29.17, id-ce-subjectAltName.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// `extensions` of a TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// `uniformResourceIdentifier` of a GeneralName.
const URI: u8 = 0x86;
/// `dNSName` of a GeneralName.
const DNS: u8 = 0x82;

/// The names in a certificate's SAN extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The URIs, in written order.
    pub(crate) uris: Vec<Vec<u8>>,
    /// Whether a DNS name has a character that no DNS name has. Envoy writes these names into `x-forwarded-client-cert` as they
    /// are: such a one can write a hop that was never there.
    pub(crate) has_odd_dns: bool,
}

/// The SANs of the first certificate in a PEM text; none of them if it has no such extension.
pub(crate) fn names(pem: &[u8]) -> Option<Names> {
    names_in(&pem::decode(pem)?)
}

fn names_in(certificate: &[u8]) -> Option<Names> {
    let mut whole = Elements::of(certificate);
    let mut parts = whole.expect(der::SEQUENCE)?;
    whole.end()?;
    let tbs = parts.expect(der::SEQUENCE)?;
    let mut found = None;
    for part in tbs {
        let Element { tag, content } = part?;
        if tag != EXTENSIONS {
            continue;
        }
        let mut wrapped = Elements::of(content);
        let extensions = wrapped.expect(der::SEQUENCE)?;
        wrapped.end()?;
        for extension in extensions {
            let mut fields = extension?.elements(der::SEQUENCE)?;
            if fields.expect_bytes(der::OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
                continue;
            }
            // Twice is forbidden (RFC 5280 §4.2), and who would say which one was meant?
            if found.is_some() {
                return None;
            }
            found = Some(sans(fields)?);
        }
    }
    Some(found.unwrap_or_default())
}

/// The names of a SAN extension, from behind its identifier: `critical` if it is there, then an OCTET STRING that holds
/// GeneralNames.
fn sans(mut fields: Elements<'_>) -> Option<Names> {
    let mut value = fields.next()??;
    if value.tag == der::BOOLEAN {
        value = fields.next()??;
    }
    fields.end()?;
    let mut wrapped = value.elements(der::OCTET_STRING)?;
    let names = wrapped.expect(der::SEQUENCE)?;
    wrapped.end()?;
    let mut found = Names::default();
    for name in names {
        let Element { tag, content } = name?;
        match tag {
            URI => found.uris.push(content.to_vec()),
            DNS => found.has_odd_dns |= !content.iter().all(|byte| is_of_dns(*byte)),
            _ => {}
        }
    }
    Some(found)
}

/// Whether certificates' DNS names have this character: those of host names (RFC 5280 §4.2.1.6), the underscore that some have all
/// the same, and a wildcard's star.
fn is_of_dns(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*')
}
