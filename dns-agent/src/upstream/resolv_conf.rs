//! The general servers from a file in the form of resolv.conf(5).

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Upstream;
use crate::{fault::Faults, sources::Watched};

/// How often the file is looked at; servers change seldom.
const PERIOD: Duration = Duration::from_secs(1);

/// Follows the file.
#[derive(Debug)]
pub struct ResolvConf {
    file: PathBuf,
    watched: Watched,
    ourselves: Vec<SocketAddr>,
}

impl ResolvConf {
    /// Follows `file`; `ourselves` are addresses that are never asked.
    pub fn new(file: PathBuf, ourselves: Vec<SocketAddr>) -> Self {
        Self {
            watched: Watched::new(file.clone()),
            file,
            ourselves,
        }
    }

    /// Reads the servers for the first time.
    pub fn first(&mut self) -> Result<Vec<SocketAddr>, Faults> {
        let content = self.watched.first();
        self.servers(content)
    }

    /// Gives every change to `upstream`, until `stop`. A file that is wrong changes nothing.
    pub async fn run(mut self, upstream: &Upstream, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let Some(content) = self.watched.look().await else {
                continue;
            };
            match self.servers(content) {
                Ok(servers) => {
                    info!(?servers, file = %self.file.display(), "upstream servers changed");
                    upstream.set_general(servers);
                }
                Err(faults) => warn!(%faults, "upstream servers kept"),
            }
        }
    }

    fn servers(&self, content: Result<String, String>) -> Result<Vec<SocketAddr>, Faults> {
        let text = content.map_err(|error| {
            Faults::whole_file(
                &self.file,
                format!("the file cannot be read: {error}"),
                "make it readable, or give upstreams.servers instead",
            )
        })?;
        read(&self.file, &text, &self.ourselves)
    }
}

/// Reads the `nameserver` lines, leaving out `ourselves`, who would ask themselves for ever.
pub fn read(file: &Path, text: &str, ourselves: &[SocketAddr]) -> Result<Vec<SocketAddr>, Faults> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        // A zone (`fe80::1%eth0`) is not supported by a plain address and such a line names no server for us.
        let address: IpAddr = address.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    });
    let servers: Vec<SocketAddr> = servers
        .filter(|server| !ourselves.contains(server))
        .collect();
    if servers.is_empty() {
        return Err(Faults::whole_file(
            file,
            "no line names a server other than this agent",
            "add a line \"nameserver ADDRESS\", or give upstreams.servers instead",
        ));
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_the_nameserver_lines_without_ourselves() {
        let text = "search a.b\nnameserver 10.0.0.10\n#nameserver 10.0.0.11\nnameserver  2001:db8::1 \n\
                    nameserver 169.254.20.10\noptions ndots:5\n";
        let ourselves = [([169, 254, 20, 10], 53).into()];
        let servers = read(Path::new("resolv.conf"), text, &ourselves).unwrap();
        assert_eq!(
            servers,
            [
                "10.0.0.10:53".parse().unwrap(),
                "[2001:db8::1]:53".parse().unwrap()
            ]
        );
    }

    #[test]
    fn a_file_without_servers_says_what_to_add() {
        let ourselves = [([10, 0, 0, 10], 53).into()];
        let error = read(Path::new("resolv.conf"), "nameserver 10.0.0.10", &ourselves);
        assert_eq!(
            error.unwrap_err().to_string(),
            "resolv.conf: no line names a server other than this agent; add a line \"nameserver ADDRESS\", or give \
             upstreams.servers instead"
        );
    }
}
