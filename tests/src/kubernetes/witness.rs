//! A client that never stops asking, and remembers every answer that differs from the one before.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;

use crate::background::Background;
use crate::dns::{Answer, Client};
use crate::process::PATIENCE;

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);

/// The same answer, several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    /// The answer; else why there was none.
    pub answer: Result<Answer, String>,
    /// When it came first.
    pub since: Instant,
    /// How often it came.
    pub times: usize,
}

/// Asks one name again and again.
#[derive(Debug)]
pub struct Witness {
    name: &'static str,
    spells: Arc<Mutex<Vec<Spell>>>,
    _asking: Background,
}

impl Witness {
    /// Starts to ask `server` for `name`.
    pub fn start(server: SocketAddr, name: &'static str) -> Result<Self> {
        let spells = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spells);
        let asking = Background::run("witness", move || ask(server, name, seen))?;
        Ok(Self {
            name,
            spells,
            _asking: asking,
        })
    }

    /// What has been seen so far, in order.
    #[must_use]
    pub fn spells(&self) -> Vec<Spell> {
        self.spells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the newest answer is one that `wanted` accepts and has come often enough to be no accident; since when
    /// it comes. An answer that stays away ends the waiting.
    pub async fn until(&self, wanted: impl Fn(&Answer) -> bool) -> Result<Instant> {
        const OFTEN: usize = 20;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spells = self.spells();
            if let Some(Spell {
                answer: Ok(answer),
                since,
                times,
            }) = spells.last()
                && wanted(answer)
                && *times >= OFTEN
            {
                return Ok(*since);
            }
            if Instant::now() > deadline {
                bail!("{} does not get there; it was {}", self.name, told(&spells));
            }
            sleep(PAUSE).await;
        }
    }

    /// Everything that was seen, in words: for a test's failure.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}: {}", self.name, told(&self.spells()))
    }
}

fn told(spells: &[Spell]) -> String {
    let told = |spell: &Spell| match &spell.answer {
        Ok(Answer { code, addresses }) => format!("{} × {code} {addresses:?}", spell.times),
        Err(error) => format!("{} × {error}", spell.times),
    };
    spells.iter().map(told).collect::<Vec<_>>().join(", then ")
}

async fn ask(server: SocketAddr, name: &str, spells: Arc<Mutex<Vec<Spell>>>) -> Result<()> {
    let mut client = Client::of(server).await?;
    loop {
        let answer = client.ask(name).await.map_err(|error| format!("{error:#}"));
        if answer.is_err() {
            // What comes late would be taken for the answer to the next question.
            client = Client::of(server).await?;
        }
        {
            let mut spells = spells.lock().unwrap_or_else(PoisonError::into_inner);
            match spells.last_mut() {
                Some(last) if last.answer == answer => last.times += 1,
                _ => spells.push(Spell {
                    answer,
                    since: Instant::now(),
                    times: 1,
                }),
            }
        }
        sleep(PAUSE).await;
    }
}
