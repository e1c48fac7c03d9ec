//! The only places where tasks begin, so that none is begun and forgotten.

use std::{collections::HashMap, future::Future, time::Duration};

use thiserror::Error;
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::timeout,
};

/// The long-lived tasks of the process, each with a name. None of them ends before the process does.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Result<(), Failed>>,
    names: HashMap<Id, String>,
}

/// What a long-lived task gives as its reason to end.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A long-lived task ended although nobody asked it to.
#[derive(Debug, Error)]
#[error("the task \"{name}\" ended: {why}")]
pub struct Ended {
    name: String,
    why: String,
}

impl Tasks {
    /// Begins a task.
    pub fn spawn<F>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Waits for the first task to end; forever when there is none.
    pub async fn first_to_end(&mut self) -> Ended {
        match self.set.join_next_with_id().await {
            Some(Ok((id, result))) => self.ended(id, result.err().map(|why| why.to_string())),
            Some(Err(error)) => self.ended(error.id(), Some(describe(&error))),
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks, which have been asked to end, and stops those that take longer than `grace`. Names the
    /// ones that had to be stopped.
    pub async fn finish(mut self, grace: Duration) -> Vec<String> {
        let all = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, _)| id);
                self.names.remove(&id);
            }
        };
        let _ = timeout(grace, all).await;
        self.set.shutdown().await;
        self.names.into_values().collect()
    }

    fn ended(&mut self, id: Id, why: Option<String>) -> Ended {
        Ended {
            name: self.names.remove(&id).unwrap_or_default(),
            why: why.unwrap_or_else(|| "without an error".to_owned()),
        }
    }
}

fn describe(error: &JoinError) -> String {
    if error.is_panic() {
        "it panicked".to_owned()
    } else {
        "it was cancelled".to_owned()
    }
}

/// Tasks that come and go, each with a name; none ends before it is stopped. Dropping the group stops them.
#[derive(Debug, Default)]
pub struct Group {
    set: JoinSet<()>,
    tasks: HashMap<String, AbortHandle>,
}

impl Group {
    /// Begins a task instead of the one with the same name.
    pub fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.stop(name);
        let handle = self.set.spawn(task);
        self.tasks.insert(name.to_owned(), handle);
    }

    /// Stops a task.
    pub fn stop(&mut self, name: &str) {
        if let Some(task) = self.tasks.remove(name) {
            task.abort();
        }
    }

    /// Waits for the first task to end that was not stopped; forever when there is none.
    pub async fn first_to_end(&mut self) -> Ended {
        loop {
            let why = match self.set.join_next().await {
                Some(Err(error)) if error.is_cancelled() => continue,
                Some(Err(error)) => describe(&error),
                Some(Ok(())) => "without an error".to_owned(),
                None => std::future::pending().await,
            };
            let ended = self.tasks.iter().find(|(_, task)| task.is_finished());
            return Ended {
                name: ended.map(|(name, _)| name.clone()).unwrap_or_default(),
                why,
            };
        }
    }
}

/// A bounded set of short tasks, each of which serves one request or one connection. Dropping the set stops them.
#[derive(Debug)]
pub struct Requests {
    set: JoinSet<()>,
    limit: usize,
}

impl Requests {
    /// A set of at most `limit` tasks at a time.
    pub fn new(limit: usize) -> Self {
        Self {
            set: JoinSet::new(),
            limit,
        }
    }

    /// Whether another task has a place.
    pub fn has_room(&mut self) -> bool {
        while self.set.try_join_next().is_some() {}
        self.set.len() < self.limit
    }

    /// Begins a task; call [`Requests::has_room`] first.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Waits for the tasks under way.
    pub async fn finish(&mut self) {
        while self.set.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_task_to_end_is_told_by_name_and_reason() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("failing", async { Err("no more input".into()) });
        let ended = tasks.first_to_end().await;
        assert_eq!(
            ended.to_string(),
            "the task \"failing\" ended: no more input"
        );
    }

    #[tokio::test]
    async fn a_panic_is_an_end_with_a_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("broken", async { panic!("on purpose") });
        let ended = tasks.first_to_end().await;
        assert_eq!(ended.to_string(), "the task \"broken\" ended: it panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_in_time_is_stopped_and_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("deaf", std::future::pending());
        tasks.spawn("quick", async { Ok(()) });
        assert_eq!(tasks.finish(Duration::from_secs(1)).await, ["deaf"]);
    }

    #[tokio::test]
    async fn a_bounded_set_has_room_again_when_a_task_ends() {
        let mut requests = Requests::new(1);
        assert!(requests.has_room());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        requests.spawn(async {
            let _ = ended.await;
        });
        assert!(!requests.has_room());
        drop(end);
        while !requests.has_room() {
            tokio::task::yield_now().await;
        }
    }
}
