//! A host for the filter that runs in the test's own process: it defines the functions that Envoy provides, and drives
//! the functions that the SDK exports. Its state is the thread's, as a VM is a worker's: tests do not meet.
#![expect(
    unsafe_code,
    reason = "the ABI's functions have C names and raw pointers"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use proxy_wasm::types::Action;

/// Everything that the host knows, and everything that the filter told it.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) configuration: Vec<u8>,
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
    pub(crate) reply: Option<Reply>,
    /// What `declare_property` was called with.
    pub(crate) declared: Vec<Vec<u8>>,
    /// Level and message.
    pub(crate) logs: Vec<(u32, String)>,
    pub(crate) log_level: u32,
    /// The status that a function answers instead of doing its work.
    pub(crate) statuses: HashMap<&'static str, i32>,
    /// How often each function was called.
    pub(crate) calls: BTreeMap<String, usize>,
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
    /// Connections that the filter closed, by context.
    pub(crate) closed: Vec<u32>,
    /// What each root context last asked for.
    pub(crate) tick_period: BTreeMap<u32, u32>,
    /// Attributes of one context only, in place of those above.
    pub(crate) attributes_of: BTreeMap<u32, BTreeMap<String, Vec<u8>>>,
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
}

/// Looks at the host, or changes it.
pub(crate) fn host<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(f)
}

unsafe extern "C" {
    fn proxy_on_context_create(context: u32, root: u32);
    fn proxy_on_vm_start(root: u32, size: usize) -> bool;
    fn proxy_on_configure(root: u32, size: usize) -> bool;
    fn proxy_on_tick(root: u32);
    fn crossmesh_on_new_connection(context: u32) -> Action;
    fn crossmesh_on_downstream_data(context: u32, size: usize, end: bool) -> Action;
    fn crossmesh_on_upstream_data(context: u32, size: usize, end: bool) -> Action;
    fn proxy_on_request_headers(context: u32, headers: usize, end_of_stream: bool) -> Action;
    fn proxy_on_request_trailers(context: u32, trailers: usize) -> Action;
    fn proxy_on_response_headers(context: u32, headers: usize, end_of_stream: bool) -> Action;
    fn proxy_on_delete(context: u32);
    fn proxy_on_memory_allocate(size: usize) -> *mut u8;
}

/// One VM with plugins.
pub(crate) struct Vm {
    root: u32,
    next: u32,
}

impl Vm {
    /// Starts the VM; the plugin is not yet configured.
    pub(crate) fn start() -> Self {
        crate::_initialize();
        let mut vm = Self { root: 0, next: 1 };
        vm.plugin();
        vm
    }

    /// Makes another root context, as Envoy does for another configuration, be it of the same plugin. Configuration and
    /// streams from now on are its.
    pub(crate) fn plugin(&mut self) -> u32 {
        self.root = self.take();
        let root = self.root;
        self.call(root, || {
            // SAFETY: the SDK's exported functions, called in the order of the ABI.
            unsafe {
                proxy_on_context_create(root, 0);
                assert!(proxy_on_vm_start(root, 0));
            }
        });
        root
    }

    /// Gives the plugin a configuration: whether it takes it.
    pub(crate) fn configure(&mut self, configuration: &[u8]) -> bool {
        host(|host| host.configuration = configuration.to_vec());
        // SAFETY: as above.
        self.call(self.root, || unsafe {
            proxy_on_configure(self.root, configuration.len())
        })
    }

    /// Lets the time of a root context's tick come.
    pub(crate) fn tick(&mut self, root: u32) {
        // SAFETY: as above.
        self.call(root, || unsafe { proxy_on_tick(root) });
    }

    /// One request from its first callback to its last, as Envoy makes them.
    pub(crate) fn request(&mut self) -> Action {
        let context = self.open();
        let action = self.request_headers(context);
        self.close(context);
        action
    }

    /// Begins a stream.
    pub(crate) fn open(&mut self) -> u32 {
        let context = self.take();
        host(|host| {
            host.filter_state.clear();
            host.reply = None;
        });
        // SAFETY: as above.
        self.call(context, || unsafe {
            proxy_on_context_create(context, self.root);
        });
        context
    }

    /// The request's headers are there. A local reply goes through the response callback, after the call.
    pub(crate) fn request_headers(&mut self, context: u32) -> Action {
        let count = host(|host| host.headers.len());
        // SAFETY: as above.
        let action = self.call(context, || unsafe {
            proxy_on_request_headers(context, count, true)
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
            proxy_on_response_headers(context, 3, false);
        });
    }

    /// Begins a connection; what the filter does then.
    pub(crate) fn accept(&mut self) -> (u32, Action) {
        let context = self.open();
        // SAFETY: as above.
        let action = self.call(context, || unsafe { crossmesh_on_new_connection(context) });
        (context, action)
    }

    /// The client sent bytes.
    pub(crate) fn downstream(&mut self, context: u32, size: usize) -> Action {
        // SAFETY: as above.
        self.call(context, || unsafe {
            crossmesh_on_downstream_data(context, size, false)
        })
    }

    /// The server sent bytes.
    pub(crate) fn upstream(&mut self, context: u32, size: usize) -> Action {
        // SAFETY: as above.
        self.call(context, || unsafe {
            crossmesh_on_upstream_data(context, size, false)
        })
    }

    /// Ends a stream, or a connection.
    pub(crate) fn close(&mut self, context: u32) {
        // SAFETY: as above.
        self.call(context, || unsafe { proxy_on_delete(context) });
    }

    fn take(&mut self) -> u32 {
        let context = self.next;
        self.next = context.saturating_add(1);
        context
    }

    /// Calls into the VM about a context.
    fn call<R>(&self, context: u32, f: impl FnOnce() -> R) -> R {
        host(|host| host.effective = context);
        f()
    }
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

/// Counts the call; the status to answer with, if not what the work comes to.
fn called(function: &'static str) -> Option<i32> {
    host(|host| {
        let calls = host.calls.entry(function.to_owned()).or_default();
        *calls = calls.saturating_add(1);
        host.statuses.get(function).copied()
    })
}

unsafe fn bytes(data: *const u8, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // SAFETY: the filter passes its own memory.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}

unsafe fn text(data: *const u8, size: usize) -> String {
    // SAFETY: as `bytes`.
    String::from_utf8(unsafe { bytes(data, size) }).unwrap()
}

/// Hands memory over as proxy-wasm-cpp-host does: none for an empty value.
unsafe fn hand_over(value: &[u8], data: *mut *mut u8, size: *mut usize) {
    // SAFETY: the filter passes places for two words; the SDK's allocator returns as much memory as was asked.
    unsafe {
        *data = std::ptr::null_mut();
        *size = value.len();
        if !value.is_empty() {
            *data = proxy_on_memory_allocate(value.len());
            std::ptr::copy_nonoverlapping(value.as_ptr(), *data, value.len());
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(level: u32, message: *const u8, size: usize) -> i32 {
    if let Some(status) = called("proxy_log") {
        return status;
    }
    // SAFETY: as `bytes`.
    let message = unsafe { text(message, size) };
    host(|host| host.logs.push((level, message)));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_log_level(level: *mut u32) -> i32 {
    if let Some(status) = called("proxy_get_log_level") {
        return status;
    }
    // SAFETY: the filter passes a place for one word.
    unsafe { *level = host(|host| host.log_level) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer: u32,
    start: usize,
    max_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> i32 {
    if let Some(status) = called("proxy_get_buffer_bytes") {
        return status;
    }
    assert_eq!((buffer, start), (7, 0), "only the configuration is read");
    let mut value = host(|host| host.configuration.clone());
    value.truncate(max_size);
    // SAFETY: as `hand_over`.
    unsafe { hand_over(&value, data, size) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> i32 {
    // SAFETY: as `bytes`.
    let path = unsafe { text(path, path_size) }.replace('\0', ".");
    host(|host| {
        let calls = host.calls.entry(path.clone()).or_default();
        *calls = calls.saturating_add(1);
    });
    if let Some(status) = called("proxy_get_property") {
        return status;
    }
    let value = host(|host| {
        let attributes = host.attributes_of.get(&host.effective);
        attributes.unwrap_or(&host.attributes).get(&path).cloned()
    });
    let Some(value) = value else {
        return 1;
    };
    // SAFETY: as `hand_over`.
    unsafe { hand_over(&value, data, size) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> i32 {
    if let Some(status) = called("proxy_set_property") {
        return status;
    }
    // SAFETY: as `bytes`.
    let (path, value) = unsafe { (text(path, path_size), text(value, value_size)) };
    host(|host| host.filter_state.insert(format!("wasm.{path}"), value));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(
    map: u32,
    data: *mut *mut u8,
    size: *mut usize,
) -> i32 {
    if let Some(status) = called("proxy_get_header_map_pairs") {
        return status;
    }
    let encoded = host(|host| {
        host.raw_headers.clone().unwrap_or_else(|| {
            encode_pairs(
                host.map(map)
                    .iter()
                    .map(|(k, v)| (k.as_slice(), v.as_slice())),
            )
        })
    });
    // SAFETY: as `hand_over`.
    unsafe { hand_over(&encoded, data, size) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> i32 {
    if let Some(status) = called("proxy_replace_header_map_value") {
        return status;
    }
    assert_eq!(map, 0, "only request headers are written");
    // SAFETY: as `bytes`.
    let (key, value) = unsafe { (bytes(key, key_size), bytes(value, value_size)) };
    host(|host| {
        host.headers.retain(|(name, _)| *name != key);
        host.headers.push((key, value));
    });
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
) -> i32 {
    if let Some(status) = called("proxy_remove_header_map_value") {
        return status;
    }
    // SAFETY: as `bytes`.
    let key = unsafe { bytes(key, key_size) };
    host(|host| host.map(map).retain(|(name, _)| *name != key));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(
    kind: u32,
    name: *const u8,
    size: usize,
    id: *mut u32,
) -> i32 {
    if let Some(status) = called("proxy_define_metric") {
        return status;
    }
    // SAFETY: as `bytes`; the filter passes a place for one word.
    unsafe {
        let name = text(name, size);
        *id = host(|host| {
            match kind {
                0 => {
                    host.counters.entry(name.clone()).or_default();
                }
                2 => {
                    host.histograms.entry(name.clone()).or_default();
                }
                _ => panic!("only counters and histograms are defined"),
            }
            host.defined.push(name);
            u32::try_from(host.defined.len()).unwrap()
        });
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> i32 {
    if let Some(status) = called("proxy_increment_metric") {
        return status;
    }
    assert!(offset > 0, "Envoy refuses to add {offset}");
    host(|host| {
        let Some(counter) = host
            .defined(id)
            .and_then(|name| host.counters.get_mut(&name))
        else {
            return 1;
        };
        *counter = counter.saturating_add(offset);
        0
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_record_metric(id: u32, value: u64) -> i32 {
    if let Some(status) = called("proxy_record_metric") {
        return status;
    }
    host(|host| {
        let Some(values) = host
            .defined(id)
            .and_then(|name| host.histograms.get_mut(&name))
        else {
            return 1;
        };
        values.push(value);
        0
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> i32 {
    if let Some(status) = called("proxy_get_current_time_nanoseconds") {
        return status;
    }
    // SAFETY: the filter passes a place for 64 bits.
    unsafe { *time = host(|host| host.now) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> i32 {
    if let Some(status) = called("proxy_set_tick_period_milliseconds") {
        return status;
    }
    host(|host| host.tick_period.insert(host.effective, period));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_effective_context(context: u32) -> i32 {
    if let Some(status) = called("proxy_set_effective_context") {
        return status;
    }
    host(|host| host.effective = context);
    0
}

/// Calls back at once, as some versions of Envoy do: the context is gone when this returns.
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_close_stream(stream: u32) -> i32 {
    if let Some(status) = called("proxy_close_stream") {
        return status;
    }
    assert_eq!(stream, 2, "only the client's side is closed");
    let context = host(|host| {
        host.closed.push(host.effective);
        host.effective
    });
    // SAFETY: as for `Vm`.
    unsafe { proxy_on_delete(context) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status: u32,
    details: *const u8,
    details_size: usize,
    body: *const u8,
    body_size: usize,
    _headers: *const u8,
    _headers_size: usize,
    grpc_status: i32,
) -> i32 {
    if let Some(status) = called("proxy_send_local_response") {
        return status;
    }
    // SAFETY: as `bytes`.
    let (details, body) = unsafe { (text(details, details_size), text(body, body_size)) };
    host(|host| {
        let earlier = host.reply.replace(Reply {
            status,
            details,
            body,
            grpc_status,
        });
        assert_eq!(earlier, None, "a stream is answered once");
    });
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_call_foreign_function(
    function: *const u8,
    function_size: usize,
    arguments: *const u8,
    arguments_size: usize,
    _data: *mut *mut u8,
    _size: *mut usize,
) -> i32 {
    if let Some(status) = called("proxy_call_foreign_function") {
        return status;
    }
    // SAFETY: as `bytes`.
    let (function, arguments) = unsafe {
        (
            text(function, function_size),
            bytes(arguments, arguments_size),
        )
    };
    assert_eq!(function, "declare_property");
    host(|host| {
        if host.declared.contains(&arguments) {
            return 2;
        }
        host.declared.push(arguments);
        0
    })
}

/// What only the SDK's own calls use, which panic: no callback may reach one.
macro_rules! never {
    ($($function:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $function() -> i32 {
            eprintln!("{} was called, and only the SDK does that", stringify!($function));
            std::process::abort()
        }
    )*};
}

never! {
    proxy_add_header_map_value
    proxy_continue_stream
    proxy_dequeue_shared_queue
    proxy_done
    proxy_enqueue_shared_queue
    proxy_get_header_map_value
    proxy_get_metric
    proxy_get_shared_data
    proxy_get_status
    proxy_grpc_call
    proxy_grpc_cancel
    proxy_grpc_close
    proxy_grpc_send
    proxy_grpc_stream
    proxy_http_call
    proxy_register_shared_queue
    proxy_resolve_shared_queue
    proxy_set_buffer_bytes
    proxy_set_header_map_pairs
    proxy_set_shared_data
}
