//! Whether an API server offers the Multi-Cluster Services API, and in which version: it may come and go with its CRDs.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{sleep, timeout};

use crate::sources::kubernetes::{
    access::{describe, one_line},
    objects::Groups,
    reply::{self, Failure},
};

/// The API's group.
pub(super) const GROUP: &str = "multicluster.x-k8s.io";
/// The versions that are read, the best first: what is read of objects is the same in both.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon a server is asked again at first.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    version: &'static str,
    pub(super) exports: bool,
    pub(super) imports: bool,
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Offered>,
}

#[derive(Debug, Deserialize)]
struct Offered {
    name: String,
}

/// The time from one question to the next, which grows.
#[derive(Debug)]
pub(super) struct Waits {
    next: Duration,
    longest: Duration,
}

impl Waits {
    /// For a server that has answered: CRDs come mostly when a cluster is set up.
    pub(super) const LONG: Self = Self::up_to(60);
    /// For one that has not.
    pub(super) const SHORT: Self = Self::up_to(10);

    const fn up_to(seconds: u64) -> Self {
        Self {
            next: FIRST_WAIT,
            longest: Duration::from_secs(seconds),
        }
    }

    pub(super) async fn wait(&mut self) {
        sleep(self.next).await;
        self.next = (2 * self.next).min(self.longest);
    }
}

impl Offer {
    /// What the server offers now; the default if nothing.
    pub(super) async fn of(client: &Client) -> Result<Self, String> {
        let all: Groups = get(client, "/apis").await?;
        // Something in front of an API server may say anything; a server has groups.
        if all.kind != "APIGroupList" || all.groups.is_empty() {
            return Err("the reply is not understood: it lists no groups".to_owned());
        }
        let group = all.groups.iter().find(|group| group.name == GROUP);
        let versions = group.map_or(&[][..], |group| &group.versions);
        let offered = |version: &&&str| versions.iter().any(|found| found.version == **version);
        let Some(version) = VERSIONS.iter().find(offered) else {
            return Ok(Self::default());
        };
        let path = format!("/apis/{GROUP}/{version}");
        let Resources { resources } = get(client, &path).await?;
        let has = |name: &str| resources.iter().any(|found| found.name == name);
        Ok(Self {
            version,
            exports: has("serviceexports"),
            imports: has("serviceimports"),
        })
    }

    /// The path of one of its resources.
    pub(super) fn path(&self, resource: &str) -> String {
        format!("/apis/{GROUP}/{}/{resource}", self.version)
    }

    /// Ends when the server offers something else.
    pub(super) async fn changes(&self, client: &Client, waits: &mut Waits) {
        loop {
            waits.wait().await;
            // A server that cannot be asked now may still offer what it did.
            if Self::of(client).await.is_ok_and(|now| now != *self) {
                return;
            }
        }
    }
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, String> {
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(|error| format!("no request can be made: {error}"))?;
    let text = timeout(PATIENCE, reply::text(client, request)).await;
    let text = match text.map_err(|_| format!("no reply within {} s", PATIENCE.as_secs()))? {
        Ok(text) => text,
        Err(Failure::Refused(error)) => return Err(describe(&error)),
        Err(Failure::TooLong) => return Err("the reply is too long".to_owned()),
    };
    serde_json::from_str(&text)
        .map_err(|error| one_line(&format!("the reply is not understood: {error}")))
}
