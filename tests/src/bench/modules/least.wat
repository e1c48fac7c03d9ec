;; The least that a module can ask Envoy for and still decide by who calls and for what, count it, and tell which mesh it was and
;; what was decided: one callback, and in it the certificate's digest, the headers, a counter and two filter states. What this
;; costs, no module can do without, however fast it decides.
(module
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $get_headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (memory (export "memory") 2)
  ;; 0: the counter's number. 8 and 12: where the host says what it returned. 65536: what it returned.
  (data (i32.const 16) "connection\00sha256_peer_certificate_digest")
  (data (i32.const 64) "crossmesh_source_mesh")
  (data (i32.const 96) "crossmesh_decision")
  (data (i32.const 128) "east")
  (data (i32.const 144) "ALLOW rule:rule-00001")
  (data (i32.const 176) "bench_least")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) i32.const 65536)
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define_metric (i32.const 0) (i32.const 176) (i32.const 11) (i32.const 0)))
    i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $get_property (i32.const 16) (i32.const 41) (i32.const 8) (i32.const 12)))
    (drop (call $get_headers (i32.const 0) (i32.const 8) (i32.const 12)))
    (drop (call $increment_metric (i32.load (i32.const 0)) (i64.const 1)))
    (drop (call $set_property (i32.const 64) (i32.const 21) (i32.const 128) (i32.const 4)))
    (drop (call $set_property (i32.const 96) (i32.const 18) (i32.const 144) (i32.const 21)))
    i32.const 0))
