//! The interface that the agent has on a node, in a network namespace of this test's own.
#![cfg(test)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossmesh_e2e::namespace::Namespace;
use crossmesh_e2e::process::{PATIENCE, Process};
use crossmesh_e2e::tools::Tool;
use tempfile::TempDir;

const INTERFACE: &str = "crossmesh-dns";
/// Where the kernel has no interfaces of type dummy.
const OTHER_END: &str = "crossmesh-dns-p";
const ADDRESSES: [&str; 2] = ["169.254.20.10", "fd00:20::10"];
const NAME: &str = "reviews.shop.svc.cluster.local";

struct Node {
    namespace: Namespace,
    folder: TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .unwrap();
        let catalog = "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices:\n  \
                       - {name: reviews, namespace: shop, addresses: [10.1.0.9]}\n";
        fs::write(folder.path().join("east.yaml"), catalog).unwrap();
        Self {
            namespace: Namespace::new().await.unwrap(),
            folder,
        }
    }

    /// The arguments of an agent with the interface, and its folder.
    fn configured(&self, name: &str) -> (Vec<String>, PathBuf) {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let [v4, v6] = ADDRESSES;
        let config = format!(
            "schema: crossmesh-dns/v1\nlisten: [\"{v4}:53\", \"[{v6}]:53\"]\nadmin: 127.0.0.1:15054\nadminSocket: \
             admin.sock\ncluster: {{id: cluster-1, mesh: east}}\ncatalogs: [{{cluster: cluster-1, file: ../east.yaml}}]\n\
             upstreams: {{servers: [127.0.0.1:5353]}}\n"
        );
        let file = folder.join("dns.yaml");
        fs::write(&file, config).unwrap();
        let file = file.display().to_string();
        let arguments = ["--config", &file, "--interface", INTERFACE];
        (arguments.map(str::to_owned).into(), folder)
    }

    /// Starts an agent with the interface and waits until it answers.
    async fn agent(&self, name: &str) -> Process {
        let (arguments, folder) = self.configured(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let inside = self
            .namespace
            .arguments(Tool::DnsAgent, &arguments)
            .unwrap();
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        let log = folder.join("log");
        let mut agent =
            Process::start("the dns-agent", self.namespace.runner(), &inside, &log).unwrap();
        let listening = async || {
            let log = fs::read_to_string(&log).ok()?;
            log.contains("listening dns=").then_some(())
        };
        agent.until("it listened", listening).await.unwrap();
        agent
    }

    async fn links(&self) -> String {
        self.namespace.ip(&["address"]).await.unwrap()
    }

    /// The type of interface that the kernel is to make, and the one that it has made.
    async fn types(&self) -> [String; 2] {
        let probe = ["link", "add", "probe", "type", "dummy"];
        let wanted = match self.namespace.ip(&probe).await {
            Ok(_) => "dummy",
            Err(_) => "veth",
        };
        let show = ["-details", "link", "show", "dev", INTERFACE];
        let details = self.namespace.ip(&show).await.unwrap();
        let words = details.split_whitespace();
        let mut types = words.filter(|word| matches!(*word, "dummy" | "veth"));
        [wanted, types.next().unwrap()].map(str::to_owned)
    }

    async fn has_interface(&self) -> bool {
        self.links().await.contains(INTERFACE)
    }

    async fn answers(&self) {
        for address in ADDRESSES {
            let server = format!("@{address}");
            let asked = [&server, "+short", "+tries=1", NAME, "A"];
            let said = self.namespace.run(Tool::Dig, &asked).await.unwrap();
            assert_eq!(said.stdout, "10.1.0.9\n", "{address}: {}", said.stderr);
        }
    }

    async fn teardown(&self) -> (Option<i32>, String) {
        let arguments = ["teardown", "--interface", INTERFACE];
        let said = self
            .namespace
            .run(Tool::DnsAgent, &arguments)
            .await
            .unwrap();
        (said.code, said.stdout + &said.stderr)
    }
}

#[tokio::test]
async fn the_interface_is_there_while_any_agent_holds_it() {
    let node = Node::new().await;
    let mut first = node.agent("first").await;
    for address in ADDRESSES {
        assert!(
            node.links().await.contains(address),
            "{}",
            node.links().await
        );
    }
    let [wanted, made] = node.types().await;
    assert_eq!(made, wanted);
    node.answers().await;
    let (code, said) = node.teardown().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("an agent holds it; end that first"), "{said}");

    let mut second = node.agent("second").await;
    assert_eq!(first.terminate().await.unwrap(), Some(0), "{}", first.log());
    assert!(node.has_interface().await, "the second one holds it");
    node.answers().await;
    assert_eq!(
        second.terminate().await.unwrap(),
        Some(0),
        "{}",
        second.log()
    );
    assert!(!node.has_interface().await, "{}", node.links().await);
    assert_eq!(
        node.teardown().await,
        (Some(0), "nothing to remove\n".to_owned())
    );
}

#[tokio::test]
async fn what_a_killed_agent_left_is_the_next_ones_or_torn_down() {
    let node = Node::new().await;
    node.agent("first").await.kill();
    assert!(node.has_interface().await);
    let mut second = node.agent("second").await;
    node.answers().await;
    second.kill();
    let deadline = Instant::now() + PATIENCE;
    // The kernel may need a moment to end what was killed.
    while node.teardown().await != (Some(0), "removed\n".to_owned()) {
        assert!(Instant::now() < deadline, "{:?}", node.teardown().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!node.has_interface().await);
}

/// An agent that is killed between making the interface and marking it leaves it with its group alone.
#[tokio::test]
async fn an_interface_that_was_never_marked_is_the_next_agents_or_torn_down() {
    let node = Node::new().await;
    let half_made = async || {
        // What the kernel makes of the first request of an agent, and no more.
        let group = u32::from_be_bytes(*b"cmes").to_string();
        let pair = [
            "link", "add", INTERFACE, "group", &group, "type", "veth", "peer", "name", OTHER_END,
        ];
        node.namespace.ip(&pair).await.unwrap();
    };
    half_made().await;
    assert_eq!(node.teardown().await, (Some(0), "removed\n".to_owned()));
    half_made().await;
    let mut agent = node.agent("first").await;
    node.answers().await;
    let details = node.namespace.ip(&["-details", "link"]).await.unwrap();
    assert!(details.contains("alias crossmesh-dns-agent"), "{details}");
    assert_eq!(agent.terminate().await.unwrap(), Some(0), "{}", agent.log());
    assert!(!node.has_interface().await);
    // An agent that makes one itself makes it so.
    let mut agent = node.agent("second").await;
    let details = node.namespace.ip(&["-details", "link"]).await.unwrap();
    let line = |line: &&str| {
        line.contains(&format!(" {INTERFACE}@")) || line.contains(&format!(" {INTERFACE}:"))
    };
    let first = details.lines().find(line).unwrap();
    assert!(first.contains("group 1668113779"), "{details}");
    agent.kill();
}

#[tokio::test]
async fn an_interface_of_somebody_else_is_not_touched() {
    let node = Node::new().await;
    let pair = [
        "link", "add", INTERFACE, "type", "veth", "peer", "name", "other",
    ];
    node.namespace.ip(&pair).await.unwrap();
    let (code, said) = node.teardown().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("no agent made it"), "{said}");
    let (arguments, _) = node.configured("first");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = node
        .namespace
        .run(Tool::DnsAgent, &arguments)
        .await
        .unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("no agent made it"), "{}", said.stderr);
    assert!(node.has_interface().await);
}
