//! Names that never come from a peer: a client that asks for its own cluster's API server must not reach another's.

use std::collections::HashMap;

use crate::name::{Name, is_kubernetes_label};

/// Which services stay in their cluster. The most specific host that was said something of decides, as in Istio
/// (`serviceSettings`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterLocal {
    /// Of every service, with the length of the host that says so.
    everything: Option<(usize, bool)>,
    namespaces: HashMap<String, bool>,
    /// By namespace, then by name.
    services: HashMap<String, HashMap<String, bool>>,
    /// Whether somebody may say more, who was not heard yet.
    pub(super) incomplete: bool,
}

impl ClusterLocal {
    /// What is cluster-local unless something is said of it, as in Istio: `kube-system`, the API server, the control
    /// plane in its namespace.
    pub fn always(istio_namespace: &str) -> Self {
        let mut all = Self::default();
        all.namespaces.insert("kube-system".to_owned(), true);
        for (namespace, name) in [("default", "kubernetes"), (istio_namespace, "istiod")] {
            all.set_service(namespace, name, true);
        }
        all
    }

    /// Takes a host of services below `domain`: `NAME.NAMESPACE.svc.…`, `*.NAMESPACE.svc.…`, or a pattern for all of
    /// them. False: it is no such host.
    pub fn set(&mut self, host: &str, domain: &Name, local: bool) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let all = format!(".svc.{domain}");
        if let Some(suffix) = host.strip_prefix('*')
            && (suffix.is_empty() || suffix.starts_with('.'))
            && all.ends_with(suffix)
        {
            if self
                .everything
                .is_none_or(|(length, _)| length <= host.len())
            {
                self.everything = Some((host.len(), local));
            }
            return true;
        }
        let Some((name, namespace)) = host
            .strip_suffix(&all)
            .and_then(|rest| rest.split_once('.'))
        else {
            return false;
        };
        if !is_kubernetes_label(namespace) {
            return false;
        }
        if name == "*" {
            self.namespaces.insert(namespace.to_owned(), local);
            return true;
        }
        if is_kubernetes_label(name) {
            self.set_service(namespace, name, local);
            return true;
        }
        false
    }

    /// Takes everything that `other` says; where both say something of the same, the other counts.
    pub fn extend(&mut self, other: &Self) {
        if let Some((length, local)) = other.everything
            && self.everything.is_none_or(|(before, _)| before <= length)
        {
            self.everything = Some((length, local));
        }
        let namespaces = other.namespaces.iter();
        self.namespaces
            .extend(namespaces.map(|(namespace, local)| (namespace.clone(), *local)));
        for (namespace, services) in &other.services {
            for (name, local) in services {
                self.set_service(namespace, name, *local);
            }
        }
    }

    /// Whether the service must not come from a peer.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        let services = self.services.get(namespace);
        let said = services
            .and_then(|services| services.get(name))
            .or_else(|| self.namespaces.get(namespace))
            .copied();
        said.or_else(|| self.everything.map(|(_, local)| local))
            .unwrap_or(false)
    }

    fn set_service(&mut self, namespace: &str, name: &str, local: bool) {
        let services = self.services.entry(namespace.to_owned()).or_default();
        services.insert(name.to_owned(), local);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is always so, then what is said, and whether the services (NAMESPACE/NAME) are cluster-local by that.
    #[track_caller]
    fn check(said: &[(&str, bool)], expected: &[(&str, bool)]) {
        let mut all = ClusterLocal::always("istio-system");
        let mut more = ClusterLocal::default();
        let domain = Name::parse("cluster.local").unwrap();
        for (host, local) in said {
            more.set(host, &domain, *local);
        }
        all.extend(&more);
        for (service, expected) in expected {
            let (namespace, name) = service.split_once('/').unwrap();
            assert_eq!(all.contains(namespace, name), *expected, "{service}");
        }
    }

    #[test]
    fn the_most_specific_host_decides() {
        check(
            &[],
            &[
                ("kube-system/coredns", true),
                ("default/kubernetes", true),
                ("istio-system/istiod", true),
                ("default/other", false),
            ],
        );
        check(
            &[
                ("*.svc.cluster.local", true),
                ("*.shop.svc.cluster.local", false),
                ("One.Shop.svc.Cluster.local.", true),
                ("kubernetes.default.svc.cluster.local", false),
            ],
            &[
                ("any/any", true),
                ("shop/two", false),
                ("shop/one", true),
                ("default/kubernetes", false),
                ("kube-system/coredns", true),
            ],
        );
        check(
            &[("*.kube-system.svc.cluster.local", false)],
            &[("kube-system/coredns", false)],
        );
        check(
            &[
                ("*.svc.cluster.local", false),
                ("*.local", true),
                ("*", true),
            ],
            &[("any/any", false)],
        );
        check(&[("*", true)], &[("any/any", true)]);
    }

    #[test]
    fn what_is_no_host_of_services_is_refused() {
        let domain = Name::parse("cluster.local").unwrap();
        for host in [
            "*.com",
            "*local",
            "www.example.com",
            "a.b.c.svc.cluster.local",
            "*.b.c.svc.cluster.local",
            "shop.svc.cluster.local",
            "A_.shop.svc.cluster.local",
            "",
        ] {
            let taken = ClusterLocal::default().set(host, &domain, true);
            assert!(!taken, "{host}");
        }
    }
}
