use std::net::IpAddr;

use super::*;

/// A map as the host encodes it.
fn encoded(pairs: &[Pair<'_>]) -> Vec<u8> {
    crate::mock_host::encode_pairs(pairs.iter().copied())
}

#[test]
fn integers_are_eight_bytes() {
    let cases: &[(&[u8], Option<i64>)] = &[
        (&[1, 0, 0, 0, 0, 0, 0, 0], Some(1)),
        (&[0xff; 8], Some(-1)),
        (&[1, 0, 0, 0], None),
        (&[0; 9], None),
        (&[], None),
    ];
    for (bytes, expected) in cases {
        assert_eq!(integer(bytes), *expected, "{bytes:?}");
    }
}

#[test]
fn booleans_are_one_byte() {
    let cases: &[(&[u8], Option<bool>)] = &[
        (&[0], Some(false)),
        (&[1], Some(true)),
        (&[], None),
        (&[1, 0], None),
    ];
    for (bytes, expected) in cases {
        assert_eq!(boolean(bytes), *expected, "{bytes:?}");
    }
}

#[test]
fn a_port_fits_sixteen_bits() {
    for (number, expected) in [
        (0, Some(0)),
        (8080, Some(8080)),
        (65535, Some(65535)),
        (65536, None),
        (-1, None),
    ] {
        assert_eq!(port(&i64::to_le_bytes(number)), expected, "{number}");
    }
}

#[test]
fn addresses_lose_their_port() {
    let cases: &[(&[u8], Option<&str>)] = &[
        (b"192.0.2.1:80", Some("192.0.2.1")),
        (b"[2001:db8::1]:80", Some("2001:db8::1")),
        (b"[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
        (b"192.0.2.1:0", None),
        (b"[2001:db8::1]:0", None),
        (b"2001:db8::1", None),
        (b"192.0.2.1", None),
        (b"/run/app.sock", None),
        (b"envoy://internal/1", None),
        (b"\xff\xfe", None),
        (b"", None),
    ];
    for (bytes, expected) in cases {
        let expected: Option<IpAddr> = expected.map(|ip| ip.parse().unwrap());
        assert_eq!(ip_of_address(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn pairs_keep_order_repetition_and_any_bytes() {
    let cases: &[&[Pair<'_>]] = &[
        &[],
        &[(b":path", b"/")],
        &[(b"a", b"1"), (b"b", b""), (b"a", b"2"), (b"", b"x")],
        &[(b"a", b"\x00\xff\x80")],
    ];
    for case in cases {
        assert_eq!(pairs(&encoded(case)).as_deref(), Some(*case));
    }
    assert_eq!(pairs(b""), Some(Vec::new()));
}

#[test]
fn malformed_pairs_are_refused_whole() {
    let whole = encoded(&[(b"name", b"value"), (b"other", b"")]);
    for size in 1..whole.len() {
        assert_eq!(pairs(whole.get(..size).unwrap()), None, "cut at {size}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(pairs(&longer), None, "trailing byte");

    let huge = [&u32::MAX.to_le_bytes()[..], &[0; 64]].concat();
    assert_eq!(pairs(&huge), None, "a count that was not sent");
    let lying = [&[1, 0, 0, 0][..], &[0xff; 8]].concat();
    assert_eq!(pairs(&lying), None, "sizes that were not sent");
    let unterminated = [&[1, 0, 0, 0][..], &[1, 0, 0, 0, 1, 0, 0, 0], b"axbx"].concat();
    assert_eq!(pairs(&unterminated), None, "no NUL");
}
