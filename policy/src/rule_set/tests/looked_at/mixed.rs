//! Rules with several items that ask for different things, and rules with very many.

use super::*;

#[test]
fn by_items_that_ask_for_different_things() {
    few(
        "a path or a host",
        ASKED,
        true,
        |i| json!({"to": [{"paths": [format!("/p{i}")]}, {"hosts": [format!("h{i}.elsewhere")]}]}),
    );
    few(
        "a path or a port, both met",
        ASKED,
        true,
        |i| json!({"to": [{"paths": [format!("/p{i}")]}, {"ports": [80 + i]}]}),
    );
    few("none of three", ASKED, false, |i| {
        json!({"to": [
            {"paths": [format!("/q{i}")], "methods": ["GET"]},
            {"hosts": [format!("i{i}")]},
            {"snis": [format!("t{i}.example.com")], "ports": [443]},
        ]})
    });
    few("an account or an address", ASKED, true, |i| {
        json!({"from": [
            {"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]},
            {"meshes": ["west"], "ipBlocks": [format!("10.{}.{}.0/24", 10 + i / 256, i % 256)]},
        ]})
    });
    few("an account or plaintext, which none is", ASKED, true, |i| {
        json!({"from": [
            {"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]},
            {"plaintext": true},
        ]})
    });
    few("two of either", ASKED, true, |i| {
        json!({
            "from": [
                {"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]},
                {"meshes": ["west"], "principals": [format!("bar.com/x{i}")]},
            ],
            "to": [{"methods": ["GET"]}, {"snis": ["*"]}],
        })
    });
    few("an item that asks for nothing more", ASKED, true, |i| {
        json!({
            "from": [
                {"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]},
                {"meshes": ["west"], "namespaces": [format!("m{i}")]},
            ],
            "to": [{}, {"paths": ["/healthz"]}],
        })
    });
}

/// One list whose patterns are known by their beginnings and by their endings.
#[test]
fn by_lists_of_mixed_patterns() {
    let below = Asked {
        path: "/x/7.json",
        ..ASKED
    };
    few("beginning or ending of a path", below, true, |i| {
        to(json!({"paths": [format!("/p{i}/*"), format!("*/{i}.json")]}))
    });
    let templates = Asked {
        path: "/x/p7",
        ..ASKED
    };
    few("either end of a template", templates, true, |i| {
        to(json!({"paths": [format!("/q{i}/{{*}}"), format!("/{{*}}/p{i}")]}))
    });
    few("account of one or any namespace", ASKED, true, |i| {
        from(
            json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/a*"), format!("*/s{i}"), format!("*{i}/q")]}),
        )
    });
}

/// A rule that is long on both sides is left whole: its parts would be as many as the one times the other.
#[test]
fn of_a_rule_that_is_long_on_both_sides() {
    let from: Vec<Value> = (0..3_000)
        .map(|i| json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]}))
        .collect();
    for (short, parts) in [(1, 3_000), (4, 3_000), (5, 1), (3_000, 1)] {
        let to: Vec<Value> = (0..short)
            .map(|i| json!({"paths": [format!("/p{i}")]}))
            .collect();
        let program = allowing(1, &|_| json!({"from": from, "to": to}));
        let policy = program.bind(&here()).unwrap();
        let index = &policy.active.allow.index;
        assert_eq!(index.part(parts - 1).map(|part| part.rule), Some(0));
        assert_eq!(index.part(parts), None, "{short}");
    }
}

/// One rule with as many items as there could be rules.
#[test]
fn of_one_rule_with_many_items() {
    for count in [10, 10_000] {
        let items: Vec<Value> = (0..count)
            .rev()
            .map(|i| json!({"methods": ["GET"], "paths": [format!("/p{i}")]}))
            .collect();
        let allow = allowing(1, &|_| json!({"to": items}));
        let accounts: Vec<Value> = (0..count)
            .rev()
            .map(|i| json!({"meshes": ["west"], "serviceAccounts": [format!("n{i}/s{i}")]}))
            .collect();
        let from = allowing(
            1,
            &|_| json!({"from": accounts, "to": [{"ports": [87]}, {"hosts": ["h7*"]}]}),
        );
        for program in [allow.clone(), denying(allow), from.clone(), denying(from)] {
            let policy = program.bind(&here()).unwrap();
            let sets = [&policy.active.allow, &policy.active.deny];
            let of = sets.into_iter().find(|of| of.rules.len() == 1).unwrap();
            let doubt = Doubt::settled(of.rules[0].action);
            let (looked_at, found) = ASKED.looks_at(&policy, of, doubt);
            assert!(found && looked_at <= FEW, "{count}: {looked_at}");
        }
    }
}
