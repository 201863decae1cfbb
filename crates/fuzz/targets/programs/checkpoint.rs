#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paxlog_fuzz::run("checkpoint", input));
