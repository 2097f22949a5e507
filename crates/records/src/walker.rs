//! Where records end, followed from the beginning of a record on.

use memchr::memchr_iter;

use crate::csv::Csv;
use crate::paragraphs::Paragraphs;
use crate::separator::Separator;

/// Walks over records: counts them, and knows whether it stands on a border between two.
///
/// On a border it knows nothing but the number of records behind it. So a new walker that begins there finds the same borders.
#[derive(Clone, Debug)]
pub struct Walker(Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A record ends where its separator does.
    Separators { separator: Separator, count: u64 },
    /// A record ends where a line does that is outside quotes.
    Csv(Csv),
    /// A record begins with a mark, or behind blank lines.
    Begins {
        begins: Begins,
        /// How many began behind the first.
        count: u64,
        /// Whether anything was walked over.
        is_begun: bool,
        /// Whether the walk was stopped where a record begins.
        is_at_border: bool,
    },
    /// A record has so many lines.
    Lines { each: u64, ended: u64, is_open: bool },
    /// All is one record, and there is no border.
    Whole,
}

/// What begins records.
#[derive(Clone, Debug)]
pub(crate) enum Begins {
    /// The end of a line with a mark behind it, which has so many bytes.
    Mark(Separator, usize),
    /// A line that is not blank behind one that is.
    Paragraph(Paragraphs),
}

impl Kind {
    pub(crate) fn separator(text: &[u8]) -> Self {
        Self::Separators { separator: Separator::new(text), count: 0 }
    }

    pub(crate) fn begins(begins: Begins) -> Self {
        Self::Begins { begins, count: 0, is_begun: false, is_at_border: false }
    }

    pub(crate) fn lines(each: u64) -> Self {
        Self::Lines { each: each.max(1), ended: 0, is_open: false }
    }
}

impl Walker {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(kind)
    }

    /// Walks over all of these bytes.
    pub fn walk(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Separators { separator, count } => *count += separator.count(bytes),
            Kind::Csv(csv) => csv.walk(bytes),
            Kind::Begins { begins, count, is_begun, is_at_border } => {
                *count += match begins {
                    Begins::Mark(separator, _) => separator.count(bytes),
                    Begins::Paragraph(paragraphs) => paragraphs.count(bytes),
                };
                *is_begun |= !bytes.is_empty();
                *is_at_border &= bytes.is_empty();
            }
            Kind::Lines { ended, is_open, .. } => {
                *ended += memchr_iter(b'\n', bytes).count() as u64;
                *is_open = bytes.last().map_or(*is_open, |last| *last != b'\n');
            }
            Kind::Whole => {}
        }
    }

    /// Walks up to a border: the last one within the first `room` bytes, else the first one behind them, else over all
    /// bytes. How many that are.
    pub fn walk_about(&mut self, bytes: &[u8], room: usize) -> usize {
        if let Kind::Csv(csv) = &mut self.0 {
            return csv.walk_about(bytes, room);
        }
        let end = self.border_about(bytes, room);
        self.walk(&bytes[..end.unwrap_or(bytes.len())]);
        if let Kind::Begins { is_at_border, .. } = &mut self.0 {
            *is_at_border = end.is_some();
        }
        end.unwrap_or(bytes.len())
    }

    fn border_about(&self, bytes: &[u8], room: usize) -> Option<usize> {
        match &self.0 {
            Kind::Separators { separator, .. } => separator.end_about(bytes, room),
            Kind::Begins { begins: Begins::Mark(separator, mark), .. } => {
                // Behind the first byte a mark's line end is among these bytes too, so nothing before them matters.
                let end = separator.end_within(bytes, room.saturating_add(*mark))?;
                Some(end - mark)
            }
            Kind::Begins { begins: Begins::Paragraph(paragraphs), .. } => paragraphs.begin_about(bytes, room),
            Kind::Lines { each, ended, .. } => {
                let missing = each - ended % each;
                let mut borders = memchr_iter(b'\n', bytes)
                    .skip(usize::try_from(missing - 1).unwrap_or(usize::MAX))
                    .step_by(usize::try_from(*each).unwrap_or(usize::MAX))
                    .map(|place| place + 1);
                let first = borders.next()?;
                Some(borders.take_while(|border| *border <= room).last().unwrap_or(first))
            }
            Kind::Csv(_) | Kind::Whole => None,
        }
    }

    /// Whether what is walked over next begins a record.
    pub fn is_at_border(&self) -> bool {
        match &self.0 {
            Kind::Separators { separator, .. } => !separator.is_open(),
            Kind::Csv(csv) => csv.is_at_border(),
            Kind::Begins { is_at_border, .. } => *is_at_border,
            Kind::Lines { each, ended, is_open } => !is_open && ended % each == 0,
            Kind::Whole => false,
        }
    }

    /// How many bytes ago a quote was opened that has not been closed; none outside quotes.
    pub fn open_quote(&self) -> Option<u64> {
        match &self.0 {
            Kind::Csv(csv) => csv.open_quote(),
            Kind::Separators { .. } | Kind::Begins { .. } | Kind::Lines { .. } | Kind::Whole => None,
        }
    }

    /// How many records there were, one that has not ended included.
    pub fn records(&self) -> u64 {
        match &self.0 {
            Kind::Separators { separator, count } => count + u64::from(separator.is_open()),
            Kind::Csv(csv) => csv.records(),
            Kind::Begins { count, is_begun, .. } => count + u64::from(*is_begun),
            Kind::Lines { each, ended, is_open } => (ended + u64::from(*is_open)).div_ceil(*each),
            Kind::Whole => 1,
        }
    }
}
