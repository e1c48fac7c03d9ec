use std::time::Duration;

use super::*;

fn place(region: &str) -> Locality {
    Locality {
        region: region.to_owned(),
        zone: None,
    }
}

/// Where the agent is, by what was known before and what became known since.
fn check(node: Option<&str>, before: bool, since: &[fn() -> Event<Node>], expected: Option<&str>) {
    let before = before.then(|| Catalog {
        node: Some(place("before")),
        ..Catalog::default()
    });
    let about = About {
        local: true,
        istio_namespace: "istio-system".to_owned(),
        node: node.map(str::to_owned),
        patience: Duration::from_secs(15),
        only_labelled: false,
        ready_of: None,
    };
    let mut view = View::new(about, before.as_ref());
    for event in since {
        view.take(Change::OwnNode(event()));
    }
    assert_eq!(view.catalog(true).node, expected.map(place));
}

fn node() -> Node {
    let node = r#"{"metadata": {"name": "n", "labels": {"topology.kubernetes.io/region": "now"}}}"#;
    serde_json::from_str(node).unwrap()
}

#[test]
fn where_the_node_was_counts_until_somebody_says_where_it_is() {
    let listed = || Event::Listed(vec![node()]);
    let put = || Event::Put(node());
    let gone = || Event::Gone(node());
    let none = || Event::Listed(Vec::new());
    let problem = || Event::Problem("no reply".to_owned());
    let refused = || Event::Refused("forbidden".to_owned());
    check(Some("n"), true, &[], Some("before"));
    check(Some("n"), true, &[problem, refused], Some("before"));
    check(Some("n"), true, &[listed], Some("now"));
    check(Some("n"), true, &[problem, listed, problem], Some("now"));
    check(Some("n"), true, &[none], None);
    check(Some("n"), true, &[listed, gone], None);
    check(Some("n"), false, &[], None);
    check(Some("n"), false, &[put], Some("now"));
    // An agent that is told of no node any more.
    check(None, true, &[], None);
}

#[test]
fn a_service_without_any_slice_is_empty_whichever_list_comes_first() {
    let service = r#"{"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.1.0.1", "clusterIPs": ["10.1.0.1"], "ports": [{"port": 80}]}}"#;
    let services = || Change::Services(Event::Listed(vec![serde_json::from_str(service).unwrap()]));
    let slices = || Change::ReadySlices(None, Event::Listed(Vec::new()));
    for slices_first in [false, true] {
        let about = About {
            local: true,
            istio_namespace: "istio-system".to_owned(),
            node: None,
            patience: Duration::from_secs(15),
            only_labelled: false,
            ready_of: Some(crate::index::Reach::Everything),
        };
        let mut view = View::new(about, None);
        let changes = match slices_first {
            true => [slices(), services()],
            false => [services(), slices()],
        };
        for change in changes {
            view.take(change);
            // As after the time that it is waited for.
            view.catalog(true);
        }
        let catalog = view.catalog(true);
        let web = &catalog.namespaces["shop"].services()["web"];
        assert!(web.is_empty, "slices first: {slices_first}");
    }
}
