use super::*;

fn listed<K: for<'de> Deserialize<'de>>(objects: &str) -> Event<K> {
    Event::Listed(serde_json::from_str(objects).unwrap())
}

fn exports(objects: &str) -> Change {
    Change::Exports(listed(objects))
}

#[test]
fn a_service_is_exported_unless_its_export_is_marked_as_wrong() {
    let mut set = ClusterSet::new(true, None);
    let changed = set.take(exports(
        r#"[
        {"metadata": {"namespace": "shop", "name": "new"}},
        {"metadata": {"namespace": "shop", "name": "good"}, "status": {"conditions": [{"type": "Valid", "status": "True"}]}},
        {"metadata": {"namespace": "shop", "name": "conflict"}, "status": {"conditions": [{"type": "Conflict", "status": "True"}]}},
        {"metadata": {"namespace": "web", "name": "wrong"}, "status": {"conditions": [{"type": "Valid", "status": "False"}]}}]"#,
    ));
    assert_eq!(changed, ["shop".into(), "web".into()].into());
    let check = |set: &ClusterSet, expected: [bool; 4]| {
        let all = [
            ("shop", "new"),
            ("shop", "good"),
            ("shop", "conflict"),
            ("web", "wrong"),
        ];
        assert_eq!(
            all.map(|(namespace, name)| set.exports(namespace, name)),
            expected
        );
    };
    check(&set, [true, true, true, false]);
    // A list replaces what was known, and says so of every namespace.
    let changed = set.take(exports(
        r#"[{"metadata": {"namespace": "web", "name": "wrong"}}]"#,
    ));
    assert_eq!(changed, ["shop".into(), "web".into()].into());
    check(&set, [false, false, false, true]);
}

#[test]
fn an_import_has_addresses_or_the_endpoints_of_its_slices() {
    let mut set = ClusterSet::new(true, None);
    set.take(Change::Imports(listed(
        r#"[
        {"metadata": {"namespace": "shop", "name": "web"}, "spec": {"type": "ClusterSetIP", "ips": ["10.9.0.1", "fd00::1"],
            "ports": [{"name": "http", "port": 80}]}},
        {"metadata": {"namespace": "shop", "name": "db"}, "spec": {"type": "Headless", "ports": []}}]"#,
    )));
    set.take(Change::Slices(listed(
        r#"[
        {"metadata": {"namespace": "shop", "name": "db-1", "labels": {"multicluster.kubernetes.io/service-name": "db",
            "multicluster.kubernetes.io/source-cluster": "c2"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.2.5.1"], "hostname": "db-0"}]},
        {"metadata": {"namespace": "shop", "name": "x-1", "labels": {"multicluster.kubernetes.io/service-name": "x"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.2.5.9"]}]}]"#,
    )));
    let imports = set.imports("shop");
    let addresses = ["10.9.0.1", "fd00::1"].map(|text| text.parse().unwrap());
    assert_eq!(
        imports["web"].imported,
        Imported::ClusterSetIp(addresses.into())
    );
    assert_eq!(imports["web"].ports[0].number, 80);
    let Imported::Headless(endpoints) = &imports["db"].imported else {
        panic!("{:?}", imports["db"]);
    };
    let [endpoint] = &endpoints[..] else {
        panic!("{endpoints:?}");
    };
    assert_eq!(endpoint.cluster.as_deref(), Some("c2"));
    assert_eq!(endpoint.endpoint.address.to_string(), "10.2.5.1");
    assert_eq!(set.imports("other").len(), 0);
}

#[test]
fn what_cannot_be_had_is_told_and_not_waited_for() {
    let mut set = ClusterSet::new(true, None);
    assert!(!set.is_listed());
    set.take(exports("[]"));
    set.take(Change::Slices(listed("[]")));
    assert!(!set.is_listed());
    // A passing failure says nothing of what there is.
    set.take(Change::Imports(Event::Problem(
        "serviceimports: no reply".to_owned(),
    )));
    assert!(!set.is_listed());
    set.take(Change::Imports(Event::Refused(
        "serviceimports: forbidden".to_owned(),
    )));
    assert!(set.is_listed());
    assert_eq!(
        set.problems().collect::<Vec<_>>(),
        ["serviceimports: forbidden"]
    );
    // What is not understood changes nothing.
    set.take(exports(
        r#"[{"metadata": {"namespace": "shop", "name": "web"}}]"#,
    ));
    set.take(exports(
        r#"[{"metadata": {"namespace": "shop", "name": "a.b"}}]"#,
    ));
    assert!(set.exports("shop", "web"));
    assert_eq!(set.problems().count(), 2);
    set.take(Change::Imports(Event::Well));
    set.take(exports("[]"));
    assert_eq!(set.problems().count(), 0);
}

#[test]
fn only_the_local_cluster_imports() {
    let mut set = ClusterSet::new(false, None);
    assert!(!set.is_listed());
    set.take(exports("[]"));
    assert!(set.is_listed());
}

/// What the local cluster said before, of a headless service of the set.
fn before() -> Catalog {
    let endpoint = ImportedEndpoint {
        cluster: Some("c2".to_owned()),
        endpoint: catalog::Endpoint {
            address: "10.2.5.1".parse().unwrap(),
            hostname: None,
            ready: true,
        },
    };
    let import = catalog::ServiceImport {
        namespace: "shop".into(),
        name: "db".into(),
        imported: Imported::Headless(vec![endpoint]),
        ports: Vec::new(),
    };
    let namespace = catalog::Namespace::new(BTreeMap::new())
        .with_imports([("db".into(), Arc::new(import))].into());
    Catalog {
        namespaces: [("shop".into(), Arc::new(namespace))].into(),
        ..Catalog::default()
    }
}

/// The addresses of `db`; `None`: it is not imported.
fn endpoints_of_db(set: &ClusterSet) -> Option<Vec<String>> {
    let imports = set.imports("shop");
    let Imported::Headless(endpoints) = &imports.get("db")?.imported else {
        panic!("{imports:?}");
    };
    let addresses = endpoints.iter().map(|of| of.endpoint.address.to_string());
    Some(addresses.collect())
}

#[test]
fn of_a_headless_import_what_was_known_counts_for_what_was_not_listed_since() {
    let imports = || {
        Change::Imports(listed(
            r#"[{"metadata": {"namespace": "shop", "name": "db"}, "spec": {"type": "Headless"}}]"#,
        ))
    };
    let slices = || {
        Change::Slices(listed(
            r#"[{"metadata": {"namespace": "shop", "name": "db-1", "labels": {"multicluster.kubernetes.io/service-name": "db"}},
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.2.5.2"]}]}]"#,
        ))
    };
    let check = |changes: Vec<Change>, expected: Option<&str>| {
        let told = format!("{changes:?}");
        let mut set = ClusterSet::new(true, Some(&before()));
        for change in changes {
            set.take(change);
        }
        let expected = expected.map(|address| vec![address.to_owned()]);
        assert_eq!(endpoints_of_db(&set), expected, "{told}");
    };
    check(vec![], Some("10.2.5.1"));
    check(vec![exports("[]")], Some("10.2.5.1"));
    // The import without its endpoints would be an answer, and a wrong one; so would these without it.
    check(vec![imports()], Some("10.2.5.1"));
    check(vec![slices()], Some("10.2.5.1"));
    check(vec![imports(), slices()], Some("10.2.5.2"));
    check(vec![slices(), imports()], Some("10.2.5.2"));
    let problem = Change::Slices(Event::Problem("no reply".to_owned()));
    check(vec![imports(), problem], Some("10.2.5.1"));
    check(vec![Change::Imports(listed("[]"))], None);
    let none = || Change::Slices(listed("[]"));
    let mut set = ClusterSet::new(true, Some(&before()));
    set.take(imports());
    set.take(none());
    assert_eq!(endpoints_of_db(&set), Some(vec![]));
}
