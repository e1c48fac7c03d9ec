//! Everything that Envoy may do, in any order and with any bytes and statuses: nothing traps, and nothing passes that
//! the policy refuses.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Action;
use crossmesh_policy::{Mode, Policy, Program, SourceClass};

use super::event::{Event, POLICIES};
use super::expected::{self, Expected};
use super::input::Input;
use crate::mock_host::{Host, Vm, certificates, host};
use crate::{contexts, http, node, tcp, telemetry};

/// Beyond this an input is not more telling, only slower.
const MOST_EVENTS: usize = 200;

/// One VM from its start to its end.
///
/// # Panics
/// If something passes that the policy refuses or is refused that it lets in, a header of ours from outside survives, or
/// a connection is remembered that is gone. What traps in the filter panics here too.
pub fn callbacks(bytes: &[u8]) {
    let mut world = World::new();
    let mut input = Input::new(bytes);
    for _ in 0..MOST_EVENTS {
        let Some(event) = Event::read(&mut input) else {
            break;
        };
        world.happen(event);
    }
    world.end();
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A stream whose request has not come.
    Stream,
    /// A stream whose request has passed.
    Asked,
    /// A stream whose request is over, or was answered by the filter: Envoy brings no more of it.
    Over,
    /// A connection of which nothing was heard.
    Accepted,
    /// A connection of which something was.
    Heard,
}

struct World {
    vm: Vm,
    /// By root context: what it was last configured with, if it took it.
    roots: BTreeMap<u32, Option<Policy>>,
    /// By context: what it is, and by which root's policy it began.
    open: BTreeMap<u32, (Kind, Option<Policy>)>,
    /// By context: its root.
    root_of: BTreeMap<u32, u32>,
    /// Envoy contradicted itself about a certificate once; by its digest that may be remembered.
    contradicted: bool,
    /// It was a gateway once, where the direction of a listener means nothing.
    gateway: bool,
    /// Requests of others that passed.
    passed: BTreeSet<u32>,
    /// What an earlier world, which panicked, left behind.
    left: [usize; 3],
}

impl World {
    fn new() -> Self {
        host(|host| *host = Host::default());
        let vm = Vm::start();
        host(|host| {
            let attributes = &mut host.attributes;
            attributes.insert("xds.listener_direction".into(), 1_i64.to_le_bytes().into());
            attributes.insert("plugin_name".into(), b"crossmesh".into());
            host.headers = vec![(b":path".into(), b"/v1/items".into())];
        });
        let mut world = Self {
            vm,
            roots: BTreeMap::new(),
            open: BTreeMap::new(),
            root_of: BTreeMap::new(),
            contradicted: false,
            gateway: false,
            passed: BTreeSet::new(),
            left: remembered(),
        };
        world.certificate(None);
        world.configure(POLICIES[0].as_bytes());
        world
    }

    fn happen(&mut self, event: Event<'_>) {
        match event {
            Event::Open => {
                let context = self.vm.open();
                self.opened(context, Kind::Stream);
            }
            Event::Accept => {
                let (context, action) = self.vm.accept();
                self.opened(context, Kind::Accepted);
                let configured = self.roots.get(&self.vm.root).is_some_and(Option::is_some);
                assert_eq!(action == Action::Continue, configured);
            }
            Event::Request(which) => {
                if let Some(context) = self.of_kind(which, Kind::Stream) {
                    self.request(context);
                }
            }
            Event::Response(which) => {
                if let Some(context) = self.of_kind(which, Kind::Asked) {
                    self.vm.response_headers(context);
                }
            }
            Event::Trailers(which) => {
                if let Some(context) = self.of_kind(which, Kind::Asked) {
                    let policy = self.set(context, Kind::Over);
                    let action = self.vm.request_trailers(context);
                    if self.passed.contains(&context)
                        && action == Action::Continue
                        && let Some(policy) = policy
                    {
                        host(|host| survivors(host, &host.trailers, &policy));
                    }
                }
            }
            Event::Trailer(name, value) => host(|host| host.trailers.push((name, value))),
            Event::Downstream(which, size) => {
                if let Some(context) = self.any(which) {
                    self.downstream(context, size);
                }
            }
            Event::Said(bytes) => host(|host| host.said = bytes),
            Event::Upstream(which, size) => {
                if let Some(context) = self.any(which) {
                    self.upstream(context, size);
                }
            }
            Event::Close(which) => {
                if let Some(context) = self.any(which) {
                    self.open.remove(&context);
                    self.vm.close(context);
                }
            }
            Event::Configure(bytes) => self.configure(bytes),
            Event::Plugin(bytes) => {
                self.vm.plugin();
                self.configure(bytes);
            }
            Event::Tick => {
                let roots: Vec<u32> = self.roots.keys().copied().collect();
                for root in roots {
                    self.vm.tick(root);
                }
            }
            Event::Attribute(name, value) => host(|host| {
                match value {
                    Some(value) => host.attributes.insert(name.to_owned(), value),
                    None => host.attributes.remove(name),
                };
            }),
            Event::Certificate(pem) => self.certificate(pem),
            Event::Header(name, value) => host(|host| {
                host.raw_headers = None;
                host.headers.push((name, value));
            }),
            Event::NoHeaders => host(|host| {
                host.raw_headers = None;
                host.headers.clear();
            }),
            Event::RawHeaders(bytes) => host(|host| host.raw_headers = Some(bytes.into())),
            Event::Status(function, status) => host(|host| {
                host.statuses.insert(function, status);
            }),
            Event::AllIsWell => host(|host| host.statuses.clear()),
        }
        // What the filter closed is gone: the host has called back.
        for closed in host(|host| std::mem::take(&mut host.closed)) {
            self.open.remove(&closed);
        }
    }

    fn request(&mut self, context: u32) {
        let policy = self.set(context, Kind::Asked);
        let expected = self.expect(policy.as_ref(), expected::request);
        let action = self.vm.request_headers(context);
        check("request", expected, action);
        if action == Action::Pause {
            self.set(context, Kind::Over);
        }
        if action == Action::Continue
            && let Some(policy) = policy
            && policy.mode() == Mode::Enforce
            && inbound()
        {
            self.passed.insert(context);
            host(|host| survivors(host, &host.headers, &policy));
        }
    }

    fn downstream(&mut self, context: u32, size: usize) {
        let Some((kind, policy)) = self.open.get(&context).cloned() else {
            return;
        };
        // Decided at the first bytes; later ones follow, unless a new policy came meanwhile.
        let expected = if kind == Kind::Accepted {
            self.expect(policy.as_ref(), expected::connection)
        } else {
            Expected::Either
        };
        let action = self.vm.downstream(context, size);
        self.heard(context);
        if matches!(kind, Kind::Stream | Kind::Asked | Kind::Over) {
            assert_eq!(action, Action::Pause, "bytes of no connection");
        }
        check("connection", expected, action);
    }

    fn upstream(&mut self, context: u32, size: usize) {
        let action = self.vm.upstream(context, size);
        if let Some((Kind::Accepted, Some(policy))) = self.open.get(&context)
            && policy.mode() == Mode::DryRun
        {
            check("server's word", Expected::Passes, action);
        }
        self.heard(context);
    }

    fn expect(
        &mut self,
        policy: Option<&Policy>,
        of: impl Fn(&Host, &Policy) -> Expected,
    ) -> Expected {
        let Some(policy) = policy else {
            return Expected::Refused;
        };
        self.contradicted |= host(|host| {
            let get = |name: &str| host.attributes.get(name).filter(|value| !value.is_empty());
            let digest = get("connection.sha256_peer_certificate_digest");
            let pem = get("connection.peer_certificate");
            digest.is_some() && digest != pem.map(|pem| certificates::digest(pem)).as_ref()
        });
        let expected = host(|host| of(host, policy));
        let failing = host(|host| host.statuses.contains_key("proxy_get_property"));
        if (self.contradicted || self.gateway) && !failing && policy.mode() == Mode::Enforce {
            return Expected::Either;
        }
        expected
    }

    fn configure(&mut self, bytes: &[u8]) {
        let policy = || {
            let spec = crossmesh_policy::parse(bytes).ok()?;
            let program = Program::compile(&spec).ok()?;
            program.bind(&node::read().ok()?).ok()
        };
        let policy = policy();
        let reads = host(|host| !host.statuses.contains_key("proxy_get_buffer_bytes"));
        let taken = self.vm.configure(bytes);
        self.gateway |= node::is_gateway() == Ok(true);
        if reads {
            assert_eq!(taken, policy.is_some(), "what is valid is taken");
        }
        let before = self.roots.entry(self.vm.root).or_default();
        if taken {
            *before = policy;
        }
        let active = before.clone();
        for (context, (kind, policy)) in &mut self.open {
            match kind {
                // A connection takes on the next policy; which one it then has is not followed here.
                Kind::Accepted => *kind = Kind::Heard,
                // A request begins with the policy that is there when its headers are.
                Kind::Stream if self.root_of.get(context) == Some(&self.vm.root) => {
                    policy.clone_from(&active);
                }
                _ => {}
            }
        }
    }

    fn certificate(&mut self, pem: Option<Vec<u8>>) {
        host(|host| {
            let attributes = &mut host.attributes;
            for name in [
                "tls_version",
                "sha256_peer_certificate_digest",
                "peer_certificate",
            ] {
                attributes.remove(&format!("connection.{name}"));
            }
            attributes.insert("connection.mtls".into(), vec![u8::from(pem.is_some())]);
            if let Some(pem) = pem {
                attributes.insert("connection.tls_version".into(), b"TLSv1.3".into());
                attributes.insert(
                    "connection.sha256_peer_certificate_digest".into(),
                    certificates::digest(&pem),
                );
                attributes.insert("connection.peer_certificate".into(), pem);
            }
        });
    }

    fn opened(&mut self, context: u32, kind: Kind) {
        let policy = self.roots.get(&self.vm.root).cloned().flatten();
        self.open.insert(context, (kind, policy));
        self.root_of.insert(context, self.vm.root);
    }

    fn set(&mut self, context: u32, kind: Kind) -> Option<Policy> {
        let open = self.open.get_mut(&context)?;
        open.0 = kind;
        open.1.clone()
    }

    fn heard(&mut self, context: u32) {
        if let Some((kind @ Kind::Accepted, _)) = self.open.get_mut(&context) {
            *kind = Kind::Heard;
        }
    }

    fn any(&self, which: usize) -> Option<u32> {
        let count = self.open.len().max(1);
        self.open.keys().nth(which % count).copied()
    }

    fn of_kind(&self, which: usize, kind: Kind) -> Option<u32> {
        let of_kind = || self.open.iter().filter(|(_, (of, _))| *of == kind);
        let count = of_kind().count().max(1);
        of_kind().nth(which % count).map(|(context, _)| *context)
    }

    fn end(&mut self) {
        for context in std::mem::take(&mut self.open).into_keys() {
            self.vm.close(context);
        }
        for root in std::mem::take(&mut self.roots).into_keys() {
            self.vm.close(root);
        }
        assert_eq!(remembered(), self.left, "what is gone is remembered");
    }
}

/// Contexts that have not begun, requests and connections.
fn remembered() -> [usize; 3] {
    [contexts::waiting(), http::remembered(), tcp::open()]
}

/// Whether what comes now is somebody else's: the workload's own requests pass untouched.
fn inbound() -> bool {
    let direction = |host: &mut Host| host.attributes.get("xds.listener_direction").cloned();
    host(direction).is_some_and(|direction| direction == 1_i64.to_le_bytes())
}

/// No line that pretends to be ours passes inwards, unless the host would not let it be read or removed.
fn survivors(host: &Host, lines: &[(Vec<u8>, Vec<u8>)], policy: &Policy) {
    if !host.statuses.is_empty() || host.raw_headers.is_some() {
        return;
    }
    let mut ours: Vec<&str> = Vec::new();
    if policy.telemetry().headers {
        ours.extend(policy.meshes());
        ours.extend(SourceClass::ALL.iter().map(|class| class.as_str()));
    }
    for (name, value) in lines {
        let is_ours = ours.iter().any(|own| own.as_bytes() == value);
        assert!(
            is_ours || !telemetry::is_reserved_header(name),
            "{}: {} came from outside",
            name.escape_ascii(),
            value.escape_ascii()
        );
    }
}

fn check(what: &str, expected: Expected, action: Action) {
    match expected {
        Expected::Passes => assert_eq!(action, Action::Continue, "a {what} is refused"),
        Expected::Refused => assert_eq!(action, Action::Pause, "a {what} passes"),
        Expected::Either => {}
    }
}
