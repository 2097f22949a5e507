//! What a record is.

use serde::{Deserialize, Serialize};

use crate::Dialect;
use crate::csv::{Csv, Merge};
use crate::paragraphs::Paragraphs;
use crate::search::{self, Nominal, Search};
use crate::separator::Separator;
use crate::walker::{self, Begins, Walker};

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A record ends with this text: one byte or more, in which no beginning is also an end.
    Separator(String),
    /// A record ends where a line does that is outside quotes and escapes.
    Csv(Dialect),
    /// A record begins with a line that begins with this text.
    BeginsWith(String),
    /// A record begins with a line that is not blank, behind one that is.
    Paragraphs,
    /// A record has so many lines.
    Lines(u64),
    /// All bytes are one record.
    Whole,
}

impl Default for Rule {
    fn default() -> Self {
        Self::Separator("\n".to_owned())
    }
}

impl Rule {
    /// Looks for the border of `nominal` in an object of `object_bytes`; none where borders depend on all that stands before them.
    pub fn search(&self, nominal: Nominal, object_bytes: u64) -> Option<Search> {
        let kind = match self {
            Self::Separator(text) => {
                search::Kind::Separator { separator: Separator::new(text.as_bytes()), ahead: 0 }
            }
            Self::Csv(dialect) => search::Kind::Csv(Merge::new(*dialect, nominal, object_bytes)),
            Self::BeginsWith(mark) => {
                search::Kind::Separator { separator: behind_a_line(mark), ahead: mark.len() as u64 }
            }
            Self::Paragraphs => search::Kind::Paragraphs(Paragraphs::within()),
            Self::Lines(1) => search::Kind::Separator { separator: Separator::new(b"\n"), ahead: 0 },
            Self::Lines(_) | Self::Whole => return None,
        };
        Some(Search::new(kind, nominal, object_bytes))
    }

    /// Walks over records, from the beginning of one on.
    pub fn walker(&self, is_object_start: bool) -> Walker {
        Walker::new(match self {
            Self::Separator(text) => walker::Kind::separator(text.as_bytes()),
            Self::Csv(dialect) => walker::Kind::Csv(Csv::new(*dialect, is_object_start)),
            Self::BeginsWith(mark) => walker::Kind::begins(Begins::Mark(behind_a_line(mark), mark.len())),
            Self::Paragraphs => walker::Kind::begins(Begins::Paragraph(Paragraphs::at_record())),
            Self::Lines(lines) => walker::Kind::lines(*lines),
            Self::Whole => walker::Kind::Whole,
        })
    }

    /// Whether a border may be guessed wrong, so that the records before it must be read to prove it.
    pub fn may_guess(&self) -> bool {
        matches!(self, Self::Csv(_))
    }
}

/// A mark at the beginning of a line. It does not overlap itself, since a mark has no line feed.
fn behind_a_line(mark: &str) -> Separator {
    Separator::new(format!("\n{mark}").as_bytes())
}
