//! Rules told apart by what they do not match, and values that are absent or not known.

use super::*;

/// Of rules that match nearly everything the first one decides, and where none does, they are kept away together.
#[test]
fn by_what_does_not_match() {
    let not = |field: &'static str, values: fn(usize) -> Value| {
        move |i: usize| to(json!({field: values(i)}))
    };
    let paths = |i| json!([format!("/p{i}"), "/admin*"]);
    few("not a path", ASKED, true, not("notPaths", paths));
    let admin = Asked {
        path: "/admin",
        ..ASKED
    };
    few(
        "not a path, common to all",
        admin,
        false,
        not("notPaths", paths),
    );
    let both = Asked {
        path: "/admin/../admin",
        ..ASKED
    };
    few(
        "not a path, in either form",
        both,
        false,
        not("notPaths", paths),
    );
    few(
        "not a host",
        ASKED,
        true,
        not("notHosts", |i| json!([format!("h{i}")])),
    );
    few(
        "not a port",
        ASKED,
        true,
        not("notPorts", |i| json!([i + 80])),
    );
    few(
        "not a method",
        ASKED,
        true,
        not("notMethods", |i| json!([format!("M{i}")])),
    );
    few(
        "not an SNI",
        ASKED,
        true,
        not("notSnis", |i| json!([format!("s{i}")])),
    );
    few(
        "not an address",
        Asked {
            ip: Some("10.0.0.1"),
            ..ASKED
        },
        false,
        |i| {
            from(
                json!({"meshes": ["west"], "notIpBlocks": [format!("11.0.0.{}", i % 256), "10.0.0.0/8"]}),
            )
        },
    );
    few("not a principal", ASKED, false, |i| {
        from(
            json!({"meshes": ["west"], "notPrincipals": [format!("bar.com/x{i}"), "bar.com/ns/n7/*"]}),
        )
    });
    few("not an account", ASKED, false, |i| {
        from(json!({"meshes": ["west"], "notServiceAccounts": [format!("n{i}/a"), "n7/s7"]}))
    });
    few(
        "not a header",
        Asked {
            headers: &[("x-a", "out")],
            ..ASKED
        },
        false,
        |i| json!({"when": [{"header": "x-a", "notValues": [format!("v{i}"), "out"]}]}),
    );
    let posted = Asked {
        method: "POST",
        ..ASKED
    };
    few("not a path, and another method", posted, false, |i| {
        to(json!({"methods": ["GET"], "notPaths": [format!("/p{i}")]}))
    });
    let elsewhere = Asked {
        san: "spiffe://foo.com/ns/n7/sa/s7",
        ..ASKED
    };
    few(
        "not a path, and another mesh",
        elsewhere,
        false,
        not("notPaths", paths),
    );
    // What is absent no ALLOW matches, and any DENY.
    let nameless = Asked {
        sni: None,
        headers: &[],
        ..ASKED
    };
    let denies = [false, true];
    few_of(
        "not an SNI, of none",
        nameless,
        denies,
        not("notSnis", |i| json!([format!("s{i}")])),
    );
    few_of(
        "not a header, of none",
        nameless,
        denies,
        |i| json!({"when": [{"header": "x-a", "notValues": [format!("v{i}")]}]}),
    );
}

/// A direct peer's address that is not known: a DENY by address holds, an ALLOW does not.
#[test]
fn by_an_address_that_is_not_known() {
    let unknown = Asked { ip: None, ..ASKED };
    let block = |i: usize| {
        from(json!({"meshes": ["west"], "ipBlocks": [format!("10.{}.{}.0/24", i / 256, i % 256)]}))
    };
    let posted = |i: usize| {
        let mut rule = block(i);
        rule["to"] = json!([{"methods": ["POST"]}]);
        rule
    };
    few_of("unknown address", unknown, [false, true], block);
    few("unknown address, another method", unknown, false, posted);
}
