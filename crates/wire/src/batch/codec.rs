//! The codecs of record sections, by their numbers.

use std::fmt;

/// How a record section is compressed; the [module](super) says to the byte what each makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// An LZ4 block.
    Lz4,
    /// A Zstandard frame.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: &'static [Codec] = &[Codec::Lz4, Codec::Zstd];

    /// Its number in a batch's header; never 0.
    pub fn number(self) -> u8 {
        match self {
            Codec::Lz4 => 1,
            Codec::Zstd => 2,
        }
    }

    /// The codec with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Codec> {
        Codec::ALL
            .iter()
            .copied()
            .find(|codec| codec.number() == number)
    }

    /// Its name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
