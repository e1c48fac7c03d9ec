//! The forms of single values. Each says what is wrong and what to give; clap adds the flag and the value.

use std::net::IpAddr;
use std::time::Duration;

/// A TCP port, 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err("not a port; give a number from 1 to 65535".into()),
    }
}

/// An IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        "not an IP address; give one such as 10.0.0.1 or 2001:db8::1, without port".into()
    })
}

/// An HTTP method.
pub(super) fn method(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_owned())
    } else {
        Err("not an HTTP method; give one such as GET".into())
    }
}

/// The path of a request, or the `*` of OPTIONS.
pub(super) fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') || text == "*" {
        Ok(text.to_owned())
    } else {
        Err("not the path of a request; begin it with '/'".into())
    }
}

/// A header line; the name in lower case, as Envoy has it.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("there is no '='; give NAME=VALUE")?;
    let name = name.to_ascii_lowercase();
    match &*name {
        "host" | ":authority" => Err("not a header to Envoy; give --host".into()),
        ":method" => Err("not a header to the policy; give --method".into()),
        ":path" => Err("not a header to the policy; give --path".into()),
        _ if !is_token(&name) => Err(format!("{name:?} is not a header's name; give NAME=VALUE")),
        _ => Ok((name, value.trim_matches([' ', '\t']).to_owned())),
    }
}

/// A key, not empty, and its value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) => Err("the key is empty; give KEY=VALUE".into()),
        None => Err("there is no '='; give KEY=VALUE".into()),
    }
}

/// A name without a namespace.
pub(super) fn plain_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("empty; give a name or leave the flag out".into())
    } else if text.contains('/') {
        Err("the name alone is wanted, without '/'; the namespace has its own flag, --node-namespace".into())
    } else {
        Ok(text.to_owned())
    }
}

/// A name as Kubernetes names namespaces (RFC 1123).
pub(super) fn label(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.is_empty() && text.len() <= 63 && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("not a namespace; give its name, such as shop".into())
    }
}

/// `HOST:PORT`, also out of a URL without a path.
pub(super) fn agent(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text);
    let address = address.strip_suffix('/').unwrap_or(address);
    match address.rsplit_once(':') {
        Some((host, digits))
            if !host.is_empty() && port(digits).is_ok() && !address.contains('/') =>
        {
            Ok(address.to_owned())
        }
        _ => Err(
            "not an address with a port; give HOST:PORT, such as 10.0.0.7:15054 or [::1]:15054"
                .into(),
        ),
    }
}

/// Whole seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds from 1 to 3600".into()),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
