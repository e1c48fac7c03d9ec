//! The labels of a name below a domain of services, by what they stand for.

use crate::name::{Name, is_under, labels};

/// What stands before the domain in `….SERVICE.NAMESPACE.domain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Below<'n> {
    /// How many labels.
    pub(super) count: usize,
    /// The last of them.
    pub(super) namespace: Option<&'n [u8]>,
    /// The last but one.
    pub(super) service: Option<&'n [u8]>,
    /// The first two begin with `_`, as those of a service location do (RFC 2782).
    pub(super) location: bool,
    /// One of them is `_zone`, below which CoreDNS has names of its own making.
    pub(super) zonal: bool,
}

impl<'n> Below<'n> {
    /// `None`: the name is not below the domain. Both in lower case.
    pub(super) fn read(name: &'n [u8], domain: &Name) -> Option<Self> {
        if !is_under(name, domain.as_wire()) {
            return None;
        }
        let length = name.len() - domain.as_wire().len();
        let mut below = Self {
            count: 0,
            namespace: None,
            service: None,
            location: false,
            zonal: false,
        };
        let (mut at, mut leading) = (0, 0);
        for label in labels(name) {
            if at >= length {
                break;
            }
            at += label.len() + 1;
            if label.starts_with(b"_") && leading == below.count {
                leading += 1;
            }
            below.count += 1;
            below.zonal |= label == b"_zone";
            below.service = below.namespace.replace(label);
        }
        below.location = leading >= 2;
        Some(below)
    }

    /// Whether a service itself or one of its locations can have such a name.
    pub(super) fn is_of_service(&self) -> bool {
        self.count == 2 || (self.count == 4 && self.location)
    }

    /// Whether anything in a cluster can have such a name: a service, an endpoint of it, or a location.
    pub(super) fn is_possible(&self) -> bool {
        self.count <= 3 || self.is_of_service()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_apart_by_what_they_stand_for() {
        let domain = Name::parse("svc.cluster.local").unwrap();
        let check = |text: &str, expected: Option<(usize, bool, bool)>| {
            let name = Name::parse(text).unwrap();
            let found = Below::read(name.as_wire(), &domain);
            let found =
                found.map(|below| (below.count, below.is_of_service(), below.is_possible()));
            assert_eq!(found, expected, "{text}");
        };
        check("svc.cluster.local", Some((0, false, true)));
        check("shop.svc.cluster.local", Some((1, false, true)));
        check("web.shop.svc.cluster.local", Some((2, true, true)));
        check("web-0.web.shop.svc.cluster.local", Some((3, false, true)));
        check("_tcp.web.shop.svc.cluster.local", Some((3, false, true)));
        check(
            "_http._tcp.web.shop.svc.cluster.local",
            Some((4, true, true)),
        );
        check(
            "www.example.com.shop.svc.cluster.local",
            Some((4, false, false)),
        );
        check(
            "_a._b._c.web.shop.svc.cluster.local",
            Some((5, false, false)),
        );
        check("xsvc.cluster.local", None);
        check("cluster.local", None);
    }
}
