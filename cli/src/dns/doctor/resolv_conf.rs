//! Reading resolv.conf(5), as the C libraries do.

use std::net::IpAddr;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// Of the `nameserver` lines.
    pub(super) servers: Vec<IpAddr>,
    /// Of the last `search` or `domain` line.
    pub(super) search: Vec<String>,
    /// `options ndots:N`; 1 where it does not say.
    pub(super) ndots: u8,
    /// `options rotate`.
    pub(super) rotate: bool,
}

/// Reads a file. What the C libraries pass over is passed over.
pub(super) fn read(text: &str) -> ResolvConf {
    let mut found = ResolvConf {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        rotate: false,
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                // A zone (`fe80::1%eth0`) tells an interface, not a server.
                let address = words.next().and_then(|word| word.split('%').next());
                found
                    .servers
                    .extend(address.and_then(|word| word.parse::<IpAddr>().ok()));
            }
            Some("search" | "domain") => {
                let domains = words.map(|word| word.trim_end_matches('.').to_ascii_lowercase());
                found.search = domains.filter(|domain| !domain.is_empty()).collect();
            }
            Some("options") => {
                for option in words {
                    if let Some(ndots) = option.strip_prefix("ndots:") {
                        found.ndots = ndots.parse().unwrap_or(found.ndots);
                    }
                    found.rotate |= option == "rotate";
                }
            }
            _ => {}
        }
    }
    found
}
