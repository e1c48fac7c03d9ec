//! SPIFFE IDs, against the grammar said in other words.

use crossmesh_policy::SpiffeId;

/// Reads the bytes as a workload's ID.
///
/// # Panics
/// If what is read is not what was written, or is read otherwise than the grammar of SPIFFE-ID §2 and X509-SVID §2 says.
pub(crate) fn spiffe_id(bytes: &[u8]) {
    let read = SpiffeId::parse(bytes).ok();
    assert_eq!(
        read.is_some(),
        is_workload(bytes),
        "{}",
        bytes.escape_ascii()
    );
    let Some(id) = read else {
        return;
    };
    assert_eq!(id.as_str().as_bytes(), bytes);
    let again = format!("spiffe://{}/{}", id.trust_domain(), id.path());
    assert_eq!(again, id.as_str());
    let kubernetes = id.namespace().zip(id.service_account());
    assert_eq!(id.namespace().is_some(), id.service_account().is_some());
    let segments: Vec<&str> = id.path().split('/').collect();
    match segments[..] {
        ["ns", namespace, "sa", account] => assert_eq!(kubernetes, Some((namespace, account))),
        _ => assert_eq!(kubernetes, None),
    }
}

fn is_workload(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|byte| *byte == b'/');
    let is_named = |extra: &'static [u8]| {
        move |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || extra.contains(byte)
    };
    let scheme = parts.next() == Some(b"spiffe:") && parts.next() == Some(b"");
    let domain = parts.next().unwrap_or_default();
    let segments: Vec<&[u8]> = parts.collect();
    scheme
        && bytes.len() <= 2048
        && (1..=255).contains(&domain.len())
        && domain.iter().all(is_named(b".-_"))
        && !segments.is_empty()
        && segments.into_iter().all(|segment| {
            !matches!(segment, b"" | b"." | b"..")
                && segment
                    .iter()
                    .all(|byte| byte.is_ascii_uppercase() || is_named(b".-_")(byte))
        })
}
