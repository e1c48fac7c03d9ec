//! The plugin: from its configuration to the policy that its streams share.

use std::rc::Rc;

use crossmesh_policy::{Invalid, Node, Policy, Problem, Program};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::{self, Level};
use crate::http::HttpFilter;
use crate::identities::Identities;
use crate::node;
use crate::telemetry::Telemetry;

/// What one configuration means for this proxy. A stream keeps the one it began with.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) policy: Policy,
    pub(crate) telemetry: Telemetry,
    pub(crate) identities: Identities,
}

/// The root context: one for each plugin configuration in each VM.
#[derive(Debug, Default)]
pub(crate) struct Root {
    active: Option<Rc<Active>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// True if the configuration is valid: a pure function of its bytes and the node metadata, so that it cannot
    /// come out differently on one worker, which Envoy would then run without the filter. After false Envoy refuses
    /// the configuration, and what was active stays so.
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = match host::plugin_configuration(size) {
            Ok(bytes) => bytes,
            Err(failure) => return refuse(&[format!("cannot be read: {failure}")]),
        };
        let node = match node::read() {
            Ok(node) => node,
            Err(failure) => return refuse(&[format!("node metadata cannot be read: {failure}")]),
        };
        match activate(&bytes, &node) {
            Ok(active) => {
                self.active = Some(Rc::new(active));
                true
            }
            Err(Invalid { problems }) => refuse(&problems),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    /// Always some: the SDK panics on none.
    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpFilter::new(self.active.clone())))
    }
}

fn activate(bytes: &[u8], node: &Node) -> Result<Active, Invalid> {
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
        policy,
    })
}

/// A line for each problem: Envoy tells no more than that the plugin could not be configured.
fn refuse(problems: &[impl std::fmt::Display]) -> bool {
    for problem in problems {
        host::log(Level::Error, &format!("configuration refused: {problem}"));
    }
    false
}
