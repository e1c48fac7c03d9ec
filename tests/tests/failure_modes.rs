//! What a real Envoy does when a module fails: held here, because docs/filter.md tells operators.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossmesh_e2e::plugin::{
    Module, Plugin, write_module_discovery, write_module_network_discovery,
};
use crossmesh_e2e::roles::module::{Client, Host};
use tempfile::TempDir;

const POLICIES: [&str; 3] = ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"];

/// Beyond so many headers of a request, or bytes of a connection, the modules here trap.
const TOO_MANY: usize = 30;
const HARMLESS: &str = "hello";
const LETHAL: &str = "hello hello hello hello hello hello";

const CONFIGURED: &str =
    r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)"#;
const TRAP: &str = "unreachable";
/// Asks for memory until there is none, which is when an allocator traps.
const NO_MEMORY: &str = "(block (loop (br_if 1 (i32.eq (memory.grow (i32.const 64)) (i32.const -1))) (br 0))) unreachable";

/// A module of ABI 0.2.1 that is configured so, and does this when it is given too much.
fn module(folder: &TempDir, configured: &str, then: &str) -> PathBuf {
    let text = format!(
        r#"(module
        (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 1024)
        (func (export "proxy_on_context_create") (param i32 i32))
        {configured}
        (func $suffer (param i32) (if (i32.gt_u (local.get 0) (i32.const 20)) (then {then})))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $suffer (local.get 1)) i32.const 0)
        (func (export "proxy_on_new_connection") (param i32) (result i32) i32.const 0)
        (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
            (call $suffer (local.get 1)) i32.const 0))"#
    );
    let file = folder.path().join("module.wasm");
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    file
}

fn plugin(file: &Path, failure_policy: &'static str) -> Plugin {
    Plugin::Module(configured(file, failure_policy, "{}"))
}

fn configured(file: &Path, failure_policy: &'static str, configuration: &str) -> Module {
    Module {
        file: file.to_path_buf(),
        failure_policy,
        configuration: Some(configuration.to_owned()),
    }
}

async fn get(client: &mut Client) -> Option<u16> {
    client.get(0).await.unwrap()
}

#[tokio::test]
async fn a_trap_fails_its_own_request_and_what_follows_is_the_policys_affair() {
    let folder = tempfile::tempdir().unwrap();
    for then in [TRAP, NO_MEMORY] {
        let file = module(&folder, CONFIGURED, then);
        for policy in POLICIES {
            let host = Host::start(&plugin(&file, policy)).await.unwrap();
            let envoy = &host.envoy;
            let mut unlucky = host.client().await.unwrap();
            assert_eq!(get(&mut unlucky).await, Some(200));
            let trapped = unlucky.get(TOO_MANY).await.unwrap();
            assert_eq!(trapped, Some(503), "{policy}: even where it fails open");
            let entry = host.access_log.longer_than(1).await.unwrap();
            assert_eq!(entry.details.as_deref(), Some("wasm_fail_stream"));
            assert!(envoy.log().contains("proxy_on_request_headers failed"));

            match policy {
                "FAIL_CLOSED" => {
                    assert_eq!(get(&mut unlucky).await, Some(503), "until it is restarted");
                }
                "FAIL_OPEN" => assert_eq!(get(&mut unlucky).await, Some(200), "unjudged"),
                _ => {
                    let mut waited = false;
                    while get(&mut unlucky).await != Some(200) {
                        waited = true;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    let reloads = envoy
                        .stat("wasm.crossmesh.vm_reload_success")
                        .await
                        .unwrap();
                    assert_eq!(reloads, 1);
                    let early = envoy
                        .stat("wasm.crossmesh.vm_reload_backoff")
                        .await
                        .unwrap();
                    assert_eq!(early > 0, waited, "who came too early is counted");
                }
            }
            // The other worker has a VM of its own: some connection meets it.
            let unhurt = async || {
                let mut client = host.client().await.ok()?;
                (client.get(0).await.ok()? == Some(200)).then_some(())
            };
            envoy
                .until("answer of the other worker", unhurt)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_vm_that_a_request_ended_is_ended_for_connections_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = module(&folder, CONFIGURED, TRAP);
    let host = Host::start(&plugin(&file, "FAIL_CLOSED")).await.unwrap();
    let (http, tcp) = (
        async |trap| host.client().await.ok()?.get(trap).await.ok()?,
        async || host.say(HARMLESS).await.ok(),
    );
    assert_eq!(tcp().await.as_deref(), Some(HARMLESS));
    assert_eq!(http(TOO_MANY).await, Some(503));
    let envoy = &host.envoy;
    for (what, answer) in [
        ("refused connection", ""),
        ("connection of the other worker", HARMLESS),
    ] {
        let met = async || (tcp().await? == answer).then_some(());
        envoy.until(what, met).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_traps_is_closed_and_those_after_it_are_the_policys_affair() {
    let folder = tempfile::tempdir().unwrap();
    let file = module(&folder, CONFIGURED, TRAP);
    for policy in POLICIES {
        let host = Host::start(&plugin(&file, policy)).await.unwrap();
        assert_eq!(host.say(LETHAL).await.unwrap(), "", "{policy}");
        // Whichever worker it meets.
        let lives = async || (host.say(HARMLESS).await.ok()? == HARMLESS).then_some(());
        host.envoy
            .until("connection that passes", lives)
            .await
            .unwrap();
        let passes = async || (host.say(LETHAL).await.ok()? == LETHAL).then_some(());
        if policy == "FAIL_OPEN" {
            host.envoy
                .until("connection that nobody judges", passes)
                .await
                .unwrap();
        } else {
            for _ in 0..8 {
                assert_eq!(host.say(LETHAL).await.unwrap(), "", "{policy}");
            }
        }
    }
}

#[tokio::test]
async fn a_changed_configuration_replaces_a_vm_that_ended_for_its_own_plugin() {
    const ATTEMPTS: &str = "extension_config_discovery.http_filter.crossmesh.update_attempt";
    let folder = tempfile::tempdir().unwrap();
    let file = module(&folder, CONFIGURED, TRAP);
    for (policy, harmless, lethal) in [("FAIL_CLOSED", 503, 503), ("FAIL_OPEN", 200, 200)] {
        let [http, tcp] = ["http", "tcp"].map(|of| folder.path().join(format!("{policy}.{of}")));
        let begun = configured(&file, policy, "{}");
        write_module_discovery(&http, "1", &begun).unwrap();
        write_module_network_discovery(&tcp, "1", &begun).unwrap();
        let [on_http, on_tcp] = [&http, &tcp].map(|file| Plugin::Discovered(file.clone()));
        let host = Host::start_with(&on_http, &on_tcp).await.unwrap();
        let envoy = &host.envoy;
        let mut unlucky = host.client().await.unwrap();
        assert_eq!(unlucky.get(TOO_MANY).await.unwrap(), Some(503));

        // The same once more is no change.
        let before = envoy.stat(ATTEMPTS).await.unwrap();
        write_module_discovery(&http, "2", &begun).unwrap();
        let tried = async || (envoy.stat(ATTEMPTS).await.ok()? > before).then_some(());
        envoy.until("a second delivery", tried).await.unwrap();
        assert_eq!(get(&mut unlucky).await, Some(harmless), "{policy}");
        assert_eq!(unlucky.get(TOO_MANY).await.unwrap(), Some(lethal));

        // Judged again: by a VM that lives, or that what is lethal ends.
        let changed = configured(&file, policy, "{ }");
        write_module_discovery(&http, "3", &changed).unwrap();
        let (headers, judged) = if policy == "FAIL_OPEN" {
            (TOO_MANY, 503)
        } else {
            (0, 200)
        };
        while unlucky.get(headers).await.unwrap() != Some(judged) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if policy == "FAIL_OPEN" {
            continue;
        }
        let refused = async || host.say(HARMLESS).await.ok()?.is_empty().then_some(());
        envoy
            .until("a connection whose plugin was not changed", refused)
            .await
            .unwrap();
        write_module_network_discovery(&tcp, "2", &changed).unwrap();
        let all = async || {
            for _ in 0..16 {
                if host.say(HARMLESS).await.ok()? != HARMLESS {
                    return None;
                }
            }
            Some(())
        };
        envoy
            .until("connections on every worker", all)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_does_not_load_is_refused_even_where_it_fails_open() {
    let folder = tempfile::tempdir().unwrap();
    let answering = |how: &str| {
        format!(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {how})"#)
    };
    let refuses = async |what: &str, file: &Path, says: &str| {
        let Err(error) = Host::start(&plugin(file, "FAIL_OPEN")).await else {
            panic!("{what}: Envoy started");
        };
        let error = format!("{error:#}");
        assert!(error.contains(says), "{what}: {says:?} is not in\n{error}");
    };
    let file = module(&folder, &answering("i32.const 0"), TRAP);
    refuses("refused", &file, "Failed to configure base Wasm plugin").await;
    let file = module(&folder, &answering("unreachable"), TRAP);
    refuses("traps", &file, "Failed to configure base Wasm plugin").await;
    fs::write(&file, "no module").unwrap();
    refuses("no module", &file, "Failed to load Wasm code").await;
    fs::remove_file(&file).unwrap();
    refuses("no file", &file, "Invalid path").await;
}

/// Why `on_configure` is a pure function of what is the same on every worker.
#[tokio::test]
async fn what_fails_on_workers_only_leaves_them_without_the_filter() {
    // Succeeds twice in this process, which is for the main thread's VMs, and then never again.
    const TWICE: &str = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (local $key i32)
        (local.set $key (i32.const 97))
        (loop $next
            (i32.store8 (i32.const 0) (local.get $key))
            (if (i32.eq (call $get (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 20) (i32.const 24)) (i32.const 1))
                (then
                    (drop (call $set (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))
                    (return (i32.lt_u (local.get $key) (i32.const 99))))
                (else
                    (local.set $key (i32.add (local.get $key) (i32.const 1)))
                    (br $next))))
        i32.const 0)"#;
    let folder = tempfile::tempdir().unwrap();
    let file = module(&folder, TWICE, TRAP);
    let host = Host::start(&plugin(&file, "FAIL_CLOSED")).await.unwrap();
    assert!(
        host.envoy
            .log()
            .contains("Failed to configure thread-local Wasm plugin")
    );
    for _ in 0..4 {
        let mut client = host.client().await.unwrap();
        assert_eq!(
            client.get(TOO_MANY).await.unwrap(),
            Some(200),
            "nobody looks at it"
        );
        assert_eq!(host.say(LETHAL).await.unwrap(), LETHAL);
    }
}
