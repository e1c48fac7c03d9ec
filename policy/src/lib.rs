//! The cross-mesh policy: who may call whom, decided without I/O.
//!
//! ```text
//! JSON ──parse──▶ Spec ──compile──▶ Program ──bind(Node)──▶ Policy ──decide(Source, Request)──▶ Decision
//!                                      └──explain(Node, Peer, Request)──▶ Explanation   Policy ──identify(Peer)──▶ Source
//! ```
//!
//! A [`Spec`] is what was written, a [`Program`] what it means, a [`Policy`] what of it concerns one proxy. Everything
//! that can be wrong is refused before a [`Policy`] exists; from then on nothing here can fail, wait or log.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        reason = "a test that panics fails, and nothing else"
    )
)]

mod both;
#[cfg(feature = "cases")]
pub mod cases;
mod compile;
mod decide;
mod explain;
mod facts;
mod forwarded;
mod host;
mod identify;
mod index;
mod ip_block;
mod list;
mod matcher;
mod path;
mod pattern;
mod policy;
mod principal;
mod problem;
mod quote;
mod request;
mod rule;
mod rule_set;
mod source;
mod spec;
mod spiffe;
mod truth;
mod work;

pub use decide::{Candidate, DecidedBy, Decision};
pub use explain::{AsBoth, Deciding, Explanation, Miss, Outcome, RuleTrace, SourceSeen};
pub use policy::{Cardinality, Needs, Policy, Program, Telemetry};
pub use problem::{Invalid, Problem};
pub use quote::shown;
pub use request::{HttpRequest, Node, Peer, Protocol, Request};
pub use source::{Source, SourceClass};
#[cfg(feature = "schema")]
pub use spec::json_schema;
pub use spec::{
    Action, CandidateSpec, CardinalitySpec, DefaultsSpec, ForwarderSpec, FromSpec, LimitSpec,
    MeshSpec, Mode, PortSpec, RuleSpec, SCHEMA, Spec, TcpSpec, TelemetrySpec, ToSpec, Verdict,
    WhenSpec, did_you_mean, parse,
};
pub use spiffe::{InvalidSpiffeId, SpiffeId};
