//! How many parts of rules are looked at: a few, however many there are and whatever tells them apart.

use super::*;
use crate::Policy;

mod many_values;
mod mixed;
mod negative;

/// What is asked, of a policy whose proxy is in the namespace shop.
#[derive(Clone, Copy)]
struct Asked {
    san: &'static str,
    host: &'static str,
    path: &'static str,
    method: &'static str,
    headers: &'static [(&'static str, &'static str)],
    sni: Option<&'static str>,
    ip: Option<&'static str>,
    port: u16,
}

const ASKED: Asked = Asked {
    san: "spiffe://bar.com/ns/n7/sa/s7",
    host: "h7.shop.svc.cluster.local:80",
    path: "/p7",
    method: "GET",
    headers: &[("accept", "*/*"), ("x-a", "v7"), ("x-7", "on")],
    sni: Some("s7.example.com"),
    ip: Some("10.0.7.1"),
    port: 87,
};

/// So many rules. Those with low numbers, of which requests have the values, come last: whoever looks at one rule after the
/// other looks at nearly all before.
fn allowing(rules: usize, rule: &impl Fn(usize) -> Value) -> Program {
    let rules = (0..rules).rev().map(|i| {
        let mut rule = rule(i);
        rule["action"] = json!("ALLOW");
        if rule.get("from").is_none() {
            rule["from"] = json!([{"meshes": ["west"]}]);
        }
        if let Some(to) = rule.get_mut("to").and_then(Value::as_array_mut) {
            to.iter_mut()
                .for_each(|to| to["namespaces"] = json!(["shop"]));
        }
        rule
    });
    program(rules.collect(), false)
}

/// The same rules with another action.
fn denying(mut program: Program) -> Program {
    for rule in &mut program.active.rules {
        rule.action = Action::Deny;
    }
    program
}

/// Of ten rules and of ten thousand a request looks at no more than this.
const FEW: usize = 16;

/// Looks at few of the rules, whether they allow or deny, and finds one or not.
#[track_caller]
fn few(by: &str, asked: Asked, finds: bool, rule: impl Fn(usize) -> Value) {
    few_of(by, asked, [finds, finds], rule);
}

/// The same; whether it finds one is told for those that allow and those that deny.
#[track_caller]
fn few_of(by: &str, asked: Asked, finds: [bool; 2], rule: impl Fn(usize) -> Value) {
    for rules in [10, 10_000] {
        let allow = allowing(rules, &rule);
        let deny = denying(allow.clone());
        for (program, finds) in [allow, deny].iter().zip(finds) {
            let policy = program.bind(&here()).unwrap();
            let sets = [&policy.active.allow, &policy.active.deny];
            let of = sets.into_iter().find(|of| of.rules.len() == rules).unwrap();
            let action = of.rules[0].action;
            let (count, found) = asked.looks_at(&policy, of, Doubt::settled(action));
            assert!(count <= FEW, "{action:?} by {by}, {rules} rules: {count}");
            assert_eq!(found, finds, "{action:?} by {by}, {rules} rules");
        }
    }
}

impl Asked {
    /// How many parts of rules are asked before one is found that counts, and whether one is.
    fn looks_at(self, policy: &Policy, of: &Indexed, doubt: Doubt) -> (usize, bool) {
        let source = policy.identify(&Peer::Certificate {
            uri_sans: &[self.san.as_bytes()],
        });
        let lines = self.headers.iter();
        let headers: Vec<_> = lines.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let request = Request {
            source_ip: self.ip.map(|ip| ip.parse().unwrap()),
            port: Some(self.port),
            sni: self.sni.map(str::as_bytes),
            protocol: Protocol::Http(HttpRequest {
                host: Some(self.host.as_bytes()),
                path: Some(self.path.as_bytes()),
                method: Some(self.method.as_bytes()),
                headers: &headers,
            }),
        };
        let facts = Facts::new(&source, &request);
        let (mut count, mut first) = (0, None);
        of.index.visit(&facts, doubt, &mut |at| {
            count += 1;
            if of.counting(at, &facts, doubt).is_some() {
                first = Some(at);
            }
            first.unwrap_or(usize::MAX)
        });
        (count, first.is_some())
    }
}

fn from(item: Value) -> Value {
    json!({"from": [item]})
}

fn to(item: Value) -> Value {
    json!({"to": [item]})
}

fn when(header: &str, values: Value) -> Value {
    json!({"when": [{"header": header, "values": values}]})
}

#[test]
fn by_source() {
    few("principal", ASKED, true, |i| {
        from(json!({"principals": [format!("bar.com/ns/n{i}/sa/s{i}")]}))
    });
    few("trust domain of a principal", ASKED, false, |i| {
        from(
            json!({"principals": [format!("bar.com/ns/n{}/sa/s", i % 7)], "notPrincipals": [format!("bar.com/x{i}")]}),
        )
    });
    let west = |fields: Value| {
        let mut item = fields;
        item["meshes"] = json!(["west"]);
        from(item)
    };
    few("account", ASKED, true, |i| {
        west(json!({"serviceAccounts": [format!("n{i}/s{i}")]}))
    });
    few("several accounts", ASKED, true, |i| {
        west(json!({"serviceAccounts": [format!("n{i}/s{i}"), format!("n{i}/t{i}")]}))
    });
    few("account of any namespace", ASKED, true, |i| {
        west(json!({"serviceAccounts": [format!("*/s{i}")]}))
    });
    few(
        "beginning of an account of any namespace",
        ASKED,
        true,
        |i| {
            let name = if i == 7 {
                "s*".to_owned()
            } else {
                format!("t{i}-*")
            };
            west(json!({"serviceAccounts": [format!("*/{name}")]}))
        },
    );
    few("any account of a namespace", ASKED, true, |i| {
        west(json!({"serviceAccounts": [format!("n{i}/*")]}))
    });
    few("beginning of an account", ASKED, true, |i| {
        let name = if i == 7 {
            "s*".to_owned()
        } else {
            format!("s{i}-*")
        };
        west(json!({"serviceAccounts": [format!("n7/{name}")]}))
    });
    few("namespace", ASKED, true, |i| {
        west(json!({"namespaces": [format!("n{i}")]}))
    });
    few("address", ASKED, true, |i| {
        west(json!({"ipBlocks": [format!("10.{}.{}.1", i / 256, i % 256)]}))
    });
    few("block of addresses", ASKED, true, |i| {
        west(json!({"ipBlocks": [format!("10.{}.{}.0/24", i / 256, i % 256)]}))
    });
    few("blocks within blocks", ASKED, true, |i| {
        west(json!({"ipBlocks": [format!("10.{}.{}.0/{}", i / 256, i % 256, 24 + i % 3)]}))
    });
    few(
        "another address",
        Asked {
            ip: Some("2001:db8::1"),
            ..ASKED
        },
        false,
        |i| west(json!({"ipBlocks": [format!("10.{}.{}.0/24", i / 256, i % 256)]})),
    );
}

#[test]
fn by_request() {
    few("host", ASKED, true, |i| {
        to(json!({"hosts": [format!("h{i}.shop.svc.cluster.local")]}))
    });
    few("ending of a host", ASKED, false, |i| {
        to(json!({"hosts": [format!("*.{i}.local")]}))
    });
    few("SNI", ASKED, true, |i| {
        to(json!({"snis": [format!("s{i}.example.com")]}))
    });
    few(
        "ending of an SNI",
        Asked {
            sni: Some("a.7.example.com"),
            ..ASKED
        },
        true,
        |i| to(json!({"snis": [format!("*.{i}.example.com")]})),
    );
    few("no SNI", Asked { sni: None, ..ASKED }, false, |i| {
        to(json!({"snis": [format!("s{i}.example.com")]}))
    });
    few("port", ASKED, true, |i| to(json!({"ports": [80 + i]})));
    few(
        "method",
        Asked {
            method: "M7",
            ..ASKED
        },
        true,
        |i| to(json!({"methods": [format!("M{i}")]})),
    );
    few("path", ASKED, true, |i| {
        to(json!({"paths": [format!("/p{i}")]}))
    });
    let below = Asked {
        path: "/p7/y/x",
        ..ASKED
    };
    few("beginning of a path", below, true, |i| {
        to(json!({"paths": [format!("/p{i}/*")]}))
    });
    few("template", below, true, |i| {
        to(json!({"paths": [format!("/p{i}/{{*}}/x")]}))
    });
    let ends = Asked {
        path: "/v1/y/p7",
        ..ASKED
    };
    few("ending of a template", ends, true, |i| {
        to(json!({"paths": [format!("/v1/{{*}}/p{i}")]}))
    });
    few("ending of an open template", ends, true, |i| {
        to(json!({"paths": [format!("/{{**}}/p{i}")]}))
    });
    let middle = Asked {
        path: "/v1/y/p7/z",
        ..ASKED
    };
    few("middle of a template", middle, true, |i| {
        to(json!({"paths": [format!("/v1/{{*}}/p{i}/{{*}}")]}))
    });
    few("middle of an open template", middle, true, |i| {
        to(json!({"paths": [format!("/v1/{{*}}/p{i}/{{**}}")]}))
    });
    few("a path that is too short for it", ASKED, false, |i| {
        to(json!({"paths": [format!("/{{*}}/p{i}/{{*}}")]}))
    });
    few(
        "ending of a path",
        Asked {
            path: "/a/7.json",
            ..ASKED
        },
        true,
        |i| to(json!({"paths": [format!("*/{i}.json")]})),
    );
}

#[test]
fn by_header() {
    few("value", ASKED, true, |i| {
        when("x-a", json!([format!("v{i}")]))
    });
    let two = Asked {
        headers: &[("x-a", "v7,v7"), ("x-a", "v7")],
        ..ASKED
    };
    few("value, three times", two, true, |i| {
        when("x-a", json!([format!("v{i}")]))
    });
    few(
        "beginning of a value",
        Asked {
            headers: &[("x-a", "v7-z")],
            ..ASKED
        },
        true,
        |i| when("x-a", json!([format!("v{i}-*")])),
    );
    few(
        "ending of a value",
        Asked {
            headers: &[("x-a", "z-7")],
            ..ASKED
        },
        true,
        |i| when("x-a", json!([format!("*-{i}")])),
    );
    few(
        "no such header",
        Asked {
            headers: &[],
            ..ASKED
        },
        false,
        |i| when("x-a", json!([format!("v{i}")])),
    );
    few("name", ASKED, true, |i| {
        when(&format!("x-{i}"), json!(["on"]))
    });
    few(
        "name of the second",
        ASKED,
        true,
        |i| json!({"when": [{"header": "x-a", "values": ["v7"]}, {"header": format!("x-{i}"), "values": ["*"]}]}),
    );
    few("name and value", ASKED, true, |i| {
        when(
            if i % 2 == 1 { "x-a" } else { "x-b" },
            json!([format!("v{i}")]),
        )
    });
}

/// Rules of several kinds in one policy: none of them stands in the way of the others.
#[test]
fn by_several() {
    few("namespace and path", ASKED, true, |i| {
        let namespace = format!("n{}", i / 100);
        let from =
            json!([{"meshes": ["west"], "namespaces": [if i == 7 { "n7" } else { &namespace }]}]);
        json!({"from": from, "to": [{"paths": [format!("/p{}", i % 100)]}]})
    });
    few("one of five", ASKED, true, |i| match i % 5 {
        0 => to(json!({"paths": [format!("/p{i}")]})),
        1 => from(json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]})),
        2 => when("x-a", json!([format!("v{i}")])),
        3 => from(json!({"meshes": ["west"], "ipBlocks": [format!("10.9.{}.0/24", i % 256)]})),
        _ => to(json!({"hosts": [format!("h{i}")]})),
    });
}
