//! A client may send a header as often, and with as many values, as its proxy takes: a rule is not asked more often for it.

use super::*;
use crate::facts::MOST_VALUES;
use crate::truth::Fact;

/// So many lines or values: what Envoy takes is 60 KiB and a hundred lines, but for policies of its own.
const MANY: usize = 10_000;

fn lines(
    of: impl IntoIterator<Item = (&'static str, String)>,
) -> &'static [(&'static str, &'static str)] {
    let leaked = of.into_iter().map(|(name, values)| (name, &*values.leak()));
    leaked.collect::<Vec<_>>().leak()
}

fn values(count: usize, value: impl Fn(usize) -> String) -> String {
    (0..count).map(value).collect::<Vec<_>>().join(",")
}

/// Asks no more than so many times, whatever the rules do; none of them holds.
#[track_caller]
fn asks_at_most(
    most: usize,
    by: &str,
    headers: &'static [(&'static str, &'static str)],
    when: impl Fn(usize) -> Value,
) {
    let asked = Asked { headers, ..ASKED };
    let rules = allowing(4_000, &|i| json!({"when": when(i)}));
    for action in [Action::Allow, Action::Deny, Action::Audit] {
        let mut program = rules.clone();
        program
            .active
            .rules
            .iter_mut()
            .for_each(|rule| rule.action = action);
        let policy = program.bind(&here()).unwrap();
        let set = &policy.active;
        let sets = [&set.allow, &set.deny, &set.audit];
        let of = sets.into_iter().find(|of| !of.rules.is_empty()).unwrap();
        let (count, found) = asked.looks_at(&policy, of, Doubt::settled(action));
        assert!(!found, "{action:?} by {by}");
        assert!(count <= most, "{action:?} by {by}: {count}");
    }
}

/// Four rules want the same of the header `x-a`, and more of another, which no request has.
fn and_more(mut condition: Value) -> Value {
    condition["header"] = json!("x-a");
    json!([condition, {"header": "x-z", "values": ["on"]}])
}

#[test]
fn one_value_ten_thousand_times() {
    let said = lines([
        ("x-a", values(MANY, |_| "v7".into())),
        ("x-z", "off".into()),
    ]);
    asks_at_most(4, "value", said, |i| {
        and_more(json!({"values": [format!("v{}", i / 4)]}))
    });
    let but_one = lines([
        (
            "x-a",
            values(MANY, |i| if i + 1 < MANY { "v7" } else { "bad" }.into()),
        ),
        ("x-z", "off".into()),
    ]);
    asks_at_most(4, "value, but for one", but_one, |i| {
        and_more(json!({"values": [format!("v{}", i / 4)]}))
    });
}

#[test]
fn ten_thousand_values_of_one_beginning() {
    let said = lines([
        ("x-a", values(MANY, |i| format!("v7-{i}"))),
        ("x-z", "off".into()),
    ]);
    asks_at_most(4, "beginning", said, |i| {
        and_more(json!({"values": [format!("v{}-*", i / 4)]}))
    });
}

#[test]
fn several_values_of_one_rule() {
    let said = lines([
        ("x-a", values(4, |i| format!("v7-{i}"))),
        ("x-z", "off".into()),
    ]);
    asks_at_most(4, "several values", said, |i| {
        let values: Vec<_> = (0..4).map(|n| format!("v{}-{n}", i / 4)).collect();
        and_more(json!({"values": values}))
    });
}

#[test]
fn two_headers_of_many_values() {
    let said = lines([
        ("x-a", values(300, |_| "v7".into())),
        ("x-b", values(300, |_| "w3".into())),
        ("x-z", "off".into()),
    ]);
    asks_at_most(4, "two headers", said, |i| {
        let (a, b) = (i / 4 % 32, i / 4 / 32);
        json!([
            {"header": "x-a", "values": [format!("v{a}")]},
            {"header": "x-b", "values": [format!("w{b}")]},
            {"header": "x-z", "values": ["on"]},
        ])
    });
}

#[test]
fn a_hundred_equal_lines() {
    let off = || [("x-z", "off".into())];
    let said = lines((0..100).map(|_| ("x-a", "v7".into())).chain(off()));
    asks_at_most(4, "lines", said, |i| {
        and_more(json!({"values": [format!("v{}", i / 4)]}))
    });
    let said = lines((0..100).map(|_| ("x-7", "on".into())).chain(off()));
    asks_at_most(
        4,
        "names",
        said,
        |i| json!([{"header": format!("x-{}", i / 4), "values": ["on"]}, {"header": "x-z", "values": ["on"]}]),
    );
}

/// All rules share what one of them had split.
#[test]
fn a_header_is_split_once() {
    let line = values(MOST_VALUES - 2, |_| "v".into());
    let more = values(MOST_VALUES + 1, |_| "v".into());
    let headers: &[(&[u8], &[u8])] = &[
        (b"x-b", b"w"),
        (b"x-a", line.as_bytes()),
        (b"x-a", b"u, v"),
        (b"x-d", more.as_bytes()),
    ];
    let rule = json!({"action": "ALLOW", "from": [{"meshes": ["west"]}]});
    let policy = program(vec![rule], false).bind(&here()).unwrap();
    let source = policy.identify(&Peer::Plaintext);
    let request = Request {
        source_ip: None,
        port: None,
        sni: None,
        protocol: Protocol::Http(HttpRequest {
            headers,
            ..HttpRequest::default()
        }),
    };
    let facts = Facts::new(&source, &request);
    let Fact::Is(first) = facts.header("x-a") else {
        panic!("it is there")
    };
    let Fact::Is(again) = facts.header("x-a") else {
        panic!("it is there")
    };
    assert_eq!(first.len(), MOST_VALUES);
    assert_eq!(first.last(), Some(&&b"v"[..]));
    assert_eq!(first.as_ptr(), again.as_ptr());
    assert!(matches!(facts.header("x-b"), Fact::Is([b"w"])));
    assert!(matches!(facts.header("x-c"), Fact::Absent));
    assert!(matches!(facts.header("x-d"), Fact::Unknown));
}
