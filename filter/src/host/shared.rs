//! What all VMs of this Envoy share, those too that only try a configuration.

use super::memory::{Answer, Returned};
use super::{Failure, NOT_FOUND, OK, check};

/// `proxy_status_t` CAS_MISMATCH.
const CAS_MISMATCH: i32 = 8;

#[cfg_attr(target_arch = "wasm32", link(wasm_import_module = "env"))]
unsafe extern "C" {
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> i32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> i32;
}

/// The value of a key and its version, which is never 0; empty and 0 if it has none yet.
pub(crate) fn shared(key: &str) -> Result<(Answer, u32), Failure> {
    let mut returned = Returned::new();
    let mut version = 0;
    // SAFETY: the key is alive during the call; the host writes two words to where `returned` has them, and one to where
    // `version` is.
    let status = unsafe {
        proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            &raw mut returned.data,
            &raw mut returned.size,
            &raw mut version,
        )
    };
    let call = "proxy_get_shared_data";
    if status != NOT_FOUND {
        check(call, status)?;
    }
    Ok((returned.take(call)?, version))
}

/// Gives a key a value in place of that with this version: false if it has another by now. Version 0 is compared with none
/// (proxy-wasm-cpp-host, `src/shared_data.cc`): it replaces whatever another VM may have written meanwhile.
pub(crate) fn set_shared(key: &str, value: &str, version: u32) -> Result<bool, Failure> {
    // SAFETY: key and value are alive during the call.
    let status = unsafe {
        proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    };
    if status != CAS_MISMATCH {
        check("proxy_set_shared_data", status)?;
    }
    Ok(status == OK)
}
