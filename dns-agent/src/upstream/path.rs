//! Which agents a question passes that an upstream server is asked, as they tell each other.
//!
//! An agent answers every name by which somebody looks for loops, whoever asks, with one text for each server that it would
//! have asked itself: who it is, and past which agents that server leads. So whoever asks learns of the agents behind a
//! server without any question going round: the next one it hears of at once, those behind it with the next look.

use crate::wire::Message;

/// How many agents of a path are told.
const LONGEST: usize = 7;
/// How many paths are told.
const MOST: usize = 4;
/// What each text begins with.
const MARK: &[u8] = b"crossmesh-dns-agent";
/// The longest that an agent is called, in bytes.
const NAME: usize = 96;

/// Tells an agent's process from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) u64);

/// The agents that a server leads past, the nearest first. It ends at whom it has come to twice, or where nobody knows of
/// another agent.
pub(super) type Path = Vec<Id>;

/// Who somebody is that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) id: Id,
    /// For people.
    pub(super) name: String,
}

/// What an agent tells: where each of its servers leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) agent: Agent,
    pub(super) paths: Vec<Path>,
}

impl Told {
    /// Whether every way behind the agent leads back to `us`.
    pub(super) fn leads_back_to(&self, us: Id) -> bool {
        self.agent.id == us
            || (!self.paths.is_empty() && self.paths.iter().all(|path| path.contains(&us)))
    }

    /// The way past the agent that leads elsewhere than to `us`, if there is one.
    pub(super) fn path(&self, us: Id) -> Path {
        let mut paths = self.paths.iter();
        let elsewhere = paths.find(|path| !path.contains(&us));
        let behind = elsewhere.or(self.paths.first()).into_iter().flatten();
        let mut path = vec![self.agent.id];
        if self.agent.id == us {
            return path;
        }
        for id in behind.copied().take(LONGEST - 1) {
            let ends = id == us || path.contains(&id);
            path.push(id);
            if ends {
                break;
            }
        }
        path
    }

    /// Reads a reply; `None` when it is no agent's.
    pub(super) fn read(message: &Message) -> Option<Self> {
        let mut told: Option<Self> = None;
        for text in message.texts() {
            let [mark, id, name, path] = text[..] else {
                continue;
            };
            if mark != MARK {
                continue;
            }
            let hops = path.split(|byte| *byte == b' ');
            let hops = hops.filter(|hop| !hop.is_empty()).take(LONGEST + 1);
            let path: Option<Path> = hops.map(read_id).collect();
            let (Some(id), Some(path)) = (read_id(id), path) else {
                continue;
            };
            let agent = Agent {
                id,
                name: printable(&String::from_utf8_lossy(name)),
            };
            told.get_or_insert_with(|| Self {
                agent,
                paths: Vec::new(),
            })
            .paths
            .push(path);
        }
        told
    }
}

impl Agent {
    /// The data of the texts by which we tell where our servers lead.
    pub(super) fn tell(&self, mut paths: Vec<Path>) -> Vec<Vec<u8>> {
        // Whether there is a way that leads past no agent is what matters most.
        paths.sort_by_key(Vec::len);
        paths.dedup();
        paths.truncate(MOST);
        let id = |id: &Id| format!("{:016x}", id.0);
        let name = printable(&self.name);
        let texts = paths.iter().map(|path| {
            let path: Vec<String> = path.iter().take(LONGEST + 1).map(id).collect();
            let parts = [
                MARK,
                id(&self.id).as_bytes(),
                name.as_bytes(),
                path.join(" ").as_bytes(),
            ]
            .map(<[u8]>::to_vec);
            // Each part is shorter than 256 bytes.
            let part =
                |part: Vec<u8>| [&[u8::try_from(part.len()).unwrap_or(0)][..], &part].concat();
            parts.map(part).concat()
        });
        texts.collect()
    }
}

fn read_id(text: &[u8]) -> Option<Id> {
    let text = std::str::from_utf8(text).ok()?;
    u64::from_str_radix(text, 16).ok().map(Id)
}

/// What may stand in a log, whoever sends it.
fn printable(text: &str) -> String {
    let fits = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars().filter(|c| fits(*c)).take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::Key,
        name::Name,
        wire::{Owner, Parsed, Query, Rcode, Section, Writer, ask, parse, rtype},
    };

    fn agent(id: u64) -> Agent {
        Agent {
            id: Id(id),
            name: format!("agent {id}"),
        }
    }

    fn told(id: u64, paths: &[&[u64]]) -> Told {
        let path = |path: &&[u64]| path.iter().copied().map(Id).collect();
        Told {
            agent: agent(id),
            paths: paths.iter().map(path).collect(),
        }
    }

    fn message(texts: &[Vec<u8>]) -> Message {
        let key = Key::own(&Name::parse("a.internal").unwrap(), rtype::TXT);
        let Parsed::Query(query) = parse(&ask(key.question(), 1, true, false, Some(false))) else {
            panic!("a query");
        };
        let query: Query = query;
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, &query, 1232, Rcode::NoError, None);
        for text in texts {
            assert!(writer.record(Section::Answer, Owner::Question, rtype::TXT, 5, text));
        }
        writer.finish();
        Message::parse(out).unwrap()
    }

    #[test]
    fn what_an_agent_tells_is_what_is_read_the_shortest_way_first() {
        let paths = told(0, &[&[1, 2, 1], &[], &[7], &[7]]).paths;
        let texts = agent(9).tell(paths);
        let expected = told(9, &[&[], &[7], &[1, 2, 1]]);
        assert_eq!(Told::read(&message(&texts)), Some(expected));
    }

    #[test]
    fn the_longest_that_is_told_fits_into_a_datagram() {
        let path: Vec<u64> = (0..20).map(|id| u64::MAX - id).collect();
        let paths: Vec<Path> = (0..9)
            .map(|at| path.iter().map(|id| Id(id - at)).collect())
            .collect();
        let long = Agent {
            id: Id(u64::MAX),
            name: "\u{1b}n\u{f6}n-ascii ".repeat(99),
        };
        let texts = long.tell(paths);
        let read = Told::read(&message(&texts)).unwrap();
        assert_eq!(read.paths.len(), MOST);
        assert_eq!(read.agent.name.len(), NAME);
        assert!(read.agent.name.is_ascii());
    }

    #[test]
    fn what_others_say_is_no_agents() {
        let text = |parts: &[&[u8]]| {
            let part = |part: &&[u8]| [&[u8::try_from(part.len()).unwrap()][..], part].concat();
            parts.iter().map(part).collect::<Vec<_>>().concat()
        };
        for other in [
            vec![],
            vec![text(&[b"v=spf1"])],
            vec![text(&[MARK])],
            vec![text(&[MARK, b"xyz", b"name", b""])],
            vec![text(&[b"someone", b"1", b"name", b""])],
            vec![text(&[MARK, b"1", b"name", b"2 x"])],
            vec![b"\xffshort".to_vec()],
        ] {
            assert_eq!(Told::read(&message(&other)), None, "{other:?}");
        }
    }

    #[test]
    fn a_server_leads_back_when_every_way_behind_it_does() {
        let us = Id(1);
        let check = |told: Told, back: bool, path: &[u64]| {
            assert_eq!(told.leads_back_to(us), back, "{told:?}");
            let path: Path = path.iter().copied().map(Id).collect();
            assert_eq!(told.path(us), path, "{told:?}");
        };
        check(told(1, &[&[]]), true, &[1]);
        check(told(2, &[]), false, &[2]);
        check(told(2, &[&[]]), false, &[2]);
        check(told(2, &[&[1, 2]]), true, &[2, 1]);
        check(told(2, &[&[3, 1, 2]]), true, &[2, 3, 1]);
        check(told(2, &[&[1, 2], &[]]), false, &[2]);
        check(told(2, &[&[1, 2], &[3]]), false, &[2, 3]);
        // A loop of others is theirs to mend, and their paths end.
        check(told(2, &[&[3, 2]]), false, &[2, 3, 2]);
        check(told(2, &[&[3, 4, 3]]), false, &[2, 3, 4, 3]);
    }

    /// Agents that ask each other in a ring hear of it as each looks in turn, whoever begins.
    #[test]
    fn every_agent_of_a_ring_finds_itself() {
        for size in 2..=LONGEST as u64 {
            let mut paths: Vec<Path> = vec![Path::new(); usize::try_from(size).unwrap()];
            let mut found = 0;
            for _ in 0..size {
                found = 0;
                for at in 0..size {
                    let next = (at + 1) % size;
                    let told = Told {
                        agent: agent(next),
                        paths: vec![paths[usize::try_from(next).unwrap()].clone()],
                    };
                    found += u64::from(told.leads_back_to(Id(at)));
                    paths[usize::try_from(at).unwrap()] = told.path(Id(at));
                }
            }
            assert_eq!(found, size, "{size}: {paths:?}");
        }
    }
}
