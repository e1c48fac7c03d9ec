//! Where something runs, as Kubernetes' topology labels tell it: a region, and a zone in it.

use std::collections::BTreeMap;

/// The label of a region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The label of a zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The distance to what is in another region, or nobody knows where.
pub const ELSEWHERE: u8 = 2;

/// A region and a zone in it. Source: Kubernetes, well-known labels `topology.kubernetes.io/region` and `…/zone`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// The region.
    pub region: String,
    /// The zone; `None`: somewhere in the region.
    pub zone: Option<String>,
}

impl Locality {
    /// A locality of what labels say; a zone without a region is none, because zones are only unique in one.
    pub fn of(region: Option<&str>, zone: Option<&str>) -> Option<Self> {
        let given = |text: &&str| !text.is_empty();
        Some(Self {
            region: region.filter(given)?.to_owned(),
            zone: zone.filter(given).map(str::to_owned),
        })
    }

    /// A locality as it is written in a file; `None`: a zone without a region, or an empty name.
    pub fn written(region: Option<&str>, zone: Option<&str>) -> Option<Self> {
        let found = Self::of(region, zone)?;
        (found.zone.is_some() == zone.is_some()).then_some(found)
    }

    /// A locality by labels.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Option<Self> {
        let label = |name| labels.get(name).map(String::as_str);
        Self::of(label(REGION), label(ZONE))
    }

    /// Reads `REGION/ZONE`, as Istio writes localities; what comes after the zone makes no difference here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        Self::of(parts.next(), parts.next())
    }

    /// How far the one is from the other: 0 in the same zone, 1 in the same region, else [`ELSEWHERE`].
    pub fn distance(one: Option<&Self>, other: Option<&Self>) -> u8 {
        match (one, other) {
            (Some(one), Some(other)) if one.region == other.region => {
                u8::from(one.zone.is_none() || one.zone != other.zone)
            }
            _ => ELSEWHERE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_zone_is_nearer_than_the_same_region() {
        let check = |one: &str, other: &str, expected: u8| {
            let found = Locality::distance(
                Locality::parse(one).as_ref(),
                Locality::parse(other).as_ref(),
            );
            assert_eq!(found, expected, "{one} to {other}");
        };
        check("eu/a", "eu/a", 0);
        check("eu/a/rack-1", "eu/a/rack-2", 0);
        check("eu/a", "eu/b", 1);
        check("eu/a", "eu", 1);
        // Nobody knows whether they are in one zone.
        check("eu", "eu", 1);
        check("eu/a", "us/a", 2);
        check("", "", 2);
        check("eu/a", "/a", 2);
    }
}
