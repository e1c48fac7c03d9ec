//! Two small meshes on loopback, made of real parts: the harness of the demo and of the end-to-end tests.
//!
//! Nothing of crossmesh is linked in. The filter is a `.wasm` file that a real Envoy loads, the agent and the command
//! line are binaries, the clients are dig and curl. Which ones is said by environment variables that `cargo xtask`
//! sets (see [`tools`]); without them everything here fails and says so.
//!
//! ```text
//!  east (foo.com)                                west (bar.com)
//!  curl ─▶ client sidecar ═mTLS═╪═▶ gateway (SNI) ═══▶ server sidecar + filter ─▶ application
//!  dig ─▶ dns-agent
//! ```
//!
//! Every part has its own loopback address in a block 127.0.N.0/24 that only one run uses at a time ([`block`]).
//! Dropping a part ends its process; a parent that is killed takes its children with it ([`process`]).

pub mod access_log;
pub mod admin;
pub mod agent;
pub mod app;
pub mod background;
pub mod bench;
pub mod block;
pub mod caller;
pub mod clock;
pub mod command;
pub mod curl;
pub mod disk;
pub mod dns;
pub mod envoy;
pub mod grpc;
pub mod istio;
pub mod kubernetes;
pub mod musl;
pub mod names;
pub mod namespace;
pub mod pki;
pub mod plugin;
pub mod pod;
pub mod process;
pub mod roles;
mod sender;
pub mod shipped;
pub mod soak;
pub mod speaker;
pub mod stand;
pub mod story;
mod tls;
pub mod tools;
pub mod world;
pub mod xds;
