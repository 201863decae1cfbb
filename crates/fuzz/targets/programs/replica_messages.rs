#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    (paxlog_fuzz::target("replica_messages").expect("a target of this name").run)(input)
});
