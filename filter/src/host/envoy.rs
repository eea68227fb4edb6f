//! Envoy, by the proxy-wasm ABI 0.2.1 and WASI.
//!
//! The SDK's host calls panic on a status they do not expect and on text that is not UTF-8, so
//! these are made here: a status that is not OK is "no".
//!
//! Source: proxy-wasm/spec, abi-versions/v0.2.1; proxy-wasm-cpp-host, src/exports.cc.

#![allow(unsafe_code, reason = "the calls into the proxy; each block says why it is sound")]

use std::alloc::Layout;
use std::ptr::NonNull;

use super::{CounterId, HeaderMap, Host, SetError, Shared};
use crate::pairs::HeaderPairs;

/// The proxy that this VM runs in. Has no state: the proxy knows which stream is meant.
#[derive(Debug, Clone, Copy)]
pub struct Envoy;

type Status = u32;
const OK: Status = 0;
const CAS_MISMATCH: Status = 8;

const BUFFER_PLUGIN_CONFIGURATION: u32 = 7;
const METRIC_COUNTER: u32 = 0;
const METRIC_GAUGE: u32 = 1;
const LOG_WARN: u32 = 3;
const CLOCK_MONOTONIC: u32 = 1;
const NO_GRPC_STATUS: i32 = -1;
const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> Status;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> Status;
    fn proxy_increment_metric(id: u32, by: i64) -> Status;
    fn proxy_get_metric(id: u32, value: *mut u64) -> Status;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status;
    fn proxy_log(level: u32, text: *const u8, text_size: usize) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(data: *mut u8, size: usize) -> u32;
}

/// Room for bytes that the host hands over; none where there is no memory left.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout has a size.
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc(layout) },
        Ok(_) => NonNull::dangling().as_ptr(),
        Err(_) => std::ptr::null_mut(),
    }
}

/// Calls a host function that hands over bytes it had this module allocate.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> Status) -> Option<Vec<u8>> {
    let mut data = core::ptr::null_mut();
    let mut size = 0;
    if call(&raw mut data, &raw mut size) != OK {
        return None;
    }
    if data.is_null() || size == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the host got `data` from proxy_on_memory_allocate, `size` bytes of the global allocator with
    // the layout of as many `u8`, filled them, and gave them up.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn index(map: HeaderMap) -> u32 {
    match map {
        HeaderMap::Request => 0,
        HeaderMap::Response => 2,
    }
}

fn define(kind: u32, name: &str) -> Option<CounterId> {
    let mut id = 0;
    // SAFETY: as of the calls below.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(CounterId(id))
}

// SAFETY of the calls below: the host reads each (pointer, size) pair, which comes from a live slice,
// before it returns, and writes through each `&raw mut` of a local of the type it expects.
impl Host for Envoy {
    fn headers(&self, map: HeaderMap) -> Option<HeaderPairs> {
        let pairs = |data, size| unsafe { proxy_get_header_map_pairs(index(map), data, size) };
        received(pairs).map(HeaderPairs::new)
    }

    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool {
        let (map, name_size, value_size) = (index(map), name.len(), value.len());
        let (name, value) = (name.as_ptr(), value.as_ptr());
        unsafe { proxy_replace_header_map_value(map, name, name_size, value, value_size) == OK }
    }

    fn add_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool {
        let (map, name_size, value_size) = (index(map), name.len(), value.len());
        let (name, value) = (name.as_ptr(), value.as_ptr());
        unsafe { proxy_add_header_map_value(map, name, name_size, value, value_size) == OK }
    }

    fn remove_header(&self, map: HeaderMap, name: &str) -> bool {
        unsafe { proxy_remove_header_map_value(index(map), name.as_ptr(), name.len()) == OK }
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let path = path.join("\0");
        received(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
    }

    fn shared(&self, key: &[u8]) -> Option<Shared> {
        let mut cas = 0;
        let get =
            |data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) };
        let value = received(get)?;
        Some(Shared { value, cas })
    }

    fn set_shared(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), SetError> {
        let status =
            unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
        match status {
            OK => Ok(()),
            CAS_MISMATCH => Err(SetError::CasMismatch),
            _ => Err(SetError::Refused),
        }
    }

    fn respond(&self, status: u32, headers: &[(&str, &[u8])]) {
        let lines: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        let headers = HeaderPairs::encode(&lines);
        let none = core::ptr::null();
        unsafe {
            let (data, size) = (headers.as_ptr(), headers.len());
            proxy_send_local_response(status, none, 0, none, 0, data, size, NO_GRPC_STATUS);
        }
    }

    fn configuration(&self) -> Vec<u8> {
        let all = |data, size| unsafe {
            proxy_get_buffer_bytes(BUFFER_PLUGIN_CONFIGURATION, 0, usize::MAX, data, size)
        };
        received(all).unwrap_or_default()
    }

    fn tick_every_ms(&self, period_ms: u32) {
        unsafe { proxy_set_tick_period_milliseconds(period_ms) };
    }

    fn define_counter(&self, name: &str) -> Option<CounterId> {
        define(METRIC_COUNTER, name)
    }

    fn define_gauge(&self, name: &str) -> Option<CounterId> {
        define(METRIC_GAUGE, name)
    }

    fn count(&self, CounterId(id): CounterId, by: i64) {
        unsafe { proxy_increment_metric(id, by) };
    }

    fn value(&self, CounterId(id): CounterId) -> Option<u64> {
        let mut value = 0;
        let status = unsafe { proxy_get_metric(id, &raw mut value) };
        (status == OK).then_some(value)
    }

    fn unix_us(&self) -> u64 {
        let mut time_ns = 0;
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time_ns) };
        time_ns.checked_div(NS_PER_US).unwrap_or_default()
    }

    fn monotonic_ms(&self) -> u64 {
        let mut time_ns = 0;
        unsafe { clock_time_get(CLOCK_MONOTONIC, NS_PER_MS, &raw mut time_ns) };
        time_ns.checked_div(NS_PER_MS).unwrap_or_default()
    }

    fn entropy(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    fn warn(&self, text: &str) {
        unsafe { proxy_log(LOG_WARN, text.as_ptr(), text.len()) };
    }
}
