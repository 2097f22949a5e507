//! What the first bytes of a table say about how it is written.

use crate::Dialect;
use crate::csv::State;

/// Delimiters that are looked for, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Most records that are compared.
const RECORDS_MAX: usize = 200;

/// How many of a text's lines must end with a backslash before it is taken for a continuation: a third.
const CONTINUED_SHARE: usize = 3;

/// The first bytes of an object.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'b> {
    /// The bytes.
    pub bytes: &'b [u8],
    /// Whether they are all.
    pub is_whole: bool,
}

/// Something in a sample that the dialect asked for does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where it stands.
    pub byte: usize,
    /// What it is.
    pub kind: MismatchKind,
}

/// What a sample has that a dialect does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MismatchKind {
    /// A backslash before a quote, behind which the field goes on: an escape.
    BackslashQuote,
    /// Text behind a closing quote.
    TextBehindQuote,
    /// A quote in the midst of an unquoted field.
    LoneQuote,
    /// Lines that end with a backslash: an escape before a line end.
    ContinuedLine,
    /// `sep=;`, which Excel reads.
    SepLine,
    /// A first line that begins with `#`, and has another number of fields than the records.
    Comment,
    /// A first line of one field before records of several.
    Title,
}

impl Sample<'_> {
    /// Which byte ends lines: LF, or CR where there is no LF.
    pub fn line_end(&self) -> u8 {
        let has_lf = memchr::memchr(b'\n', self.bytes).is_some();
        let is_cr = memchr::memchr(b'\r', self.bytes).is_some_and(|place| place + 1 < self.bytes.len());
        if !has_lf && is_cr { b'\r' } else { b'\n' }
    }

    /// The delimiter of a table that is otherwise written so: the one by which all records have the same number of fields, and most
    /// of them; else the one that is most often in the first record; else a comma.
    pub fn delimiter(&self, dialect: &Dialect) -> u8 {
        let of = |delimiter| {
            let counts = self.fields(&Dialect { delimiter, ..*dialect });
            let first = counts.first().copied().unwrap_or(0);
            (counts.iter().all(|count| *count == first), first)
        };
        let found = DELIMITERS.map(|delimiter| (of(delimiter), delimiter));
        let several = found.into_iter().rev().filter(|((_, fields), _)| *fields > 1);
        several.max_by_key(|(found, _)| *found).map_or(b',', |(_, delimiter)| delimiter)
    }

    /// How many fields each of the first records has, comments aside; one that is not seen to its end aside too.
    fn fields(&self, dialect: &Dialect) -> Vec<usize> {
        let (mut counts, mut fields, mut state) = (Vec::new(), 1, State::ObjectStart);
        for byte in self.bytes {
            let was = state;
            state = state.step(*byte, dialect);
            match state {
                State::FieldStart if *byte == dialect.delimiter => fields += 1,
                State::RecordStart if was != State::Comment => {
                    counts.push(fields);
                    fields = 1;
                    if counts.len() == RECORDS_MAX {
                        return counts;
                    }
                }
                _ => {}
            }
        }
        if self.is_whole && !state.is_border() {
            counts.push(fields);
        }
        counts
    }

    /// The first thing about quotes and escapes that this dialect does not explain. Where the job says what the quote or the escape
    /// is, that is its word on it.
    pub fn mismatch(&self, dialect: &Dialect, says_quote: bool, says_escape: bool) -> Option<Mismatch> {
        let mut state = State::ObjectStart;
        let mut before = 0;
        for (byte, letter) in self.bytes.iter().copied().enumerate() {
            let next = state.step(letter, dialect);
            let is_quote = dialect.quote == Some(letter);
            let kind = match (state, next) {
                (State::QuoteInQuoted, State::Unquoted) if before == b'\\' && dialect.escape.is_none() => {
                    (!says_escape).then_some(MismatchKind::BackslashQuote)
                }
                (State::QuoteInQuoted, State::Unquoted) if !says_quote => Some(MismatchKind::TextBehindQuote),
                (State::Unquoted, State::Unquoted) if is_quote && !says_quote => {
                    Some(MismatchKind::LoneQuote)
                }
                _ => None,
            };
            if let Some(kind) = kind {
                return Some(Mismatch { byte, kind });
            }
            if state != State::Quoted || !is_quote {
                before = letter;
            }
            state = next;
        }
        None
    }

    /// Where a line ends with a backslash, if so many do that they are continued.
    pub fn continued_line(&self) -> Option<Mismatch> {
        let (mut lines, mut continued, mut first) = (0, 0, None);
        for end in memchr::memchr_iter(b'\n', self.bytes) {
            lines += 1;
            let backslashes = self.bytes[..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 1 {
                continued += 1;
                first = first.or(Some(end - 1));
            }
        }
        let byte = first.filter(|_| continued * CONTINUED_SHARE >= lines)?;
        Some(Mismatch { byte, kind: MismatchKind::ContinuedLine })
    }

    /// What the first line is, if it does not look like a header.
    pub fn first_line(&self, dialect: &Dialect) -> Option<Mismatch> {
        let kind = |kind| Some(Mismatch { byte: 0, kind });
        if self.bytes.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"sep=")) {
            return kind(MismatchKind::SepLine);
        }
        let fields = self.fields(dialect);
        let [first, second, rest @ ..] = &fields[..] else { return None };
        let differs = first != second && rest.iter().all(|count| count == second);
        match self.bytes.first() {
            Some(b'#') if differs => kind(MismatchKind::Comment),
            _ if differs && *first == 1 => kind(MismatchKind::Title),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: &[u8]) -> Sample<'_> {
        Sample { bytes, is_whole: true }
    }

    #[test]
    fn a_delimiter_is_the_one_that_all_records_agree_on() {
        for (text, delimiter) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n\"1,5\";2\n", b';'),
            ("a;b\n\"1\n,5\";2,5\n", b';'),
            ("a\tb,c\n1\t2\n", b'\t'),
            ("a|b|c\n1|2|3", b'|'),
            ("single\nvalue\n", b','),
            ("", b','),
        ] {
            assert_eq!(sample(text.as_bytes()).delimiter(&Dialect::RFC_4180), delimiter, "{text}");
        }
    }

    #[test]
    fn lines_end_with_cr_where_there_is_no_lf() {
        for (text, line_end) in [("a\rb\r", b'\r'), ("a\r\nb\r", b'\n'), ("a", b'\n'), ("a\r", b'\n')] {
            assert_eq!(sample(text.as_bytes()).line_end(), line_end, "{text:?}");
        }
    }

    #[test]
    fn what_a_dialect_does_not_explain_is_found_at_its_byte() {
        let mismatch =
            |text: &'static str| sample(text.as_bytes()).mismatch(&Dialect::RFC_4180, false, false);
        for (text, byte, kind) in [
            ("1,\"5\\\" pipe\"\n", 6, MismatchKind::BackslashQuote),
            ("1,\"a\" ,2\n", 5, MismatchKind::TextBehindQuote),
            ("1,5\" pipe\n", 3, MismatchKind::LoneQuote),
        ] {
            assert_eq!(mismatch(text), Some(Mismatch { byte, kind }), "{text}");
        }
        for text in ["\"a \"\"b\"\", \\\"\n", "a,\"b\n\",\"\"\r\n", "C:\\,\"C:\\\",\n", ""] {
            assert_eq!(mismatch(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_job_says_is_no_mismatch() {
        assert_eq!(sample(b"5\" pipe\n").mismatch(&Dialect::RFC_4180, true, false), None);
        assert_eq!(sample(b"\"5\\\" pipe\"\n").mismatch(&Dialect::RFC_4180, true, true), None);
        let escaped = Dialect { escape: Some(b'\\'), ..Dialect::RFC_4180 };
        assert_eq!(sample(b"\"5\\\" pipe\"\n").mismatch(&escaped, false, true), None);
    }

    #[test]
    fn lines_are_continued_where_many_end_with_a_backslash() {
        assert!(sample(b"1\\\nx\n2\\\ny\n").continued_line().is_some());
        assert_eq!(sample(b"a \\\\\nb \\\\\n").continued_line(), None);
        assert_eq!(sample(b"a\nb\nc\nd \\\n").continued_line(), None);
    }

    #[test]
    fn a_first_line_that_is_no_header_is_found() {
        let kind = |text: &'static str| {
            sample(text.as_bytes()).first_line(&Dialect::RFC_4180).map(|mismatch| mismatch.kind)
        };
        assert_eq!(kind("sep=;\na;b\n"), Some(MismatchKind::SepLine));
        assert_eq!(kind("# exported\nid,v\n1,2\n"), Some(MismatchKind::Comment));
        assert_eq!(kind("Orders\nid,v\n1,2\n"), Some(MismatchKind::Title));
        for text in ["#id,v\n1,2\n", "id,v\n1,2\n", "id\n1\n", "id,v\n1\n2,3\n", "#id\n"] {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
