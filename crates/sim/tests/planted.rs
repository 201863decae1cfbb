//! Bugs planted into a copy of the program are caught: see `mutants/README.md`. `PAXLOG_PLANTED=all` takes all of each
//! bug's recorded seeds, not only the first.
#![expect(
    clippy::disallowed_methods,
    reason = "the simulator is pure; its test reads the environment"
)]

use std::path::Path;
use std::process::Command;

#[test]
fn planted_bugs_are_caught() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants/Cargo.toml");
    // Wherever this was built: dependencies are compiled once, and nothing is left elsewhere.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a folder of the target folder");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--release", "--locked", "--manifest-path"])
        .arg(&manifest)
        .args(["--", "check"])
        .args((std::env::var("PAXLOG_PLANTED").as_deref() == Ok("all")).then_some("--all-seeds"))
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo starts: it runs this test");
    let said = String::from_utf8_lossy(&output.stdout);
    let built = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "a planted bug was not caught, or could not be planted.\n\n{built}\n{said}\nTo see it alone: cargo run \
         --release --manifest-path crates/sim/mutants/Cargo.toml -- check"
    );
    println!("{said}");
}
