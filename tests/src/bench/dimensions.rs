//! Policies of which one thing tells the rules apart, for each thing that can.

use serde_json::{Value, json};

use super::rules;

/// One thing that can tell rules apart.
pub(super) struct Dimension {
    /// In words.
    pub(super) by: &'static str,
    /// Of the rule with a number: its `from`, `to` and `when`, as far as they are its own.
    pub(super) rule: fn(usize) -> Value,
    /// The request that the rule with the highest number lets in, as far as it is not any.
    pub(super) request: fn() -> Value,
}

/// The number of the last rule, however many there are.
const LAST: usize = 99_999;

/// So many rules, each for one mesh; the last is always the same.
pub(super) fn policy(rules: usize, rule: fn(usize) -> Value) -> Value {
    let mut policy = rules::policy(1, 1, false);
    let rules = (1..=rules).map(|at| {
        let mut rule = rule(LAST + at - rules);
        rule["name"] = json!(rules::name(at));
        rule["action"] = json!("ALLOW");
        if rule.get("from").is_none() {
            rule["from"] = json!([{"meshes": ["east"]}]);
        }
        rule
    });
    policy["rules"] = rules.collect();
    policy
}

/// An address for each number.
fn address(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255)
}

fn from(mut item: Value) -> Value {
    item["meshes"] = json!(["east"]);
    json!({"from": [item]})
}

fn to(mut item: Value) -> Value {
    item["namespaces"] = json!(["shop"]);
    json!({"to": [item]})
}

fn when(condition: Value) -> Value {
    json!({"when": [condition]})
}

/// All that are measured.
pub(super) const ALL: [Dimension; 22] = [
    Dimension {
        by: "principal",
        rule: |n| json!({"from": [{"principals": [format!("foo.com/ns/web/sa/caller-{n}")]}]}),
        request: || json!({"principal": format!("spiffe://foo.com/ns/web/sa/caller-{LAST}")}),
    },
    Dimension {
        by: "account, ns/name",
        rule: |n| from(json!({"serviceAccounts": [format!("web/caller-{n}")]})),
        request: || json!({"principal": format!("spiffe://foo.com/ns/web/sa/caller-{LAST}")}),
    },
    Dimension {
        by: "account, ns/*",
        rule: |n| from(json!({"serviceAccounts": [format!("web-{n}/*")]})),
        request: || json!({"principal": format!("spiffe://foo.com/ns/web-{LAST}/sa/a")}),
    },
    Dimension {
        by: "account, */name",
        rule: |n| from(json!({"serviceAccounts": [format!("*/caller-{n}")]})),
        request: || json!({"principal": format!("spiffe://foo.com/ns/web/sa/caller-{LAST}")}),
    },
    Dimension {
        by: "address",
        rule: |n| from(json!({"ipBlocks": [address(n)]})),
        request: || json!({"source_ip": address(LAST)}),
    },
    Dimension {
        by: "blocks of addresses",
        rule: |n| from(json!({"ipBlocks": [format!("{}/{}", address(n << 3), 29 + n % 4)]})),
        request: || json!({"source_ip": address(LAST << 3)}),
    },
    Dimension {
        by: "host",
        rule: |n| to(json!({"hosts": [format!("h{n}.shop.svc.cluster.local")]})),
        request: || json!({"host": format!("h{LAST}.shop.svc.cluster.local")}),
    },
    Dimension {
        by: "ending of a host",
        rule: |n| to(json!({"hosts": [format!("*.h{n}.local")]})),
        request: || json!({"host": format!("a.h{LAST}.local")}),
    },
    Dimension {
        by: "SNI",
        rule: |n| to(json!({"snis": [format!("h{n}.local")]})),
        request: || json!({"sni": format!("h{LAST}.local")}),
    },
    Dimension {
        by: "ending of an SNI",
        rule: |n| to(json!({"snis": [format!("*.h{n}.local")]})),
        request: || json!({"sni": format!("a.h{LAST}.local")}),
    },
    Dimension {
        by: "port",
        rule: |n| to(json!({"ports": [n % 65_536]})),
        request: || json!({"port": LAST % 65_536}),
    },
    Dimension {
        by: "method",
        rule: |n| to(json!({"methods": [format!("M{n}")]})),
        request: || json!({"method": format!("M{LAST}")}),
    },
    Dimension {
        by: "path",
        rule: |n| to(json!({"paths": [format!("/v1/{n}")]})),
        request: || json!({"path": format!("/v1/{LAST}")}),
    },
    Dimension {
        by: "path template",
        rule: |n| to(json!({"paths": [format!("/v{n}/{{*}}/items")]})),
        request: || json!({"path": format!("/v{LAST}/a/items")}),
    },
    Dimension {
        by: "middle of a path template",
        rule: |n| to(json!({"paths": [format!("/v1/{{*}}/{n}/{{*}}")]})),
        request: || json!({"path": format!("/v1/a/{LAST}/b")}),
    },
    Dimension {
        by: "header",
        rule: |n| when(json!({"header": "x-tenant", "values": [format!("t{n}")]})),
        request: || json!({"headers": {"x-tenant": format!("t{LAST}")}}),
    },
    Dimension {
        by: "beginning of a header",
        rule: |n| when(json!({"header": "x-tenant", "values": [format!("t{n}/*")]})),
        request: || json!({"headers": {"x-tenant": format!("t{LAST}/a")}}),
    },
    Dimension {
        by: "ending of a header",
        rule: |n| when(json!({"header": "x-tenant", "values": [format!("*/t{n}")]})),
        request: || json!({"headers": {"x-tenant": format!("a/t{LAST}")}}),
    },
    Dimension {
        by: "name of a header",
        rule: |n| when(json!({"header": format!("x-t{n}"), "values": ["*"]})),
        request: || json!({"headers": {format!("x-t{LAST}"): "a"}}),
    },
    Dimension {
        by: "path of an item, host of the next",
        rule: |n| {
            let paths = json!({"namespaces": ["shop"], "paths": [format!("/v1/{n}")]});
            let hosts = json!({"namespaces": ["shop"], "hosts": [format!("h{n}.local")]});
            json!({"to": [paths, hosts]})
        },
        request: || json!({"host": format!("h{LAST}.local"), "path": "/"}),
    },
    Dimension {
        by: "what it is not (path), by the first",
        rule: |n| to(json!({"notPaths": [format!("/v1/{n}"), "/admin*"]})),
        request: || json!({"path": "/v1/items"}),
    },
    Dimension {
        by: "what it is not, by none",
        rule: |n| to(json!({"notPaths": [format!("/v1/{n}"), "/admin*"]})),
        request: || json!({"path": "/admin/users"}),
    },
];
