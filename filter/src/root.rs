//! The plugin: from its configuration to the policy that its streams share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crossmesh_policy::{Invalid, Node, Policy, Problem, Program};

use crate::host::{self, Attribute, Level};
use crate::identities::Identities;
use crate::telemetry::Telemetry;
use crate::{contexts, node, tcp};

/// What one configuration means for this proxy. A request keeps the one it began with; a connection takes on the next.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) policy: Policy,
    pub(crate) telemetry: Telemetry,
    pub(crate) identities: Identities,
    /// Whether this proxy is a gateway: what its listeners carry out is other workloads' traffic.
    pub(crate) is_gateway: bool,
    /// Which plugin of Envoy's configuration this is; none if Envoy does not say, and then it is like no other.
    pub(crate) plugin: Option<PluginId>,
    /// How it stands among the configurations of its plugin.
    pub(crate) standing: Cell<Standing>,
    /// Whether a connection has begun with it.
    pub(crate) has_begun: Cell<bool>,
}

/// How a configuration stands among those of the same plugin, of which Envoy keeps each as long as a stream of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the one in use.
    Current,
    /// It is, and at the next tick the open connections take it on.
    Coming,
    /// Another came after it, or connections could not take it on. It comes again with a connection that it begins, unless
    /// Envoy may be only not done with distributing the one after it.
    Former,
}

/// What stays of a plugin when it is configured anew: its name and root ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginId {
    name: Vec<u8>,
    root: Vec<u8>,
}

thread_local! {
    /// What each root context of this VM was configured with last.
    static ROOTS: RefCell<BTreeMap<u32, Rc<Active>>> = const { RefCell::new(BTreeMap::new()) };
}

/// True if the configuration of a root context is valid: a pure function of its bytes and the node metadata, so that it
/// cannot come out differently on one worker, which Envoy would then run without the filter. After false Envoy refuses
/// the configuration, and what was active stays so.
pub(crate) fn configure(root: u32, size: usize) -> bool {
    let bytes = match host::plugin_configuration(size) {
        Ok(bytes) => bytes,
        Err(failure) => return refuse(&[format!("cannot be read: {failure}")]),
    };
    // Were a gateway that cannot be told from a sidecar to pass for one, all that comes without a certificate would pass.
    let proxy = node::read().and_then(|node| Ok((node, node::is_gateway()?)));
    let (node, is_gateway) = match proxy {
        Ok(proxy) => proxy,
        Err(failure) => return refuse(&[format!("node metadata cannot be read: {failure}")]),
    };
    match activate(&bytes, &node, is_gateway) {
        Ok(active) => {
            let active = Rc::new(active);
            ROOTS.with_borrow_mut(|roots| roots.insert(root, Rc::clone(&active)));
            tcp::configured(&active);
            true
        }
        Err(Invalid { problems }) => refuse(&problems),
    }
}

/// Runs only after a configuration came, or came again, until the open connections have taken it on.
pub(crate) fn tick(root: u32) {
    if let Some(active) = active(root) {
        tcp::take_on(&active);
    }
}

/// A context is gone; if it is a root context, what it was configured with, and its tick: Envoy would go on setting the
/// timer of a context that is no more.
pub(crate) fn deleted(root: u32) {
    if let Some(active) = ROOTS.with_borrow_mut(|roots| roots.remove(&root)) {
        active.telemetry.tell(host::set_tick_period(0));
    }
}

/// The other configurations of the same plugin that root contexts have.
pub(crate) fn others(active: &Rc<Active>) -> Vec<Rc<Active>> {
    let is_other = |other: &&Rc<Active>| {
        active.plugin.is_some() && other.plugin == active.plugin && !Rc::ptr_eq(other, active)
    };
    ROOTS.with_borrow(|roots| roots.values().filter(is_other).cloned().collect())
}

/// The configuration of the same plugin that is in use or comes, if it is another than this one.
pub(crate) fn in_use(active: &Rc<Active>) -> Option<Rc<Active>> {
    let mut others = others(active).into_iter();
    others.find(|other| other.standing.get() != Standing::Former)
}

/// The configuration for a request or connection that begins. None where there is none: Envoy makes no stream for a plugin
/// that it could not configure.
pub(crate) fn of_beginning(context: u32) -> Option<Rc<Active>> {
    active(contexts::begins(context)?)
}

fn active(root: u32) -> Option<Rc<Active>> {
    ROOTS.with_borrow(|roots| roots.get(&root).cloned())
}

fn activate(bytes: &[u8], node: &Node, is_gateway: bool) -> Result<Active, Invalid> {
    if bytes.is_empty() {
        return Err(Invalid {
            problems: vec![Problem {
                rule: None,
                field: String::new(),
                value: None,
                problem: "the plugin has no configuration".to_owned(),
                mend: "write the policy under pluginConfig, beginning with schema: crossmesh/v1"
                    .to_owned(),
            }],
        });
    }
    let spec = crossmesh_policy::parse(bytes)?;
    let program = Program::compile(&spec)?;
    let policy = program.bind(node)?;
    for warning in program.warnings() {
        host::log(Level::Warn, &format!("configuration: {warning}"));
    }
    Ok(Active {
        telemetry: Telemetry::define(&policy),
        identities: Identities::new(),
        is_gateway,
        plugin: plugin_id(),
        standing: Cell::new(Standing::Current),
        has_begun: Cell::new(false),
        policy,
    })
}

/// None where neither is given, which is what Envoy has by default: plugins without names are not one plugin.
fn plugin_id() -> Option<PluginId> {
    let read = |attribute| {
        Some(
            host::attribute(attribute)
                .ok()?
                .unwrap_or_default()
                .to_vec(),
        )
    };
    let name = read(Attribute::PLUGIN_NAME)?;
    let root = read(Attribute::PLUGIN_ROOT_ID)?;
    (!name.is_empty() || !root.is_empty()).then_some(PluginId { name, root })
}

/// A line for each problem: Envoy tells no more than that the plugin could not be configured.
fn refuse(problems: &[impl std::fmt::Display]) -> bool {
    for problem in problems {
        host::log(Level::Error, &format!("configuration refused: {problem}"));
    }
    false
}
