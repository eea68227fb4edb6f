//! The module itself: what it asks of Envoy and what it shows.

use crate::support::Build;

/// What every Envoy since 1.33 gives a module of ABI 0.2.1, but for a way to end itself.
///
/// Source: proxy-wasm-cpp-host `include/proxy-wasm/exports.h`.
const OFFERED: [&str; 44] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_close_stream",
    "env.proxy_continue_stream",
    "env.proxy_define_metric",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_buffer_status",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_size",
    "env.proxy_get_header_map_value",
    "env.proxy_get_log_level",
    "env.proxy_get_metric",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_resolve_shared_queue",
    "env.proxy_send_local_response",
    "env.proxy_set_buffer_bytes",
    "env.proxy_set_effective_context",
    "env.proxy_set_header_map_pairs",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.clock_time_get",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.random_get",
];

/// A module with an import that Envoy lacks is refused as a whole, and with it every request.
#[test]
fn it_imports_nothing_that_envoy_lacks() {
    for build in Build::ALL {
        for import in build.module().imports() {
            assert!(OFFERED.contains(&import.as_str()), "{build:?}: {import}");
        }
    }
}

/// Each callback that is exported is a call into the VM, whether it does anything or not.
#[test]
fn it_exports_the_callbacks_it_uses_and_no_more() {
    let expected = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_delete",
        "proxy_on_memory_allocate",
        "proxy_on_request_headers",
        "proxy_on_response_headers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    for build in Build::ALL {
        let mut exports: Vec<&str> = build.module().exports().collect();
        exports.sort_unstable();
        assert_eq!(exports, expected, "{build:?}");
    }
}
