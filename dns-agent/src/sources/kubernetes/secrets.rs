//! Clusters that are discovered: Istio's remote secrets. Each data key of a secret with the label
//! `istio/multiCluster: "true"` is a cluster's identifier, its value a kubeconfig.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::Client;
use tracing::{info, warn};

use super::{
    access::Access,
    cluster::About,
    follow,
    objects::Secret,
    queue::queue,
    watch::{self, Event, Resource},
};
use crate::{
    config::Config,
    sources::board::{Board, Discoverer, Seat},
    tasks::{Ended, Group},
};

/// Follows the secrets and the clusters that they name.
pub(super) struct Secrets {
    config: Arc<Config>,
    board: Arc<Board>,
    discoverer: Discoverer,
    /// By secret, by cluster: kubeconfigs.
    known: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    followed: BTreeMap<String, Followed>,
    tasks: Group,
    /// What was already said of what is ignored.
    ignored: BTreeSet<String>,
}

struct Followed {
    /// `None`: restored from the snapshot, which has no kubeconfigs; nobody follows it yet.
    kubeconfig: Option<Vec<u8>>,
    seat: Arc<Seat>,
}

impl Secrets {
    /// Follows nothing yet; the `restored` clusters stay until the secrets say that they have gone.
    pub(super) fn new(
        config: Arc<Config>,
        board: Arc<Board>,
        discoverer: Discoverer,
        restored: Vec<Seat>,
    ) -> Self {
        let restored = restored.into_iter().map(|seat| {
            let followed = Followed {
                kubeconfig: None,
                seat: Arc::new(seat),
            };
            (followed.seat.id().to_string(), followed)
        });
        Self {
            config,
            board,
            discoverer,
            known: BTreeMap::new(),
            followed: restored.collect(),
            tasks: Group::default(),
            ignored: BTreeSet::new(),
        }
    }

    /// Follows the secrets of the cluster behind `access`. Ends only by being dropped, or when a cluster's task does.
    pub(super) async fn run(mut self, access: Access) -> Result<(), Ended> {
        loop {
            let changed = super::access_changes(&access);
            let client = access.client().await;
            match client {
                Ok(client) => tokio::select! {
                    ended = self.follow(&client) => return Err(ended),
                    () = changed => {}
                },
                Err(problem) => {
                    self.discoverer.failed(problem);
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(super::PERIOD) => {}
                    }
                }
            }
        }
    }

    async fn follow(&mut self, client: &Client) -> Ended {
        let namespace = self.config.remote_secrets.as_ref();
        let namespace = namespace.map_or("", |secrets| &secrets.namespace);
        let resource = Resource {
            name: "secrets",
            path: format!("/api/v1/namespaces/{namespace}/secrets"),
            selector: "&labelSelector=istio%2FmultiCluster%3Dtrue".to_owned(),
            missing: None,
        };
        let (send, mut events) = queue();
        let wrap = |event| event;
        let mut watch = std::pin::pin!(watch::follow(client, &resource, &send, &wrap));
        loop {
            tokio::select! {
                _ = &mut watch => {}
                () = events.come() => events.take().for_each(|event| self.take(event)),
                ended = self.tasks.first_to_end() => return ended,
            }
        }
    }

    fn take(&mut self, event: Event<Secret>) {
        match event {
            Event::Listed(secrets) => {
                self.known.clear();
                for secret in secrets {
                    self.put(secret);
                }
                self.reconcile();
                self.discoverer.listed();
            }
            Event::Put(secret) => {
                self.put(secret);
                self.reconcile();
            }
            Event::Gone(secret) => {
                self.known.remove(&secret.metadata.name);
                self.reconcile();
            }
            Event::Problem(problem) | Event::Refused(problem) => self.discoverer.failed(problem),
            Event::Well => self.discoverer.listed(),
        }
    }

    fn put(&mut self, secret: Secret) {
        let data = secret.data.into_iter();
        let kubeconfigs = data.map(|(cluster, text)| (cluster, text.0));
        self.known
            .insert(secret.metadata.name, kubeconfigs.collect());
    }

    /// Follows exactly the clusters that the secrets name now.
    fn reconcile(&mut self) {
        let wanted = self.wanted();
        let gone: Vec<String> = self
            .followed
            .keys()
            .filter(|cluster| !wanted.contains_key(*cluster))
            .cloned()
            .collect();
        for cluster in gone {
            self.tasks.stop(&cluster);
            if let Some(followed) = self.followed.remove(&cluster) {
                followed.seat.leave();
            }
        }
        for (cluster, kubeconfig) in wanted {
            let seat = match self.followed.get(&cluster) {
                Some(followed) if followed.kubeconfig.as_ref() == Some(&kubeconfig) => continue,
                Some(followed) if followed.kubeconfig.is_none() => {
                    info!(%cluster, "a secret names a cluster that was restored");
                    Arc::clone(&followed.seat)
                }
                Some(followed) => {
                    info!(%cluster, "the secret of a cluster changed");
                    Arc::clone(&followed.seat)
                }
                None => {
                    info!(%cluster, "a secret names a cluster");
                    Arc::new(self.board.seat(self.config.discovered(&cluster).cluster()))
                }
            };
            self.begin(&cluster, &kubeconfig, Arc::clone(&seat));
            let kubeconfig = Some(kubeconfig);
            self.followed.insert(cluster, Followed { kubeconfig, seat });
        }
    }

    /// The clusters to follow. Of a cluster that several secrets name, the first secret by name counts.
    fn wanted(&mut self) -> BTreeMap<String, Vec<u8>> {
        let mut wanted: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut ignored = BTreeSet::new();
        for (secret, clusters) in &self.known {
            for (cluster, kubeconfig) in clusters {
                let entry = self.config.catalogs.iter();
                let why = match entry.clone().find(|entry| entry.cluster == *cluster) {
                    Some(entry) if entry.local => "it is the cluster that this agent serves",
                    Some(_) => "the configuration has a catalog of this cluster",
                    None if wanted.contains_key(cluster) => "another secret names this cluster",
                    None => {
                        wanted.insert(cluster.clone(), kubeconfig.clone());
                        continue;
                    }
                };
                let said = format!("{secret}/{cluster}: {why}");
                if !self.ignored.contains(&said) {
                    warn!(secret, cluster, why, "part of a remote secret is ignored");
                }
                ignored.insert(said);
            }
        }
        self.ignored = ignored;
        wanted
    }

    /// What a cluster's task was doing before counts no more; its last state stays until there is a new one.
    fn begin(&mut self, cluster: &str, kubeconfig: &[u8], seat: Arc<Seat>) {
        let about = About {
            local: false,
            istio_namespace: self.config.settings.istio_namespace.clone(),
            node: None,
            patience: super::patience(&self.config),
            only_labelled: self.config.settings.remote.only_exported,
            ready_of: None,
        };
        let text = String::from_utf8(kubeconfig.to_vec());
        self.tasks.spawn(cluster, async move {
            match text {
                Ok(text) => follow(&Access::Text(text), &about, &seat).await,
                Err(_) => {
                    seat.failed("the kubeconfig cannot be used: it is no text".to_owned());
                    std::future::pending().await
                }
            }
        });
    }
}
