//! What is run: what a seed draws, or a plan that was kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// What a seed draws.
    Seed(u64),
    /// A plan.
    Plan {
        /// What it is called.
        name: String,
        /// What its file says.
        text: Arc<str>,
    },
}

impl Course {
    /// The plan that is kept under a name.
    ///
    /// # Errors
    /// A sentence: there is none, or it can't be read.
    pub fn kept(name: &str) -> Result<Course, String> {
        Course::read(name, &kept_file(name))
    }

    /// The plan in a file; what is no file's name is that of a kept plan.
    ///
    /// # Errors
    /// As of [`Course::kept`].
    pub fn of_file(name: &str) -> Result<Course, String> {
        let file = Path::new(name);
        match file.extension().is_some_and(|ending| ending == "json") {
            true => Course::read(name, file),
            false => Course::kept(name),
        }
    }

    fn read(name: &str, file: &Path) -> Result<Course, String> {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("plan {name}: {}: {error}", file.display()))?;
        Ok(Course::Plan {
            name: name.to_owned(),
            text: text.into(),
        })
    }
}

/// Where a kept plan lies: with the simulator's tests, which run it without any bug, too.
fn kept_file(name: &str) -> PathBuf {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plans");
    plans.join(format!("{name}.json"))
}

impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Course::Seed(seed) => write!(f, "seed {seed:>4}"),
            Course::Plan { name, .. } => write!(f, "plan {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_by_its_name_or_its_file() {
        let kept = Course::kept("damage-is-evidence").expect("it is kept");
        assert_eq!(kept.to_string(), "plan damage-is-evidence");
        let file = kept_file("damage-is-evidence");
        let file = file.to_str().expect("a path of ours");
        let (Ok(Course::Plan { text, .. }), Course::Plan { text: same, .. }) =
            (Course::of_file(file), &kept)
        else {
            panic!("it is there, too");
        };
        assert_eq!(text, *same);
        assert_eq!(Course::of_file("damage-is-evidence"), Ok(kept));
        let none = Course::kept("no-such-plan").expect_err("there is none");
        assert!(none.contains("plan no-such-plan: "), "{none}");
    }
}
