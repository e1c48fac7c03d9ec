//! Every call to Envoy, and (in `callbacks`) from it; the only unsafe code.
//!
//! Declared here rather than taken from the SDK for three reasons: a status is a number that the host chooses, so it is
//! read as one (the SDK's enum lacks 6 and 12, which Envoy does answer, and panics on those it does not expect); names
//! and values are bytes; and attribute paths are constants instead of being joined for each call.
//!
//! Signatures: proxy-wasm ABI 0.2.1, <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.
#![expect(
    unsafe_code,
    reason = "the host's functions are foreign, and hand over memory"
)]

mod attribute;
pub(crate) mod callbacks;
mod memory;
mod shared;

use std::fmt;
use std::ptr::null_mut;

use crate::encoding;
use memory::Returned;

pub(crate) use attribute::Attribute;
pub(crate) use memory::Answer;
pub(crate) use shared::{set_shared, shared};

/// `proxy_status_t` OK.
const OK: i32 = 0;
/// `proxy_status_t` NOT_FOUND.
const NOT_FOUND: i32 = 1;
/// `proxy_status_t` BAD_ARGUMENT.
const BAD_ARGUMENT: i32 = 2;
/// `proxy_buffer_type_t` DOWNSTREAM_DATA.
const DOWNSTREAM_DATA: u32 = 2;
/// `proxy_buffer_type_t` PLUGIN_CONFIGURATION.
const PLUGIN_CONFIGURATION: u32 = 7;
/// `proxy_metric_type_t` COUNTER.
const COUNTER: u32 = 0;
/// `proxy_metric_type_t` HISTOGRAM.
const HISTOGRAM: u32 = 2;
/// `proxy_stream_type_t` DOWNSTREAM.
const DOWNSTREAM: u32 = 2;
/// Lets Envoy choose: for a gRPC request it maps the HTTP status, 403 to PERMISSION_DENIED.
const GRPC_STATUS_FROM_HTTP: i32 = -1;

#[cfg_attr(target_arch = "wasm32", link(wasm_import_module = "env"))]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, message_size: usize) -> i32;
    fn proxy_get_log_level(level: *mut u32) -> i32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> i32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> i32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> i32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> i32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> i32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> i32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> i32;
    fn proxy_increment_metric(id: u32, offset: i64) -> i32;
    fn proxy_record_metric(id: u32, value: u64) -> i32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> i32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> i32;
    fn proxy_set_effective_context(context: u32) -> i32;
    fn proxy_close_stream(stream: u32) -> i32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> i32;
    fn proxy_call_foreign_function(
        function: *const u8,
        function_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> i32;
}

/// What Envoy is to do with what it showed: `proxy_action_t`, which is numbered alike for requests and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Action {
    /// Pass it on.
    Continue = 0,
    /// Hold it.
    Pause = 1,
}

/// A map of a request, as `proxy_map_type_t` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
}

/// A call that Envoy did not carry out, or whose answer makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The function of the ABI.
    pub(crate) call: &'static str,
    /// What went wrong with it.
    pub(crate) reason: Reason,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The status that Envoy answered, known or not.
    Status(i32),
    /// The answer is not in the encoding that the ABI gives it.
    Malformed,
}

impl Failure {
    /// An answer that cannot be decoded.
    pub(crate) const fn malformed(call: &'static str) -> Self {
        Self {
            call,
            reason: Reason::Malformed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.reason {
            Reason::Malformed => return write!(f, "{} gave a malformed answer", self.call),
            Reason::Status(1) => "not found",
            Reason::Status(2) => "bad argument",
            Reason::Status(3) => "serialization failure",
            Reason::Status(4) => "parse failure",
            Reason::Status(5) => "bad expression",
            Reason::Status(6) => "invalid memory access",
            Reason::Status(7) => "empty",
            Reason::Status(8) => "compare-and-swap mismatch",
            Reason::Status(9) => "result mismatch",
            Reason::Status(10) => "internal failure",
            Reason::Status(11) => "broken connection",
            Reason::Status(12) => "unimplemented",
            Reason::Status(_) => "unknown",
        };
        let Reason::Status(status) = self.reason else {
            return Ok(());
        };
        write!(f, "{} answered status {status} ({meaning})", self.call)
    }
}

/// How important a log line is, as `proxy_log_level_t` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// A counter that Envoy knows, by its number in this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter(u32);

/// A histogram, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Histogram(u32);

/// Writes a line to Envoy's log. Should that fail there is nobody left to tell.
pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the message is alive during the call.
    let _ = unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Whether Envoy would keep a line of this level. Asked before a line is formatted on a request's path.
pub(crate) fn log_enabled(level: Level) -> bool {
    let mut least = 0;
    // SAFETY: the host writes one word to where `least` is.
    let status = unsafe { proxy_get_log_level(&raw mut least) };
    status != OK || level as u32 >= least
}

/// The plugin's configuration, as many bytes as `on_configure` was told.
pub(crate) fn plugin_configuration(size: usize) -> Result<Answer, Failure> {
    buffer(PLUGIN_CONFIGURATION, size)
}

/// What the client of a connection said and Envoy has not passed on, no more than this of it. There only while it is told.
pub(crate) fn downstream_data(most: usize) -> Result<Answer, Failure> {
    buffer(DOWNSTREAM_DATA, most)
}

fn buffer(buffer: u32, most: usize) -> Result<Answer, Failure> {
    let mut returned = Returned::new();
    // SAFETY: the host writes two words to where `returned` has them.
    let status = unsafe {
        proxy_get_buffer_bytes(
            buffer,
            0,
            most,
            &raw mut returned.data,
            &raw mut returned.size,
        )
    };
    let call = "proxy_get_buffer_bytes";
    check(call, status)?;
    returned.take(call)
}

/// An attribute's value. An empty one cannot be told from an absent one: the host hands over no memory for either.
pub(crate) fn attribute(attribute: Attribute) -> Result<Option<Answer>, Failure> {
    let path = attribute.0;
    let mut returned = Returned::new();
    // SAFETY: the path is alive during the call; the host writes two words to where `returned` has them.
    let status = unsafe {
        proxy_get_property(
            path.as_ptr(),
            path.len(),
            &raw mut returned.data,
            &raw mut returned.size,
        )
    };
    if status == NOT_FOUND {
        return Ok(None);
    }
    let call = "proxy_get_property";
    check(call, status)?;
    let value = returned.take(call)?;
    Ok((!value.is_empty()).then_some(value))
}

/// Sets filter state `wasm.<key>` of the stream. The key is one component: Envoy would keep a NUL in the name.
pub(crate) fn set_filter_state(key: &str, value: &str) -> Result<(), Failure> {
    // SAFETY: key and value are alive during the call.
    let status =
        unsafe { proxy_set_property(key.as_ptr(), key.len(), value.as_ptr(), value.len()) };
    check("proxy_set_property", status)
}

/// Declares that filter state `wasm.<key>` is text. Undeclared it is bytes, and in CEL no bytes equal a string.
pub(crate) fn declare_filter_state(key: &str) -> Result<(), Failure> {
    let function = "declare_property";
    let arguments = encoding::text_property(key);
    let mut returned = Returned::new();
    // SAFETY: name and arguments are alive during the call; the host writes two words to where `returned` has them.
    let status = unsafe {
        proxy_call_foreign_function(
            function.as_ptr(),
            function.len(),
            arguments.as_ptr(),
            arguments.len(),
            &raw mut returned.data,
            &raw mut returned.size,
        )
    };
    if status == BAD_ARGUMENT {
        // It is declared already: the same plugin was configured anew.
        return Ok(());
    }
    let call = "proxy_call_foreign_function";
    check(call, status)?;
    returned.take(call).map(drop)
}

/// All lines of a map, encoded as [`encoding::pairs`] reads them.
pub(crate) fn lines(map: Map) -> Result<Answer, Failure> {
    let mut returned = Returned::new();
    // SAFETY: the host writes two words to where `returned` has them.
    let status = unsafe {
        proxy_get_header_map_pairs(map as u32, &raw mut returned.data, &raw mut returned.size)
    };
    let call = "proxy_get_header_map_pairs";
    check(call, status)?;
    returned.take(call)
}

/// Sets a request header to one value, whatever it had.
pub(crate) fn replace_request_header(name: &str, value: &str) -> Result<(), Failure> {
    // SAFETY: name and value are alive during the call.
    let status = unsafe {
        proxy_replace_header_map_value(
            Map::RequestHeaders as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
    check("proxy_replace_header_map_value", status)
}

/// Removes every line of this name.
pub(crate) fn remove(map: Map, name: &[u8]) -> Result<(), Failure> {
    // SAFETY: the name is alive during the call.
    let status = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    check("proxy_remove_header_map_value", status)
}

/// Makes a counter known to Envoy as `wasmcustom.<name>`; the same name gives the same counter.
pub(crate) fn define_counter(name: &str) -> Result<Counter, Failure> {
    define_metric(COUNTER, name).map(Counter)
}

/// Makes a histogram known to Envoy, likewise.
pub(crate) fn define_histogram(name: &str) -> Result<Histogram, Failure> {
    define_metric(HISTOGRAM, name).map(Histogram)
}

fn define_metric(kind: u32, name: &str) -> Result<u32, Failure> {
    let mut id = 0;
    // SAFETY: the name is alive during the call; the host writes one word to where `id` is.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    check("proxy_define_metric", status)?;
    Ok(id)
}

/// Adds to a counter. Envoy refuses to add nothing, so that is not tried.
pub(crate) fn add(counter: Counter, amount: i64) -> Result<(), Failure> {
    if amount <= 0 {
        return Ok(());
    }
    // SAFETY: takes numbers only.
    let status = unsafe { proxy_increment_metric(counter.0, amount) };
    check("proxy_increment_metric", status)
}

/// Records a value in a histogram.
pub(crate) fn record(histogram: Histogram, value: u64) -> Result<(), Failure> {
    // SAFETY: takes numbers only.
    let status = unsafe { proxy_record_metric(histogram.0, value) };
    check("proxy_record_metric", status)
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> Result<u64, Failure> {
    let mut now = 0;
    // SAFETY: the host writes 64 bits to where `now` is.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut now) };
    check("proxy_get_current_time_nanoseconds", status)?;
    Ok(now)
}

/// Calls `on_tick` of the root context that is active, each time this many milliseconds are over; never again with 0.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Failure> {
    // SAFETY: takes numbers only.
    let status = unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
    check("proxy_set_tick_period_milliseconds", status)
}

/// Makes the calls that follow speak of another context of this VM, until the callback returns or the next such call.
pub(crate) fn speak_of(context: u32) -> Result<(), Failure> {
    // SAFETY: takes numbers only.
    let status = unsafe { proxy_set_effective_context(context) };
    check("proxy_set_effective_context", status)
}

/// Closes the client's connection, after what was already passed on to it.
///
/// Depending on its version Envoy may call back before this returns: nothing may be borrowed meanwhile.
pub(crate) fn close_connection() -> Result<(), Failure> {
    // SAFETY: takes numbers only.
    let status = unsafe { proxy_close_stream(DOWNSTREAM) };
    check("proxy_close_stream", status)
}

/// Answers the request in the application's place. At most once a stream: a second answer hangs the client
/// (<https://github.com/envoyproxy/envoy/issues/28826>). The callback must then pause.
pub(crate) fn send_local_response(status: u32, details: &str, body: &str) -> Result<(), Failure> {
    // SAFETY: details and body are alive during the call; no memory is given for no headers.
    let status = unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            null_mut(),
            0,
            GRPC_STATUS_FROM_HTTP,
        )
    };
    check("proxy_send_local_response", status)
}

fn check(call: &'static str, status: i32) -> Result<(), Failure> {
    if status == OK {
        return Ok(());
    }
    Err(Failure {
        call,
        reason: Reason::Status(status),
    })
}
