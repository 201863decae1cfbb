//! The names users give to logs and producers.

use std::fmt;
use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;

/// A checked name: cheap to clone, ordered as text, and a key that a map can be asked for with a `&str`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] if it is empty, too long or holds a character that is not allowed.
            pub fn new(name: &str) -> Result<$name, NameError> {
                check(name, $allowed)?;
                Ok($name(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// The name of a log: 1 to 255 of `[A-Za-z0-9._/-]`.
    LogName, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-')
}
name! {
    /// The name a user gave to a producer: 1 to 255 bytes of UTF-8 without control characters.
    ProducerName, |c| !c.is_control()
}
name! {
    /// The name of a cursor, within its log: 1 to 255 bytes of UTF-8 without control characters.
    CursorName, |c| !c.is_control()
}
name! {
    /// What a fenced log's appends must carry: 1 to 255 bytes of UTF-8 without control characters.
    FenceToken, |c| !c.is_control()
}

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no bytes.
    #[error("a name has at least one character")]
    Empty,
    /// It has more than 255 bytes.
    #[error("a name has at most 255 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a character that is not allowed.
    #[error("{character:?} is not allowed here (a log's name is made of A-Z a-z 0-9 . _ / -)")]
    Character {
        /// The first such character.
        character: char,
    },
}

fn check(name: &str, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    match name.chars().find(|&c| !allowed(c)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_name_is_1_to_255_of_the_alphabet() {
        assert!(LogName::new("a/b-C_9.x").is_ok());
        assert_eq!(LogName::new(""), Err(NameError::Empty));
        assert!(LogName::new(&"x".repeat(255)).is_ok());
        assert_eq!(
            LogName::new(&"x".repeat(256)),
            Err(NameError::TooLong { bytes: 256 })
        );
        assert_eq!(
            LogName::new("a b"),
            Err(NameError::Character { character: ' ' })
        );
        assert_eq!(
            LogName::new("aé"),
            Err(NameError::Character { character: 'é' })
        );
    }

    #[test]
    fn a_producer_name_is_text_without_control_characters() {
        assert!(ProducerName::new("Zähler 7").is_ok());
        assert_eq!(
            ProducerName::new("a\n"),
            Err(NameError::Character { character: '\n' })
        );
    }
}
