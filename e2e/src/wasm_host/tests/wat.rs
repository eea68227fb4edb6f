//! Writes small filters in Wasm's text format.

use std::fmt::Write;

use crate::wasm_host::Module;

/// Where host calls put what they return, in the guest's memory.
pub(super) const POINTER: &str = "(i32.const 60000)";
pub(super) const LENGTH: &str = "(i32.const 60004)";
pub(super) const NUMBER: &str = "(i32.const 60008)";
/// The bytes that the last call returned.
pub(super) const RETURNED: &str = "(i32.load (i32.const 60000)) (i32.load (i32.const 60004))";

pub(super) const REQUEST: &str = "(i32.const 0)";
pub(super) const RESPONSE: &str = "(i32.const 2)";
pub(super) const CONTINUE: &str = "(i32.const 0)";

const IMPORTS: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $shared_get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $shared_set (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick_every (param i32) (result i32)))
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "env" "proxy_from_the_future" (func $unheard_of (result i32)))
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    (func (export "proxy_on_memory_allocate") (param $length i32) (result i32)
        (local $start i32)
        (local.set $start (global.get $heap))
        (global.set $heap (i32.add (global.get $heap) (local.get $length)))
        (local.get $start))
"#;

/// A module in the making. Statements leave nothing on the stack; calls leave their status.
#[derive(Default)]
pub(super) struct Wat {
    data: String,
    used: usize,
    functions: String,
}

impl Wat {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Address and length of a text in memory, as two arguments.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> String {
        let text = text.as_ref();
        let address = self.used;
        self.used += text.len();
        let escaped: String = text.iter().map(|byte| format!("\\{byte:02x}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(self.data, "(data (i32.const {address}) \"{escaped}\")");
        format!("(i32.const {address}) (i32.const {})", text.len())
    }

    /// A statement that logs a text.
    pub(super) fn log(&mut self, text: &str) -> String {
        format!("(drop (call $log (i32.const 4) {}))", self.text(text))
    }

    /// A statement that puts the status of a call, one digit, into a header of a map.
    pub(super) fn report(&mut self, map: &str, header: &str, call: &str) -> String {
        let header = self.text(header);
        format!(
            "(i32.store8 (i32.const 60100) (i32.add (i32.const 48) {call}))
             (drop (call $replace {map} {header} (i32.const 60100) (i32.const 1)))"
        )
    }

    /// Adds a callback without a result.
    pub(super) fn on(self, callback: &str, params: usize, body: &str) -> Self {
        self.function(callback, params, "", body)
    }

    /// Adds a callback whose body ends in a number.
    pub(super) fn on_returning(self, callback: &str, params: usize, body: &str) -> Self {
        self.function(callback, params, "(result i32)", body)
    }

    fn function(mut self, callback: &str, params: usize, result: &str, body: &str) -> Self {
        let params = format!("(param {})", "i32 ".repeat(params));
        let _ = writeln!(self.functions, "(func (export \"{callback}\") {params} {result} {body})");
        self
    }

    fn source(&self) -> String {
        format!("(module {IMPORTS} {} {})", self.data, self.functions)
    }

    #[track_caller]
    pub(super) fn compile(&self) -> Module {
        Module::compile(self.source().as_bytes()).unwrap()
    }

    #[track_caller]
    pub(super) fn compile_metered(&self) -> Module {
        Module::compile_metered(self.source().as_bytes()).unwrap()
    }
}
