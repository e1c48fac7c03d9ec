//! Asking a server which of the resources it has that it need not have: by its own list of what there is (discovery), and where
//! an account may not read that, by asking for the resources themselves.

use std::{collections::BTreeMap, time::Duration};

use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{Optional, Which};
use crate::sources::kubernetes::{
    access::{describe, one_line},
    objects::Groups,
    reply::{self, Failure},
    watch,
};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server says now, of each of them: its path, or that there is none, or why nobody can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer(pub(super) BTreeMap<Which, Found>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    At(String),
    None,
    /// It can only be said where it would be: the account may not even ask whether it is there.
    Refused(String),
    Unknown(String),
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Offered>,
}

#[derive(Debug, Deserialize)]
struct Offered {
    name: String,
}

impl Optional {
    fn path(&self, version: &str) -> String {
        format!("/apis/{}/{version}/{}", self.group, self.name)
    }

    /// Asks for the resource itself, where the account may not ask what there is: not every cluster gives that to everybody.
    async fn find(&self, client: &Client) -> Found {
        let mut refused = None;
        for version in self.versions {
            let path = self.path(version);
            match text(client, &format!("{path}?limit=1")).await {
                Ok(_) | Err(No::TooLong) => return Found::At(path),
                Err(No::Code(404, _)) => {}
                Err(No::Code(403, _)) => {
                    refused.get_or_insert(path);
                }
                Err(no) => return Found::Unknown(no.into()),
            }
        }
        refused.map_or(Found::None, Found::Refused)
    }

    /// Whether it is among the groups of the server, in any version that is read: a group has versions that lack some of its
    /// resources. What each says is `read` once.
    async fn among(
        &self,
        client: &Client,
        all: &Groups,
        read: &mut BTreeMap<String, Result<Resources, No>>,
    ) -> Found {
        let group = all.groups.iter().find(|group| group.name == self.group);
        let there = group.map_or(&[][..], |group| &group.versions);
        for version in self.versions {
            if !there.iter().any(|found| found.version == *version) {
                continue;
            }
            let path = format!("/apis/{}/{version}", self.group);
            if !read.contains_key(&path) {
                read.insert(path.clone(), get(client, &path).await);
            }
            match read.get(&path) {
                Some(Ok(of)) if of.resources.iter().any(|found| found.name == self.name) => {
                    return Found::At(self.path(version));
                }
                Some(Ok(_)) | None => {}
                Some(Err(No::Code(403, _))) => return self.find(client).await,
                Some(Err(no)) => return Found::Unknown(no.clone().into()),
            }
        }
        Found::None
    }
}

impl Offer {
    /// What the server has now of what is wanted.
    pub(super) async fn of(client: &Client, wanted: &[&Optional]) -> Self {
        let groups = match get::<Groups>(client, "/apis").await {
            // Something in front of an API server may say anything; a server has groups.
            Ok(all) if all.kind != "APIGroupList" || all.groups.is_empty() => Err(No::from(
                "the reply is not understood: it lists no groups".to_owned(),
            )),
            found => found,
        };
        let mut read: BTreeMap<String, Result<Resources, No>> = BTreeMap::new();
        let mut offer = BTreeMap::new();
        for optional in wanted {
            let found = match &groups {
                Ok(all) => optional.among(client, all, &mut read).await,
                Err(No::Code(403, _)) => optional.find(client).await,
                Err(no) => Found::Unknown(no.clone().into()),
            };
            offer.insert(optional.which(), found);
        }
        Self(offer)
    }
}

/// Why there is no reply.
#[derive(Clone, Debug)]
enum No {
    /// The server says so, with this status.
    Code(u16, String),
    TooLong,
    Other(String),
}

impl From<String> for No {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

impl From<No> for String {
    fn from(no: No) -> Self {
        match no {
            No::Code(_, problem) | No::Other(problem) => problem,
            No::TooLong => "the reply is too long".to_owned(),
        }
    }
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, No> {
    let text = text(client, path).await?;
    serde_json::from_str(&text)
        .map_err(|error| one_line(&format!("the reply is not understood: {error}")).into())
}

async fn text(client: &Client, path: &str) -> Result<String, No> {
    let text = timeout(PATIENCE, reply::text(client, watch::get(path)?)).await;
    match text.map_err(|_| format!("no reply within {} s", PATIENCE.as_secs()))? {
        Ok(text) => Ok(text),
        Err(Failure::Refused(kube::Error::Api(status))) => {
            let code = status.code;
            Err(No::Code(code, describe(&kube::Error::Api(status))))
        }
        Err(Failure::Refused(error)) => Err(describe(&error).into()),
        Err(Failure::TooLong) => Err(No::TooLong),
    }
}
