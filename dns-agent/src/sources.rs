//! Where catalogs come from, and the one task that turns them into indexes.

pub mod file;
mod publisher;
mod watched;

pub use publisher::{Published, Publisher};
pub use watched::Watched;
