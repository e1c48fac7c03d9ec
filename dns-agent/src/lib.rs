//! The DNS agent of a node.
//!
//! ```text
//! files ──▶ sources ──▶ catalog ──▶ index ──┐  one writer publishes, readers take one Arc for each request
//!                                           ▼
//! query ──▶ wire ──▶ server ──────────▶ answer ──▶ encode ──▶ reply
//!                      │ forwarded
//!                      └──▶ cache ──▶ upstream ──▶ relayed bytes
//! ```
//!
//! [`answer::answer`] is a pure function of the index, the question and a rotation; everything around it is input and
//! output.

pub mod address_range;
pub mod admin;
pub mod answer;
pub mod app;
pub mod cache;
pub mod catalog;
pub mod check;
pub mod config;
pub mod encode;
pub mod fault;
pub mod gateway;
pub mod index;
pub mod interface;
pub mod metrics;
pub mod name;
pub mod presence;
pub mod probe;
pub mod readiness;
pub mod server;
pub mod shadow;
pub mod snapshot;
pub mod sources;
pub mod tasks;
pub mod upstream;
pub mod wire;
mod yaml;
