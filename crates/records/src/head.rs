//! What stands before an object's first record: lines to skip, comments, and the header.

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::dialect::letter;
use crate::rule::Rule;
use crate::walker::Walker;

/// What stands before the first record of an object, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRule {
    /// Lines that are no records, whatever stands in them.
    #[serde(default)]
    pub skip_lines: u64,
    /// What begins a line that is no record; such lines may stand before the header too.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "letter::option")]
    pub comment: Option<u8>,
    /// How many records make the header.
    pub header_records: u64,
}

/// How long the parts of a head are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The skipped lines and the comments.
    pub preamble: usize,
    /// The header behind them.
    pub header: usize,
}

impl Head {
    /// Where the first record begins.
    pub fn len(self) -> usize {
        self.preamble + self.header
    }

    /// Whether the first record begins at the object's first byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl HeadRule {
    /// The head of an object of which `bytes` are the first, or all if `is_whole`. None where more must be seen.
    pub fn head(self, rule: &Rule, bytes: &[u8], is_whole: bool) -> Option<Head> {
        let preamble = self.preamble(bytes, is_whole)?;
        let mut walker = rule.walker(preamble == 0);
        let mut header = 0;
        for _ in 0..self.header_records {
            let left = &bytes[preamble + header..];
            if left.is_empty() && is_whole {
                break;
            }
            header += walk_to_border(&mut walker, left).or(is_whole.then_some(left.len()))?;
        }
        Some(Head { preamble, header })
    }

    fn preamble(self, bytes: &[u8], is_whole: bool) -> Option<usize> {
        let mut at = 0;
        for _ in 0..self.skip_lines {
            at = line_end(bytes, at, is_whole)?;
        }
        // Without a header the comments stay with the records, as they do everywhere else in the object.
        while let Some(comment) = self.comment.filter(|_| self.header_records > 0) {
            match bytes.get(at) {
                Some(first) if *first == comment => at = line_end(bytes, at, is_whole)?,
                Some(_) => break,
                None if is_whole => break,
                None => return None,
            }
        }
        Some(at)
    }
}

/// Behind the line that begins at `at`.
fn line_end(bytes: &[u8], at: usize, is_whole: bool) -> Option<usize> {
    match memchr(b'\n', &bytes[at..]) {
        Some(place) => Some(at + place + 1),
        None => is_whole.then_some(bytes.len()),
    }
}

/// Behind the first record of `bytes`, if it ends in them.
fn walk_to_border(walker: &mut Walker, bytes: &[u8]) -> Option<usize> {
    let taken = walker.walk_about(bytes, 0);
    (taken > 0 && walker.is_at_border()).then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    fn head(rule: HeadRule, records: &Rule, bytes: &[u8]) -> (usize, usize) {
        let whole = rule.head(records, bytes, true).unwrap();
        // However much of the object is at hand, the answer is the same, or that it is not known.
        for first in 0..bytes.len() {
            if let Some(head) = rule.head(records, &bytes[..first], false) {
                assert_eq!(head, whole);
            }
        }
        (whole.preamble, whole.header)
    }

    #[test]
    fn a_head_is_skipped_lines_then_comments_then_the_header() {
        let csv = Rule::Csv(Dialect { comment: Some(b'#'), ..Dialect::RFC_4180 });
        let one = HeadRule { header_records: 1, ..HeadRule::default() };
        assert_eq!(head(one, &csv, b"a,\"b\nc\"\n1,2\n"), (0, 8));
        assert_eq!(head(HeadRule { header_records: 2, ..one }, &csv, b"a\n\"b\n\"\n1\n"), (0, 7));
        let commented = HeadRule { comment: Some(b'#'), ..one };
        assert_eq!(head(commented, &csv, b"# \"x\n#\na,b\n1,2\n"), (7, 4));
        let skipped = HeadRule { skip_lines: 2, ..commented };
        assert_eq!(head(skipped, &csv, b"sep=;\n\"\n# x\na\n1\n"), (12, 2));
        assert_eq!(head(HeadRule { skip_lines: 1, ..HeadRule::default() }, &csv, b"title\n# x\n1\n"), (6, 0));
    }

    #[test]
    fn an_object_may_end_within_its_head() {
        let lines = Rule::Separator("\n".into());
        let rule = HeadRule { skip_lines: 1, comment: None, header_records: 2 };
        assert_eq!(head(rule, &lines, b""), (0, 0));
        assert_eq!(head(rule, &lines, b"title"), (5, 0));
        assert_eq!(head(rule, &lines, b"title\na\nb"), (6, 3));
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_a_quote() {
        let one = HeadRule { header_records: 1, ..HeadRule::default() };
        assert_eq!(head(one, &Rule::Csv(Dialect::RFC_4180), b"\xEF\xBB\xBF\"a\nb\"\n1\n"), (0, 9));
    }
}
