//! A request as matchers see it: normalized once, when a rule first asks, then asked by every rule.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use crate::host;
use crate::path::PathForms;
use crate::request::{HttpRequest, Protocol, Request};
use crate::source::Source;
use crate::truth::Fact;
use crate::work;

/// All that is known when a decision is made.
pub(crate) struct Facts<'a> {
    pub(crate) source: &'a Source,
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) sni: Option<Cow<'a, [u8]>>,
    http: Option<HttpFacts<'a>>,
}

struct HttpFacts<'a> {
    request: HttpRequest<'a>,
    host: OnceCell<Option<Cow<'a, [u8]>>>,
    path: OnceCell<Option<PathForms<'a>>>,
    /// For each header line that is the first of its name: the values of all of that name.
    values: OnceCell<Box<[Values<'a>]>>,
}

type Values<'a> = OnceCell<Option<Box<[&'a [u8]]>>>;

/// More values of one header than this are not looked at: they are not known then. Nobody sends as many in earnest, and each
/// rule that asks may have to look at all of them.
pub(crate) const MOST_VALUES: usize = 128;

impl<'a> Facts<'a> {
    pub(crate) fn new(source: &'a Source, request: &Request<'a>) -> Self {
        let http = match request.protocol {
            Protocol::Http(request) => Some(HttpFacts {
                request,
                host: OnceCell::new(),
                path: OnceCell::new(),
                values: OnceCell::new(),
            }),
            Protocol::Tcp => None,
        };
        Self {
            source,
            source_ip: request.source_ip,
            port: request.port,
            sni: request.sni.and_then(named),
            http,
        }
    }

    /// Whether this is a connection: all that HTTP would tell is unknown.
    pub(crate) fn is_connection(&self) -> bool {
        self.http.is_none()
    }

    pub(crate) fn host(&self) -> Fact<&[u8]> {
        self.http(|http| {
            let host = http.host.get_or_init(|| http.request.host.and_then(named));
            host.as_deref()
        })
    }

    pub(crate) fn method(&self) -> Fact<&[u8]> {
        self.http(|http| http.request.method.filter(|method| !method.is_empty()))
    }

    pub(crate) fn path(&self) -> Fact<&PathForms<'a>> {
        self.http(|http| {
            let path = http.path.get_or_init(|| {
                let path = http.request.path.filter(|path| !path.is_empty());
                path.map(PathForms::new)
            });
            path.as_ref()
        })
    }

    /// All values of a header: every line, split at its commas (RFC 9110 §5.3), white space around them cut. Absent
    /// if there is no such line, unknown if there are too many values. Split once, however many rules ask.
    pub(crate) fn header(&self, name: &str) -> Fact<&[&'a [u8]]> {
        let found = self.http(|http| {
            let lines = http.request.headers;
            let of_it = |(key, _): &(&[u8], &[u8])| *key == name.as_bytes();
            let first = lines.iter().position(of_it)?;
            let values = http
                .values
                .get_or_init(|| lines.iter().map(|_| OnceCell::new()).collect());
            let values = values.get(first)?.get_or_init(|| {
                let lines = lines.iter().filter(|line| of_it(line));
                let values = lines.flat_map(|(_, line)| {
                    work::done(line.len());
                    line.split(|b| *b == b',')
                });
                let some: Vec<_> = values.take(MOST_VALUES.saturating_add(1)).collect();
                (some.len() <= MOST_VALUES)
                    .then(|| some.into_iter().map(<[u8]>::trim_ascii).collect())
            });
            Some(values.as_deref())
        });
        match found {
            Fact::Is(values) => values.map_or(Fact::Unknown, Fact::Is),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        }
    }

    /// The names of all header lines.
    pub(crate) fn header_names(&self) -> Fact<impl Iterator<Item = &[u8]>> {
        self.http(|http| Some(http.request.headers.iter().map(|(name, _)| *name)))
    }

    fn http<'s, T>(&'s self, read: impl FnOnce(&'s HttpFacts<'a>) -> Option<T>) -> Fact<T> {
        match &self.http {
            None => Fact::Unknown,
            Some(http) => read(http).into(),
        }
    }
}

/// The host that a client names. An empty one names none: it is as absent as Envoy's empty attributes are.
fn named(host: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(host::normalized(host)).filter(|host| !host.is_empty())
}
