//! The header that results of format `csv` begin with, and the output has once.

use bytes::Bytes;
use fanfold_flow::limits::HEADER_JSON_BYTES_MAX;
use fanfold_flow::literal::Literal;
use fanfold_records::{Dialect, HeadRule, Rule};

use super::OutputError;

/// Longest header of a result, in bytes: it travels in the done record.
pub(crate) const HEADER_BYTES_MAX: usize = HEADER_JSON_BYTES_MAX as usize;

/// How a result's header is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderRule {
    /// It is what the program prints for the input's header alone. No bytes: results have no header.
    Printed {
        /// What it prints, without the end of its last line.
        printed: Bytes,
        /// The input's header. Where results have none, none may begin with it.
        given: Bytes,
    },
    /// It is so many records, whatever stands in them.
    Records(u64),
}

impl HeaderRule {
    /// By what a program printed for the input's header alone.
    pub(crate) fn printed(printed: Bytes, given: Bytes) -> Self {
        Self::Printed { printed: without_line_end(printed), given: without_line_end(given) }
    }
}

fn without_line_end(bytes: Bytes) -> Bytes {
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    bytes.slice(..line.strip_suffix(b"\r").unwrap_or(line).len())
}

/// A result's header, as it is taken off.
#[derive(Debug)]
pub(super) struct Header {
    rule: HeaderRule,
    /// What came of the result so far, until the header is known.
    begun: Vec<u8>,
    taken: Option<Vec<u8>>,
    /// What is wrong with it. That is kept until the result ends: a program that fails says better what is wrong.
    refusal: Option<OutputError>,
}

impl Header {
    pub(super) fn new(rule: HeaderRule) -> Self {
        Self { rule, begun: Vec::new(), taken: None, refusal: None }
    }

    /// The header, as far as it came. Known when a byte has come behind it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.taken.as_deref().unwrap_or_default()
    }

    /// Takes the next piece, and gives back what of it, and of what came before, stands behind the header.
    pub(super) fn take_off(&mut self, piece: Bytes) -> Bytes {
        if self.taken.is_some() {
            return piece;
        }
        if self.refusal.is_some() {
            return Bytes::new();
        }
        self.begun.extend_from_slice(&piece);
        match self.length(false) {
            Ok(Some(bytes)) => return self.split(bytes),
            Ok(None) if self.begun.len() <= HEADER_BYTES_MAX => {}
            Ok(None) => {
                self.refusal = Some(OutputError::Malformed(format!(
                    "its header does not end within {HEADER_BYTES_MAX} bytes; choose the format \"bytes\" or \"lines\""
                )));
            }
            Err(refusal) => self.refusal = Some(refusal),
        }
        Bytes::new()
    }

    /// The end of the result: the header, if it had one, and what is left behind it.
    pub(super) fn end(&mut self) -> Result<Bytes, OutputError> {
        if self.taken.is_some() {
            return Ok(Bytes::new());
        }
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let bytes = self.length(true)?.unwrap_or(0);
        Ok(self.split(bytes))
    }

    /// The header that was taken off.
    pub(super) fn taken(&mut self) -> Option<Literal> {
        self.taken.take().filter(|header| !header.is_empty()).map(Literal)
    }

    fn split(&mut self, bytes: usize) -> Bytes {
        let rest = self.begun.split_off(bytes);
        self.taken = Some(std::mem::take(&mut self.begun));
        rest.into()
    }

    /// How long the header is; none where more must come to know.
    fn length(&self, is_whole: bool) -> Result<Option<usize>, OutputError> {
        match &self.rule {
            HeaderRule::Records(records) => {
                let rule = HeadRule { header_records: *records, ..HeadRule::default() };
                let head = rule.head(&Rule::Csv(Dialect::RFC_4180), &self.begun, is_whole);
                Ok(head.map(|head| head.header))
            }
            HeaderRule::Printed { printed, given } if printed.is_empty() => {
                if line_begins(&self.begun, given, is_whole) == Some(true) && !given.is_empty() {
                    return Err(OutputError::Malformed(
                        "it begins with the input's header, yet for that header alone the program prints nothing, so whether the \
                         output has a header is unknown; set the output's \"header\" to how many lines each result begins with, or \
                         choose the format \"bytes\""
                            .to_owned(),
                    ));
                }
                Ok(line_begins(&self.begun, given, is_whole).map(|_| 0))
            }
            HeaderRule::Printed { printed, .. } => match line_begins(&self.begun, printed, is_whole) {
                Some(true) => Ok(Some(self.behind_line(printed.len()))),
                // A result without any byte has no header either.
                Some(false) if self.begun.is_empty() => Ok(Some(0)),
                Some(false) => Err(OutputError::Malformed(format!(
                    "it does not begin with the header that the program prints for the input's header alone, {:?}; choose the format \
                     \"bytes\", or set the output's \"header\" to how many lines each result begins with",
                    shown(printed)
                ))),
                None => Ok(None),
            },
        }
    }

    /// Behind the line end that follows `line` bytes.
    fn behind_line(&self, line: usize) -> usize {
        let rest = &self.begun[line..];
        let end = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
        line + end
    }
}

/// Whether `bytes` begin with `line` and a line's end; none where more must come to know.
fn line_begins(bytes: &[u8], line: &[u8], is_whole: bool) -> Option<bool> {
    let both = bytes.len().min(line.len());
    if bytes[..both] != line[..both] {
        return Some(false);
    }
    match &bytes[both..] {
        [] | b"\r" if !is_whole => None,
        [] => Some(both == line.len()),
        [b'\n', ..] | [b'\r', b'\n', ..] | b"\r" => Some(true),
        _ => Some(false),
    }
}

/// The beginning of a header, for a message.
fn shown(header: &[u8]) -> String {
    const SHOWN_BYTES: usize = 200;
    String::from_utf8_lossy(&header[..header.len().min(SHOWN_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header and the rest of a result that comes in pieces.
    fn taken(rule: &HeaderRule, result: &[u8], piece_bytes: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut header = Header::new(rule.clone());
        let mut rest = Vec::new();
        for piece in result.chunks(piece_bytes) {
            rest.extend(header.take_off(Bytes::copy_from_slice(piece)));
        }
        rest.extend(header.end().map_err(|error| error.to_string())?);
        Ok((header.taken().map(|header| header.0).unwrap_or_default(), rest))
    }

    fn printed(printed: &'static str) -> HeaderRule {
        HeaderRule::printed(Bytes::from(printed), Bytes::from_static(b"id,v\n"))
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn a_printed_header_is_taken_off_however_it_comes_in_pieces(
            rows in "[a,\r\n]{0,9}", piece_bytes in 1..12_usize, header in prop::sample::select(vec!["k\n", "k\r\n", "# a\nk\n", "k"]),
        ) {
            let rule = printed(header);
            let line_end = if header.ends_with('\n') { "" } else { "\n" };
            let (taken, rest) = taken(&rule, format!("{header}{line_end}{rows}").as_bytes(), piece_bytes).unwrap();
            prop_assert_eq!((text(taken), text(rest)), (format!("{header}{line_end}"), rows));
        }

        #[test]
        fn where_no_header_is_printed_no_byte_is_taken_off(rows in "[a,\r\n]{0,9}", piece_bytes in 1..12_usize) {
            let (taken, rest) = taken(&printed(""), rows.as_bytes(), piece_bytes).unwrap();
            prop_assert_eq!((text(taken), text(rest)), (String::new(), rows));
        }
    }

    #[test]
    fn a_result_with_another_beginning_is_refused_by_name() {
        for (header, result, words) in [
            ("id,v\n", "1,2\n", "does not begin with the header"),
            ("id,v\n", "id,value\n", "does not begin with the header"),
            ("", "id,v\n1,2\n", "whether the output has a header is unknown"),
        ] {
            for piece_bytes in 1..10 {
                let refusal = taken(&printed(header), result.as_bytes(), piece_bytes).unwrap_err();
                assert!(refusal.contains(words), "{refusal}");
            }
        }
    }

    #[test]
    fn an_empty_result_has_no_header_and_one_of_a_header_alone_may_lack_its_line_end() {
        assert_eq!(taken(&printed("k\n"), b"", 1).unwrap(), (vec![], vec![]));
        assert_eq!(taken(&printed("k\n"), b"k", 1).unwrap(), (b"k".to_vec(), vec![]));
    }

    #[test]
    fn records_may_have_line_ends_within_quotes() {
        let result = b"a,\"b\nc\"\n1,2";
        for piece_bytes in 1..12 {
            for (records, header) in [(0, 0), (1, 8), (2, 11)] {
                let (taken, rest) = taken(&HeaderRule::Records(records), result, piece_bytes).unwrap();
                assert_eq!((&taken[..], &rest[..]), result.split_at(header));
            }
        }
    }

    #[test]
    fn a_header_has_an_end_within_the_limit() {
        let line = |bytes: usize| [vec![b'a'; bytes - 1], b"\n1\n".to_vec()].concat();
        assert!(taken(&HeaderRule::Records(1), &line(HEADER_BYTES_MAX), 9_999).is_ok());
        let refusal = taken(&HeaderRule::Records(1), &line(HEADER_BYTES_MAX + 20_000), 9_999).unwrap_err();
        assert!(refusal.contains("does not end within"), "{refusal}");
    }
}
