//! Both forms of a path, and templates. The template cases are those that Istio's and Envoy's documentation name.

use super::*;

#[track_caller]
fn forms(path: &str, raw: &str, clean: &str) {
    let forms = PathForms::new(path.as_bytes());
    assert_eq!(
        (
            String::from_utf8_lossy(forms.raw().text()).as_ref(),
            String::from_utf8_lossy(forms.clean().text()).as_ref()
        ),
        (raw, clean),
        "{path}"
    );
}

#[test]
fn the_clean_form_is_decoded_once_merged_and_resolved() {
    forms("/v1/items", "/v1/items", "/v1/items");
    forms("/v1?a=/../b", "/v1", "/v1");
    forms("/v1#top", "/v1", "/v1");
    forms("/v1/../admin", "/v1/../admin", "/admin");
    forms("/v1/./a", "/v1/./a", "/v1/a");
    forms("/v1/%2e%2e/admin", "/v1/%2e%2e/admin", "/admin");
    forms("/v1%2f..%2Fadmin", "/v1%2f..%2Fadmin", "/admin");
    forms("/%2561dmin", "/%2561dmin", "/%61dmin");
    forms("//v1///a", "//v1///a", "/v1/a");
    forms("/a/..", "/a/..", "/");
    forms("/a/.", "/a/.", "/a/");
    forms("/a/", "/a/", "/a/");
    forms("/../..", "/../..", "/");
    forms("/.well-known/x", "/.well-known/x", "/.well-known/x");
    forms("/a%zz%4", "/a%zz%4", "/a%zz%4");
    forms("/a%3Fb", "/a%3Fb", "/a?b");
    forms("a//b/./c", "a//b/./c", "a/b/c");
    forms("*", "*", "*");
    forms("", "", "");
}

fn matches(pattern: &PathPattern, path: &[u8], operands: Operands) -> bool {
    pattern.matches(Form::new(path, &Segments::default()), operands)
}

#[track_caller]
fn check(pattern: &str, path: &str, want: bool) {
    let parsed = PathPattern::parse(pattern).expect(pattern);
    assert_eq!(parsed.to_string(), pattern);
    for operands in [Operands::OfEnvoy, Operands::Any] {
        let found = matches(&parsed, path.as_bytes(), operands);
        assert_eq!(found, want, "{pattern} on {path}, {operands:?}");
    }
}

/// Envoy's `uri_template` (source/extensions/path/uri_template_lib) takes the characters of RFC 3986's pchar but `*` and `=`.
#[test]
fn operators_take_the_characters_that_envoy_takes() {
    let one = PathPattern::parse("/a/{*}/b").unwrap();
    let rest = PathPattern::parse("/a/{**}").unwrap();
    let taken = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()+,;:@";
    for byte in 0..=255u8 {
        if byte == b'/' {
            continue;
        }
        let envoy = taken.as_bytes().contains(&byte);
        let segment = [&b"/a/x"[..], &[byte], b"/b"].concat();
        for pattern in [&one, &rest] {
            assert_eq!(
                matches(pattern, &segment, Operands::OfEnvoy),
                envoy,
                "{byte}"
            );
            assert!(matches(pattern, &segment, Operands::Any), "{byte}");
        }
        // And of literals, which are text.
        let literal = format!("/a{}/{{*}}", char::from(byte));
        let plain = !matches!(byte, b'{' | b'}' | b'*' | b'?' | b'#');
        if plain {
            assert_eq!(PathPattern::parse(&literal).is_ok(), envoy, "{literal}");
        }
    }
}

#[test]
fn templates_match_by_segment() {
    check("/foo/{*}", "/foo/bar", true);
    check("/foo/{*}", "/foo/bar/baz", false);
    check("/foo/{*}", "/foo/", false);
    check("/foo/{*}", "/foo", false);
    check("/foo/{**}/", "/foo/bar/", true);
    check("/foo/{**}/", "/foo/bar/baz/", true);
    check("/foo/{**}/", "/foo//", true);
    check("/foo/{**}/", "/foo/bar", false);
    check("/foo/{*}/bar/{**}", "/foo/buzz/bar/", true);
    check("/foo/{*}/bar/{**}", "/foo/buzz/bar/baz", true);
    check("/foo/{*}/bar/{**}", "/foo/buzz/bar", false);
    check("/foo/{*}/bar/{**}", "/foo//bar/baz", false);
    check("/foo/{*}/bar/{**}", "/foo/buzz/bar/baz/qux", true);
    check("/{*}/{*}", "/a/b/", false);
    check("/{*}/{*}", "/a", false);
    check("/{*}", "a", false);
    check("/{**}", "a", false);
    check("/{**}/end", "/end", false);
    check("/{**}", "/", true);
    check("/{**}", "/a/b", true);
    check("/{**}/end", "/a/b/end", true);
    check("/{**}/end", "/a/b/bend", false);
    check("/items/{*}/", "/items/1/", true);
    check("/items/{*}/", "/items/1", false);
    check("*.json", "/a.json", true);
    check("/v1/*", "/v1/", true);
}

#[test]
fn patterns_that_no_path_matches_are_refused() {
    use InvalidPath::*;
    for (text, why) in [
        ("v1/*", NoSlash),
        ("{*}/v1", NoSlash),
        ("*/{*}", NoSlash),
        ("/v1?x", Query('?')),
        ("/v1#x", Query('#')),
        ("/*/baz/{*}", Operator),
        ("/foo/{*}.txt", Operator),
        ("/foo/{name}", Operator),
        ("/foo/{name", Operator),
        ("/foo/name}", Operator),
        ("/foo{**}", Operator),
        ("/foo/{**}x", Operator),
        ("/{**}/foo/{*}", RestNotLast),
        ("/{**}/{**}", RestNotLast),
        ("/a//{*}", EmptySegment),
        ("//{**}", EmptySegment),
        ("/{**}//", EmptySegment),
        ("/a=b/{*}", Literal('=')),
        ("/{*}/ä", Literal('ä')),
        ("/{**}/a b", Literal(' ')),
        ("/a*b", Pattern(InvalidPattern::Star)),
        ("", Pattern(InvalidPattern::Empty)),
    ] {
        assert_eq!(PathPattern::parse(text), Err(why), "{text}");
    }
}
