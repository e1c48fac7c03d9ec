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
    /// What it was made of.
    given: Given,
    /// How it stands among the configurations of its plugin.
    pub(crate) standing: Cell<Standing>,
    /// The later one is configured, the greater this is among the configurations of its plugin.
    pub(crate) order: Cell<u64>,
    /// When a connection began with it last since it came, in nanoseconds since 1970; none if none did or the time is not known.
    pub(crate) begun: Cell<Option<u64>>,
}

/// What a configuration is made of. For a plugin Envoy makes a root context for each direction of listeners and each of their
/// metadata: those that were given the same have the same configuration.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    /// Which plugin of Envoy's configuration this is; none if Envoy does not say, and then it is like no other.
    plugin: Option<PluginId>,
    bytes: Box<[u8]>,
    node: Node,
    /// Whether this proxy is a gateway: what its listeners carry out is other workloads' traffic.
    is_gateway: bool,
}

/// A root context.
#[derive(Debug)]
struct Root {
    /// What it was configured with last.
    active: Rc<Active>,
    /// Whether its tick was asked for and did not come yet.
    is_to_tick: bool,
}

/// How a configuration stands among those of the same plugin, of which Envoy keeps each as long as a stream of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the one in use.
    Current,
    /// It is, and at the next tick the open connections take it on.
    Coming,
    /// Another came after it, or it has yet to come.
    Former,
}

/// What stays of a plugin when it is configured anew: its name and root ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginId {
    name: Vec<u8>,
    root: Vec<u8>,
}

thread_local! {
    /// The root contexts of this VM that are configured.
    static ROOTS: RefCell<BTreeMap<u32, Root>> = const { RefCell::new(BTreeMap::new()) };
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
    let given = Given {
        plugin: plugin_id(),
        bytes: (*bytes).into(),
        node,
        is_gateway,
    };
    let active = match made_of(&given) {
        Some(active) => active,
        None => match activate(given) {
            Ok(active) => Rc::new(active),
            Err(Invalid { problems }) => return refuse(&problems),
        },
    };
    let of_root = Root {
        active: Rc::clone(&active),
        is_to_tick: is_to_tick(root),
    };
    ROOTS.with_borrow_mut(|roots| roots.insert(root, of_root));
    tcp::configured(root, &active);
    true
}

/// Runs only after a configuration came, or came again, until the open connections have taken it on.
pub(crate) fn tick(root: u32) {
    if let Some(active) = active(root) {
        tcp::tick(root, &active);
    }
}

/// A context is gone; if it is a root context, what it was configured with, and its tick: Envoy would go on setting the
/// timer of a context that is no more.
pub(crate) fn deleted(root: u32) {
    if let Some(gone) = ROOTS.with_borrow_mut(|roots| roots.remove(&root)) {
        gone.active.telemetry.tell(host::set_tick_period(0));
    }
}

/// Whether the tick of a root context was asked for and did not come yet.
pub(crate) fn is_to_tick(root: u32) -> bool {
    ROOTS.with_borrow(|roots| roots.get(&root).is_some_and(|root| root.is_to_tick))
}

pub(crate) fn set_to_tick(root: u32, is_to_tick: bool) {
    ROOTS.with_borrow_mut(|roots| {
        if let Some(root) = roots.get_mut(&root) {
            root.is_to_tick = is_to_tick;
        }
    });
}

/// Whether a root context of this configuration is to tick.
pub(crate) fn ticks(active: &Rc<Active>) -> bool {
    let is = |root: &Root| root.is_to_tick && Rc::ptr_eq(&root.active, active);
    ROOTS.with_borrow(|roots| roots.values().any(is))
}

/// The other configurations of the same plugin that root contexts have.
pub(crate) fn others(active: &Rc<Active>) -> Vec<Rc<Active>> {
    all(|other| other.is_of_plugin(active) && !Rc::ptr_eq(other, active))
}

/// The configuration of the same plugin that is in use or comes.
pub(crate) fn in_use(active: &Rc<Active>) -> Option<Rc<Active>> {
    let is = |other: &Rc<Active>| {
        (other.is_of_plugin(active) || Rc::ptr_eq(other, active))
            && other.standing.get() != Standing::Former
    };
    all(is).pop()
}

/// The root context and the configuration for a request or connection that begins. None where there is none: Envoy makes no
/// stream for a plugin that it could not configure.
pub(crate) fn of_beginning(context: u32) -> Option<(u32, Rc<Active>)> {
    let root = contexts::begins(context)?;
    Some((root, active(root)?))
}

impl Active {
    /// Whether this proxy is a gateway.
    pub(crate) fn is_gateway(&self) -> bool {
        self.given.is_gateway
    }

    /// Whether another configuration is of the same plugin.
    pub(crate) fn is_of_plugin(&self, other: &Self) -> bool {
        self.given.plugin.is_some() && self.given.plugin == other.given.plugin
    }
}

fn active(root: u32) -> Option<Rc<Active>> {
    ROOTS.with_borrow(|roots| Some(Rc::clone(&roots.get(&root)?.active)))
}

/// The configurations that root contexts have, one of several maybe more than once.
fn all(which: impl Fn(&Rc<Active>) -> bool) -> Vec<Rc<Active>> {
    ROOTS.with_borrow(|roots| {
        let all = roots.values().map(|root| &root.active);
        all.filter(|active| which(active)).cloned().collect()
    })
}

/// The configuration that was made of the same.
fn made_of(given: &Given) -> Option<Rc<Active>> {
    all(|active| given.plugin.is_some() && active.given == *given).pop()
}

fn activate(given: Given) -> Result<Active, Invalid> {
    if given.bytes.is_empty() {
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
    let spec = crossmesh_policy::parse(&given.bytes)?;
    let program = Program::compile(&spec)?;
    let policy = program.bind(&given.node)?;
    for warning in program.warnings() {
        host::log(Level::Warn, &format!("configuration: {warning}"));
    }
    Ok(Active {
        telemetry: Telemetry::define(&policy),
        identities: Identities::new(),
        given,
        standing: Cell::new(Standing::Former),
        order: Cell::new(0),
        begun: Cell::new(None),
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
