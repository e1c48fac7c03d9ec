//! The callbacks, driven natively against a mock host. What real Envoys do with them is tested end to end.

mod bounded;
mod configure;
mod connection;
mod failures;
mod gateway;
mod http_follows;
mod identity;
mod request;
mod takes_on;
mod told;

use crate::mock_host::{Reply, Vm, certificates, host};

/// Runs a case in a VM of its own: what a VM remembers, here as in the filter, is its thread's.
fn apart(case: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(case).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Two meshes, this proxy's being west; `rules` and more after `policy`.
fn policy(more: &str) -> String {
    format!(
        r#"{{"schema": "crossmesh/v1", "mesh": "west", "meshes": [
            {{"id": "east", "trustDomains": ["foo.com"]}}, {{"id": "west", "trustDomains": ["bar.com"]}}]{more}}}"#
    )
}

/// Lets the frontend of the east read.
const READERS: &str = r#", "rules": [{"name": "readers", "action": "ALLOW",
    "from": [{"meshes": ["east"], "namespaces": ["web"], "serviceAccounts": ["web/frontend"]}],
    "to": [{"methods": ["GET"], "paths": ["/v1/*"]}]}]"#;

/// Lets the frontend of the east in, whatever it says.
const FRONTEND_ONLY: &str = r#", "rules": [{"name": "frontend", "action": "ALLOW",
    "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]"#;

const FRONTEND: &str = "spiffe://foo.com/ns/web/sa/frontend";
const BATCH: &str = "spiffe://foo.com/ns/web/sa/batch";

/// A VM with this policy, in which an inbound request with a certificate's URI SAN waits.
fn vm(policy: &str) -> Vm {
    let mut vm = Vm::start();
    host(|host| {
        let attributes = &mut host.attributes;
        attributes.insert("plugin_name".into(), b"shop.crossmesh".into());
    });
    assert!(
        vm.configure(policy.as_bytes()),
        "{:?}",
        host(|host| host.logs.clone())
    );
    peer(Some(FRONTEND.as_bytes()));
    host(|host| {
        host.attributes
            .insert("xds.listener_direction".into(), 1_i64.to_le_bytes().into());
        host.headers = headers(&[
            (":authority", "catalog.shop.svc.cluster.local:8080"),
            (":method", "GET"),
            (":path", "/v1/items"),
        ]);
    });
    vm
}

/// The client's certificate: with a URI SAN, or none at all.
fn peer(uri_san: Option<&[u8]>) {
    certificate(uri_san.as_ref().map(std::slice::from_ref));
}

/// The client's certificate: with these URI SANs, or none at all.
fn certificate(uri_sans: Option<&[&[u8]]>) {
    let attributes = attributes(uri_sans);
    host(|host| {
        for name in [
            "mtls",
            "tls_version",
            "sha256_peer_certificate_digest",
            "peer_certificate",
        ] {
            host.attributes.remove(&format!("connection.{name}"));
        }
        host.attributes.extend(attributes);
    });
}

/// Connections come to this port from here on.
fn to_port(port: i64) {
    host(|host| {
        host.attributes
            .insert("destination.port".into(), port.to_le_bytes().to_vec())
    });
}

/// What Envoy says of a connection with this certificate; without one it is plaintext.
fn attributes(uri_sans: Option<&[&[u8]]>) -> Vec<(String, Vec<u8>)> {
    let named = |name: &str, value: Vec<u8>| (format!("connection.{name}"), value);
    let mut attributes = vec![named("mtls", vec![u8::from(uri_sans.is_some())])];
    if let Some(uri_sans) = uri_sans {
        let pem = certificates::pem(&certificates::with_uris(uri_sans));
        attributes.push(named("tls_version", b"TLSv1.3".to_vec()));
        attributes.push(named(
            "sha256_peer_certificate_digest",
            certificates::digest(&pem),
        ));
        attributes.push(named("peer_certificate", pem));
    }
    attributes
}

fn headers(headers: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// The decision that the access log would show.
fn decision() -> Option<String> {
    state("crossmesh_decision")
}

fn state(key: &str) -> Option<String> {
    host(|host| host.filter_state.get(&format!("wasm.{key}")).cloned())
}

fn reply() -> Option<Reply> {
    host(|host| host.reply.clone())
}

fn calls(function: &str) -> usize {
    host(|host| host.calls.get(function).copied().unwrap_or_default())
}

/// Counters that are not zero.
fn counted() -> Vec<(String, i64)> {
    host(|host| {
        host.counters
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(name, count)| (name.clone(), *count))
            .collect()
    })
}

fn requests(source: &str, verdict: &str) -> String {
    format!(
        "source_mesh=.={source};.;destination_mesh=.=west;.;verdict=.={verdict};.;crossmesh_requests_total"
    )
}

fn flaws(reason: &str) -> String {
    format!("reason=.={reason};.;crossmesh_invalid_identities_total")
}

/// Connections that the filter closed.
fn closed() -> Vec<u32> {
    host(|host| host.closed.clone())
}

fn count_of(name: &str) -> i64 {
    host(|host| host.counters.get(name).copied().unwrap_or_default())
}
