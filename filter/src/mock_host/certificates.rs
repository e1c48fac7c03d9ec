//! Certificates as far as the filter reads them, made by hand so that they can be made wrong.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One DER element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let size = content.len();
    let bytes = u32::try_from(size).unwrap().to_be_bytes();
    let mut element = vec![tag];
    match size {
        0..=0x7f => element.push(bytes[3]),
        0x80..=0xff => element.extend([0x81, bytes[3]]),
        0x100..=0xffff => element.extend([0x82, bytes[2], bytes[3]]),
        _ => element.extend([0x83, bytes[1], bytes[2], bytes[3]]),
    }
    element.extend(content);
    element
}

/// A certificate with these URI SANs, and a DNS SAN before and after them.
pub(crate) fn with_uris(uris: &[&[u8]]) -> Vec<u8> {
    let mut names = element(0x82, b"before.example");
    for uri in uris {
        names.extend(element(0x86, uri));
    }
    names.extend(element(0x82, b"after.example"));
    with_extensions(&[
        &extension(&[0x55, 0x1d, 0x0f], &[0x03, 0x02, 0x07, 0x80]),
        &extension(&[0x55, 0x1d, 0x11], &element(0x30, &names)),
    ])
}

/// A critical extension with this identifier and value.
pub(crate) fn extension(identifier: &[u8], value: &[u8]) -> Vec<u8> {
    let fields = [
        element(0x06, identifier),
        element(0x01, &[0xff]),
        element(0x04, value),
    ];
    element(0x30, &fields.concat())
}

/// A certificate with these extensions.
pub(crate) fn with_extensions(extensions: &[&[u8]]) -> Vec<u8> {
    let extensions = element(0xa3, &element(0x30, &extensions.concat()));
    let tbs = [
        element(0xa0, &element(0x02, &[2])), // version
        element(0x02, &[1; 20]),             // serial number
        element(0x30, &[]),                  // signature algorithm
        element(0x30, &[]),                  // issuer
        element(0x30, &[]),                  // validity
        element(0x30, &[]),                  // subject
        element(0x30, &[7; 91]),             // public key
        extensions,
    ];
    let parts = [
        element(0x30, &tbs.concat()),
        element(0x30, &[]),
        element(0x03, &[9; 71]),
    ];
    element(0x30, &parts.concat())
}

/// As PEM, in lines of 64.
pub(crate) fn pem(der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in der.chunks(3) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from((bits >> shift) & 0x3f).unwrap();
            text.push(if at <= group.len() {
                DIGITS[digit]
            } else {
                b'='
            });
        }
    }
    let lines: Vec<&[u8]> = text.chunks(64).collect();
    [
        &b"-----BEGIN CERTIFICATE-----\n"[..],
        &lines.join(&b'\n'),
        b"\n-----END CERTIFICATE-----\n",
    ]
    .concat()
}

/// Another for each certificate, in the form of Envoy's.
pub(crate) fn digest(pem: &[u8]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    pem.hash(&mut hasher);
    format!("{:064x}", hasher.finish()).into_bytes()
}
