//! Where the admin interface is served: at a TCP port, and at a Unix socket that only the agent's own pod sees.
//!
//! While two agents overlap, the port is the older one's until that has gone: whoever asks there must not get now the one
//! and now the other. A pod's probes ask at the socket, and so always their own agent.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Admin, connections};
use crate::presence::{Claim, Thing};

/// How often is looked whether the port is free.
const PERIOD: Duration = Duration::from_millis(100);

/// The places of the admin interface.
#[derive(Debug)]
pub struct Doors {
    address: SocketAddr,
    /// `None`: another agent has it.
    port: Option<(TcpListener, Claim)>,
    socket: Option<Socket>,
}

/// A Unix socket, whose file goes with it.
#[derive(Debug)]
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Otherwise the next agent removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Doors {
    /// Takes the socket, and the port unless another agent has it and there is a socket.
    pub async fn open(address: SocketAddr, socket: Option<&Path>) -> Result<Self> {
        let failed = || format!("cannot listen for admin requests on {address}");
        let port = match open(address).await {
            Ok(port) => Some(port),
            Err(error) if is_anothers(&error, address) => None,
            Err(error) => return Err(error).with_context(failed),
        };
        if port.is_none() && socket.is_none() {
            bail!(
                "{}: another agent has it; end that, or write adminSocket into the configurations of both so that one can \
                 take the other's place",
                failed()
            );
        }
        let socket = match socket {
            Some(path) => Some(Socket::open(path).with_context(|| {
                format!("cannot listen for admin requests at {}", path.display())
            })?),
            None => None,
        };
        Ok(Self {
            address: match &port {
                Some((listener, _)) => listener.local_addr()?,
                None => address,
            },
            port,
            socket,
        })
    }

    /// The port's address; another agent's while that has it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn serve(self, admin: Admin, stop: CancellationToken) -> io::Result<()> {
        let routes = admin.routes();
        let socket = async {
            if let Some(socket) = self.socket {
                let listener = connections::Listener::Unix(&socket.listener);
                connections::serve(listener, routes.clone(), stop.clone()).await;
            }
        };
        let port = async {
            let port = match self.port {
                Some(port) => Some(port),
                None => until_free(self.address, &stop).await?,
            };
            if let Some((listener, claim)) = port {
                let door = connections::Listener::Tcp(&listener);
                connections::serve(door, routes.clone(), stop.clone()).await;
                drop((listener, claim));
            }
            Ok(())
        };
        let ((), served) = tokio::join!(socket, port);
        served
    }
}

async fn open(address: SocketAddr) -> io::Result<(TcpListener, Claim)> {
    let listener = TcpListener::bind(address).await?;
    let claim = Thing::Admin(listener.local_addr()?).claim()?;
    Ok((listener, claim))
}

fn is_anothers(error: &io::Error, address: SocketAddr) -> bool {
    error.kind() == io::ErrorKind::AddrInUse && Thing::Admin(address).is_held()
}

async fn until_free(
    address: SocketAddr,
    stop: &CancellationToken,
) -> io::Result<Option<(TcpListener, Claim)>> {
    warn!(%address, "another agent has the admin port; until it has gone, only the admin socket is ours");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(PERIOD) => {}
        }
        match open(address).await {
            Ok(port) => {
                info!(%address, "the admin port is ours");
                return Ok(Some(port));
            }
            // In between it is nobody's, and may become somebody else's: queries are answered all the same.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

impl Socket {
    fn open(path: &Path) -> Result<Self> {
        clear(path)?;
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }
}

/// Makes room where an agent that was killed left its socket; nobody answers there. Anything else that is there stays.
fn clear(path: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        bail!(
            "something is there that is no socket, and stays; remove it, or write another path into adminSocket"
        );
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another process serves it; give each agent a path of its own"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(fs::remove_file(path)?)
        }
        Err(error) => Err(error).context(
            "there is a socket of which nobody knows whether it is served; remove it, or write another path into adminSocket",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(path: &Path, problem: &str) {
        let before = fs::symlink_metadata(path).unwrap();
        let error = Socket::open(path).unwrap_err();
        assert!(format!("{error:#}").contains(problem), "{error:#}");
        let after = fs::symlink_metadata(path).unwrap();
        assert_eq!(before.file_type(), after.file_type());
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_serves_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (left, target) = (path("left"), path("target"));
        fs::write(path("file"), "precious").unwrap();
        check(&path("file"), "no socket").await;
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
        fs::create_dir(path("folder")).unwrap();
        check(&path("folder"), "no socket").await;
        std::os::unix::fs::symlink(&target, path("link")).unwrap();
        check(&path("link"), "no socket").await;

        // The file of a socket stays when its process was killed.
        drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
        let socket = Socket::open(&left).unwrap();
        check(&left, "another process serves it").await;
        drop(socket);
        assert!(!left.exists());
        drop(Socket::open(&path("new")).unwrap());
    }
}
