//! The cluster's zone itself: its own names, where we speak for the whole of it, and its SOA.

use super::{Entry, Host, Mode, Settings};
use crate::name::Name;

/// The zone, its servers and its version (Kubernetes DNS specification 1.1.0, §2.2), sorted by nothing: they are few.
pub(super) fn names(settings: &Settings) -> Box<[(Name, Entry)]> {
    if settings.mode != Mode::Authoritative {
        return Box::default();
    }
    let domain = &settings.cluster_domain;
    let mut names = vec![
        (domain.clone(), Entry::Zone),
        (settings.cluster_set_domain.clone(), Entry::Zone),
    ];
    let mut add = |labels: &[&str], entry: Entry| {
        names.push((below(domain, labels), entry));
    };
    add(&["dns-version"], Entry::Version);
    add(&["dns"], Entry::Inner);
    let host = Host::default().with(settings.servers.iter().copied());
    add(&["dns", "ns"], Entry::Host(host));
    names.into()
}

/// The name of the zone's server.
pub(super) fn server(domain: &Name) -> Name {
    below(domain, &["dns", "ns"])
}

/// An SOA's data: whoever asks anew does so after one TTL.
pub(super) fn soa(domain: &Name, serial: u32, ttl: u32) -> Box<[u8]> {
    let mut data = Vec::new();
    data.extend_from_slice(server(domain).as_wire());
    data.extend_from_slice(below(domain, &["hostmaster"]).as_wire());
    // Refresh, retry and expire concern secondaries, of which there are none.
    for number in [serial, 7200, 1800, 86400, ttl] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data.into()
}

/// A name below the domain, from the domain on; the configuration leaves room for it.
fn below(domain: &Name, labels: &[&str]) -> Name {
    let name = labels
        .iter()
        .try_fold(domain.clone(), |name, label| name.child(label));
    name.unwrap_or_else(|_| domain.clone())
}
