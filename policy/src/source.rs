//! Who asks: the class of a source, and its identity.

use std::fmt;
use std::sync::Arc;

use crate::spiffe::SpiffeId;

/// What a source is to this proxy's mesh. When no rule decides, the default of its class does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceClass {
    /// Its trust domain belongs to this proxy's mesh.
    SameMesh,
    /// Its trust domain belongs to another listed mesh.
    PeerMesh,
    /// No mesh lists its trust domain.
    UnknownTrustDomain,
    /// It has no client certificate.
    Plaintext,
    /// Its TLS is not terminated here. Where nobody can tell it from plaintext, both are decided.
    Passthrough,
    /// Its certificate does not carry exactly one valid SPIFFE ID: always refused.
    InvalidIdentity,
}

impl SourceClass {
    /// All classes.
    pub const ALL: [Self; 6] = [
        Self::SameMesh,
        Self::PeerMesh,
        Self::UnknownTrustDomain,
        Self::Plaintext,
        Self::Passthrough,
        Self::InvalidIdentity,
    ];

    /// As it is written in policies, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameMesh => "sameMesh",
            Self::PeerMesh => "peerMesh",
            Self::UnknownTrustDomain => "unknownTrustDomain",
            Self::Plaintext => "plaintext",
            Self::Passthrough => "passthrough",
            Self::InvalidIdentity => "invalidIdentity",
        }
    }
}

impl fmt::Display for SourceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A source, as one policy sees it. Owned, so that it can be kept by the value of the certificate it came from.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) class: SourceClass,
    pub(crate) mesh: Option<MeshRef>,
    /// The ID; none for a class without one.
    pub(crate) id: Option<SpiffeId>,
    /// Why the identity is invalid.
    pub(crate) note: Option<String>,
}

/// A mesh by its number in written order, with its ID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MeshRef {
    pub(crate) index: usize,
    pub(crate) id: Arc<str>,
}

impl Source {
    /// A source of a class that has no identity.
    pub(crate) fn without_identity(class: SourceClass, note: Option<String>) -> Self {
        Self {
            class,
            mesh: None,
            id: None,
            note,
        }
    }

    /// A source without a client certificate.
    pub(crate) fn plaintext() -> Self {
        Self::without_identity(SourceClass::Plaintext, None)
    }

    /// What it is to this mesh.
    #[must_use]
    pub fn class(&self) -> SourceClass {
        self.class
    }

    /// The ID of its mesh, if its trust domain is listed.
    #[must_use]
    pub fn mesh(&self) -> Option<&str> {
        self.mesh.as_ref().map(|mesh| &*mesh.id)
    }

    /// Its number among the meshes, in written order.
    #[must_use]
    pub fn mesh_index(&self) -> Option<usize> {
        self.mesh.as_ref().map(|mesh| mesh.index)
    }

    /// Its whole SPIFFE ID.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.id.as_ref().map(SpiffeId::as_str)
    }

    /// Its trust domain, listed or not.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&str> {
        self.id.as_ref().map(SpiffeId::trust_domain)
    }

    /// Its Kubernetes namespace, if its ID has the form `/ns/<ns>/sa/<sa>`.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.id.as_ref().and_then(SpiffeId::namespace)
    }

    /// Its Kubernetes service account, if its ID has the form `/ns/<ns>/sa/<sa>`.
    #[must_use]
    pub fn service_account(&self) -> Option<&str> {
        self.id.as_ref().and_then(SpiffeId::service_account)
    }

    /// Why the identity is invalid.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}
