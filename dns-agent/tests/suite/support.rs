//! What tests share: messages, agents, upstream servers.

pub(crate) mod agent;
pub(crate) mod api;
pub(crate) mod gateway;
pub(crate) mod message;
pub(crate) mod servers;
