//! Wire types of crossmesh, generated from `schema/` and committed.
//!
//! Nothing here has behaviour: whoever receives a message turns it into types of its own at once. A test regenerates
//! the code and compares, so that neither a build script nor `protoc` is needed by anyone who only builds.

/// The agent's admin interface.
pub mod admin {
    /// Version 1.
    #[allow(
        missing_docs,
        clippy::all,
        reason = "generated; prost adds no text to the accessors that it makes"
    )]
    pub mod v1 {
        include!("gen/crossmesh.admin.v1.rs");
    }
}

/// What the agent keeps on disk of each cluster.
pub mod snapshot {
    /// Version 1.
    #[allow(
        missing_docs,
        clippy::all,
        reason = "generated; prost adds no text to the accessors that it makes"
    )]
    pub mod v1 {
        include!("gen/crossmesh.snapshot.v1.rs");
    }
}

/// The media type under which these messages are served.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
