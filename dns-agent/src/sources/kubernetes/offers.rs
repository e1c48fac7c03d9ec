//! Resources that an API server need not have: they come and go with their definitions (CRDs). One task for each server asks
//! what it has; who follows such a resource follows it while it is there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    sync::{Notify, mpsc::Sender, watch as level},
    time::{sleep, timeout},
};

use super::{
    access::{describe, one_line},
    objects::{Groups, Object},
    reply::{self, Failure},
    watch::{self, Event, Resource, Unwanted},
};

/// A resource that a server need not have.
#[derive(Debug)]
pub(super) struct Optional {
    group: &'static str,
    /// The versions that are read, the best first: what is read of objects is the same in all.
    versions: &'static [&'static str],
    /// Its name in paths and messages.
    name: &'static str,
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
/// All of them.
const ALL: [&Optional; 3] = [&GATEWAYS, &EXPORTS, &IMPORTS];

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon a server is asked again at first.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How seldom at last, if it has answered: definitions come mostly when a cluster is set up.
const LONG: Duration = Duration::from_secs(60);
/// And if it has not.
const SHORT: Duration = Duration::from_secs(10);

/// What a server has of them: their paths, by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Offer(BTreeMap<(&'static str, &'static str), String>);

/// What is known of that.
#[derive(Clone, Debug)]
enum Word {
    /// Nothing yet, and why.
    Unknown(Option<String>),
    Known(Offer),
}

/// What one server has, for whoever follows some of it.
pub(super) struct Offers {
    client: Client,
    word: level::Sender<Word>,
    /// Told when something is not there that was.
    missing: Arc<Notify>,
}

impl Offers {
    /// Of a server that was not asked yet.
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            word: level::channel(Word::Unknown(None)).0,
            missing: Arc::default(),
        }
    }

    /// Asks the server for ever. One that cannot be asked now may still have what it had.
    pub(super) async fn ask(&self) {
        let mut wait = FIRST_WAIT;
        loop {
            let found = Offer::of(&self.client).await;
            let answered = found.is_ok();
            self.word.send_if_modified(|word| match (found, &*word) {
                (Ok(offer), Word::Known(before)) if offer == *before => false,
                (Ok(offer), _) => {
                    *word = Word::Known(offer);
                    wait = FIRST_WAIT;
                    true
                }
                (Err(_), Word::Known(_)) => false,
                (Err(problem), Word::Unknown(_)) => {
                    *word = Word::Unknown(Some(problem));
                    true
                }
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
        let mut words = self.word.subscribe();
        loop {
            let word = words.borrow_and_update().clone();
            let event = match word {
                Word::Known(offer) => match offer.path(optional) {
                    Some(path) => {
                        let resource = resource(path);
                        let other = |word: &Word| !matches!(word, Word::Known(offer) if offer.path(optional) == Some(path));
                        tokio::select! {
                            unwanted = watch::follow(&self.client, &resource, send, wrap) => return unwanted,
                            _ = words.wait_for(other) => continue,
                        }
                    }
                    None => Some(Event::Listed(Vec::new())),
                },
                Word::Unknown(Some(problem)) => Some(Event::Problem(format!(
                    "{}: whether the API server has any: {problem}",
                    optional.name
                ))),
                Word::Unknown(None) => None,
            };
            if let Some(event) = event
                && let Err(gone) = send.send(wrap(event)).await
            {
                return gone.into();
            }
            if words.changed().await.is_err() {
                // Nobody asks any more: whoever did is gone with everything here.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Offered>,
}

#[derive(Debug, Deserialize)]
struct Offered {
    name: String,
}

impl Offer {
    /// What the server has now.
    async fn of(client: &Client) -> Result<Self, String> {
        let all: Groups = get(client, "/apis").await?;
        // Something in front of an API server may say anything; a server has groups.
        if all.kind != "APIGroupList" || all.groups.is_empty() {
            return Err("the reply is not understood: it lists no groups".to_owned());
        }
        let mut read: BTreeMap<String, Resources> = BTreeMap::new();
        let mut paths = BTreeMap::new();
        for optional in ALL {
            let group = all.groups.iter().find(|group| group.name == optional.group);
            let versions = group.map_or(&[][..], |group| &group.versions);
            let has = |version: &&&str| versions.iter().any(|found| found.version == **version);
            let Some(version) = optional.versions.iter().find(has) else {
                continue;
            };
            let path = format!("/apis/{}/{version}", optional.group);
            if !read.contains_key(&path) {
                read.insert(path.clone(), get(client, &path).await?);
            }
            let resources = read.get(&path).into_iter().flat_map(|of| &of.resources);
            if resources
                .into_iter()
                .any(|found| found.name == optional.name)
            {
                let at = (optional.group, optional.name);
                paths.insert(at, format!("{path}/{}", optional.name));
            }
        }
        Ok(Self(paths))
    }

    fn path(&self, optional: &Optional) -> Option<&str> {
        let path = self.0.get(&(optional.group, optional.name));
        path.map(String::as_str)
    }
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, String> {
    let text = timeout(PATIENCE, reply::text(client, watch::get(path)?)).await;
    let text = match text.map_err(|_| format!("no reply within {} s", PATIENCE.as_secs()))? {
        Ok(text) => text,
        Err(Failure::Refused(error)) => return Err(describe(&error)),
        Err(Failure::TooLong) => return Err("the reply is too long".to_owned()),
    };
    serde_json::from_str(&text)
        .map_err(|error| one_line(&format!("the reply is not understood: {error}")))
}
