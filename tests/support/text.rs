//! A real text, large enough, on a bare machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::output_of;

/// Whole files of source and documentation, one behind the other, until there are `lines` of them:
/// from the Rust toolchain, or else from cargo's registry, or else from this repository over and over.
pub(crate) fn real_text(lines: usize) -> Vec<u8> {
    let mut roots = Vec::new();
    roots.extend(output_of("rustc", &["--print", "sysroot"]).map(PathBuf::from));
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    roots.extend(home.map(|home| home.join("registry/src")));
    let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut text = Vec::new();
    let mut have = 0;
    for root in &roots {
        add(root, &mut text, &mut have, lines);
    }
    while have < lines {
        let before = have;
        for part in ["crates", "tests", "docs"] {
            add(&here.join(part), &mut text, &mut have, lines);
        }
        assert!(have > before, "no text in {}", here.display());
    }
    text
}

const ENDINGS: [&str; 6] = ["rs", "md", "txt", "html", "py", "toml"];
/// Files beyond this are data rather than text.
const FILE_BYTES_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: usize = 1 << 20;

fn add(directory: &Path, text: &mut Vec<u8>, have: &mut usize, lines: usize) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        if *have >= lines {
            return;
        }
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            add(&path, text, have, lines);
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        if meta.is_file()
            && meta.len() <= FILE_BYTES_MAX
            && ending.is_some_and(|ending| ENDINGS.contains(&ending))
            && let Ok(bytes) = std::fs::read(&path)
            && bytes
                .split(|b| *b == b'\n')
                .all(|l| l.len() <= LINE_BYTES_MAX)
        {
            *have += bytes.iter().filter(|b| **b == b'\n').count();
            text.extend_from_slice(&bytes);
        }
    }
}
