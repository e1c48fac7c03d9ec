//! What the agents of one network namespace tell each other: who holds which address. By names of abstract Unix sockets,
//! which belong to the network namespace as addresses do, need no file, and go with their process, however that ends.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

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
pub struct Lock(#[expect(dead_code, reason = "the name lives as long as its socket")] UnixDatagram);

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

    /// Waits, for at most so long, until no other agent is busy with it.
    pub fn lock(&self, patience: Duration) -> io::Result<Lock> {
        let until = Instant::now() + patience;
        // The end tells it from claims, which end in a number.
        let name = format!("{PREFIX}/lock/{}", self.name());
        loop {
            match bind(&name) {
                Ok(socket) => return Ok(Lock(socket)),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
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
        let error = thing.lock(Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(lock);
        thing.lock(Duration::ZERO).unwrap();
    }
}
