//! Identities, accepted and refused. The sweeps over all characters follow go-spiffe's `id_test.go`.

use super::*;

/// Trust domain, and namespace with service account.
type Seen<'a> = (&'a str, Option<(&'a str, &'a str)>);

#[track_caller]
fn check(text: &str, want: Result<Seen<'_>, InvalidSpiffeId>) {
    let got = SpiffeId::parse(text.as_bytes());
    let seen = got.as_ref().map_err(|e| *e).map(|id| {
        let workload = id.namespace().zip(id.service_account());
        (id.trust_domain(), workload)
    });
    assert_eq!(seen, want, "{text}");
    if let Ok(id) = &got {
        assert_eq!(
            format!("spiffe://{}/{}", id.trust_domain(), id.path()),
            text
        );
    }
}

#[test]
fn workload_ids_are_read_by_segment() {
    check(
        "spiffe://foo.com/ns/web/sa/frontend",
        Ok(("foo.com", Some(("web", "frontend")))),
    );
    check("spiffe://foo.com/workload", Ok(("foo.com", None)));
    check("spiffe://foo.com/ns/web/sa/a/b", Ok(("foo.com", None)));
    check("spiffe://foo.com/x/ns/web/sa/a", Ok(("foo.com", None)));
    check("spiffe://foo.com/ns/web/SA/a", Ok(("foo.com", None)));
    check(
        "spiffe://foo.com/ns/sa/sa/ns",
        Ok(("foo.com", Some(("sa", "ns")))),
    );
    check("spiffe://1.2.3.4/a", Ok(("1.2.3.4", None)));
    check("spiffe://-foo_/a", Ok(("-foo_", None)));
    check("spiffe://foo.com/...", Ok(("foo.com", None)));
}

#[test]
fn what_a_looser_reader_would_repair_is_refused() {
    use InvalidSpiffeId::*;
    for (text, why) in [
        ("", Scheme),
        ("Spiffe://foo.com/a", Scheme),
        ("https://foo.com/a", Scheme),
        ("spiffe:/foo.com/a", Scheme),
        ("spiffe://", NoTrustDomain),
        ("spiffe:///a", NoTrustDomain),
        ("spiffe://foo.com", NoPath),
        ("spiffe://foo.com/", NoPath),
        ("spiffe://Foo.com/a", TrustDomainCharacter('F')),
        ("spiffe://foo com/a", TrustDomainCharacter(' ')),
        ("spiffe://foo.com:443/a", Port),
        ("spiffe://me@foo.com/a", UserInfo),
        ("spiffe://foo%2ecom/a", PercentEncoding),
        ("spiffe://foo.com?a/b", Query),
        ("spiffe://foo.com#a/b", Fragment),
        ("spiffe://foo.com/a/", EmptySegment),
        ("spiffe://foo.com//a", EmptySegment),
        ("spiffe://foo.com/a//b", EmptySegment),
        ("spiffe://foo.com/./a", DotSegment),
        ("spiffe://foo.com/a/..", DotSegment),
        ("spiffe://foo.com/a%62", PercentEncoding),
        ("spiffe://foo.com/a?b", Query),
        ("spiffe://foo.com/a#b", Fragment),
        ("spiffe://foo.com/a\u{e9}", PathCharacter('\u{e9}')),
        ("spiffe://foo.com/a\0", PathCharacter('\0')),
    ] {
        check(text, Err(why));
    }
    assert_eq!(SpiffeId::parse(b"spiffe://foo.com/\xff"), Err(NotText));
}

#[test]
fn lengths_end_where_the_standard_ends_them() {
    let domain = "d".repeat(255);
    check(&format!("spiffe://{domain}/a"), Ok((&domain, None)));
    check(
        &format!("spiffe://{domain}d/a"),
        Err(InvalidSpiffeId::LongTrustDomain(256)),
    );
    let prefix = "spiffe://foo.com/";
    let longest = format!("{prefix}{}", "p".repeat(2048 - prefix.len()));
    check(&longest, Ok(("foo.com", None)));
    check(&format!("{longest}p"), Err(InvalidSpiffeId::TooLong(2049)));
}

#[test]
fn every_byte_is_accepted_or_refused_as_the_charset_says() {
    for byte in (0u8..=255).filter(|b| *b != b'/') {
        let c = char::from(byte);
        let id = |before: &[u8], after: &[u8]| SpiffeId::parse(&[before, &[byte], after].concat());
        let in_path = c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let in_domain = in_path && !c.is_ascii_uppercase();
        assert_eq!(
            id(b"spiffe://foo.com/p", b"").is_ok(),
            in_path,
            "path {byte:#x}"
        );
        assert_eq!(
            id(b"spiffe://d", b"/p").is_ok(),
            in_domain,
            "trust domain {byte:#x}"
        );
    }
}
