//! The URI SANs of a certificate: all of them, which Envoy's attribute does not give.
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

/// The URI SANs of the first certificate in a PEM text, in written order.
pub(crate) fn uri_sans(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let certificate = pem::decode(pem)?;
    let mut sans = Vec::new();
    for san in uris(&certificate)? {
        sans.push(san.to_vec());
    }
    Some(sans)
}

fn uris(certificate: &[u8]) -> Option<Vec<&[u8]>> {
    let mut whole = Elements::of(certificate);
    let mut parts = whole.expect(der::SEQUENCE)?;
    whole.end()?;
    let tbs = parts.expect(der::SEQUENCE)?;
    let mut uris = None;
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
            if uris.is_some() {
                return None;
            }
            uris = Some(names(fields)?);
        }
    }
    Some(uris.unwrap_or_default())
}

/// The URIs of a SAN extension, from behind its identifier: `critical` if it is there, then an OCTET STRING that holds
/// GeneralNames.
fn names(mut fields: Elements<'_>) -> Option<Vec<&[u8]>> {
    let mut value = fields.next()??;
    if value.tag == der::BOOLEAN {
        value = fields.next()??;
    }
    fields.end()?;
    let mut wrapped = value.elements(der::OCTET_STRING)?;
    let names = wrapped.expect(der::SEQUENCE)?;
    wrapped.end()?;
    let mut uris = Vec::new();
    for name in names {
        let Element { tag, content } = name?;
        if tag == URI {
            uris.push(content);
        }
    }
    Some(uris)
}
