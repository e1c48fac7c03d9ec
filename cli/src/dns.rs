//! `crossmesh dns`: what a dns-agent answers, and why. Everything here is asked of an agent's admin port.

mod cluster;
mod columns;
pub(crate) mod doctor;
pub(crate) mod explain;
mod fetch;
mod gateway;
pub(crate) mod table;
