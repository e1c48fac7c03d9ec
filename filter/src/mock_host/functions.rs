//! The functions that Envoy provides, as far as the filter calls them. What it must never call ends the process.
#![expect(
    unsafe_code,
    reason = "the ABI's functions have C names and raw pointers"
)]

use super::{Reply, encode_pairs, host};

unsafe extern "C" {
    fn proxy_on_delete(context: u32);
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
    // SAFETY: the filter passes places for two words; `proxy_on_memory_allocate` returns as much memory as was asked.
    unsafe {
        *data = std::ptr::null_mut();
        *size = value.len();
        if !value.is_empty() {
            *data = crate::host::callbacks::proxy_on_memory_allocate(value.len());
            std::ptr::copy_nonoverlapping(value.as_ptr(), *data, value.len());
            *size = (*size).saturating_add_signed(host(|host| host.wrong_by));
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
    assert_eq!(start, 0, "what is read is read from its beginning");
    let mut value = host(|host| match buffer {
        2 => host.said.clone(),
        7 => host.configuration.clone(),
        _ => panic!("only the configuration and what a client says are read"),
    });
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
    host(|host| {
        let root = host.root_of.get(&host.effective);
        let root = root.copied().unwrap_or(host.effective);
        host.tick_period.insert(root, period);
    });
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
        assert!(
            host.replied.insert(host.effective),
            "a stream is answered once"
        );
        host.reply = Some(Reply {
            status,
            details,
            body,
            grpc_status,
        });
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

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
    version: *mut u32,
) -> i32 {
    if let Some(status) = called("proxy_get_shared_data") {
        return status;
    }
    // SAFETY: as `bytes`.
    let key = unsafe { text(key, key_size) };
    let Some((value, at)) = host(|host| host.shared.get(&key).cloned()) else {
        return 1;
    };
    // SAFETY: as `hand_over`; the filter passes a place for one word.
    unsafe {
        hand_over(&value, data, size);
        *version = at;
    }
    0
}

/// As Envoy has it: version 0 is not compared.
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    version: u32,
) -> i32 {
    if let Some(status) = called("proxy_set_shared_data") {
        return status;
    }
    // SAFETY: as `bytes`.
    let (key, value) = unsafe { (text(key, key_size), bytes(value, value_size)) };
    host(|host| {
        let (known, at) = host.shared.entry(key).or_default();
        if version != 0 && version != *at {
            return 8;
        }
        *known = value;
        *at += 1;
        if version == 0
            && let Some(meanwhile) = host.written_meanwhile.take()
        {
            *known = meanwhile;
            *at += 1;
        }
        0
    })
}
