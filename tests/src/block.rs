//! Loopback addresses of our own: a block 127.0.N.0/24 that only one run uses at a time.
//!
//! The service's port (8080) and the gateway's (15443) are the same in every run, because the policy and the names of
//! the story speak of them; so what differs between two runs is the addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

use anyhow::{Result, bail};

use crate::names::{GATEWAY_PORT, SERVICE_PORT};

/// The blocks that are tried, by their third byte. 127.0.0 is left to the machine and 127.0.1 and 127.0.53 to distributions.
const CANDIDATES: std::ops::RangeInclusive<u8> = 60..=250;

/// A claimed block of loopback addresses; dropping it (or dying) gives it back.
#[derive(Debug)]
pub struct Block {
    third: u8,
    // A name in the network namespace's abstract socket table: exactly as wide as the addresses that it stands for, and
    // the kernel removes it whatever happens to us.
    _claim: UnixListener,
}

impl Block {
    /// Claims the first block that nobody uses and whose service and gateway ports are free.
    pub fn claim() -> Result<Self> {
        let mut taken = None;
        for third in CANDIDATES {
            let name = UnixAddress::from_abstract_name(format!("crossmesh-e2e/127.0.{third}"))?;
            let Ok(claim) = UnixListener::bind_addr(&name) else {
                continue;
            };
            let block = Self {
                third,
                _claim: claim,
            };
            match block.first_taken() {
                None => return Ok(block),
                Some(address) => taken = Some(address),
            }
        }
        match taken {
            Some(address) => bail!(
                "no loopback block is free: something listens on {address} and its like (perhaps on 0.0.0.0); stop it, `ss -ltnp` names it"
            ),
            None => bail!(
                "no loopback block is free: {} runs are under way",
                CANDIDATES.count()
            ),
        }
    }

    /// The address 127.0.N.`host`.
    #[must_use]
    pub fn at(&self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, self.third, host))
    }

    /// The first address of the block, among those that a part may want, where a port of ours is taken.
    fn first_taken(&self) -> Option<SocketAddr> {
        (1..255)
            .flat_map(|host| {
                [SERVICE_PORT, GATEWAY_PORT].map(|port| SocketAddr::new(self.at(host), port))
            })
            .find(|address| TcpListener::bind(address).is_err())
    }
}
