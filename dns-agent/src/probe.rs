//! Asking an agent of this host how it is, for a kubelet's exec probes and for people.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::config::Config;

/// Longer than an agent takes that is well.
const PATIENCE: Duration = Duration::from_secs(3);
/// As much of a page as is of interest, in bytes.
const PAGE: u64 = 1 << 20;

/// Asks for a page such as `/readyz`, at the admin socket if there is one, which is always this configuration's own agent's.
/// Gives what it says and whether that is good.
pub fn probe(config: &Config, path: &str) -> Result<(String, bool)> {
    let reply = match &config.admin_socket {
        Some(socket) => {
            let stream = UnixStream::connect(socket)
                .with_context(|| format!("no agent answers at {}", socket.display()))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream, path)
        }
        None => {
            let stream = TcpStream::connect_timeout(&config.admin, PATIENCE)
                .with_context(|| format!("no agent answers at {}", config.admin))?;
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
