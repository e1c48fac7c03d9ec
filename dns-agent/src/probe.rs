//! Asking an agent of this host how it is, for a kubelet's exec probes and for people.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// Longer than an agent takes that is well.
const PATIENCE: Duration = Duration::from_secs(3);
/// As much of a page as is of interest, in bytes.
const PAGE: u64 = 1 << 20;

/// Where an agent's admin interface is. Not its configuration: whoever changes that file, or ruins it, says nothing of the
/// agent that runs, and a probe that fails ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// `admin`.
    Port(SocketAddr),
    /// `adminSocket`, which is always one agent's own.
    Socket(PathBuf),
}

impl FromStr for At {
    type Err = String;

    /// What is no address with a port is a path, unless it looks like the former.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            return Ok(Self::Port(port));
        }
        if text.contains(':') && !text.contains('/') {
            return Err(
                "neither an IP address with a port, such as 127.0.0.1:15054 or [::1]:15054, nor a path with a `/`: a \
                 host's name is not looked up"
                    .to_owned(),
            );
        }
        Ok(Self::Socket(text.into()))
    }
}

/// Asks for a page such as `/readyz`. Gives what it says and whether that is good.
pub fn probe(at: &At, path: &str) -> Result<(String, bool)> {
    let reply = match at {
        At::Socket(socket) => {
            let stream = UnixStream::connect(socket)
                .with_context(|| format!("no agent answers at {}", socket.display()))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream, path)
        }
        At::Port(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)
                .with_context(|| format!("no agent answers at {address}"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream, path)
        }
    };
    let reply = reply.with_context(|| format!("the agent gives no answer for {path}"))?;
    let Some((head, page)) = reply.split_once("\r\n\r\n") else {
        bail!("what answers is no agent: {reply}");
    };
    let good = head.split(' ').nth(1) == Some("200");
    Ok((page.to_owned(), good))
}

/// By HTTP/1.0, where the end of the page is the end of the connection.
fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\nhost: agent\r\n\r\n")?;
    let mut reply = String::new();
    stream.take(PAGE).read_to_string(&mut reply)?;
    Ok(reply)
}
