use super::*;

fn slice(name: &str, service: Option<&str>, ready: bool) -> EndpointSlice {
    let labels = service.map(|of| serde_json::json!({"kubernetes.io/service-name": of}));
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.5.1"], "conditions": {"ready": ready}}]
    }))
    .unwrap()
}

/// What is known, and whether the last event changed it.
struct Told(Ready);

impl Told {
    fn take(&mut self, event: Event<EndpointSlice>) -> bool {
        let mut changed = BTreeSet::new();
        let _ = self.0.take(None, event, std::iter::empty(), &mut changed);
        !changed.is_empty()
    }

    fn empty(&self) -> [bool; 2] {
        ["web", "db"].map(|service| self.0.is_empty(&"shop".into(), service))
    }
}

#[test]
fn a_service_is_empty_when_the_last_of_its_ready_slices_is() {
    let mut told = Told(Ready::new(Some(&Reach::Everything)));
    assert_eq!(told.empty(), [false, false], "nobody knows");
    told.take(Event::Listed(vec![slice("a", Some("web"), true)]));
    assert_eq!(told.empty(), [false, true]);
    let web = |name, ready| Event::Put(slice(name, Some("web"), ready));
    assert!(!told.take(web("b", true)));
    assert!(!told.take(web("b", true)), "the same again");
    assert!(!told.take(Event::Gone(slice("b", None, true))));
    assert!(!told.take(Event::Gone(slice("b", None, true))));
    assert_eq!(told.empty(), [false, true]);
    // Another service's now.
    assert!(told.take(Event::Put(slice("a", Some("db"), true))));
    assert_eq!(told.empty(), [true, false]);
    // Nobody's.
    assert!(told.take(Event::Put(slice("a", None, true))));
    assert_eq!(told.empty(), [true, true]);
    assert!(!told.take(web("a", false)));
    assert!(told.take(web("a", true)));
    assert_eq!(told.empty(), [false, true]);
}

#[test]
fn each_namespace_is_waited_for_and_may_be_refused_by_itself() {
    let all = ["one", "two"].map(Arc::<str>::from);
    let mut ready = Ready::new(Some(&Reach::Namespaces(all.iter().cloned().collect())));
    let mut take = |of: &str, event| {
        let mut changed = BTreeSet::new();
        let word = ready.take(Some(of.into()), event, std::iter::empty(), &mut changed);
        (word.told().unwrap(), ready.is_listed())
    };
    let forbidden = || "forbidden".to_owned();
    let problem = take("one", Event::Problem("no reply".to_owned()));
    assert_eq!(problem, (Some("no reply".to_owned()), false));
    let refused = take("one", Event::Refused(forbidden()));
    assert_eq!(refused, (Some(forbidden()), false));
    // That the other is well mends nothing here.
    let listed = take("two", Event::Listed(Vec::new()));
    assert_eq!(listed, (Some(forbidden()), true));
    assert_eq!(take("two", Event::Well), (Some(forbidden()), true));
    assert_eq!(take("one", Event::Listed(Vec::new())), (None, true));
    assert!(Ready::new(None).is_listed(), "where it does not matter");
}
