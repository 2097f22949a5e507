//! Whether a place in a CSV lies within quotes.
//!
//! Two readings are kept at once, since files differ. The strict one is that of RFC 4180 with commas: a quote counts only
//! where a field begins. The other counts every quote, whatever the delimiter. A border is safe only where both say that
//! it lies outside; so a file that either reading understands is never cut within quotes.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field: its end, or the first half of an escaped quote.
    QuoteInQuoted,
}

/// Follows a CSV from the beginning of a record on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quotes {
    place: Place,
    odd: bool,
    records: u64,
    in_record: bool,
}

impl Quotes {
    pub(super) fn new() -> Self {
        Self { place: Place::FieldStart, odd: false, records: 0, in_record: false }
    }

    /// Takes the next bytes in.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.step(byte);
        }
    }

    /// Takes bytes in up to a border: the last one within the first `room` bytes, else the first one behind them, else all
    /// of them. How many that are.
    pub(super) fn feed_about(&mut self, bytes: &[u8], room: usize) -> usize {
        let mut last = None;
        for (before, &byte) in bytes.iter().enumerate() {
            if before >= room && last.is_some() {
                break;
            }
            self.step(byte);
            if byte == b'\n' && self.is_at_border() {
                last = Some((before + 1, *self));
            }
        }
        let Some((border, there)) = last else { return bytes.len() };
        *self = there;
        border
    }

    fn step(&mut self, byte: u8) {
        self.odd ^= byte == b'"';
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::QuoteInQuoted,
            (Place::Quoted, _) => Place::Quoted,
            (Place::QuoteInQuoted, b'"') => Place::Quoted,
            (Place::FieldStart, b'"') => Place::Quoted,
            (_, b',') => Place::FieldStart,
            (_, b'\n') => {
                self.records += 1;
                Place::FieldStart
            }
            (_, _) => Place::Plain,
        };
        self.in_record = byte != b'\n' || self.place == Place::Quoted;
    }

    /// Whether a record has ended here by both readings, and nothing has come since.
    pub(super) fn is_at_border(&self) -> bool {
        !self.in_record && !self.may_be_inside()
    }

    /// Whether, by either reading, this is within quotes.
    pub(super) fn may_be_inside(&self) -> bool {
        self.odd || self.place == Place::Quoted
    }

    /// How many records there were, one that has no line feed included.
    pub(super) fn records(&self) -> u64 {
        self.records + u64::from(self.in_record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_lies_outside_quotes_by_both_readings() {
        let borders = |text: &str| {
            let mut quotes = Quotes::new();
            let bytes = text.as_bytes();
            let is_border = |place: &usize| {
                quotes.feed(&bytes[*place..=*place]);
                quotes.is_at_border()
            };
            (0..bytes.len()).filter(is_border).map(|place| place + 1).collect::<Vec<_>>()
        };
        assert_eq!(borders("a,b\n\nc\r\n"), [4, 5, 8]);
        // A comma's file, by which the second quote is a letter, so that the first field ends with the third.
        assert_eq!(borders("\"a\n\"\"b\n\",c\nd\n"), [11, 13]);
        // A semicolon's file: to who looks for commas there is no quote at the beginning of a field.
        assert_eq!(borders("a;\"b\nc\"\nd\n"), [8, 10]);
        // A lone quote is a letter to one reading, and opens a quotation that never ends to the other.
        assert_eq!(borders("5\" pipe\n1\n"), [0; 0]);
    }
}
