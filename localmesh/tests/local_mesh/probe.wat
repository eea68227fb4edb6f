;; A filter for tests of the mesh itself, told apart by the length of its configuration:
;; 1 byte: writes shared data at each request; 2 bytes: shows upstream whether it can read that;
;; 9 bytes: refused. Each response gets the length as `x-config-size`, one line per filter it passes.
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-config-size")
  (data (i32.const 48) "x-shared")
  (data (i32.const 64) "key")
  (data (i32.const 68) "yes")

  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1"))
  ;; One answer of the host at a time is kept.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))

  (func $parent_of (param $context i32) (result i32)
    (i32.add (i32.const 8192) (i32.mul (i32.rem_u (local.get $context) (i32.const 8192)) (i32.const 4))))
  (func $size_of (param $root i32) (result i32)
    (i32.add (i32.const 49152) (i32.mul (i32.rem_u (local.get $root) (i32.const 1024)) (i32.const 4))))
  (func $config_size (param $context i32) (result i32)
    (i32.load (call $size_of (i32.load (call $parent_of (local.get $context))))))

  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32)
    (i32.store (call $parent_of (local.get $context)) (local.get $parent)))
  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
    (i32.store (call $size_of (local.get $root)) (local.get $size))
    (i32.ne (local.get $size) (i32.const 9)))

  (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
    (if (i32.eq (call $config_size (local.get $context)) (i32.const 1))
      (then (drop (call $set (i32.const 64) (i32.const 3) (i32.const 68) (i32.const 3) (i32.const 0)))))
    (if (i32.eq (call $config_size (local.get $context)) (i32.const 2))
      (then (if (i32.eqz (call $get (i32.const 64) (i32.const 3) (i32.const 112) (i32.const 116) (i32.const 120)))
        (then (drop (call $add (i32.const 0) (i32.const 48) (i32.const 8)
          (i32.load (i32.const 112)) (i32.load (i32.const 116))))))))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param $context i32) (param i32 i32) (result i32)
    (i32.store8 (i32.const 100) (i32.add (i32.const 48) (call $config_size (local.get $context))))
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 13) (i32.const 100) (i32.const 1)))
    (i32.const 0))
)
