use super::*;

#[test]
fn reserved_headers_are_known_however_they_are_spelt() {
    let cases: &[(&[u8], bool)] = &[
        (b"x-crossmesh-source-mesh", true),
        (b"x-crossmesh-anything", true),
        (b"x-crossmesh-", true),
        (b"X-Crossmesh-Source-Mesh", true),
        (b"x_crossmesh_source_mesh", true),
        (b"x-crossmesh_source-mesh", true),
        (b"x-crossmesh", false),
        (b"x-crossmeshy", false),
        (b"x-request-id", false),
        (b"-x-crossmesh-a", false),
        (b"\xff-crossmesh-a", false),
        (b"", false),
    ];
    for (name, expected) in cases {
        assert_eq!(
            is_reserved_header(name),
            *expected,
            "{}",
            name.escape_ascii()
        );
    }
}

#[test]
fn metrics_are_named_as_istio_reads_labels() {
    assert_eq!(
        pairs::labelled("east", "west", Verdict::Allow, "crossmesh_requests_total"),
        "source_mesh=.=east;.;destination_mesh=.=west;.;verdict=.=ALLOW;.;crossmesh_requests_total"
    );
}
