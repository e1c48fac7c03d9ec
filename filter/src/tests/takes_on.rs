//! How open connections take on a policy.

use crate::host::Action;

use super::*;

/// Two connections, of the frontend and of the batch, by a policy that lets both in.
fn two_open() -> (Vm, u32, u32) {
    let mut vm = vm(&policy(r#", "defaults": {"peerMesh": "ALLOW"}"#));
    let mut open = |uri_san: &str| {
        let uri_san = uri_san.as_bytes();
        let attributes = attributes(Some(&[uri_san]));
        peer(Some(uri_san));
        let (connection, _) = vm.accept();
        assert_eq!(vm.downstream(connection, 10), Action::Continue);
        host(|host| {
            host.attributes_of
                .insert(connection, attributes.into_iter().collect())
        });
        connection
    };
    let (frontend, batch) = (open(FRONTEND), open(BATCH));
    (vm, frontend, batch)
}

#[test]
fn a_new_policy_cuts_off_whom_it_refuses_and_nobody_else() {
    let (mut vm, _, batch) = two_open();
    let root = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    assert_eq!(host(|host| host.tick_period.get(&root).copied()), Some(100));
    vm.tick(root);
    assert_eq!(closed(), [batch]);
    let cut_off = requests("east", "DENY").replace("requests", "connections_cut_off");
    assert!(counted().contains(&(cut_off, 1)), "{:?}", counted());
    assert_eq!(
        host(|host| host.tick_period.get(&root).copied()),
        Some(0),
        "it ticks no longer than needed"
    );
    assert_eq!(decision().as_deref(), Some("DENY default:peerMesh"));
}

#[test]
fn the_same_root_context_may_be_configured_anew() {
    let (mut vm, _, batch) = two_open();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    vm.tick(1);
    assert_eq!(closed(), [batch]);
}

#[test]
fn a_policy_of_another_plugin_cuts_off_nobody() {
    let (mut vm, ..) = two_open();
    let root = vm.plugin();
    host(|host| {
        host.attributes
            .insert("plugin_name".into(), b"another".to_vec())
    });
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    assert_eq!(host(|host| host.tick_period.get(&root).copied()), None);
    vm.tick(root);
    assert_eq!(closed(), [0; 0]);
}

#[test]
fn a_dry_run_cuts_off_nobody() {
    let (mut vm, ..) = two_open();
    assert!(vm.configure(policy(r#", "mode": "DRY_RUN""#).as_bytes()));
    vm.tick(1);
    assert_eq!(closed(), [0; 0]);
}

#[test]
fn what_a_dry_run_let_in_is_judged_when_the_dry_run_ends() {
    let mut vm = vm(&policy(&format!(r#"{FRONTEND_ONLY}, "mode": "DRY_RUN""#)));
    let frontend = another(&mut vm, FRONTEND);
    let batch = another(&mut vm, BATCH);
    assert_eq!(closed(), [0; 0]);
    assert_eq!(state("crossmesh_enforced").as_deref(), Some("false"));
    // In it, this proxy's mesh has another name.
    let next = policy(FRONTEND_ONLY).replace("west", "north");
    assert!(vm.configure(next.as_bytes()));
    assert!(tick(&mut vm, 1));
    assert_eq!(closed(), [batch]);
    assert_eq!(state("crossmesh_enforced").as_deref(), Some("true"));
    let destination = state("crossmesh_destination_mesh");
    assert_eq!(destination.as_deref(), Some("north"));
    assert_eq!(vm.downstream(batch, 10), Action::Pause);
    assert_eq!(vm.downstream(frontend, 10), Action::Continue);
}

#[test]
fn what_has_said_nothing_yet_is_judged_by_the_policy_that_it_took_on() {
    let mut vm = vm(&all());
    peer(Some(BATCH.as_bytes()));
    let (batch, _) = vm.accept();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    assert!(tick(&mut vm, 1));
    assert_eq!(closed(), [0; 0]);
    assert_eq!(vm.downstream(batch, 10), Action::Pause);
    assert_eq!(closed(), [batch]);
}

#[test]
fn what_cannot_be_judged_again_is_cut_off() {
    let (mut vm, frontend, batch) = two_open();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    host(|host| host.statuses.insert("proxy_get_property", 10));
    vm.tick(1);
    assert_eq!(closed(), [frontend, batch]);
}

/// Lets every connection of the peer mesh in.
fn all() -> String {
    policy(r#", "defaults": {"peerMesh": "ALLOW"}"#)
}

/// Another connection under the plugin's root context; its client may do whatever the policy says.
fn another(vm: &mut Vm, uri_san: &str) -> u32 {
    let attributes = attributes(Some(&[uri_san.as_bytes()]));
    let (connection, _) = vm.accept();
    host(|host| {
        host.attributes_of
            .insert(connection, attributes.into_iter().collect());
    });
    vm.downstream(connection, 10);
    connection
}

/// After so long without a connection a configuration may be one that Envoy went back from.
fn later() {
    half_later();
    half_later();
}

fn half_later() {
    host(|host| host.now += 15_000_000_000);
}

/// The tick that was asked for of this root context; it comes, if one was.
fn tick(vm: &mut Vm, root: u32) -> bool {
    let is_set = host(|host| {
        host.tick_period
            .get(&root)
            .is_some_and(|period| *period > 0)
    });
    if is_set {
        vm.tick(root);
    }
    is_set
}

/// The root context of a configuration that lets all in, and that open connections have taken on.
fn followed_by_all(vm: &mut Vm) -> u32 {
    let root = vm.plugin();
    assert!(vm.configure(all().as_bytes()));
    assert!(tick(vm, root));
    root
}

#[test]
fn an_earlier_configuration_comes_back_with_its_next_connection() {
    // A refuses the batch, B does not.
    let mut vm = vm(&policy(FRONTEND_ONLY));
    let a = vm.root;
    let frontend = another(&mut vm, FRONTEND);
    let b = followed_by_all(&mut vm);
    let batch = another(&mut vm, BATCH);
    assert_eq!((closed(), tick(&mut vm, b)), (vec![], false));
    // Envoy still has the root context of A, for the frontend is open, and says nothing.
    vm.root = a;
    later();
    another(&mut vm, FRONTEND);
    assert!(tick(&mut vm, a), "a stream's tick is its root's");
    assert_eq!(closed(), [batch]);
    // What is current sets no tick, and a tick of what is not does nothing.
    another(&mut vm, FRONTEND);
    assert!(!tick(&mut vm, a));
    vm.tick(b);
    // B once more: the connections of A are its again, the first one too.
    vm.root = b;
    another(&mut vm, FRONTEND);
    assert!(tick(&mut vm, b));
    vm.root = a;
    assert!(vm.configure(policy("").as_bytes()));
    assert!(tick(&mut vm, a));
    assert!(closed().contains(&frontend));
}

#[test]
fn what_begins_while_a_configuration_is_distributed_takes_it_on() {
    let mut vm = vm(&all());
    let a = vm.root;
    // Nothing is open yet.
    let b = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    vm.root = a;
    let batch = another(&mut vm, BATCH);
    assert!(!tick(&mut vm, a), "Envoy did not go back to it");
    assert!(tick(&mut vm, b));
    assert_eq!(closed(), [batch]);
    // Envoy's old listener accepts for longer than that.
    let batch = another(&mut vm, BATCH);
    let frontend = another(&mut vm, FRONTEND);
    assert!(tick(&mut vm, a), "it takes on what came, too");
    assert_eq!(closed()[1..], [batch]);
    assert!(!tick(&mut vm, b), "there was nothing left to do for it");
    // However long that takes.
    later();
    let batch = another(&mut vm, BATCH);
    assert!(tick(&mut vm, a));
    assert_eq!(closed()[2..], [batch]);
    assert!(!closed().contains(&frontend));
}

#[test]
fn while_one_listener_is_done_with_a_configuration_and_another_is_not_the_configuration_stays() {
    // Only A admits the batch, only B the frontend.
    let only = |account| policy(&FRONTEND_ONLY.replace("web/frontend", account));
    let mut vm = vm(&only("web/batch"));
    let a = vm.root;
    let b = vm.plugin();
    assert!(vm.configure(only("web/frontend").as_bytes()));
    assert!(tick(&mut vm, b));
    let mut cut_off = Vec::new();
    for _ in 0..3 {
        half_later();
        vm.root = b;
        another(&mut vm, FRONTEND);
        assert!(!tick(&mut vm, b));
        half_later();
        vm.root = a;
        cut_off.push(another(&mut vm, BATCH));
        assert_eq!(decision().as_deref(), Some("ALLOW rule:frontend"));
        assert!(tick(&mut vm, a));
        assert_eq!(closed(), cut_off);
    }
    // Nothing begins with B for so long that Envoy may have gone back.
    half_later();
    let admitted = another(&mut vm, BATCH);
    assert!(tick(&mut vm, a));
    assert_eq!(closed().len(), 6, "whom only B lets in is cut off");
    assert!(!closed().contains(&admitted));
    // It had not: what was configured last needs no time to come back.
    vm.root = b;
    another(&mut vm, FRONTEND);
    assert!(tick(&mut vm, b));
    assert_eq!(closed()[6..], [admitted]);
}

#[test]
fn an_earlier_configuration_that_envoy_makes_anew_is_the_latest() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    another(&mut vm, FRONTEND);
    let b = followed_by_all(&mut vm);
    another(&mut vm, FRONTEND);
    later();
    // The first one, for another listener; the second has yet to go.
    let anew = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    assert!(tick(&mut vm, anew));
    vm.root = b;
    let batch = another(&mut vm, BATCH);
    assert!(tick(&mut vm, b));
    assert_eq!(closed(), [batch]);
}

#[test]
fn without_a_clock_envoy_is_not_thought_to_have_gone_back() {
    // When it fails.
    for clock in ["at first", "then", "always"] {
        apart(|| {
            let mut vm = vm(&all());
            let a = vm.root;
            let b = vm.plugin();
            assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
            assert!(tick(&mut vm, b));
            let fails = |fails: bool| {
                let function = "proxy_get_current_time_nanoseconds";
                host(|host| {
                    host.statuses.remove(function);
                    host.statuses.extend(fails.then_some((function, 10)));
                });
            };
            fails(clock != "then");
            another(&mut vm, FRONTEND);
            later();
            fails(clock != "at first");
            vm.root = a;
            let batch = another(&mut vm, BATCH);
            assert!(tick(&mut vm, a));
            assert_eq!(closed(), [batch], "{clock}");
        });
    }
}

#[test]
fn however_fast_connections_begin_the_tick_is_asked_for_once() {
    let function = "proxy_set_tick_period_milliseconds";
    let mut vm = vm(&all());
    let a = vm.root;
    let b = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    // Of a configuration that comes, of one that still begins, of one that comes back.
    for (root, waits) in [(b, false), (a, false), (a, true)] {
        if waits {
            vm.root = b;
            another(&mut vm, FRONTEND);
            later();
        }
        vm.root = root;
        let before = calls(function);
        for _ in 0..50 {
            another(&mut vm, FRONTEND);
        }
        // That of B was asked for when it was configured.
        assert_eq!(calls(function) - before, usize::from(root == a), "{waits}");
        assert!(tick(&mut vm, root));
        assert_eq!(calls(function) - before, usize::from(root == a) + 1);
    }
}

/// Envoy has one for each direction of listeners and each of their metadata.
#[test]
fn root_contexts_that_are_given_the_same_have_the_same_configuration() {
    let mut vm = vm(&all());
    let a = vm.root;
    let batch = another(&mut vm, BATCH);
    let b = vm.plugin();
    assert!(vm.configure(all().as_bytes()));
    assert!(!tick(&mut vm, b));
    for root in [a, b, a, b] {
        host(|host| host.calls.clear());
        vm.root = root;
        another(&mut vm, BATCH);
        assert!(!tick(&mut vm, a) && !tick(&mut vm, b));
        assert_eq!(calls("proxy_set_effective_context"), 0);
    }
    // The next one is taken on by the connections of both, although its first root context is gone before its tick.
    let [c, d] = [0; 2].map(|_| {
        let root = vm.plugin();
        assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
        root
    });
    vm.close(c);
    assert!(tick(&mut vm, d));
    assert_eq!(closed().len(), 5);
    assert!(closed().contains(&batch));
}

#[test]
fn what_the_proxy_is_belongs_to_what_a_configuration_is_made_of() {
    let mut vm = vm(&all());
    another(&mut vm, BATCH);
    host(|host| {
        let attributes = &mut host.attributes;
        attributes.insert("xds.node.metadata.NAMESPACE".into(), b"shop".into());
    });
    followed_by_all(&mut vm);
}

/// The configuration that came after is gone before any connection began with it.
#[test]
fn an_earlier_configuration_comes_back_when_the_one_after_it_was_never_used() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    let a = vm.root;
    let frontend = another(&mut vm, FRONTEND);
    let b = followed_by_all(&mut vm);
    vm.root = a;
    let batch = another(&mut vm, BATCH);
    assert_eq!(closed(), [batch], "it is judged by the one it began with");
    assert!(tick(&mut vm, a));
    vm.close(b);
    // Those that are open have the policy of the one that is gone, until the next begins.
    another(&mut vm, FRONTEND);
    assert!(tick(&mut vm, a));
    vm.plugin();
    assert!(vm.configure(policy("").as_bytes()));
    let c = vm.root;
    assert!(tick(&mut vm, c));
    assert!(closed().contains(&frontend));
}

#[test]
fn plugins_that_have_no_name_are_not_one_plugin() {
    let mut vm = Vm::start();
    assert!(vm.configure(all().as_bytes()));
    another(&mut vm, BATCH);
    let root = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    assert!(!tick(&mut vm, root));
    vm.tick(root);
    assert_eq!(closed(), [0; 0]);
    // A root ID is enough.
    host(|host| {
        let attributes = &mut host.attributes;
        attributes.insert("plugin_root_id".into(), b"crossmesh".into());
    });
    for policy in [all(), policy(FRONTEND_ONLY)] {
        vm.plugin();
        assert!(vm.configure(policy.as_bytes()));
        let root = vm.root;
        tick(&mut vm, root);
        another(&mut vm, BATCH);
    }
    assert_eq!(closed().len(), 2);
}

#[test]
fn a_root_context_that_goes_takes_its_tick_with_it() {
    let (mut vm, ..) = two_open();
    let root = vm.plugin();
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    let period = |root| host(|host| host.tick_period.get(&root).copied());
    assert_eq!(period(root), Some(100));
    vm.close(root);
    assert_eq!(period(root), Some(0));
    // Where that fails nothing traps, and a context that is no root has no tick.
    let (stream, other) = (vm.open(), vm.plugin());
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    let before = calls("proxy_set_tick_period_milliseconds");
    vm.close(stream);
    assert_eq!(calls("proxy_set_tick_period_milliseconds"), before);
    host(|host| {
        host.statuses
            .insert("proxy_set_tick_period_milliseconds", 10)
    });
    vm.close(other);
    assert_eq!(period(other), Some(100));
}

#[test]
fn what_envoy_fails_at_is_tried_again_with_the_next_connection() {
    for function in [
        "proxy_set_tick_period_milliseconds",
        "proxy_set_effective_context",
    ] {
        apart(|| {
            let (mut vm, _, batch) = two_open();
            let root = vm.plugin();
            host(|host| host.statuses.insert(function, 10));
            assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
            tick(&mut vm, root);
            assert_eq!(closed(), [0; 0], "{function}");
            host(|host| host.statuses.clear());
            another(&mut vm, FRONTEND);
            assert!(tick(&mut vm, root), "{function}");
            assert_eq!(closed(), [batch], "{function}");
        });
    }
}
