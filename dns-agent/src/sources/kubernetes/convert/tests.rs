use super::*;

/// A service from its JSON without metadata's name and namespace.
fn read(metadata: &str, rest: &str) -> Result<Kept, String> {
    let text = format!(
        "{{\"metadata\": {{\"name\": \"web\", \"namespace\": \"shop\", \"managedFields\": [{{}}] {metadata}}} {rest}}}"
    );
    service(&serde_json::from_str(&text).unwrap(), false)
}

#[test]
fn a_services_kind_follows_its_cluster_ips() {
    let check = |spec: &str, expected: Kind| {
        let kept = read("", &format!(", \"spec\": {{{spec}}}")).unwrap();
        assert_eq!(kept.service.kind, expected, "{spec}");
    };
    let ips = |all: &[&str]| Kind::ClusterIp(all.iter().map(|ip| ip.parse().unwrap()).collect());
    check(r#""clusterIP": "10.0.0.1""#, ips(&["10.0.0.1"]));
    check(
        r#""clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]"#,
        ips(&["10.0.0.1", "fd00::1"]),
    );
    check(
        r#""clusterIP": "None", "clusterIPs": ["None"]"#,
        Kind::Headless(vec![]),
    );
    check(
        r#""type": "ExternalName", "externalName": "a.example.com""#,
        Kind::ExternalName,
    );
    check(r#""clusterIP": "", "clusterIPs": null"#, Kind::ExternalName);
}

#[test]
fn a_ports_protocol_is_its_app_protocol_else_its_names() {
    let check = |port: &str, expected: Option<Protocol>| {
        let spec =
            format!(r#", "spec": {{"clusterIP": "10.0.0.1", "ports": [{{"port": 80, {port}}}]}}"#);
        let kept = read("", &spec).unwrap();
        let found = kept.service.ports.first().map(|port| port.protocol);
        assert_eq!(found, expected, "{port}");
    };
    check(
        r#""name": "http-web", "protocol": "TCP""#,
        Some(Protocol::Http),
    );
    check(r#""name": "web", "protocol": "TCP""#, Some(Protocol::Tcp));
    check(r#""protocol": "TCP""#, Some(Protocol::Tcp));
    check(
        r#""name": "x", "appProtocol": "http2""#,
        Some(Protocol::Http),
    );
    check(
        r#""name": "x", "appProtocol": "kubernetes.io/h2c""#,
        Some(Protocol::Http),
    );
    check(
        r#""name": "http", "appProtocol": "redis""#,
        Some(Protocol::Tcp),
    );
    check(
        r#""name": "http", "appProtocol": "example.com/own""#,
        Some(Protocol::Tcp),
    );
    check(r#""name": "http", "protocol": "UDP""#, Some(Protocol::Udp));
    check(r#""name": "x", "protocol": "SCTP""#, None);
}

#[test]
fn a_gateway_is_a_labelled_service_with_the_port_of_passthrough() {
    let check = |labels: &str, port: u16, expected: Option<&str>| {
        let kept = read(
            &format!(r#", "labels": {{{labels}}}"#),
            &format!(
                r#", "spec": {{"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.9"], "ports": [{{"name": "tls", "port": {port}}}]}},
                "status": {{"loadBalancer": {{"ingress": [{{"ip": "192.0.2.8", "hostname": "same.example.com"}}, {{"hostname": "gw.example.com"}}]}}}}"#
            ),
        )
        .unwrap();
        let exposed = kept.exposed.unwrap();
        let gateway = exposed.gateway.as_ref();
        let found = gateway.map(|(network, port)| format!("{network} {port}"));
        assert_eq!(found.as_deref(), expected, "{labels}");
        let hosts: Vec<String> = exposed.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["192.0.2.8", "192.0.2.9", "gw.example.com"]);
        assert_eq!(exposed.nodes, None);
    };
    let network = r#""topology.istio.io/network": "n2""#;
    check(network, 15443, Some("n2 15443"));
    check(network, 443, None);
    check("", 15443, None);
    let given = format!(r#"{network}, "networking.istio.io/gatewayPort": "443""#);
    check(&given, 443, Some("n2 443"));
    check(&given, 15443, None);
}

#[test]
fn of_an_object_only_what_answers_need_is_read() {
    let large = "x".repeat(100_000);
    let metadata = format!(
        r#", "annotations": {{"kubectl.kubernetes.io/last-applied-configuration": "{large}"}}, "labels": {{"app": "{large}"}}"#
    );
    let text = format!(
        r#"{{"metadata": {{"name": "web", "namespace": "shop" {metadata}}}, "spec": {{"selector": {{"app": "{large}"}}}},
        "status": {{"conditions": [{{"message": "{large}"}}]}}}}"#
    );
    let read: objects::Service = serde_json::from_str(&text).unwrap();
    // Whatever is kept of it would be in its debugging text.
    assert!(format!("{read:?}").len() < 1000);
}

#[test]
fn a_label_says_whether_a_service_is_exported() {
    let check = |labels: &str, all: bool, labelled: bool| {
        let text = format!(
            r#"{{"metadata": {{"name": "web", "namespace": "shop", "labels": {{{labels}}}}},
                "spec": {{"clusterIP": "10.0.0.1"}}}}"#
        );
        let object = serde_json::from_str(&text).unwrap();
        let exported = |only| service(&object, only).unwrap().service.exported;
        assert_eq!(
            (exported(false), exported(true)),
            (all, labelled),
            "{labels}"
        );
    };
    check("", true, false);
    check(r#""crossmesh.io/export": "true""#, true, true);
    check(r#""crossmesh.io/export": "false""#, false, false);
    check(r#""istio.io/global": "true""#, true, true);
    check(r#""istio.io/global": "false""#, false, false);
    check(r#""istio.io/global": "other""#, true, false);
    let both = r#""istio.io/global": "true", "crossmesh.io/export": "false""#;
    check(both, false, false);
    let both = r#""istio.io/global": "false", "crossmesh.io/export": "true""#;
    check(both, true, true);
}

#[test]
fn what_is_not_shown_to_all_namespaces_is_not_exported() {
    let check = |metadata: &str, expected: bool| {
        let kept = read(metadata, r#", "spec": {"clusterIP": "10.0.0.1"}"#).unwrap();
        assert_eq!(kept.service.exported, expected, "{metadata}");
    };
    let annotation =
        |value: &str| format!(r#", "annotations": {{"networking.istio.io/exportTo": "{value}"}}"#);
    check("", true);
    check(&annotation("*"), true);
    check(&annotation("shop, *"), true);
    check(&annotation("."), false);
    check(&annotation("~"), false);
    check(&annotation("shop,web"), false);
    check(r#", "labels": {"crossmesh.io/export": "false"}"#, false);
    check(
        r#", "labels": {"crossmesh.io/export": "true"}, "annotations": null"#,
        true,
    );
}

#[test]
fn what_no_api_server_would_say_is_refused() {
    let check = |text: &str, expected: &str| {
        let said = service(&serde_json::from_str(text).unwrap(), false).unwrap_err();
        assert_eq!(said, expected);
    };
    check(
        r#"{"metadata": {"name": "a.b", "namespace": "shop"}}"#,
        "the reply is not understood: \"a.b\" is no label",
    );
    check(
        r#"{"metadata": {"name": "a", "namespace": "shop"}, "spec": {"clusterIP": "10.0.0.700"}}"#,
        "the reply is not understood: \"10.0.0.700\" is no address",
    );
}

#[test]
fn an_endpoint_is_ready_unless_it_is_said_not_to_be() {
    let slice = r#"{"metadata": {"name": "db-1", "namespace": "shop"}, "addressType": "IPv4", "endpoints": [
        {"addresses": ["10.0.5.1"], "conditions": {"ready": true}, "hostname": "db-0"},
        {"addresses": ["10.0.5.2"], "conditions": {}},
        {"addresses": ["10.0.5.3"], "conditions": {"ready": false}},
        {"addresses": ["10.0.5.4"]}]}"#;
    let found = endpoints(&serde_json::from_str(slice).unwrap()).unwrap();
    let found: Vec<(String, bool)> = found
        .iter()
        .map(|endpoint| (endpoint.address.to_string(), endpoint.ready))
        .collect();
    let expected = [
        ("10.0.5.1", true),
        ("10.0.5.2", true),
        ("10.0.5.3", false),
        ("10.0.5.4", true),
    ];
    assert_eq!(
        found,
        expected.map(|(address, ready)| (address.to_owned(), ready))
    );
}
