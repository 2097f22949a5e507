//! Where records end, followed from the beginning of a record on.

use fanfold_flow::job::Split;

use super::quotes::Quotes;
use super::separator::Separator;

/// Walks over records: counts them, and knows whether it stands on a border between two.
///
/// On a border it knows nothing but the number of records behind it. So whoever begins there afresh finds the same borders.
#[derive(Debug)]
pub(super) enum Walker {
    /// A record ends where its separator does.
    Separators {
        /// The separator, and the last bytes that were walked over.
        separator: Separator,
        /// How many of them were.
        count: u64,
    },
    /// A record ends with a line feed outside quotes.
    Quotes(Quotes),
    /// All is one record, and there is no border.
    Whole,
}

impl Walker {
    pub(super) fn new(split: &Split) -> Self {
        match split {
            Split::Lines => Self::Separators { separator: Separator::new(b"\n"), count: 0 },
            Split::Csv => Self::Quotes(Quotes::new()),
            Split::Separator(text) => {
                Self::Separators { separator: Separator::new(text.as_bytes()), count: 0 }
            }
            Split::None => Self::Whole,
        }
    }

    /// Walks over all of these bytes.
    pub(super) fn walk(&mut self, bytes: &[u8]) {
        match self {
            Self::Separators { separator, count } => *count += separator.count(bytes),
            Self::Quotes(quotes) => quotes.feed(bytes),
            Self::Whole => {}
        }
    }

    /// Walks up to a border: the last one within the first `room` bytes, else the first one behind them, else over all
    /// bytes. How many that are.
    pub(super) fn walk_about(&mut self, bytes: &[u8], room: usize) -> usize {
        match self {
            Self::Separators { separator, count } => {
                let end = separator.end_about(bytes, room).unwrap_or(bytes.len());
                *count += separator.count(&bytes[..end]);
                end
            }
            Self::Quotes(quotes) => quotes.feed_about(bytes, room),
            Self::Whole => bytes.len(),
        }
    }

    /// Whether what is walked over next begins a record.
    pub(super) fn is_at_border(&self) -> bool {
        match self {
            Self::Separators { separator, .. } => !separator.is_open(),
            Self::Quotes(quotes) => quotes.is_at_border(),
            Self::Whole => false,
        }
    }

    /// Whether, by some reading, this is within quotes.
    pub(super) fn may_be_inside_quotes(&self) -> bool {
        matches!(self, Self::Quotes(quotes) if quotes.may_be_inside())
    }

    /// How many records there were, one that has not ended included.
    pub(super) fn records(&self) -> u64 {
        match self {
            Self::Separators { separator, count } => count + u64::from(separator.is_open()),
            Self::Quotes(quotes) => quotes.records(),
            Self::Whole => 1,
        }
    }
}
