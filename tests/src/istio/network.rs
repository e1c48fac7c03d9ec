//! The two network namespaces of a mesh with one pod, and what leads the pod's traffic through its sidecar.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};

use crate::command::Command;
use crate::namespace::Namespace;
use crate::tools::Tool;

/// The world's address, as the pod sees it.
pub const WORLD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 44, 0, 1));
/// The pod's address.
pub const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 44, 0, 2));
/// The address of istiod's Service, in the range of [`crate::kubernetes::alone`].
pub const ISTIOD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

/// The user that is the proxy: root, who alone may read the toolbox everywhere. In a real pod it is 1337.
const PROXY: &str = "0";

/// Both namespaces, joined. Nothing of it can be seen from outside.
#[derive(Debug)]
pub struct Network {
    /// Where everything is but the pod.
    pub world: Namespace,
    /// Where the pod's application and its sidecar are.
    pub pod: Namespace,
}

impl Network {
    /// Makes them.
    pub async fn new() -> Result<Self> {
        let (world, pod) = (Namespace::new().await?, Namespace::new().await?);
        let link = [
            "link", "add", "pod", "type", "veth", "peer", "name", "eth0", "netns",
        ];
        world.ip(&[&link[..], &[pod.name()]].concat()).await?;
        let ends = [(&world, "pod", WORLD), (&pod, "eth0", POD)];
        for (namespace, link, address) in ends {
            let address = format!("{address}/24");
            namespace
                .ip(&["address", "add", &address, "dev", link])
                .await?;
            namespace.ip(&["link", "set", link, "up"]).await?;
        }
        let gateway = WORLD.to_string();
        pod.ip(&["route", "add", "default", "via", &gateway])
            .await?;
        // There is no kube-proxy: the Service's address is istiod's own.
        let service = format!("{ISTIOD}/32");
        world.ip(&["address", "add", &service, "dev", "lo"]).await?;
        Ok(Self { world, pod })
    }

    /// Leads what comes to the pod, and what goes out of it, to its sidecar: what the init container of a real pod does.
    pub async fn capture(&self) -> Result<()> {
        let iptables = Tool::Iptables.path()?;
        let folder = iptables.parent().context("iptables is in a folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("PATH={}:{path}", folder.display());
        let agent = Tool::PilotAgent.path()?.display().to_string();
        let said = Command::ip()?
            .args(["netns", "exec", self.pod.name(), "env", &path, &agent])
            .args(["istio-iptables", "-p", "15001", "-z", "15006", "-u", PROXY])
            .args([
                "-g", PROXY, "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*",
            ])
            .args(["-d", "15090,15021,15020"])
            .run()
            .await?;
        ensure!(said.code == Some(0), "istio-iptables: {said:?}");
        Ok(())
    }
}
