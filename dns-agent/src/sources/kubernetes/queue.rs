//! What became known, on its way to whoever takes it: bounded in bytes, because who tells it may be anybody, and an event
//! may be large.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::watch::Unwanted;

/// How many changes may wait.
const MANY: usize = 1024;
/// How much they may be together, in bytes as [`super::bounds::weight`] counts: two of the largest events.
const ROOM: u32 = 16 << 20;

/// Where changes are told.
#[derive(Debug)]
pub(super) struct Sender<T> {
    send: mpsc::Sender<Waiting<T>>,
    room: Arc<Semaphore>,
}

/// Where they are taken.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    changes: mpsc::Receiver<Waiting<T>>,
    batch: Vec<Waiting<T>>,
}

/// A change, and the room that it takes until it is taken.
#[derive(Debug)]
struct Waiting<T>(
    T,
    #[expect(dead_code, reason = "given back by its end")] OwnedSemaphorePermit,
);

/// A queue of nothing.
pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let (send, changes) = mpsc::channel(MANY);
    let room = Arc::new(Semaphore::new(ROOM as usize));
    let batch = Vec::new();
    (Sender { send, room }, Receiver { changes, batch })
}

impl<T> Sender<T> {
    /// Tells a change of so many bytes, once there is room; one that is larger than all the room has it alone.
    pub(super) async fn send(&self, change: T, bytes: usize) -> Result<(), Unwanted> {
        let bytes = u32::try_from(bytes).unwrap_or(ROOM).clamp(1, ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        // Nobody closes it.
        let room = room.map_err(|_| Unwanted)?;
        let sent = self.send.send(Waiting(change, room)).await;
        sent.map_err(|_| Unwanted)
    }
}

impl<T> Receiver<T> {
    /// Waits for changes. Whoever stops waiting loses none.
    pub(super) async fn come(&mut self) {
        if self.changes.recv_many(&mut self.batch, MANY).await == 0 {
            // Whoever told them is gone, and with them whoever waits here.
            std::future::pending::<()>().await;
        }
    }

    /// Those that have come.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> {
        self.batch.drain(..).map(|Waiting(change, _)| change)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Sends changes of this size for as long as there is room.
    async fn fill(send: &Sender<usize>, bytes: usize) -> usize {
        let mut sent = 0;
        let long = Duration::from_secs(600);
        while timeout(long, send.send(sent, bytes)).await.is_ok() {
            sent += 1;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_waits_than_there_is_room_for_and_taking_makes_room() {
        let (send, mut changes) = queue();
        assert_eq!(fill(&send, 8 << 20).await, 2);
        changes.come().await;
        assert_eq!(fill(&send, 1).await, 0, "what was not taken takes room");
        assert_eq!(changes.take().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(fill(&send, 1 << 20).await, 16);
        changes.come().await;
        assert_eq!(changes.take().count(), 16);
        // Of small ones it is their number.
        assert_eq!(fill(&send, 0).await, MANY);
        changes.come().await;
        assert_eq!(changes.take().count(), MANY);
        // One that is larger than all has all of it, and is not refused.
        assert_eq!(fill(&send, usize::MAX).await, 1);
    }
}
