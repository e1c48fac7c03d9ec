//! What the agents of one network namespace tell each other: who holds which address. By names of abstract Unix sockets,
//! which belong to the network namespace as addresses do, need no file, and go with their process, however that ends.
//!
//! Any process of the network namespace can bind such a name, whoever runs it. So nothing here is more than a hint, and who
//! lies gains nothing: an address counts as an agent's only while it is in use, and is joined only where the kernel finds
//! the same user at it; a claim of an interface only leaves that where it is; and no lock is waited for for ever.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

use tracing::warn;

/// What all our names begin with.
const PREFIX: &str = "crossmesh-dns-agent";

/// What an agent may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An address where queries are answered, both ports.
    Dns(SocketAddr),
    /// An address of the admin interface.
    Admin(SocketAddr),
    /// A network interface that agents keep while they run.
    Interface(String),
}

/// A word to the others that this process holds something. Drop it after the thing itself.
#[derive(Debug)]
pub struct Claim(
    #[expect(dead_code, reason = "the name lives as long as its socket")] UnixDatagram,
);

/// Nobody else of us is inside while this is held.
#[derive(Debug)]
pub struct Lock(
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the name lives as long as its socket")
    )]
    Option<UnixDatagram>,
);

impl Thing {
    fn name(&self) -> String {
        match self {
            Self::Dns(address) => format!("{PREFIX}/dns/{address}/"),
            Self::Admin(address) => format!("{PREFIX}/admin/{address}/"),
            Self::Interface(name) => format!("{PREFIX}/interface/{name}/"),
        }
    }

    /// Tells the others that this process holds it.
    pub fn claim(&self) -> io::Result<Claim> {
        let unique = getrandom::u64().map_err(io::Error::other)?;
        bind(&format!("{}{unique:016x}", self.name())).map(Claim)
    }

    /// Whether any agent holds it, this process included.
    pub fn is_held(&self) -> bool {
        // Where the kernel does not tell, nobody is known to hold anything.
        let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let name = format!("@{}", self.name());
        table
            .lines()
            .filter_map(|line| line.rsplit(' ').next())
            .any(|path| path.starts_with(&name))
    }

    /// Waits until no other agent is busy with it. An agent is for a moment: who is for longer than `patience` hangs, or is
    /// none, and must not keep others from their work.
    pub fn lock(&self, patience: Duration) -> io::Result<Lock> {
        let until = Instant::now() + patience;
        // The end tells it from claims, which end in a number.
        let name = format!("{PREFIX}/lock/{}", self.name());
        loop {
            match bind(&name) {
                Ok(socket) => return Ok(Lock(Some(socket))),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => {
                    warn!(
                        socket = format!("@{name}"),
                        "a process keeps the agents' lock, as no agent does; going on without it (ss -xlp, or /proc/net/unix, \
                         shows the socket)"
                    );
                    return Ok(Lock(None));
                }
            }
        }
    }
}

fn bind(name: &str) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_held_while_anybody_claims_it() {
        let thing = Thing::Dns("127.0.0.1:9".parse().unwrap());
        let other = Thing::Dns("127.0.0.1:99".parse().unwrap());
        assert!(!thing.is_held());
        let first = thing.claim().unwrap();
        let second = thing.claim().unwrap();
        assert!(thing.is_held() && !other.is_held());
        drop(first);
        assert!(thing.is_held());
        drop(second);
        assert!(!thing.is_held());
    }

    #[test]
    fn a_lock_is_for_one_and_is_no_claim() {
        let thing = Thing::Interface("lock-test".to_owned());
        let lock = thing.lock(Duration::ZERO).unwrap();
        assert!(!thing.is_held());
        let waits = {
            let thing = thing.clone();
            std::thread::spawn(move || thing.lock(Duration::from_secs(20)).unwrap())
        };
        drop(lock);
        let second = waits.join().unwrap();
        assert!(second.0.is_some());
    }

    #[test]
    fn a_lock_that_somebody_keeps_stops_nobody() {
        let thing = Thing::Interface("kept-lock".to_owned());
        let _kept = thing.lock(Duration::ZERO).unwrap();
        let without = thing.lock(Duration::from_millis(10)).unwrap();
        assert!(without.0.is_none());
    }
}
