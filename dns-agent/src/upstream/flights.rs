//! Identical questions share one exchange: the first asks, the others wait for its reply.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::cache::Key;

/// The questions under way and who waits for them.
#[derive(Debug)]
pub(super) struct Flights<T>(Mutex<HashMap<Key, Vec<oneshot::Sender<T>>>>);

/// What part somebody has in a flight.
pub(super) enum Seat<'f, T> {
    /// Must ask, and then land.
    Pilot(Flight<'f, T>),
    /// Gets the reply. The channel closes when the pilot gave up.
    Passenger(oneshot::Receiver<T>),
}

/// A question that its holder must get answered. Dropped before it has landed, it sends the passengers away.
pub(super) struct Flight<'f, T> {
    flights: &'f Flights<T>,
    key: Key,
    landed: bool,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Flights<T> {
    pub(super) fn board(&self, key: &Key) -> Seat<'_, T> {
        let mut flights = self.lock();
        if let Some(passengers) = flights.get_mut(key) {
            let (reply, arrival) = oneshot::channel();
            passengers.push(reply);
            return Seat::Passenger(arrival);
        }
        flights.insert(key.clone(), Vec::new());
        Seat::Pilot(Flight {
            flights: self,
            key: key.clone(),
            landed: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<oneshot::Sender<T>>>> {
        // Every operation leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Flight<'_, T> {
    /// Gives the reply to everybody who waits.
    pub(super) fn land(mut self, reply: &T) {
        // From here on the key may belong to somebody else's flight.
        self.landed = true;
        let passengers = self.flights.lock().remove(&self.key);
        for passenger in passengers.into_iter().flatten() {
            // Whoever has gone needs no reply.
            let _ = passenger.send(reply.clone());
        }
    }
}

impl<T> Drop for Flight<'_, T> {
    fn drop(&mut self) {
        if !self.landed {
            self.flights.lock().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Parsed, ask, parse};

    fn key() -> Key {
        let Parsed::Query(query) = parse(&ask(b"\x01a\x00\x00\x01\x00\x01", 1, true, false, None))
        else {
            panic!("a query");
        };
        Key::of(&query)
    }

    #[tokio::test]
    async fn passengers_get_the_pilots_reply_and_the_next_one_flies_anew() {
        let flights = Flights::default();
        let Seat::Pilot(flight) = flights.board(&key()) else {
            panic!("the first is the pilot");
        };
        let Seat::Passenger(arrival) = flights.board(&key()) else {
            panic!("the second is a passenger");
        };
        flight.land(&7);
        assert_eq!(arrival.await, Ok(7));
        assert!(matches!(flights.board(&key()), Seat::Pilot(_)));
    }

    #[tokio::test]
    async fn a_pilot_that_gives_up_sends_the_passengers_away() {
        let flights = Flights::<u8>::default();
        let pilot = flights.board(&key());
        let Seat::Passenger(arrival) = flights.board(&key()) else {
            panic!("the second is a passenger");
        };
        drop(pilot);
        assert!(arrival.await.is_err());
        assert!(matches!(flights.board(&key()), Seat::Pilot(_)));
    }
}
