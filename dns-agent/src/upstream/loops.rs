//! Forwarding loops: a server that sends our questions back to us, as when a node's resolver is the agent, the agent's
//! is the cluster's DNS, and that one's is the node's, or another node's whose agent asks the cluster's DNS as well.
//!
//! Each server is asked for names that nobody but an agent knows. Whichever agent such a question reaches answers it: who
//! it is, and which agents its own servers lead past ([`path`]). A server whose every way leads back here is not
//! asked any more until it does not: a question that goes round is answered by nobody, and each would cost its client the
//! whole deadline.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Upstream,
    exchange::exchange,
    is_declined,
    path::{self, Agent, Id, Path},
    pool::{Lead, Pool, Server},
    realm::{REALMS, Realm},
};
use crate::{
    cache::Key,
    metrics::Looped,
    wire::{CLASS_IN, Query, rtype},
};

/// How often all servers are looked at, so that a loop made later is found too.
const PERIOD: Duration = Duration::from_secs(60);
/// How soon when one leads to an agent, or gave no answer.
const SOON: Duration = Duration::from_secs(5);
/// How soon after something was found: the agents that it concerns learn of each other by looking in turn.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How many looks in a row must all come back before a server is not asked any more: it may have several ways, and take
/// any of them. Of one whose every second way leads elsewhere, one in a million rounds finds no such way.
const LOOKS: usize = 20;
/// How many looks in a row must get no answer before nobody knows any more where a server leads.
const SILENT: usize = 3;
/// The longest that one of many looks in a row waits: what comes back does so at once.
const ONE_OF_MANY: Duration = Duration::from_millis(500);

/// Who we are to other agents, and the questions under way.
#[derive(Debug)]
pub(super) struct Loops {
    ourselves: Agent,
    /// By their first label, and whether each has come back.
    under_way: Mutex<HashMap<Box<[u8]>, bool>>,
    again: Notify,
    /// Rounds in a row that found failures.
    failures: AtomicU32,
}

impl Loops {
    /// `name` tells people which agent this is.
    pub(super) fn new(name: String) -> Self {
        // Without a number of our own we are told from others by chance alone, and loops are still seen as they come back.
        let id = getrandom::u64().unwrap_or_default();
        Self {
            ourselves: Agent { id: Id(id), name },
            under_way: Mutex::default(),
            again: Notify::new(),
            failures: AtomicU32::new(0),
        }
    }

    /// How soon to look again for the sake of failures. Ever later: some servers refuse such names for good.
    fn after_failures(&self, failed: bool) -> Duration {
        if !failed {
            self.failures.store(0, Ordering::Relaxed);
            return PERIOD;
        }
        let rounds = self.failures.fetch_add(1, Ordering::Relaxed).min(8);
        PERIOD.min(SOON * 2_u32.pow(rounds))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, bool>> {
        // Every operation leaves the map whole.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upstream server that leads to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadsTo {
    /// The server.
    pub server: SocketAddr,
    /// For which names: `outside`, `reverse`, or the zone's.
    pub names: Vec<String>,
    /// What the agent calls itself.
    pub agent: String,
    /// Whether our questions come back to us: a forwarding loop.
    pub back: bool,
    /// Whether that agent is this one.
    pub itself: bool,
}

/// What is told to whoever looks for loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// We look ourselves, and have seen it: a failure, as the question goes round here. Whoever else it went to may answer.
    Back,
    /// Who we are and where our servers lead: the data of texts.
    Texts(Vec<Vec<u8>>),
}

/// What looks at a server found.
enum Found {
    Agent(Lead),
    Nobody,
    /// It gave no answer, so that nothing can be said.
    Nothing,
    /// Nor can it when the answer is a failure: whoever it asks may not be there yet.
    Failure,
}

impl Found {
    /// Whether it leads back to us.
    fn comes_back(&self) -> bool {
        matches!(self, Self::Agent(lead) if lead.back)
    }

    fn says_nothing(&self) -> bool {
        matches!(self, Self::Nothing | Self::Failure)
    }
}

impl Upstream {
    /// Looks for loops until `stop`.
    pub async fn watch_for_loops(&self, stop: CancellationToken) {
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                wait = self.look() => wait,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.loops.again.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Has all servers looked at now: who asks whom may have changed.
    pub fn look_again(&self) {
        self.loops.again.notify_one();
    }

    /// Looks at every server; gives the time until the next look.
    async fn look(&self) -> Duration {
        let general = self.general.load_full();
        let looks = self.asked_for(&general).into_iter().map(|(pool, realm)| {
            join_all(pool.all().map(move |server| async move {
                let found = self.look_at(server.address(), realm, self.timeout).await;
                (server, realm, found)
            }))
        });
        let mut wait = PERIOD;
        let mut failed = false;
        for (server, realm, found) in join_all(looks).await.into_iter().flatten() {
            let comes_back = found.comes_back();
            if comes_back {
                wait = wait.min(SOON);
            }
            let found = self.make_sure(server, realm, found).await;
            // Also of one that then gave no answer: what came back once takes that way.
            if !found.comes_back() {
                self.take_partly(server, realm, comes_back);
            }
            let lead = match found {
                Found::Nothing | Found::Failure => {
                    if matches!(found, Found::Nothing) || server.leads_back(realm) {
                        wait = wait.min(SOON);
                    }
                    failed |= matches!(found, Found::Failure);
                    if server.leads_back(realm) {
                        // It may be mended, and keep such names from everybody.
                        server.set_lead(realm, None);
                        let (server, names) = (server.address(), self.realms.word(realm));
                        info!(
                            %server,
                            names,
                            "the upstream server does not answer any more whether it leads to an agent, and is asked again"
                        );
                    }
                    continue;
                }
                Found::Nobody => None,
                Found::Agent(lead) => Some(lead),
            };
            if lead.is_some() {
                wait = wait.min(SOON);
            }
            let before = server.set_lead(realm, lead.clone());
            if before != lead {
                wait = wait.min(AT_ONCE);
            }
            self.say(server, realm, before.as_ref(), lead.as_ref());
        }
        wait = wait.min(self.loops.after_failures(failed));
        let mut shown: BTreeMap<_, Looped> = BTreeMap::new();
        for server in self.pools(&general).flat_map(Pool::all) {
            let looped = shown.entry(server.address()).or_default();
            looped.wholly |= REALMS.iter().any(|realm| server.leads_back(*realm));
            looped.partly |= REALMS.iter().any(|realm| server.leads_back_partly(*realm));
        }
        self.metrics.servers.show_loops(&shown);
        wait
    }

    /// Keeps in mind, and tells, that some ways through a server lead back, or have not for as many rounds as make it certain.
    fn take_partly(&self, server: &Server, realm: Realm, comes_back: bool) {
        let (address, names) = (server.address(), self.realms.word(realm));
        if comes_back && server.came_back_partly(realm) {
            warn!(
                server = %address,
                names,
                "this upstream server sends some of our questions back to us, which then wait until they take another \
                 way; give it, or the agent, servers that do not lead here (upstreams)"
            );
        }
        if !comes_back && server.did_not_come_back(realm) {
            info!(server = %address, names, "the upstream server does not send any of our questions back any more");
        }
    }

    fn say(&self, server: &Server, realm: Realm, before: Option<&Lead>, now: Option<&Lead>) {
        let to = |lead: Option<&Lead>| lead.map(|lead| (lead.agent.id, lead.back));
        if to(before) == to(now) {
            return;
        }
        let (server, names) = (server.address(), self.realms.word(realm));
        match now {
            Some(lead) if lead.back => warn!(
                %server,
                names,
                by_way_of = self.called(&lead.agent),
                "forwarding loop: this upstream server sends our questions back to us, and is not asked any more; give \
                 it, or the agent, servers that do not lead here (upstreams)"
            ),
            Some(lead) => info!(
                %server,
                names,
                agent = lead.agent.name,
                "this upstream server asks another agent of crossmesh"
            ),
            None => info!(%server, names, "the upstream server does not lead to an agent any more"),
        }
    }

    fn called<'a>(&self, agent: &'a Agent) -> &'a str {
        if agent.id == self.loops.ourselves.id {
            "none but itself"
        } else {
            &agent.name
        }
    }

    /// Looks again and again where one look does not say enough. One after the other, and none beside them: a server that
    /// takes its ways in turn would show each look of a round the same one.
    async fn make_sure(&self, server: &Server, realm: Realm, found: Found) -> Found {
        let leads_back = server.leads_back(realm);
        let is_same: fn(&Found) -> bool = match &found {
            found if found.comes_back() && !leads_back => Found::comes_back,
            found if found.says_nothing() && leads_back => Found::says_nothing,
            _ => return found,
        };
        let looks = if found.says_nothing() { SILENT } else { LOOKS };
        for _ in 1..looks {
            let patience = self.timeout.min(ONE_OF_MANY);
            let next = self.look_at(server.address(), realm, patience).await;
            if !is_same(&next) {
                return next;
            }
        }
        found
    }

    async fn look_at(&self, server: SocketAddr, realm: Realm, patience: Duration) -> Found {
        let number = getrandom::u64().ok();
        let Some((name, label)) = number.and_then(|number| self.realms.probe(realm, number)) else {
            return Found::Nothing;
        };
        self.loops.lock().insert(label.clone(), false);
        let until = Instant::now() + patience;
        let answered = exchange(&Key::own(&name, rtype::TXT), server, until).await;
        let came = self.loops.lock().remove(&label);
        let ourselves = &self.loops.ourselves;
        let message = answered.as_ref().ok().map(|got| &got.message);
        let told = message.and_then(path::Told::read);
        // Some servers ask several others: what one of these answers counts, wherever else the question went.
        let is_answered = message.is_some_and(|message| !is_declined(message));
        match (told, came) {
            (Some(told), _) => Found::Agent(Lead {
                path: told.path(ourselves.id),
                back: told.leads_back_to(ourselves.id),
                agent: told.agent,
            }),
            (None, Some(true)) if !is_answered => Found::Agent(Lead {
                agent: ourselves.clone(),
                path: vec![ourselves.id],
                back: true,
            }),
            (None, _) if is_answered => Found::Nobody,
            (None, _) if answered.is_ok() => Found::Failure,
            (None, _) => Found::Nothing,
        }
    }

    /// What to tell whoever looks for loops, if that is what a query is for.
    pub fn told_to_a_look(&self, query: &Query) -> Option<Told> {
        let (realm, label) = self.realms.probed(query.name.as_wire())?;
        if query.class != CLASS_IN {
            return None;
        }
        if let Some(came) = self.loops.lock().get_mut(label) {
            *came = true;
            return Some(Told::Back);
        }
        let general = self.general.load();
        let pools = self.asked_for(&general).into_iter();
        let servers = pools
            .filter(|(_, of)| *of == realm)
            .flat_map(|(pool, _)| pool.all());
        let mut paths: Vec<Path> = servers
            .map(|server| server.lead(realm).map_or_else(Path::new, |lead| lead.path))
            .collect();
        if paths.is_empty() {
            paths.push(Path::new());
        }
        Some(Told::Texts(self.loops.ourselves.tell(paths)))
    }

    /// The servers that lead to agents.
    pub fn leads(&self) -> Vec<LeadsTo> {
        let general = self.general.load();
        let mut all: Vec<LeadsTo> = Vec::new();
        for (pool, realm) in self.asked_for(&general) {
            for server in pool.all() {
                let Some(Lead { agent, back, .. }) = server.lead(realm) else {
                    continue;
                };
                let itself = agent.id == self.loops.ourselves.id;
                let same = |of: &&mut LeadsTo| {
                    of.server == server.address() && of.agent == agent.name && of.back == back
                };
                let word = self.realms.word(realm);
                match all.iter_mut().find(same) {
                    Some(known) => known.names.push(word),
                    None => all.push(LeadsTo {
                        server: server.address(),
                        names: vec![word],
                        agent: agent.name,
                        back,
                        itself,
                    }),
                }
            }
        }
        all
    }

    /// The servers of which some ways lead back, and for which names: `outside`, `reverse`, or the zone's.
    pub fn partial_loops(&self) -> Vec<(SocketAddr, Vec<String>)> {
        let general = self.general.load();
        let mut all: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
        for (pool, realm) in self.asked_for(&general) {
            for server in pool.all().filter(|server| server.leads_back_partly(realm)) {
                let names = all.entry(server.address()).or_default();
                names.push(self.realms.word(realm));
            }
        }
        all.into_iter().collect()
    }

    /// Who is asked for which kinds of names.
    fn asked_for<'p>(&'p self, general: &'p Pool) -> Vec<(&'p Pool, Realm)> {
        let of = |realm| match (realm, &self.cluster) {
            (Realm::Outside, _) | (_, None) => general,
            (_, Some(cluster)) => cluster,
        };
        REALMS.map(|realm| (of(realm), realm)).into()
    }

    fn pools<'p>(&'p self, general: &'p Pool) -> impl Iterator<Item = &'p Pool> {
        std::iter::once(general).chain(&self.cluster)
    }
}
