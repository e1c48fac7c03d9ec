//! How many connections are open, in all and of one client.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts connections, so that no client can take all places.
#[derive(Clone, Debug)]
pub(crate) struct Guests {
    limit: usize,
    limit_of_one: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    client: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Guests {
    /// At most `limit` connections, of which one client may have a quarter.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            limit_of_one: limit.div_ceil(4),
            open: Arc::default(),
        }
    }

    /// A place, if there is one for this client.
    pub(crate) fn admit(&self, client: IpAddr) -> Option<Guest> {
        // An IPv4 client is one client, however the socket shows it.
        let client = client.to_canonical();
        let mut open = lock(&self.open);
        let all: usize = open.values().sum();
        let of_client = open.get(&client).copied().unwrap_or_default();
        if all >= self.limit || of_client >= self.limit_of_one {
            return None;
        }
        open.insert(client, of_client + 1);
        Some(Guest {
            client,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    // Every operation leaves the map whole.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(host: u8) -> IpAddr {
        [10, 0, 0, host].into()
    }

    #[test]
    fn one_client_gets_a_quarter_of_the_places_and_all_clients_no_more_than_all() {
        let guests = Guests::new(8);
        let mut inside = Vec::new();
        for (host, admitted) in [(1, 2), (2, 2), (3, 2), (4, 2), (5, 0)] {
            let came: Vec<Guest> = (0..5).filter_map(|_| guests.admit(client(host))).collect();
            assert_eq!(came.len(), admitted, "of client {host}");
            inside.extend(came);
        }
        inside.remove(0);
        assert!(guests.admit(client(2)).is_none(), "has its quarter");
        assert!(guests.admit(client(5)).is_some(), "the place is free again");
        drop(inside);
        assert!(
            lock(&guests.open).is_empty(),
            "nothing is kept of who has gone"
        );
    }

    #[test]
    fn a_single_place_is_anyones() {
        let guests = Guests::new(1);
        let first = guests.admit(client(1));
        assert!(first.is_some() && guests.admit(client(2)).is_none());
    }
}
