//! Reads, places, plans and inspects whatever bytes libFuzzer finds:
//!
//! ```sh
//! cd crates/quantrain-onnx && cargo +nightly fuzz run read_model -- -rss_limit_mb=1024 -timeout=20
//! ```
//!
//! `fuzz/corpus/read_model` is where it looks for files to begin with. The test `damaged` makes its own, without libFuzzer.
#![no_main]

#[path = "../../tests/damaged/walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _: walk::Step = walk::walk(bytes);
});
