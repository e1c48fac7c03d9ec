//! What is looked up is what would be found by comparing with every value.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::ip_block::IpBlock;
use crate::path::{Operands, PathForms, PathPattern};
use crate::pattern::Pattern;
use crate::principal::PrincipalPattern;
use crate::rule::Namespaced;
use crate::spiffe::SpiffeId;

const LIST: usize = SHORT + 4;

/// A long list of few values, so that some match nothing.
fn list<P: Debug>(
    texts: &'static [&'static str],
    parse: fn(&str) -> P,
) -> impl Strategy<Value = Vec<P>> {
    let few = prop::collection::vec(select(texts), 3);
    few.prop_flat_map(move |few| prop::collection::vec(select(few).prop_map(parse), LIST))
}

#[track_caller]
fn finds_the_same<'v, P: Listed + Debug>(list: &[P], value: P::Value<'v>) {
    let look_up = LookUp::of(Some(list));
    let scanned = list.iter().any(|listed| listed.fits(value));
    assert_eq!(look_up.finds(list, value), scanned, "{list:?}");
    assert_eq!(LookUp::default().finds(list, value), scanned);
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn namespaced(text: &str) -> Namespaced {
    let (namespace, name) = text.split_once('/').unwrap();
    Namespaced {
        namespace: pattern(namespace),
        name: pattern(name),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn of_patterns(
        list in list(&["a", "ab", "a*", "*b", "b*", "cd*", "*cd", "*"], pattern),
        value in select(&["", "a", "ab", "ba", "b", "cd", "xcd", "c"][..]),
    ) {
        finds_the_same(&list, value.as_bytes());
    }

    #[test]
    fn of_paths(
        list in list(&["/a", "/a/*", "*/c", "/a/{*}", "/{*}/c", "/{**}", "/{*}/b/{*}", "/a/{**}", "/{*}", "/{**}/d"],
            |text| PathPattern::parse(text).unwrap()),
        path in select(&["/", "/a", "/a/", "/a/b", "/a/b/c", "//a/b", "/x/../a/b", "/%61", "/a/*/d", "/x/y=/c", "a"][..]),
        operands in select(&[Operands::Any, Operands::OfEnvoy][..]),
    ) {
        let forms = PathForms::new(path.as_bytes());
        for form in [forms.raw(), forms.clean()] {
            finds_the_same(&list, (form, operands));
        }
    }

    #[test]
    fn of_principals(
        list in list(&["foo.com/a", "foo.com/*", "bar.com/ns/*", "bar.com/*/x", "bar.com/ns/a/sa/x", "foo.com/a*"],
            |text| PrincipalPattern::parse(text).unwrap()),
        id in select(&["foo.com/a", "foo.com/ab", "bar.com/ns/a/sa/x", "bar.com/ns/b/sa/xx", "evil.com/a"][..]),
    ) {
        let id = SpiffeId::parse(format!("spiffe://{id}").as_bytes()).unwrap();
        finds_the_same(&list, &id);
        let exact = list.iter().any(|listed| listed.is_exact() && listed.fits(&id));
        let found = LookUp::of(Some(&list)).finds_one(&list, &id, PrincipalPattern::is_exact);
        prop_assert_eq!(found, exact);
    }

    #[test]
    fn of_accounts(
        list in list(&["a/x", "a/*", "a/x*", "a/*x", "*/x", "*a/x", "b*/y", "*/x*", "*b/*y", "*/*z"], namespaced),
        namespace in select(&["a", "b", "ab", "ba"][..]),
        name in select(&["x", "y", "xy", "yx", "z", "az"][..]),
    ) {
        finds_the_same(&list, (namespace, name));
    }

    #[test]
    fn of_addresses(
        list in list(&["10.0.0.0/8", "10.1.2.3", "10.1.2.0/24", "2001:db8::/32", "::1", "192.0.2.0/25"],
            |text| IpBlock::parse(text).unwrap()),
        address in select(&["10.1.2.3", "10.9.9.9", "11.0.0.1", "::ffff:10.1.2.3", "2001:db8::1", "::1", "192.0.2.200"][..]),
    ) {
        finds_the_same(&list, address.parse().unwrap());
    }

    #[test]
    fn of_ports(list in prop::collection::vec(1..40u16, LIST), port in 1..40u16) {
        finds_the_same(&list, port);
    }
}
