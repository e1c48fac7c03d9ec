//! Looking up the addresses of a name, for ourselves.

use std::{net::IpAddr, time::Duration};

use super::Upstream;
use crate::{answer::Servers, cache::Key, name::Name, wire::rtype};

/// For how many seconds a reply to ourselves is good that does not say it.
const NO_TTL: u32 = 30;

/// What a name was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Of both families.
    pub all: Vec<IpAddr>,
    /// How long they are good.
    pub lasts: Duration,
    /// The family of which nobody could tell whether the name has addresses, and why.
    pub untold: Option<(Family, String)>,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, type A.
    V4,
    /// IPv6, type AAAA.
    V6,
}

impl Family {
    /// Whether an address is of it.
    pub fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl Upstream {
    /// Asks for a name's addresses, for ourselves; or says why nobody can tell of either family. A name without addresses
    /// has none: that is an answer.
    pub async fn look_up(&self, name: &Name) -> Result<Addresses, String> {
        let ask = async |rtype| {
            let key = Key::own(name, rtype);
            let (message, age) = match self.kept(&key) {
                Some(kept) => kept,
                None => (self.ask(key, Servers::General).await, 0),
            };
            let message = message.map_err(|failure| failure.ede().text.to_owned())?;
            match message.rcode() {
                0 | 3 => Ok((message, age)),
                other => Err(format!("the upstream server says {other}")),
            }
        };
        let (v4, v6) = tokio::join!(ask(rtype::A), ask(rtype::AAAA));
        let mut addresses = Vec::new();
        let mut least = u32::MAX;
        for (message, age) in [&v4, &v6].into_iter().flatten() {
            let before = addresses.len();
            addresses.extend(message.addresses());
            let ttl = if addresses.len() > before {
                message.least_ttl()
            } else {
                message.negative_ttl()
            };
            // What was kept for a client is not good for longer because we ask for it.
            least = least.min(ttl.map_or(NO_TTL, |ttl| ttl.saturating_sub(*age)));
        }
        let untold = match (v4, v6) {
            (Err(problem), Err(_)) => return Err(problem),
            (Err(problem), Ok(_)) => Some((Family::V4, problem)),
            (Ok(_), Err(problem)) => Some((Family::V6, problem)),
            (Ok(_), Ok(_)) => None,
        };
        Ok(Addresses {
            all: addresses,
            lasts: Duration::from_secs(least.into()),
            untold,
        })
    }
}
