//! For how long the addresses of gateways' names are good: no answer may say that it may be kept for longer. Not part of
//! what is published, which does not change when a name is found to have the same addresses once more.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// Until when the addresses are good that were looked up. Others are good for as long as anybody likes.
#[derive(Clone, Debug, Default)]
pub struct Lifetimes(BTreeMap<IpAddr, Instant>);

/// Where the follower of gateways leaves them, before anybody is answered with a new address.
pub type SharedLifetimes = Arc<ArcSwap<Lifetimes>>;

/// How long an address is remembered that no name has any more: it may be given until the next index is published.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Lifetimes {
    /// Whether no name was looked up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The TTL of an answer with these addresses, in seconds: `most`, or the rest of the shortest-lived one's, and never 0.
    /// One that could not be looked up anew in time is given all the same.
    pub fn ttl(&self, most: u32, addresses: impl IntoIterator<Item = IpAddr>, now: Instant) -> u32 {
        let until = addresses
            .into_iter()
            .filter_map(|address| self.0.get(&address));
        let rest = until
            .min()
            .map(|until| until.saturating_duration_since(now));
        let rest = rest.map(|rest| u32::try_from(rest.as_secs()).unwrap_or(u32::MAX));
        rest.map_or(most, |rest| rest.clamp(1, most.max(1)))
    }

    /// The same after a name was looked up.
    #[must_use]
    pub(super) fn with(&self, addresses: &[IpAddr], until: Instant, now: Instant) -> Self {
        let mut all = self.0.clone();
        all.retain(|_, until| *until + REMEMBERED > now);
        all.extend(addresses.iter().map(|address| (*address, until)));
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8) -> IpAddr {
        [203, 0, 113, host].into()
    }

    #[test]
    fn an_answer_lives_no_longer_than_the_shortest_lived_of_its_addresses() {
        let now = Instant::now();
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        let known = Lifetimes::default()
            .with(&[address(1), address(2)], after(3), now)
            .with(&[address(3)], after(90), now);
        let check = |hosts: &[u8], at: Instant, expected: u32| {
            let hosts = hosts.iter().map(|host| address(*host));
            assert_eq!(known.ttl(5, hosts, at), expected);
        };
        check(&[1], now, 3);
        check(&[3], now, 5);
        check(&[3, 2], now, 3);
        check(&[1], now + Duration::from_millis(1), 2);
        check(&[1], after(2), 1);
        // It failed to be looked up anew.
        check(&[1], after(30), 1);
        check(&[9], now, 5);
        check(&[], now, 5);
        // Looked up anew, it is good again; what no name has any more is forgotten.
        let later = known.with(&[address(1)], after(93), after(64));
        assert_eq!(later.ttl(60, [address(1)], after(64)), 29);
        assert_eq!(later.ttl(60, [address(2)], after(64)), 60);
    }
}
