//! The names of the story, written once: who calls whom, in which mesh.

/// The port of every service; the policy speaks of it.
pub const SERVICE_PORT: u16 = 8080;
/// The port of an east-west gateway, as Istio has it.
pub const GATEWAY_PORT: u16 = 15443;

/// Mesh *east*'s trust domain.
pub const EAST_TRUST_DOMAIN: &str = "foo.com";
/// Mesh *west*'s trust domain.
pub const WEST_TRUST_DOMAIN: &str = "bar.com";

/// Exists only in the west.
pub const CATALOG: &str = "catalog.shop.svc.cluster.local";
/// Exists in both meshes, until the story deletes the local one.
pub const REVIEWS: &str = "reviews.shop.svc.cluster.local";
/// Where its port called `http` is: a question for SRV records.
pub const REVIEWS_LOCATIONS: &str = "_http._tcp.reviews.shop.svc.cluster.local";

/// The account that the policy's rule names.
pub const FRONTEND: &str = "spiffe://foo.com/ns/web/sa/frontend";
/// Another account of the same namespace.
pub const BATCH: &str = "spiffe://foo.com/ns/web/sa/batch";
/// Signed by the east's root, but of a trust domain that no mesh has.
pub const STRANGER: &str = "spiffe://baz.example/ns/web/sa/frontend";

/// The SNI by which an east-west gateway finds a service, as Istio's `AUTO_PASSTHROUGH` writes it (without a subset).
#[must_use]
pub fn passthrough_sni(service: &str) -> String {
    format!("outbound_.{SERVICE_PORT}_._.{service}")
}
