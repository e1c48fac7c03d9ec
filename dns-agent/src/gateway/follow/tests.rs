use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::*;
use crate::metrics::Metrics;
use crate::upstream::Family;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// A follower whose names are looked up in a list that a test changes.
struct World {
    wanted: watch::Sender<BTreeSet<Target>>,
    names: Arc<Mutex<BTreeMap<String, Lookup>>>,
    seen: watch::Receiver<Seen>,
    lifetimes: SharedLifetimes,
    /// How often a name was looked up.
    asked: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

impl World {
    fn start(probe: Option<GatewayProbe>) -> Self {
        Self::start_reaching(probe, None)
    }

    /// With probes that reach what `reach` says; `None`: real ones.
    fn start_reaching(probe: Option<GatewayProbe>, reach: Option<Reach>) -> Self {
        let (wanted, receiver) = watch::channel(BTreeSet::new());
        let names: Arc<Mutex<BTreeMap<String, Lookup>>> = Arc::default();
        let all = Arc::clone(&names);
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&asked);
        let look_up = move |name: Arc<str>| -> Pin<Box<dyn Future<Output = Lookup> + Send>> {
            let all = Arc::clone(&all);
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let all = all.lock().unwrap();
                all.get(&*name)
                    .cloned()
                    .unwrap_or(Err("nobody knows".to_owned()))
            })
        };
        let mut follower = Follower::new(receiver, look_up, probe, Arc::new(Metrics::default()));
        if let Some(reach) = reach {
            follower.reach = reach;
        }
        let lifetimes = follower.lifetimes();
        let (tell, seen) = watch::channel(Seen::default());
        let mut running = JoinSet::new();
        running.spawn(follower.run(CancellationToken::new(), move |seen| {
            tell.send_replace(seen);
        }));
        Self {
            wanted,
            names,
            seen,
            lifetimes,
            asked,
            _running: running,
        }
    }

    fn want(&self, targets: &[Target]) {
        self.wanted.send_replace(targets.iter().cloned().collect());
    }

    fn name(&self, name: &str, found: Lookup) {
        self.names.lock().unwrap().insert(name.to_owned(), found);
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Seen) -> bool) {
        let found = timeout(PATIENCE, self.seen.wait_for(|seen| is(seen)))
            .await
            .is_ok();
        assert!(found, "never {what}: {:?}", *self.seen.borrow());
    }
}

fn target(host: &str, port: u16) -> Target {
    Target {
        host: GatewayHost::parse(host).unwrap(),
        port,
    }
}

fn found(addresses: &[&str], seconds: u64) -> Lookup {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Ok(Addresses {
        all: addresses.collect(),
        lasts: Duration::from_secs(seconds),
        untold: None,
    })
}

/// What is given of gw.example.com.
fn usable(seen: &Seen) -> String {
    let usable = seen.addresses_of(&target("gw.example.com", 15443));
    let usable: Vec<String> = usable.iter().map(ToString::to_string).collect();
    usable.join(" ")
}

/// Of a family nobody could tell.
fn without(family: Family, addresses: &[&str]) -> Lookup {
    found(addresses, 10).map(|found| Addresses {
        untold: Some((family, "no server replied".to_owned())),
        ..found
    })
}

#[tokio::test(start_paused = true)]
async fn of_a_family_that_cannot_be_looked_up_what_is_known_is_kept() {
    let mut world = World::start(None);
    let gateway = target("gw.example.com", 15443);
    world.name("gw.example.com", without(Family::V4, &["2001:db8::1"]));
    world.want(std::slice::from_ref(&gateway));
    for (what, told, wanted) in [
        (
            "half is better than nothing",
            found(&["192.0.2.1", "2001:db8::1"], 10),
            "[2001:db8::1]:15443",
        ),
        (
            "both",
            without(Family::V4, &["2001:db8::2"]),
            "192.0.2.1:15443 [2001:db8::1]:15443",
        ),
        (
            "the known one of the one, the new one of the other",
            without(Family::V6, &[]),
            "192.0.2.1:15443 [2001:db8::2]:15443",
        ),
        (
            "of one told that there is none",
            found(&[], 10),
            "[2001:db8::2]:15443",
        ),
        ("none", found(&[], 10), ""),
    ] {
        world.until(what, |seen| usable(seen) == wanted).await;
        // What is only kept is good for no longer than until it can be asked for again.
        let ttl = |address: &str| {
            let address = address.parse().unwrap();
            let lifetimes = world.lifetimes.load();
            lifetimes.ttl(60, [address], Instant::now())
        };
        if what.starts_with("the known one") {
            assert_eq!((ttl("192.0.2.1"), ttl("2001:db8::2")), (1, 10));
        }
        world.name("gw.example.com", told);
    }
}

/// A name whose TTL is 0 is no reason to ask all the time.
#[tokio::test(start_paused = true)]
async fn between_two_look_ups_are_a_second_at_least_and_an_hour_at_most() {
    for (ttl, seconds, least, most) in [
        (0, 100, 90, 101),
        (1, 100, 90, 101),
        (10, 100, 9, 11),
        (1_000_000, 3 * 3600, 3, 4),
    ] {
        let mut world = World::start(None);
        world.name("gw.example.com", found(&["192.0.2.1"], ttl));
        world.want(&[target("gw.example.com", 15443)]);
        world
            .until("looked up", |seen| usable(seen) == "192.0.2.1:15443")
            .await;
        sleep(Duration::from_secs(seconds)).await;
        let asked = world.asked.load(Ordering::SeqCst);
        assert!((least..=most).contains(&asked), "TTL {ttl}: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_again_when_its_time_is_over_and_kept_when_that_fails() {
    let mut world = World::start(None);
    let gateway = target("gw.example.com", 15443);
    world.name("gw.example.com", found(&["192.0.2.1"], 10));
    world.want(std::slice::from_ref(&gateway));
    world
        .until("looked up", |seen| usable(seen) == "192.0.2.1:15443")
        .await;

    world.name("gw.example.com", found(&["192.0.2.3", "192.0.2.2"], 10));
    world
        .until("looked up again", |seen| {
            usable(seen) == "192.0.2.2:15443 192.0.2.3:15443"
        })
        .await;

    let before = Instant::now();
    world.name("gw.example.com", Err("no server replied".to_owned()));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        usable(&world.seen.borrow()),
        "192.0.2.2:15443 192.0.2.3:15443"
    );

    // An answer that there is none is an answer.
    world.name("gw.example.com", found(&[], 10));
    world
        .until("without addresses", |seen| usable(seen).is_empty())
        .await;
    assert!(before.elapsed() < Duration::from_secs(600) + 2 * RETRY);

    world.name("gw.example.com", found(&["192.0.2.4"], 10));
    world
        .until("back", |seen| usable(seen) == "192.0.2.4:15443")
        .await;
    world.want(&[]);
    world
        .until("forgotten", |seen| *seen == Seen::default())
        .await;
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_is_unhealthy_until_it_can() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::start(Some(GatewayProbe {
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(50),
        server_name: None,
        failures: 2,
        successes: 2,
    }));
    world.name("gw.example.com", found(&["127.0.0.1"], 10));
    // Found by its name, so that addresses of names are probed too.
    world.want(&[target("gw.example.com", address.port())]);
    world
        .until("looked up", |seen| !seen.addresses.is_empty())
        .await;
    assert!(world.seen.borrow().unhealthy.is_empty());
    drop(listener);
    world
        .until("unhealthy", |seen| seen.unhealthy.contains(&address))
        .await;
    let _listener = TcpListener::bind(address).await.unwrap();
    world
        .until("healthy", |seen| seen.unhealthy.is_empty())
        .await;
    // What is not wanted any more is forgotten, and begins anew.
    world.want(&[]);
    world
        .until("forgotten", |seen| seen.addresses.is_empty())
        .await;
}

/// The longest that a gateway's end may be felt, and how soon it may be taken for one: whatever it does instead of answering,
/// and whenever it begins to.
#[tokio::test(start_paused = true)]
async fn an_address_leaves_and_returns_in_time_whenever_it_fails_and_however() {
    const SECOND: Duration = Duration::from_secs(1);
    let probe = GatewayProbe {
        interval: Duration::from_secs(2),
        // As much as may be written.
        timeout: Duration::from_millis(900),
        server_name: None,
        failures: 3,
        successes: 2,
    };
    let address = SocketAddr::from(([192, 0, 2, 1], 15443));
    for refuses in [false, true] {
        for phase in (0..2_000).step_by(50).map(Duration::from_millis) {
            let works = Arc::new(AtomicBool::new(true));
            let reach = {
                let works = Arc::clone(&works);
                move |_, _, patience| -> Pin<Box<dyn Future<Output = bool> + Send>> {
                    let works = Arc::clone(&works);
                    Box::pin(async move {
                        let reached = works.load(Ordering::Relaxed);
                        if !reached && !refuses {
                            sleep(patience).await;
                        }
                        reached
                    })
                }
            };
            let mut world = World::start_reaching(Some(probe.clone()), Some(Box::new(reach)));
            world.want(&[target("192.0.2.1", 15443)]);
            sleep(3 * probe.interval + phase).await;
            for (now_works, count) in [(false, probe.failures), (true, probe.successes)] {
                let since = Instant::now();
                works.store(now_works, Ordering::Relaxed);
                world
                    .until("noticed", |seen| {
                        seen.unhealthy.contains(&address) != now_works
                    })
                    .await;
                let (took, bound) = (since.elapsed(), probe.interval * count + SECOND);
                assert!(
                    took < bound,
                    "{took:?} of {bound:?}, {phase:?} after a probe"
                );
                assert!(
                    took >= probe.interval * (count - 1),
                    "{took:?}: by one probe less"
                );
                sleep(phase).await;
            }
        }
    }
}
