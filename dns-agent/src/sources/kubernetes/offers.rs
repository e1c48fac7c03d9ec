//! Resources that an API server need not have: they come and go with their definitions (CRDs). One task for each server asks
//! what it has; who follows such a resource follows it while it is there.

mod found;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use tokio::{
    sync::{Notify, watch as level},
    time::sleep,
};

use super::{
    objects::Object,
    queue::Sender,
    watch::{self, Event, Resource, Unwanted},
};
use found::{Found, Offer};

/// A resource that a server need not have.
#[derive(Debug)]
pub(super) struct Optional {
    group: &'static str,
    /// The versions that are read, the best first: what is read of objects is the same in all.
    versions: &'static [&'static str],
    /// Its name in paths and messages.
    name: &'static str,
}

impl Optional {
    fn which(&self) -> Which {
        (self.group, self.name)
    }
}

/// Gateways of the Gateway API.
pub(super) const GATEWAYS: Optional = Optional {
    group: "gateway.networking.k8s.io",
    versions: &["v1"],
    name: "gateways",
};
/// What a cluster gives to the cluster set (KEP-1645).
pub(super) const EXPORTS: Optional = Optional {
    group: "multicluster.x-k8s.io",
    versions: &["v1beta1", "v1alpha1"],
    name: "serviceexports",
};
/// What it takes from there.
pub(super) const IMPORTS: Optional = Optional {
    name: "serviceimports",
    ..EXPORTS
};
/// From where services have their addresses.
pub(super) const SERVICE_RANGES: Optional = Optional {
    group: "networking.k8s.io",
    versions: &["v1", "v1beta1"],
    name: "servicecidrs",
};
/// What is wanted of the cluster that the agent serves.
const LOCAL: &[&Optional] = &[&GATEWAYS, &EXPORTS, &IMPORTS, &SERVICE_RANGES];
/// And of a peer.
const OF_PEERS: &[&Optional] = &[&GATEWAYS, &EXPORTS];

/// How soon a server is asked again at first.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How seldom at last, if it has answered: definitions come mostly when a cluster is set up.
const LONG: Duration = Duration::from_secs(60);
/// And if it has not.
const SHORT: Duration = Duration::from_secs(10);

/// One of them: its group and its name.
type Which = (&'static str, &'static str);

/// What is known of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// Nothing yet, and why.
    Unknown(Option<String>),
    /// Its path, if the server has it.
    Known(Option<String>),
}

impl Word {
    /// What is known with this. A server that cannot say now may still have what it had.
    fn with(&self, found: Found) -> Self {
        match (found, self) {
            (Found::At(path), _) => Self::Known(Some(path)),
            (Found::None, _) => Self::Known(None),
            (Found::Refused(_) | Found::Unknown(_), Self::Known(_)) => self.clone(),
            // Whoever follows it there is told the same, and waits for nothing.
            (Found::Refused(path), Self::Unknown(_)) => Self::Known(Some(path)),
            (Found::Unknown(problem), Self::Unknown(_)) => Self::Unknown(Some(problem)),
        }
    }
}

type Words = BTreeMap<Which, Word>;

/// What one server has, for whoever follows some of it.
pub(super) struct Offers {
    client: Client,
    wanted: &'static [&'static Optional],
    words: level::Sender<Words>,
    /// Told when something is not there that was.
    missing: Arc<Notify>,
}

impl Offers {
    /// Of a server that was not asked yet; `local`: of the cluster that the agent serves.
    pub(super) fn new(client: &Client, local: bool) -> Self {
        Self {
            client: client.clone(),
            wanted: if local { LOCAL } else { OF_PEERS },
            words: level::channel(Words::new()).0,
            missing: Arc::default(),
        }
    }

    /// Asks the server for ever. One that cannot be asked now may still have what it had.
    pub(super) async fn ask(&self) {
        let mut wait = FIRST_WAIT;
        loop {
            let Offer(found) = Offer::of(&self.client, self.wanted).await;
            let answered = found
                .values()
                .all(|found| !matches!(found, Found::Unknown(_)));
            self.words.send_if_modified(|words| {
                let mut changed = false;
                for (which, found) in found {
                    let before = words.get(&which).unwrap_or(&Word::Unknown(None));
                    let now = before.with(found);
                    if now != *before {
                        changed = true;
                        if matches!(now, Word::Known(_)) {
                            wait = FIRST_WAIT;
                        }
                        words.insert(which, now);
                    }
                }
                changed
            });
            wait = wait.min(if answered { LONG } else { SHORT });
            tokio::select! {
                () = sleep(wait) => {}
                () = self.missing.notified() => {}
            }
            wait = wait.saturating_mul(2);
        }
    }

    /// Sends everything that becomes known of a resource, until nobody wants it any more: that there are none, while the
    /// server does not have it.
    pub(super) async fn follow<K: Object, T>(
        &self,
        optional: &Optional,
        selector: &str,
        send: &Sender<T>,
        wrap: fn(Event<K>) -> T,
    ) -> Unwanted {
        let resource = |path: &str| Resource {
            name: optional.name,
            path: path.to_owned(),
            selector: selector.to_owned(),
            missing: Some(Arc::clone(&self.missing)),
        };
        self.follow_as(optional, resource, send, wrap).await
    }

    /// The same of `resource`, which is only of use while the server has `optional`.
    pub(super) async fn follow_as<K: Object, T>(
        &self,
        optional: &Optional,
        resource: impl Fn(&str) -> Resource,
        send: &Sender<T>,
        wrap: fn(Event<K>) -> T,
    ) -> Unwanted {
        let mut words = self.words.subscribe();
        let which = optional.which();
        let mut told = None;
        loop {
            let word = words.borrow_and_update().get(&which).cloned();
            let event = match &word {
                // What changed is of another one.
                word if *word == told => None,
                Some(Word::Known(Some(path))) => {
                    let resource = resource(path);
                    let other = |words: &Words| words.get(&which) != word.as_ref();
                    told = None;
                    tokio::select! {
                        unwanted = watch::follow(&self.client, &resource, send, &wrap) => return unwanted,
                        _ = words.wait_for(other) => continue,
                    }
                }
                Some(Word::Known(None)) => Some(Event::Listed(Vec::new())),
                Some(Word::Unknown(Some(problem))) => Some(Event::Problem(format!(
                    "{}: whether the API server has any: {problem}",
                    optional.name
                ))),
                Some(Word::Unknown(None)) | None => None,
            };
            told = word;
            if let Some(event) = event
                && let Err(unwanted) = send.send(wrap(event), 0).await
            {
                return unwanted;
            }
            if words.changed().await.is_err() {
                // Nobody asks any more: whoever did is gone with everything here.
                std::future::pending::<()>().await;
            }
        }
    }
}
