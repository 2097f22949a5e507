//! What all ways do alike.

use std::fmt;

/// How many chunks there are, each with a process of its own, unless they are tiny.
pub(crate) const CHUNKS: usize = 6;

/// What all ways do alike. As words, and for `peers/pool_peers.py`, a name and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Each of six chunks gives so many bytes, all alike.
    Bytes(usize),
    /// Each of six chunks gives so many rows.
    Rows(usize),
    /// So many chunks give a line each, by at most six processes at once.
    Tiny(usize),
    /// A table of so many MiB is there for each of six processes at once, which reads of each of its pages, and gives a byte.
    /// What takes time here is that from the request to the first byte.
    Table(usize),
}

impl Work {
    /// What its words mean.
    pub(crate) fn of(words: &[&str]) -> Self {
        let [name, number, ..] = words else { panic!("work is a name and a number, not {words:?}") };
        let number = number.parse().expect("a number");
        match *name {
            "bytes" => Self::Bytes(number),
            "rows" => Self::Rows(number),
            "tiny" => Self::Tiny(number),
            "table" => Self::Table(number),
            other => panic!("{other} is no work"),
        }
    }

    pub(crate) fn words(self) -> [String; 2] {
        let (name, number) = match self {
            Self::Bytes(number) => ("bytes", number),
            Self::Rows(number) => ("rows", number),
            Self::Tiny(number) => ("tiny", number),
            Self::Table(number) => ("table", number),
        };
        [name.to_owned(), number.to_string()]
    }

    pub(crate) fn is_nothing(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Rows(0) | Self::Tiny(0) | Self::Table(0))
    }

    pub(crate) fn chunks(self) -> usize {
        if let Self::Tiny(count) = self { count } else { CHUNKS }
    }

    /// The rows of a chunk, by their numbers.
    pub(crate) fn rows(self, index: usize) -> std::ops::Range<usize> {
        let Self::Rows(count) = self else { return 0..0 };
        count * index..count * (index + 1)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{CHUNKS} results of {}", in_units(*bytes)),
            Self::Rows(count) => write!(f, "{CHUNKS} results of {count} rows"),
            Self::Tiny(count) => write!(f, "{count} chunks of a line each"),
            Self::Table(mebibytes) => {
                write!(
                    f,
                    "{CHUNKS} processes at once that use a table of {mebibytes} MiB: time to the first byte"
                )
            }
        }
    }
}

fn in_units(bytes: usize) -> String {
    match bytes {
        0x10_0000.. => format!("{} MiB", bytes >> 20),
        0x400.. => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
