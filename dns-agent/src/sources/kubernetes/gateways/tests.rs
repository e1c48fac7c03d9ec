use super::*;

/// Gateways of a cluster from its services' JSON, and from its nodes and Gateway objects.
struct World(Gateways);

impl World {
    fn new(local: bool) -> Self {
        let mut gateways = Gateways::new(local, None);
        gateways.take_objects(Event::Listed(vec![]));
        Self(gateways)
    }

    /// A service with port 15443 at node port 31443, of network n2.
    fn service(&mut self, name: &str, annotations: &str, more: &str) {
        let text = format!(
            r#"{{"metadata": {{"name": "{name}", "namespace": "istio-system", "annotations": {{{annotations}}},
            "labels": {{"topology.istio.io/network": "n2"}}}},
            "spec": {{"type": "NodePort", "clusterIP": "10.0.0.1", "ports": [
            {{"name": "tls", "port": 15443, "nodePort": 31443}}, {{"name": "status", "port": 15021, "nodePort": 31021}}]
            {more}}}}}"#
        );
        let object: Service = serde_json::from_str(&text).unwrap();
        let kept = convert::service(&object, false).unwrap();
        let key = ("istio-system".to_owned(), name.to_owned());
        self.0
            .put_service(key, kept.exposed.map(|exposed| *exposed));
    }

    fn object(&mut self, class: &str, rest: &str) {
        self.0.take_objects(Event::Put(object("n2", class, rest)));
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        let (found, _) = self.0.found(false);
        let found: Vec<String> = found
            .iter()
            .map(|gateway| {
                let network = gateway.network.as_deref().unwrap_or_default();
                format!("{network} {}:{}", gateway.host, gateway.port)
            })
            .collect();
        assert_eq!(found, expected);
    }
}

fn node(name: &str, zone: &str, addresses: &str) -> Node {
    let text = format!(
        r#"{{"metadata": {{"name": "{name}", "labels": {{"zone": "{zone}", "kubernetes.io/hostname": "{name}"}},
        "annotations": {{"large": "x"}}, "managedFields": []}}, "spec": {{"podCIDR": "10.9.0.0/24"}},
        "status": {{"images": [{{"names": ["x"]}}], "addresses": [{addresses}]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn at(address: &str) -> String {
    format!(
        r#"{{"type": "InternalIP", "address": "10.1.1.1"}}, {{"type": "ExternalIP", "address": "{address}"}},
        {{"type": "ExternalIP", "address": "192.0.2.250"}}"#
    )
}

fn object(network: &str, class: &str, rest: &str) -> GatewayObject {
    let text = format!(
        r#"{{"metadata": {{"name": "eastwest", "namespace": "istio-system",
        "labels": {{"topology.istio.io/network": "{network}"}}}}, "spec": {{"gatewayClassName": "{class}" {rest}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

const SELECTOR: &str = r#""traffic.istio.io/nodeSelector": "{\"zone\": \"a\"}""#;

#[test]
fn a_service_at_nodes_is_reached_at_the_external_address_of_each_that_it_selects() {
    let mut world = World::new(false);
    world.service("gw", SELECTOR, "");
    world.0.take_nodes(Event::Listed(vec![
        node("one", "a", &at("192.0.2.1")),
        node("two", "b", &at("192.0.2.2")),
        node(
            "inside",
            "a",
            r#"{"type": "InternalIP", "address": "10.1.1.3"}"#,
        ),
    ]));
    world.check(&["n2 192.0.2.1:31443"]);
    world
        .0
        .take_nodes(Event::Put(node("two", "a", &at("192.0.2.2"))));
    world.check(&["n2 192.0.2.1:31443", "n2 192.0.2.2:31443"]);
    // Its address is taken from it.
    world.0.take_nodes(Event::Put(node("two", "a", "")));
    world.check(&["n2 192.0.2.1:31443"]);
    world.0.take_nodes(Event::Gone(node("one", "a", "")));
    world.check(&[]);
}

#[test]
fn every_node_counts_where_the_selector_says_nothing() {
    for selector in ["", "{}", "zone"] {
        let mut world = World::new(false);
        let annotation = format!(r#""traffic.istio.io/nodeSelector": "{selector}""#);
        world.service("gw", &annotation, "");
        let nodes = vec![node("one", "a", &at("192.0.2.1"))];
        world.0.take_nodes(Event::Listed(nodes));
        world.check(&["n2 192.0.2.1:31443"]);
    }
}

#[test]
fn nodes_matter_only_to_a_service_that_selects_them_and_has_no_place_of_its_own() {
    let mut world = World::new(false);
    world.service("gw", "", "");
    assert_eq!(world.0.selected(), None);
    world.check(&[]);
    world.service("gw", SELECTOR, r#", "externalIPs": ["192.0.2.9"]"#);
    assert_eq!(world.0.selected(), None);
    // As in Istio: its own places, and the nodes' port there; without the annotation the service's own.
    world.check(&["n2 192.0.2.9:31443"]);
    world.service("gw", "", r#", "externalIPs": ["192.0.2.9"]"#);
    world.check(&["n2 192.0.2.9:15443"]);
    world.service("gw", SELECTOR, "");
    let selected = BTreeSet::from(["zone".to_owned()]);
    assert_eq!(world.0.selected(), Some(&selected));
}

#[test]
fn of_a_node_only_what_selectors_name_is_kept() {
    let mut world = World::new(false);
    world.service("gw", SELECTOR, "");
    let nodes = vec![node("one", "a", &at("192.0.2.1")), node("inside", "a", "")];
    world.0.take_nodes(Event::Listed(nodes));
    let kept: Vec<_> = world.0.nodes.iter().collect();
    let labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let host = GatewayHost::parse("192.0.2.1").unwrap();
    assert_eq!(kept, [(&"one".to_owned(), &(host, labels))]);
}

#[test]
fn what_is_not_listed_yet_leaves_gateways_as_they_were() {
    let mut world = World::new(false);
    world.service("gw", SELECTOR, "");
    assert!(!world.0.known());
    let nodes = || vec![node("one", "a", &at("192.0.2.1"))];
    world.0.take_nodes(Event::Listed(nodes()));
    assert!(world.0.known());
    world.check(&["n2 192.0.2.1:31443"]);
    // Another label matters now, which was not kept: until the nodes are listed anew, nobody knows.
    let by_name = r#""traffic.istio.io/nodeSelector": "{\"kubernetes.io/hostname\": \"one\"}""#;
    world.service("gw", by_name, "");
    assert!(!world.0.known());
    world.check(&["n2 192.0.2.1:31443"]);
    world.0.take_nodes(Event::Listed(nodes()));
    world.check(&["n2 192.0.2.1:31443"]);
    // A passing failure says nothing of nodes: those that are known stay, until they were waited for long enough.
    world.service("gw", SELECTOR, "");
    world
        .0
        .take_nodes(Event::Problem("no reply within 30 s".to_owned()));
    assert!(!world.0.known());
    world.service("other", "", r#", "externalIPs": ["192.0.2.9"]"#);
    world.check(&["n2 192.0.2.1:31443"]);
    assert_eq!(world.0.found(true).0.len(), 1);
    // Nodes that are refused are not waited for.
    world.0.take_nodes(Event::Refused("forbidden".to_owned()));
    assert!(world.0.known());
    world.check(&["n2 192.0.2.9:15443"]);
}

const LISTENERS: &str = r#""listeners": [
    {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"mode": "Terminate"}},
    {"name": "http", "port": 80, "protocol": "HTTP"},
    {"name": "cross-network", "port": 15443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
    {"name": "other", "port": 25443, "protocol": "TLS", "tls": {"mode": "Passthrough", "options":
        {"gateway.istio.io/listener-protocol": "auto-passthrough"}}},
    {"name": "hbone", "port": 15008, "protocol": "HBONE"}]"#;

#[test]
fn a_gateway_object_is_one_at_each_address_and_port_of_passthrough() {
    let mut world = World::new(false);
    let addresses = r#""addresses": [{"type": "IPAddress", "value": "192.0.2.1"},
        {"type": "Hostname", "value": "gw.example.com"}, {"type": "example.com/Own", "value": "x.example.com"}]"#;
    world.object("istio", &format!(", {addresses}, {LISTENERS}"));
    let expected = [
        "n2 192.0.2.1:15443",
        "n2 192.0.2.1:25443",
        "n2 gw.example.com:15443",
        "n2 gw.example.com:25443",
    ];
    world.check(&expected);
    world.0.take_objects(Event::Gone(object("n2", "istio", "")));
    world.check(&[]);
}

#[test]
fn without_given_addresses_a_gateway_object_has_those_that_it_was_allotted() {
    let mut world = World::new(false);
    let mut allotted = object("n2", "istio", &format!(", {LISTENERS}"));
    let status = r#"{"addresses": [{"value": "192.0.2.7"},
        {"type": "Hostname", "value": "eastwest-istio.istio-system.svc.cluster.local"}]}"#;
    allotted.status = serde_json::from_str(status).unwrap();
    world.0.take_objects(Event::Put(allotted));
    world.check(&["n2 192.0.2.7:15443", "n2 192.0.2.7:25443"]);
}

#[test]
fn only_the_agents_own_cluster_stands_in_for_gateways_elsewhere() {
    let rest = r#", "addresses": [{"value": "192.0.2.1"}],
        "listeners": [{"name": "x", "port": 15443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]"#;
    for (local, expected) in [(true, &["n2 192.0.2.1:15443"][..]), (false, &[])] {
        let mut world = World::new(local);
        world.object("istio-remote", rest);
        world.check(expected);
        world.object("istio", rest);
        world.check(&["n2 192.0.2.1:15443"]);
    }
}
