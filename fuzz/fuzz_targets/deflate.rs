#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websocket_multiplayer_core::fuzzing::deflate(data));
