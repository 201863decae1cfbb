//! Files that are written whole or not at all: what was there before stays until there is something to take its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A file that is to be written later, at once.
pub(crate) struct WholeFile {
    /// As the user named it.
    name: PathBuf,
    place: Place,
}

enum Place {
    /// A file, or nothing yet: written under another name beside it, and renamed.
    File(PathBuf),
    /// A terminal, a pipe, a device: there is nothing to keep, and nothing may take its place.
    Stream,
}

impl WholeFile {
    /// Finds out whether it can be written, before what may take long; changes nothing.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn at(name: &Path) -> Result<WholeFile, Failure> {
        let place = place(name).map_err(|error| unwritable(name, &error))?;
        Ok(WholeFile {
            name: name.to_owned(),
            place,
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// It could not be written whole; then it is what it was.
    pub(crate) fn write(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let written = match &self.place {
            Place::File(file) => replace(file, fill),
            Place::Stream => OpenOptions::new()
                .write(true)
                .open(&self.name)
                .and_then(|file| filled(&file, fill)),
        };
        written.map_err(|error| unwritable(&self.name, &error))
    }
}

fn place(name: &Path) -> io::Result<Place> {
    match fs::metadata(name) {
        Ok(is) if is.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(is) if !is.is_file() => Ok(Place::Stream),
        Ok(_) => {
            // Who may not write it shall not replace it either, though its folder would allow it.
            OpenOptions::new().write(true).open(name)?;
            // Where it is a link, what it points to is replaced.
            let file = fs::canonicalize(name)?;
            aside(&file).map(|_| Place::File(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            aside(name).map(|_| Place::File(name.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// A new file beside it, which goes when it is dropped.
fn aside(file: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if file.file_name().is_none() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".paxlog-").suffix(".new");
    // As any new file, not as a secret: the umask takes off what it takes off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn replace(file: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let new = aside(file)?;
    if let Ok(is) = fs::metadata(file) {
        new.as_file().set_permissions(is.permissions())?;
    }
    filled(new.as_file(), fill)?;
    // Else a power cut could leave the new name with nothing in it.
    new.as_file().sync_all()?;
    new.persist(file).map(drop).map_err(|error| error.error)
}

fn filled(file: &File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    out.flush()
}

fn unwritable(file: &Path, error: &io::Error) -> Failure {
    Failure::local_io(format!("{} cannot be written: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a folder of ours");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_it_is_written_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("plan.json");
        fs::write(&file, "old").expect("written");
        let read = || fs::read_to_string(&file).expect("it is there");
        let whole = WholeFile::at(&file).expect("it can be written");
        assert_eq!(read(), "old", "to look is not to write");
        let half = whole.write(|out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(half.is_err());
        assert_eq!(
            (read().as_str(), names(dir.path())),
            ("old", vec!["plan.json".to_owned()])
        );
        whole.write(|out| out.write_all(b"new")).expect("written");
        assert_eq!(
            (read().as_str(), names(dir.path())),
            ("new", vec!["plan.json".to_owned()])
        );
    }

    #[test]
    fn what_cannot_be_written_is_known_before_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(WholeFile::at(dir.path()).is_err(), "a folder");
        assert!(WholeFile::at(&dir.path().join("none/plan.json")).is_err());
        assert!(WholeFile::at(&dir.path().join("..")).is_err());
        assert!(WholeFile::at(&dir.path().join("plan.json")).is_ok());
        assert!(names(dir.path()).is_empty(), "nor does what can be");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_are_left_in_their_place() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (file, link) = (dir.path().join("plan.json"), dir.path().join("link"));
        fs::write(&file, "old").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let write = |name: &Path| {
            let whole = WholeFile::at(name).expect("it can be written");
            whole.write(|out| out.write_all(b"new")).expect("written");
        };
        write(&link);
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "new");
        assert!(
            fs::symlink_metadata(&link)
                .expect("it is there")
                .is_symlink()
        );
        write(Path::new("/dev/null"));
        let null = fs::metadata("/dev/null").expect("it is there");
        assert!(!null.is_file(), "nothing took its place");
    }
}
