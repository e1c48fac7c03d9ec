//! A client that never stops asking, and remembers every answer that differs from the one before.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hickory_proto::rr::RecordType;
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
    /// When it came last.
    pub until: Instant,
    /// How often it came.
    pub times: usize,
    /// The longest that it was waited for.
    pub slowest: Duration,
}

/// What is asked again and again.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// The name's addresses.
    Addresses,
    /// The locations of the service that it names.
    Locations,
    /// The addresses of a name below it that nobody has asked before, so that no cache can know it.
    AddressesAnew,
}

/// Asks one name again and again.
#[derive(Debug)]
pub struct Witness {
    name: &'static str,
    spells: Arc<Mutex<Vec<Spell>>>,
    _asking: Background,
}

impl Witness {
    /// Starts to ask `server` for the addresses of `name`.
    pub fn start(server: SocketAddr, name: &'static str) -> Result<Self> {
        Self::start_asking(server, name, Question::Addresses)
    }

    /// Starts to ask `server` for the locations (SRV) of `name`.
    pub fn start_for_locations(server: SocketAddr, name: &'static str) -> Result<Self> {
        Self::start_asking(server, name, Question::Locations)
    }

    /// Starts to ask `server` for names below `name`, each only once.
    pub fn start_anew(server: SocketAddr, name: &'static str) -> Result<Self> {
        Self::start_asking(server, name, Question::AddressesAnew)
    }

    fn start_asking(server: SocketAddr, name: &'static str, question: Question) -> Result<Self> {
        let spells = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spells);
        let asking = Background::run("witness", move || ask(server, name, question, seen))?;
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
        // Of answers that take long, fewer.
        const LONG: Duration = Duration::from_secs(1);
        const SELDOM: usize = 3;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spells = self.spells();
            if let Some(Spell {
                answer: Ok(answer),
                since,
                until,
                times,
                ..
            }) = spells.last()
                && wanted(answer)
                && (*times >= OFTEN || (*times >= SELDOM && *until - *since > LONG))
            {
                return Ok(*since);
            }
            if Instant::now() > deadline {
                bail!("{} does not get there; it was {}", self.name, told(&spells));
            }
            sleep(PAUSE).await;
        }
    }

    /// Everything that was seen, in words: for a test's failure, and for whoever wants to know how long a fault was felt.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}: {}", self.name, told(&self.spells()))
    }
}

fn told(spells: &[Spell]) -> String {
    let told = |spell: &Spell| {
        let answer = match &spell.answer {
            Ok(Answer {
                code,
                addresses,
                ports,
            }) if ports.is_empty() => format!("{code} {addresses:?}"),
            Ok(Answer { code, ports, .. }) => format!("{code} port {ports:?}"),
            Err(error) => error.clone(),
        };
        format!(
            "{} × {answer} for {} ms (the slowest took {} ms)",
            spell.times,
            (spell.until - spell.since).as_millis(),
            spell.slowest.as_millis()
        )
    };
    spells.iter().map(told).collect::<Vec<_>>().join(", then ")
}

async fn ask(
    server: SocketAddr,
    name: &str,
    question: Question,
    spells: Arc<Mutex<Vec<Spell>>>,
) -> Result<()> {
    let mut client = Client::of(server).await?;
    for number in 0_u64.. {
        let asked = Instant::now();
        let answer = match question {
            Question::Addresses => client.ask(name).await,
            Question::Locations => client.ask_for(name, RecordType::SRV).await,
            Question::AddressesAnew => client.ask(&format!("n{number}.{name}")).await,
        };
        let answer = answer.map_err(|error| format!("{error:#}"));
        let now = Instant::now();
        if answer.is_err() {
            // What comes late would be taken for the answer to the next question.
            client = Client::of(server).await?;
        }
        {
            let mut spells = spells.lock().unwrap_or_else(PoisonError::into_inner);
            match spells.last_mut() {
                Some(last) if last.answer == answer => {
                    last.times += 1;
                    last.until = now;
                    last.slowest = last.slowest.max(now - asked);
                }
                _ => spells.push(Spell {
                    answer,
                    since: now,
                    until: now,
                    times: 1,
                    slowest: now - asked,
                }),
            }
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
