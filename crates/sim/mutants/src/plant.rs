//! The copy of the program with all bugs in it, each asleep until `planted::set` names it.
//!
//! The copy is a workspace in the target folder: the crates that the simulator runs, as they are but for the bugs
//! and without what only their tests need; the crate `planted`; and the runner. Files are only written where
//! they differ, so that what has not changed is not compiled again; and by renaming, since two may plant at once.
//!
//! Nothing planted may get into the tested program, though both are compiled into one target folder, for the sake of
//! what they have in common. Cargo tells two packages apart by name, version, and their place *in* their workspace:
//! were these the same here as there, it could take one for the other. So the copied crates lie in another folder, and
//! are of another version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bug::{Bug, Hunk};

/// The crates that the simulator runs, and itself.
const CRATES: [&str; 8] = [
    "wal", "paxos", "log", "wire", "node", "store", "session", "sim",
];
/// Where they lie in the copy, which is not where they lie in the original: see the module.
const FOLDER: &str = "with-bugs";
/// Their version in the copy.
const VERSION: &str = "0.0.0-with-bugs";

/// Plants all bugs in a copy of the sources under `root`, at `tree`. `home` is this package's folder.
///
/// # Errors
/// A sentence: a bug finds its place no more, or a file can't be read or written.
pub fn plant(root: &Path, home: &Path, tree: &Path, bugs: &[Bug]) -> Result<(), String> {
    let mut sources = sources(root)?;
    let changed = change(&mut sources, bugs)?;
    for name in CRATES {
        let file = PathBuf::from(format!("crates/{name}/Cargo.toml"));
        let mut manifest = without_tests(&read(&root.join(&file))?);
        if changed.contains(name) {
            let planted = "[dependencies]\nplanted.workspace = true";
            manifest = manifest.replacen("[dependencies]", planted, 1);
        }
        sources.insert(file, manifest);
    }
    let mut files = BTreeMap::new();
    for (file, text) in sources {
        let file = file.strip_prefix("crates").expect("all are from there");
        files.insert(Path::new(FOLDER).join(file), text);
    }
    let manifest = read(&root.join("Cargo.toml"))?;
    files.insert("Cargo.toml".into(), workspace(&manifest)?);
    for name in ["planted", "runner"] {
        let manifest = read(&home.join(name).join("Cargo.toml.in"))?;
        // This package is not copied: the copy uses it where it is.
        let manifest = manifest.replace("path = \"..\"", &format!("path = {home:?}"));
        files.insert(Path::new(name).join("Cargo.toml"), manifest);
    }
    for file in ["planted/src/lib.rs", "runner/src/main.rs"] {
        files.insert(file.into(), read(&home.join(file))?);
    }
    // Cargo leaves out of the lock what the copy does not need; it begins anew only where the original has changed.
    let lock = read(&root.join("Cargo.lock"))?;
    let original = PathBuf::from("Cargo.lock.original");
    if fs::read_to_string(tree.join(&original)).ok().as_ref() != Some(&lock) {
        write(&tree.join("Cargo.lock"), &lock)?;
    }
    files.insert(original, lock);
    for (file, text) in &files {
        let to = tree.join(file);
        if fs::read_to_string(&to).ok().as_ref() != Some(text) {
            write(&to, text)?;
        }
    }
    sweep(tree, &files)
}

/// Every source file of the crates that are copied.
fn sources(root: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let mut files = BTreeMap::new();
    for name in CRATES {
        let mut folders = vec![PathBuf::from(format!("crates/{name}/src"))];
        while let Some(folder) = folders.pop() {
            let named = |error: io::Error| format!("{}: {error}", root.join(&folder).display());
            for entry in fs::read_dir(root.join(&folder)).map_err(named)? {
                let entry = entry.map_err(named)?;
                let path = folder.join(entry.file_name());
                if entry.file_type().map_err(named)?.is_dir() {
                    folders.push(path);
                } else {
                    let text = read(&root.join(&path))?;
                    files.insert(path, text);
                }
            }
        }
    }
    Ok(files)
}

/// A bug's change and the bytes that it replaces.
type Change<'a> = (Range<usize>, &'a Bug, &'a Hunk);

/// Makes all changes; says which crates have some.
fn change(files: &mut BTreeMap<PathBuf, String>, bugs: &[Bug]) -> Result<BTreeSet<String>, String> {
    let mut changes: BTreeMap<PathBuf, Vec<Change<'_>>> = BTreeMap::new();
    for bug in bugs {
        for hunk in &bug.hunks {
            let path = PathBuf::from(&hunk.source);
            let text = files.get(&path).map(String::as_str).unwrap_or_default();
            let range = find(text, &hunk.is).ok_or_else(|| moved(bug, hunk))?;
            changes.entry(path).or_default().push((range, bug, hunk));
        }
    }
    let mut changed = BTreeSet::new();
    for (path, mut changes) in changes {
        changes.sort_by_key(|(range, ..)| range.start);
        for pair in changes.windows(2) {
            if pair[0].0.end > pair[1].0.start {
                return Err(format!(
                    "bugs {} and {} change the same lines of {}: give them fewer lines around, or plant them in \
                     other places",
                    pair[0].1.number,
                    pair[1].1.number,
                    path.display()
                ));
            }
        }
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        changed.insert(parts[1].clone().into_owned());
        let text = files.get_mut(&path).expect("each change was found in it");
        for (range, _, hunk) in changes.into_iter().rev() {
            text.replace_range(range, &hunk.becomes);
        }
    }
    Ok(changed)
}

/// Where `lines` stand in `text`, if in one place only.
fn find(text: &str, lines: &str) -> Option<Range<usize>> {
    let whole = |&(at, _): &(usize, &str)| at == 0 || text.as_bytes()[at - 1] == b'\n';
    let mut found = text.match_indices(lines).filter(whole);
    let (at, _) = found.next()?;
    found.next().is_none().then_some(at..at + lines.len())
}

fn moved(bug: &Bug, hunk: &Hunk) -> String {
    format!(
        "bug {} ({}): the text to replace is not (or more than once) in {}: the code moved, plant it anew in {}. It \
         was:\n{}",
        bug.number,
        bug.name,
        hunk.source,
        bug.file.display(),
        hunk.is
    )
}

/// A crate's manifest without what its tests and benchmarks need.
fn without_tests(manifest: &str) -> String {
    let mut kept = String::with_capacity(manifest.len());
    let mut keep = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            keep = !matches!(line.trim(), "[dev-dependencies]" | "[[test]]" | "[[bench]]");
        }
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The workspace's manifest, over the copied crates and the two new ones.
fn workspace(manifest: &str) -> Result<String, String> {
    let members = format!("members = [\"{FOLDER}/*\", \"planted\", \"runner\"]");
    let version = format!("version = \"{VERSION}\"");
    let (mut made, mut versions) = (String::with_capacity(manifest.len()), 0);
    for line in manifest.lines() {
        let line = if line.starts_with("members =") {
            &members
        } else if line.starts_with("default-members =") {
            "default-members = [\"runner\"]"
        } else if line.starts_with("version =") {
            versions += 1;
            &version
        } else {
            line
        };
        made.push_str(&line.replace("path = \"crates/", &format!("path = \"{FOLDER}/")));
        made.push('\n');
        if line == "[workspace.dependencies]" {
            made.push_str("planted = { path = \"planted\" }\n");
        }
    }
    match versions {
        1 => Ok(made),
        _ => Err("Cargo.toml has not one line `version = …` for all crates".into()),
    }
}

/// Removes sources of an earlier copy that are no longer there.
fn sweep(tree: &Path, files: &BTreeMap<PathBuf, String>) -> Result<(), String> {
    let mut folders = vec![PathBuf::from(FOLDER)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(tree.join(&folder)) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if !files.contains_key(&path)
                && path.extension().is_some_and(|ending| ending == "rs")
                && let Err(error) = fs::remove_file(tree.join(&path))
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(format!("{}: {error}", path.display()));
            }
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Whoever reads the file sees all of the old text or all of the new.
fn write(file: &Path, text: &str) -> Result<(), String> {
    let aside = file.with_extension(format!("{}.new", std::process::id()));
    let done = || -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&aside, text)?;
        fs::rename(&aside, file)
    };
    done().map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_only_where_they_stand_once_and_whole() {
        assert_eq!(find("a\nbc\nd\n", "bc\n"), Some(2..5));
        assert_eq!(find("a\nabc\nd\n", "bc\n"), None, "not a whole line");
        assert_eq!(find("bc\nbc\n", "bc\n"), None, "twice");
        assert_eq!(find("abc\nbc\n", "bc\n"), Some(4..7));
    }

    #[test]
    fn a_manifest_loses_what_tests_need_and_nothing_else() {
        let manifest = "[dependencies]\na = 1\n\n[dev-dependencies]\nb = 1\n\n[features]\nc = []\n";
        let want = "[dependencies]\na = 1\n\n[features]\nc = []\n";
        assert_eq!(without_tests(manifest), want);
    }

    #[test]
    fn no_package_of_the_copy_can_be_taken_for_one_of_the_original() {
        let manifest = "[workspace]\nmembers = [\"crates/*\", \"bench\"]\n\n[workspace.package]\nversion = \
                        \"0.1.0\"\n\n[workspace.dependencies]\npaxlog-wal = { path = \"crates/wal\" }\n";
        let made = workspace(manifest).expect("it has a version");
        assert!(
            !made.contains("crates/") && !made.contains("0.1.0"),
            "{made}"
        );
        assert!(workspace(&manifest.replace("version", "# version")).is_err());
    }
}
