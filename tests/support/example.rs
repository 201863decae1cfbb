//! The programs of `crates/client/examples`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use super::command::{Paxlog, program};

/// A run of an example, to be given a profile as `paxlog` itself is.
pub(crate) fn example<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Paxlog {
    program(&built(name), name, arguments)
}

/// Where it is. `cargo test --workspace` has built it, beside the program; whoever tests this package alone has it built
/// now, since a test that is left out silently shows nothing.
fn built(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let beside = Path::new(env!("CARGO_BIN_EXE_paxlog"))
        .parent()
        .expect("the program is in a directory");
    let path = beside.join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../client/examples")
        .join(format!("{name}.rs"));
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    if changed(&path) < changed(&source) {
        BUILD.call_once(|| build(beside));
    }
    assert!(
        path.is_file(),
        "{} is not there: `cargo build --release -p paxlog-client --examples` makes it",
        path.display()
    );
    path
}

fn build(beside: &Path) {
    let profile = match beside.file_name().and_then(OsStr::to_str) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => "release",
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--examples", "-p", "paxlog-client", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(beside.parent().expect("a target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "the examples of paxlog-client do not build: {status:?}"
    );
}
