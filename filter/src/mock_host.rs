//! A host for the filter that runs in its own process: it defines the functions that Envoy provides (`functions`), and
//! drives the functions that the filter exports. Its state is the thread's, as a VM is a worker's: tests do not meet.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a panic is how a find is told"
)]
#![expect(
    unsafe_code,
    reason = "the ABI's functions have C names and raw pointers"
)]

pub(crate) mod certificates;
mod functions;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::host::Action;

/// Everything that the host knows, and everything that the filter told it.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) configuration: Vec<u8>,
    /// What the client of a connection says.
    pub(crate) said: Vec<u8>,
    /// By path, components joined with dots.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes answered in place of the encoded headers.
    pub(crate) raw_headers: Option<Vec<u8>>,
    pub(crate) filter_state: BTreeMap<String, String>,
    pub(crate) counters: BTreeMap<String, i64>,
    /// What was recorded in histograms.
    pub(crate) histograms: BTreeMap<String, Vec<u64>>,
    /// The local reply given last.
    pub(crate) reply: Option<Reply>,
    /// The contexts that were answered by one.
    replied: BTreeSet<u32>,
    /// What `declare_property` was called with.
    pub(crate) declared: Vec<Vec<u8>>,
    /// Level and message.
    pub(crate) logs: Vec<(u32, String)>,
    pub(crate) log_level: u32,
    /// The status that a function answers instead of doing its work.
    pub(crate) statuses: HashMap<&'static str, i32>,
    /// By how much the sizes of what is handed over are wrong.
    pub(crate) wrong_by: isize,
    /// How often each function was called.
    pub(crate) calls: BTreeMap<String, usize>,
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
    /// Connections that the filter closed, by context.
    pub(crate) closed: Vec<u32>,
    /// What each root context last asked for, itself or through one of its streams.
    pub(crate) tick_period: BTreeMap<u32, u32>,
    /// Attributes of one context only, in place of those above.
    pub(crate) attributes_of: BTreeMap<u32, BTreeMap<String, Vec<u8>>>,
    /// What VMs share, by key: value and version.
    pub(crate) shared: BTreeMap<String, (Vec<u8>, u32)>,
    /// What another VM writes, to whichever key, right after the filter wrote without comparing.
    pub(crate) written_meanwhile: Option<Vec<u8>>,
    /// By stream: its root context.
    root_of: BTreeMap<u32, u32>,
    /// The context that calls are about.
    effective: u32,
    /// Metrics' names by number.
    defined: Vec<String>,
}

impl Host {
    /// The map of a request with this number.
    fn map(&mut self, map: u32) -> &mut Vec<(Vec<u8>, Vec<u8>)> {
        match map {
            0 => &mut self.headers,
            1 => &mut self.trailers,
            _ => panic!("only the request's headers and trailers are looked at"),
        }
    }

    /// The name of the metric with this number.
    fn defined(&self, id: u32) -> Option<String> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.defined.get(index).cloned()
    }
}

/// A local reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) details: String,
    pub(crate) body: String,
    pub(crate) grpc_status: i32,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
    /// The number of the next context: never that of an earlier one, be it of another VM.
    static NEXT: Cell<u32> = const { Cell::new(1) };
}

/// Looks at the host, or changes it.
pub(crate) fn host<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(f)
}

unsafe extern "C" {
    fn proxy_on_context_create(context: u32, root: u32);
    fn proxy_on_configure(root: u32, size: usize) -> u32;
    fn proxy_on_tick(root: u32);
    fn proxy_on_new_connection(context: u32) -> Action;
    fn proxy_on_downstream_data(context: u32, size: usize, end: u32) -> Action;
    fn proxy_on_upstream_data(context: u32, size: usize, end: u32) -> Action;
    fn proxy_on_request_headers(context: u32, headers: usize, end: u32) -> Action;
    fn proxy_on_request_trailers(context: u32, trailers: usize) -> Action;
    fn proxy_on_response_headers(context: u32, headers: usize, end: u32) -> Action;
    fn proxy_on_delete(context: u32);
}

/// One VM with plugins.
pub(crate) struct Vm {
    /// The root context made last.
    pub(crate) root: u32,
}

impl Vm {
    /// Starts the VM; the plugin is not yet configured.
    pub(crate) fn start() -> Self {
        crate::host::callbacks::_initialize();
        let mut vm = Self { root: 0 };
        vm.plugin();
        vm
    }

    /// Makes another root context, as Envoy does for another configuration, be it of the same plugin. Configuration and
    /// streams from now on are its.
    pub(crate) fn plugin(&mut self) -> u32 {
        self.root = take();
        let root = self.root;
        self.call(root, || {
            // SAFETY: the filter's exported functions, called in the order of the ABI.
            unsafe { proxy_on_context_create(root, 0) };
        });
        root
    }

    /// Gives the plugin a configuration: whether it takes it.
    pub(crate) fn configure(&mut self, configuration: &[u8]) -> bool {
        host(|host| host.configuration = configuration.to_vec());
        // SAFETY: as above.
        self.call(self.root, || unsafe {
            proxy_on_configure(self.root, configuration.len()) != 0
        })
    }

    /// Lets the time of a root context's tick come.
    pub(crate) fn tick(&mut self, root: u32) {
        // SAFETY: as above.
        self.call(root, || unsafe { proxy_on_tick(root) });
    }

    /// One request from its first callback to its last, as Envoy makes them.
    #[cfg(test)]
    pub(crate) fn request(&mut self) -> Action {
        let context = self.open();
        let action = self.request_headers(context);
        self.close(context);
        action
    }

    /// Begins a stream.
    pub(crate) fn open(&mut self) -> u32 {
        let context = take();
        host(|host| {
            host.filter_state.clear();
            host.reply = None;
            host.root_of.insert(context, self.root);
        });
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_context_create(context, self.root);
        });
        context
    }

    /// The request's headers are there. A local reply goes through the response callback, after the call.
    pub(crate) fn request_headers(&mut self, context: u32) -> Action {
        let (count, end) = host(|host| (host.headers.len(), host.trailers.is_empty()));
        // SAFETY: as above.
        let action = self.call(context, || unsafe {
            proxy_on_request_headers(context, count, u32::from(end))
        });
        self.response_headers(context);
        action
    }

    /// The request's trailers are there.
    pub(crate) fn request_trailers(&mut self, context: u32) -> Action {
        let count = host(|host| host.trailers.len());
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_request_trailers(context, count)
        })
    }

    /// The response's headers are there.
    pub(crate) fn response_headers(&mut self, context: u32) {
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_response_headers(context, 3, 0);
        });
    }

    /// Begins a connection; what the filter does then.
    pub(crate) fn accept(&mut self) -> (u32, Action) {
        let context = self.open();
        // SAFETY: as above.
        let action = self.call(context, || unsafe { proxy_on_new_connection(context) });
        (context, action)
    }

    /// The client sent bytes.
    pub(crate) fn downstream(&mut self, context: u32, size: usize) -> Action {
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_downstream_data(context, size, 0)
        })
    }

    /// The server sent bytes.
    pub(crate) fn upstream(&mut self, context: u32, size: usize) -> Action {
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_upstream_data(context, size, 0)
        })
    }

    /// Ends a stream, or a connection.
    pub(crate) fn close(&mut self, context: u32) {
        // SAFETY: as above.
        self.call(context, || unsafe { proxy_on_delete(context) });
    }

    /// Calls into the VM about a context.
    fn call<R>(&self, context: u32, f: impl FnOnce() -> R) -> R {
        host(|host| host.effective = context);
        f()
    }
}

fn take() -> u32 {
    let context = NEXT.get();
    NEXT.set(context.wrapping_add(1));
    context
}

/// A map as Envoy encodes it.
pub(crate) fn encode_pairs<'a>(
    pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap().to_le_bytes();
    let mut encoded = word(pairs.len()).to_vec();
    for (key, value) in pairs.clone() {
        encoded.extend(word(key.len()));
        encoded.extend(word(value.len()));
    }
    for (key, value) in pairs {
        encoded.extend([key, b"\0", value, b"\0"].concat());
    }
    encoded
}
