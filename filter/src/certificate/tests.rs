use super::{Names, names, pem::decode};
use crate::mock_host::certificates::{element, extension, pem, with_extensions, with_uris};

const SAN: &[u8] = &[0x55, 0x1d, 0x11];

#[track_caller]
fn check(der: &[u8], expected: Option<&[&[u8]]>) {
    let expected = expected.map(|uris| Names {
        uris: uris.iter().map(|uri| uri.to_vec()).collect(),
        has_odd_dns: false,
    });
    assert_eq!(names(&pem(der)), expected);
}

#[test]
fn all_uri_sans_are_found_and_nothing_else() {
    check(&with_uris(&[]), Some(&[]));
    check(&with_uris(&[b"spiffe://a/b"]), Some(&[b"spiffe://a/b"]));
    check(
        &with_uris(&[b"a", b"", b"\xff\0"]),
        Some(&[b"a", b"", b"\xff\0"]),
    );
    let long = vec![b'x'; 70_000];
    check(&with_uris(&[&long]), Some(&[&long]));
    check(&with_extensions(&[]), Some(&[]));
}

#[test]
fn a_dns_name_that_is_none_is_told() {
    for (name, is_odd) in [
        ("*.foo_1.example-2.com", false),
        ("a,URI=spiffe://foo.com/ns/web/sa/frontend", true),
        ("a;b", true),
        ("\"", true),
        ("a b", true),
        ("a\0", true),
        ("b\u{fc}cher.example", true),
    ] {
        let sans = [
            element(0x82, name.as_bytes()),
            element(0x86, b"spiffe://a/b"),
            element(0x82, b"c.example"),
        ];
        let san = extension(SAN, &element(0x30, &sans.concat()));
        let found = names(&pem(&with_extensions(&[&san]))).unwrap();
        assert_eq!(found.has_odd_dns, is_odd, "{name}");
        assert_eq!(found.uris, [b"spiffe://a/b"]);
    }
}

#[test]
fn what_is_no_certificate_has_no_answer() {
    let names = element(0x30, &element(0x86, b"spiffe://a/b"));
    let san = extension(SAN, &names);
    check(&with_extensions(&[&san]), Some(&[b"spiffe://a/b"]));
    check(&with_extensions(&[&san, &san]), None); // twice
    check(&with_extensions(&[&extension(SAN, b"")]), None);
    check(
        &with_extensions(&[&extension(SAN, &[&names[..], &names].concat())]),
        None,
    );
    check(
        &with_extensions(&[&extension(SAN, &element(0x31, b""))]),
        None,
    ); // a SET
    check(
        &with_extensions(&[&element(0x30, &element(0x06, SAN))]),
        None,
    ); // no value
    check(&with_extensions(&[b"\x30"]), None); // no length
    check(&with_extensions(&[b"\x30\x80"]), None); // indefinite
    check(&with_extensions(&[b"\x30\x81\x00"]), None); // longer than needed
    check(&with_extensions(&[b"\x30\x84\x00\x00\x00\x00"]), None);
    // Its contents are 128 bytes: in the shortest form of their length, as if of none, and in a longer form.
    let san = extension(SAN, &element(0x30, &element(0x86, &[b'x'; 114])));
    let contents = san.strip_prefix(b"\x30\x81\x80").unwrap();
    check(&with_extensions(&[&san]), Some(&[&[b'x'; 114]]));
    for length in [&b"\x80"[..], b"\x82\x00\x80"] {
        let other = [b"\x30", length, contents].concat();
        check(&with_extensions(&[&other]), None);
    }
    check(&with_extensions(&[b"\x1f\x01\x00"]), None); // a tag of several bytes
    let name = element(0x9f, b"\0"); // one, where any tag may stand
    check(
        &with_extensions(&[&extension(SAN, &element(0x30, &name))]),
        None,
    );
    let whole = with_uris(&[b"spiffe://a/b"]);
    check(&[&whole[..], b"\0"].concat(), None);
    for size in 0..whole.len() {
        check(&whole[..size], None);
    }
}

#[test]
fn pem_is_read_plain_and_percent_encoded() {
    let plain = pem(&with_uris(&[b"spiffe://a/b"]));
    let expected = Some(Names {
        uris: vec![b"spiffe://a/b".to_vec()],
        has_odd_dns: false,
    });
    assert_eq!(names(&plain), expected);
    let mut encoded = Vec::new();
    for byte in &plain {
        match byte {
            b'\n' => encoded.extend(b"%0A"),
            b' ' => encoded.extend(b"%20"),
            b'+' => encoded.extend(b"%2B"),
            b'/' => encoded.extend(b"%2f"),
            b'=' => encoded.extend(b"%3D"),
            byte => encoded.push(*byte),
        }
    }
    assert_eq!(names(&encoded), expected);
    // The rest of the chain is not the peer.
    let other = pem(&with_uris(&[b"spiffe://c/d"]));
    assert_eq!(names(&[&plain[..], &other].concat()), expected);
}

#[test]
fn what_is_no_pem_has_no_answer() {
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    for text in [
        String::new(),
        "MAA=".to_owned(),
        begin.to_owned(),
        format!("{begin}MAA={end}"),
        format!("{begin}%"),
        format!("{begin}%0"),
        format!("{begin}%zz{end}"),
        format!("-----BEGIN PUBLIC KEY-----MAA={end}"),
    ] {
        assert_eq!(names(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn base64_is_whole_and_ends_in_its_padding() {
    let cases: &[(&str, Option<&[u8]>)] = &[
        ("", Some(b"")),
        ("MAA=", Some(b"\x30\0")),
        ("MA==", Some(b"\x30")),
        (" M\nAA\r\n= ", Some(b"\x30\0")),
        ("AZaz09+/", Some(b"\x01\x96\xb3\xd3\xdf\xbf")),
        ("M", None),
        ("MA", None),
        ("MA=", None),
        ("M===", None),
        ("====", None),
        ("MA==MA==", None),
        ("MA=A", None),
        ("M=A=", None),
        ("MAAA=", None),
        ("MA*=", None),
        ("MA-_", None),
    ];
    for (text, bytes) in cases {
        let pem = format!("-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----");
        assert_eq!(decode(pem.as_bytes()).as_deref(), *bytes, "{text:?}");
    }
}
