//! The kept inputs, and small changes to them, on any compiler and with every test run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use paxlog_fuzz::{TARGETS, Target, corpus};

/// Changed inputs a target, if `PAXLOG_FUZZ_INPUTS` does not say how many.
const CHANGED: u64 = 2_000;

fn variable(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        return default;
    };
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is a number, not `{text}`"))
}

/// The corpus' files of a target, in the order of their names.
fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(target.name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an input").path())
        .map(|path| {
            let input = std::fs::read(&path).expect("an input can be read");
            (path.display().to_string(), input)
        })
        .collect();
    files.sort();
    files
}

fn run(target: &Target, name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let mut hex = String::new();
        for byte in input {
            hex += &format!("{byte:02x}");
        }
        panic!("{}: {name} is not taken well: {hex}", target.name);
    }
}

#[test]
fn kept_inputs_and_seeds_are_taken_well() {
    for target in TARGETS {
        let kept = kept(target);
        assert!(
            kept.len() >= 5,
            "{}: {} kept inputs",
            target.name,
            kept.len()
        );
        for (name, input) in &kept {
            run(target, name, input);
        }
        let seeds = (target.seeds)();
        for (number, seed) in seeds.iter().enumerate() {
            run(target, &format!("seed {number}"), seed);
        }
        println!(
            "{}: {} kept, {} seeds",
            target.name,
            kept.len(),
            seeds.len()
        );
    }
}

/// What a fuzzer does first, without its feedback: the same with every run of the same `PAXLOG_FUZZ_SEED`.
#[test]
fn inputs_with_a_few_changes_are_taken_well() {
    for (i, target) in TARGETS.iter().enumerate() {
        let mut inputs: Vec<Vec<u8>> = (target.seeds)();
        inputs.extend(kept(target).into_iter().map(|(_, input)| input));
        let seed = variable("PAXLOG_FUZZ_SEED", 0);
        let mut random = 0x9e37_79b9_7f4a_7c15 ^ (seed.wrapping_mul(1_000) ^ i as u64);
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n.max(1) as u64) as usize
        };
        for round in 0..variable("PAXLOG_FUZZ_INPUTS", CHANGED) {
            let mut input = inputs[below(inputs.len())].clone();
            for _ in 0..1 + below(4) {
                let at = below(input.len());
                match below(5) {
                    0 => input.truncate(at),
                    1 => input.insert(at.min(input.len()), below(256) as u8),
                    2 => {
                        let other = &inputs[below(inputs.len())];
                        input.extend(&other[below(other.len())..]);
                    }
                    3 if at < input.len() => input[at] ^= 1 << below(8),
                    _ if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
                    _ => {}
                }
            }
            run(target, &format!("changed input {round}"), &input);
        }
    }
}

/// A target without a program, or a program without a target, would be fuzzed by nobody.
#[test]
fn every_target_has_its_program_and_its_corpus() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(home.join("targets/Cargo.toml")).expect("the manifest");
    let of = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(home.join(folder)).expect(folder);
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_str()
                    .expect("text")
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    };
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert!(names.is_sorted());
    assert_eq!(of("targets/programs"), names);
    assert_eq!(of("corpus"), names);
    for name in names {
        let program = home.join(format!("targets/programs/{name}.rs"));
        let program = std::fs::read_to_string(program).expect("a program");
        assert!(program.contains(&format!("\"{name}\"")), "{name}");
        assert!(
            manifest.contains(&format!("\"programs/{name}.rs\"")),
            "{name}"
        );
    }
}
