//! The kinds of names that servers are asked for, each of which may take another way through them: a server may send
//! outside names back to us and have the cluster's own, or send back those of one zone alone.

use crate::{
    answer::{REVERSE, Servers},
    config::Config,
    name::{Name, is_under},
};

/// A kind of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Realm {
    /// In no zone of ours.
    Outside,
    /// Of addresses.
    Reverse,
    /// Below the cluster domain.
    Domain,
    /// Below the domain of the cluster set.
    Set,
}

/// All of them.
pub(super) const REALMS: [Realm; 4] = [Realm::Outside, Realm::Reverse, Realm::Domain, Realm::Set];

/// The label above all names by which loops are looked for.
const LABEL: &str = "crossmesh-loop";
/// The length of the label before that: a number of 60 bits behind a zero, as no service's name begins with a digit.
const NUMBER: usize = 16;

/// Where the kinds of names are, and below which name of each is looked for loops.
#[derive(Debug)]
pub(super) struct Realms {
    cluster_domain: Name,
    cluster_set_domain: Name,
    probes: Vec<(Realm, Name)>,
}

impl Realms {
    pub(super) fn new(config: &Config) -> Self {
        let settings = &config.settings;
        let below = |realm, zone: &Name| Some((realm, zone.child(LABEL).ok()?));
        let services = |realm, domain: &Name| below(realm, &domain.child("svc").ok()?);
        let fixed = |realm, zone| below(realm, &Name::parse(zone).ok()?);
        let probes = [
            // `internal` is for private use, and nobody has this name there.
            fixed(Realm::Outside, "internal"),
            // In the reverse tree, and no address's.
            fixed(Realm::Reverse, "in-addr.arpa"),
            // Where services are: some servers pass on that part of a zone alone.
            services(Realm::Domain, &settings.cluster_domain),
            services(Realm::Set, &settings.cluster_set_domain),
        ];
        Self {
            cluster_domain: settings.cluster_domain.clone(),
            cluster_set_domain: settings.cluster_set_domain.clone(),
            probes: probes.into_iter().flatten().collect(),
        }
    }

    /// The kind of a name, in wire form and lower case, for which these servers are asked.
    pub(super) fn of(&self, to: Servers, name: &[u8]) -> Realm {
        if to == Servers::General {
            Realm::Outside
        } else if REVERSE.iter().any(|zone| is_under(name, zone)) {
            Realm::Reverse
        } else if is_under(name, self.cluster_set_domain.as_wire()) {
            Realm::Set
        } else {
            Realm::Domain
        }
    }

    /// A name that nobody but an agent knows, and its first label.
    pub(super) fn probe(&self, realm: Realm, number: u64) -> Option<(Name, Box<[u8]>)> {
        let mut probes = self.probes.iter();
        let (_, above) = probes.find(|(of, _)| *of == realm)?;
        let label = format!("{:0NUMBER$x}", number >> 4);
        Some((above.child(&label).ok()?, label.as_bytes().into()))
    }

    /// The kind and the first label of a name by which somebody looks for loops.
    pub(super) fn probed<'n>(&self, name: &'n [u8]) -> Option<(Realm, &'n [u8])> {
        // Asked of every query: what the name begins with tells most of them apart.
        let (label, above) = name.split_at_checked(1 + NUMBER)?;
        let [length, label @ ..] = label else {
            return None;
        };
        let begins = above.get(1..)?.starts_with(LABEL.as_bytes());
        if usize::from(*length) != NUMBER || label.first() != Some(&b'0') || !begins {
            return None;
        }
        let mut probes = self.probes.iter();
        let (realm, _) = probes.find(|(_, of)| of.as_wire() == above)?;
        Some((*realm, label))
    }

    /// What the kind is called.
    pub(super) fn word(&self, realm: Realm) -> String {
        match realm {
            Realm::Outside => "outside".to_owned(),
            Realm::Reverse => "reverse".to_owned(),
            Realm::Domain => self.cluster_domain.to_string(),
            Realm::Set => self.cluster_set_domain.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn realms() -> Realms {
        let text = "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\ncluster: {id: c1, mesh: east}\n\
                    catalogs: [{cluster: c1, file: c1.yaml}]\nupstreams: {servers: [\"127.0.0.1:1\"]}\n";
        Realms::new(&Config::parse(Path::new("dns.yaml"), text).unwrap())
    }

    #[test]
    fn what_looks_for_loops_is_of_the_kind_that_it_stands_for_and_known_as_such() {
        let realms = realms();
        for realm in REALMS {
            let (name, label) = realms.probe(realm, u64::MAX).unwrap();
            let to = match realm {
                Realm::Outside => Servers::General,
                _ => Servers::Cluster,
            };
            assert_eq!(realms.of(to, name.as_wire()), realm);
            assert_eq!(realms.probed(name.as_wire()), Some((realm, &*label)));
        }
    }

    #[test]
    fn other_names_are_asked_for_as_ever() {
        let realms = realms();
        for other in [
            "www.example.com",
            "crossmesh-loop.internal",
            "0123456789abcdef.crossmesh-loop.example.com",
            "0123456789abcdef.crossmesh-loops.internal",
            "a123456789abcdef.crossmesh-loop.internal",
            "0123456789abcde.crossmesh-loop.internal",
            "a.0123456789abcdef.crossmesh-loop.internal",
            "",
        ] {
            let name = Name::parse(other).unwrap();
            assert_eq!(realms.probed(name.as_wire()), None, "{other}");
        }
    }
}
