//! A network interface that has the agent's addresses while any agent runs. The only place that speaks to the kernel's
//! routing interface (rtnetlink(7)).
//!
//! Agents that overlap hold it together: the first makes it, the last removes it. One that was killed leaves it, with its
//! mark, to the next agent or to `teardown`. An interface without our mark is never touched.

use std::{io, net::IpAddr, str::FromStr, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::TryStreamExt as _;
use rtnetlink::{
    Error, Handle, LinkDummy, LinkUnspec, LinkVeth, new_connection,
    packet_route::{
        address::AddressHeaderFlags,
        link::{LinkAttribute, LinkMessage},
    },
};
use tracing::{info, warn};

use crate::presence::{Claim, Lock, Thing};

/// By which we know an interface of ours: its alias (`ip link` shows it).
const MARK: &str = "crossmesh-dns-agent";
/// By which we know one that was not marked yet when its maker was killed: its group (`ip -details link` shows it), which the
/// kernel sets as it makes the interface, as it does not set the alias. Nobody else's number by chance: "cmes" in ASCII.
const GROUP: u32 = u32::from_be_bytes(*b"cmes");
/// The longest name, in bytes: IFNAMSIZ without its final zero.
const LONGEST: usize = 15;
/// How long another agent may be busy with the interface.
const PATIENCE: Duration = Duration::from_secs(5);

/// A name that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName(String);

impl FromStr for InterfaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            |character: char| character == '/' || character == ':' || character.is_whitespace();
        if text.is_empty()
            || text.len() > LONGEST
            || text.contains(bad)
            || text == "."
            || text == ".."
        {
            return Err(format!(
                "write 1 to {LONGEST} characters without spaces, slashes and colons"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Our part in an interface.
#[derive(Debug)]
pub struct Interface {
    name: String,
    claim: Claim,
}

impl Interface {
    /// Makes the interface unless it is there, and gives it these addresses.
    pub async fn hold(name: &InterfaceName, addresses: &[IpAddr]) -> Result<Self> {
        let InterfaceName(name) = name.clone();
        let held = async {
            let lock = lock(&name)?;
            let claim = Thing::Interface(name.clone()).claim()?;
            ask(async |handle| give(handle, &name, addresses).await).await?;
            drop(lock);
            Ok::<_, anyhow::Error>(claim)
        };
        let claim = held
            .await
            .with_context(|| format!("cannot have the interface {name}"))?;
        Ok(Self { name, claim })
    }

    /// Removes the interface, unless another agent holds it too.
    pub async fn release(self) -> Result<()> {
        let Self { name, claim } = self;
        let lock = lock(&name)?;
        drop(claim);
        if Thing::Interface(name.clone()).is_held() {
            info!(
                interface = name,
                "another agent holds the interface, which stays"
            );
        } else {
            remove(&name)
                .await
                .with_context(|| format!("cannot remove the interface {name}"))?;
        }
        drop(lock);
        Ok(())
    }
}

/// Removes what agents left that were killed. Whether there was anything.
pub async fn teardown(name: &InterfaceName) -> Result<bool> {
    let InterfaceName(name) = name;
    let failed = || format!("cannot remove the interface {name}");
    let lock = lock(name).with_context(failed)?;
    if Thing::Interface(name.clone()).is_held() {
        bail!("{}: an agent holds it; end that first", failed());
    }
    let removed = remove(name).await.with_context(failed)?;
    drop(lock);
    Ok(removed)
}

fn lock(name: &str) -> Result<Lock> {
    let thing = Thing::Interface(name.to_owned());
    thing
        .lock(PATIENCE)
        .context("another agent is busy with it")
}

async fn remove(name: &str) -> Result<bool> {
    ask(async |handle| {
        let Some(link) = find(handle, name).await? else {
            return Ok(false);
        };
        let index = ours(&link)?;
        handle.link().del(index).execute().await.map_err(told)?;
        info!(interface = name, "interface removed");
        Ok(true)
    })
    .await
}

async fn give(handle: &Handle, name: &str, addresses: &[IpAddr]) -> Result<()> {
    let index = match find(handle, name).await? {
        Some(link) => ours(&link)?,
        None => make(handle, name).await?,
    };
    complete(handle, name, index).await?;
    for address in addresses {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let mut request = handle.address().add(index, *address, length).replace();
        // Nobody else can have it, and until that were known nobody could listen there (RFC 4862 §5.4).
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        request.execute().await.map_err(told)?;
    }
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.map_err(told)
}

/// Makes the interface, not yet complete.
async fn make(handle: &Handle, name: &str) -> Result<u32> {
    let [best, other] = kinds(name);
    if let Err(error) = handle.link().add(best).execute().await {
        if !is_unknown_kind(&error) {
            return Err(told(error));
        }
        warn!(
            interface = name,
            other = other_end(name),
            "the kernel has no interfaces of type dummy; made one of type veth"
        );
        handle.link().add(other).execute().await.map_err(told)?;
    }
    let link = find(handle, name).await?;
    let link = link.context("it was removed while it was made")?;
    info!(interface = name, "interface made");
    Ok(link.header.index)
}

/// What an interface of ours is: of type dummy, or where the kernel has none, one end of a pair, whose other end nobody uses.
fn kinds(name: &str) -> [LinkMessage; 2] {
    let dummy = LinkDummy::new(name).link_group(GROUP).up().build();
    let pair = LinkVeth::new(name, &other_end(name))
        .link_group(GROUP)
        .up()
        .build();
    [dummy, pair]
}

/// Whatever an interface of ours still lacks, also one whose maker was killed over it.
async fn complete(handle: &Handle, name: &str, index: u32) -> Result<()> {
    let other = find(handle, &other_end(name)).await?;
    let is_other = |link: &LinkMessage| link.attributes.contains(&LinkAttribute::Link(index));
    if let Some(other) = other.filter(is_other) {
        let up = LinkUnspec::new_with_index(other.header.index).up().build();
        handle.link().set(up).execute().await.map_err(told)?;
    }
    let mark = LinkUnspec::new_with_index(index).alias(MARK).build();
    handle.link().set(mark).execute().await.map_err(told)
}

/// The other end, where the interface is one of a pair.
fn other_end(name: &str) -> String {
    name.chars().take(LONGEST - 2).collect::<String>() + "-p"
}

/// The interface's index, if we made it.
fn ours(link: &LinkMessage) -> Result<u32> {
    let has = |attribute| link.attributes.contains(&attribute);
    if !has(LinkAttribute::IfAlias(MARK.to_owned())) && !has(LinkAttribute::Group(GROUP)) {
        bail!("it is there and no agent made it (its alias is not {MARK}); choose another name");
    }
    Ok(link.header.index)
}

async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(link) => Ok(link),
        Err(error) if code(&error) == Some(NO_DEVICE) => Ok(None),
        Err(error) => Err(told(error)),
    }
}

/// ENODEV and EOPNOTSUPP (errno(3)).
const NO_DEVICE: i32 = 19;
const NOT_SUPPORTED: i32 = 95;

fn is_unknown_kind(error: &Error) -> bool {
    code(error) == Some(NOT_SUPPORTED)
}

fn code(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}

/// The kernel's word, and what to do about it.
fn told(error: Error) -> anyhow::Error {
    let Error::NetlinkError(message) = &error else {
        return error.into();
    };
    let error = message.to_io();
    if error.kind() == io::ErrorKind::PermissionDenied {
        return anyhow!(
            "{error}; the agent needs the capability NET_ADMIN: add it to the container's, or make the interface otherwise and \
             leave --interface out"
        );
    }
    error.into()
}

async fn ask<T>(work: impl AsyncFnOnce(&Handle) -> Result<T>) -> Result<T> {
    let (connection, handle, _) =
        new_connection().context("cannot speak to the kernel about it")?;
    tokio::select! {
        result = work(&handle) => result,
        () = connection => bail!("the kernel ended the conversation about it"),
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::{InfoKind, LinkInfo};

    use super::*;

    #[test]
    fn an_interface_is_a_dummy_before_it_is_one_end_of_a_pair() {
        let kinds = kinds("crossmesh-dns").map(|link| {
            assert!(link.attributes.contains(&LinkAttribute::Group(GROUP)));
            let kind = |attribute| match attribute {
                LinkAttribute::LinkInfo(info) => info.into_iter().find_map(|of| match of {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                }),
                _ => None,
            };
            link.attributes.into_iter().find_map(kind).unwrap()
        });
        assert_eq!(kinds, [InfoKind::Dummy, InfoKind::Veth]);
    }

    #[test]
    fn a_name_is_one_that_the_kernel_takes() {
        let check = |text: &str, good: bool| {
            assert_eq!(text.parse::<InterfaceName>().is_ok(), good, "{text:?}");
        };
        check("crossmesh-dns", true);
        check("fifteen-letters", true);
        check("sixteen--letters", false);
        for text in ["", ".", "..", "a/b", "a b", "a:1"] {
            check(text, false);
        }
    }
}
