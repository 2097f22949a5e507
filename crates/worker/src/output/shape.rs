//! What of a result counts, and what separates it from the next one.

use bytes::Bytes;
use fanfold_flow::job::Format;
use fanfold_flow::literal::Literal;
use fanfold_records::json::{Array, JsonError, LineError, Lines};

use super::OutputError;
use super::header::{Header, HeaderRule};

/// What a format makes of a result, piece by piece.
#[derive(Debug)]
pub(super) enum Shape {
    /// All bytes count.
    Bytes,
    /// All bytes count; a line feed is set where the last one lacks.
    Lines(LastLine),
    /// All bytes behind the header count.
    Csv { header: Header, last_line: LastLine },
    /// All bytes count, if each line is one JSON value; a line feed is set where the last one lacks.
    JsonLines { lines: Lines, last_line: LastLine },
    /// What stands between the brackets counts.
    JsonArray(Array),
}

/// What is known at the end of a result.
#[derive(Debug)]
pub(super) struct End {
    /// What counts behind all that was taken.
    pub(super) rest: Bytes,
    /// The header that was taken off.
    pub(super) header: Option<Literal>,
    /// What stands between this result and the next one, or behind the last one.
    pub(super) separator: &'static [u8],
}

impl Shape {
    /// Of a result whose header, if any is to be taken off, is known so.
    pub(super) fn new(format: Format, header: Option<HeaderRule>) -> Self {
        let last_line = LastLine { byte: b'\n' };
        match (format, header) {
            (Format::Csv, Some(rule)) => Self::Csv { header: Header::new(rule), last_line },
            (Format::Bytes, _) => Self::Bytes,
            (Format::Lines | Format::Csv, _) => Self::Lines(last_line),
            (Format::JsonLines, _) => Self::JsonLines { lines: Lines::new(), last_line },
            (Format::JsonArray, _) => Self::JsonArray(Array::new()),
        }
    }

    /// Takes the next piece, and gives back what of it counts.
    pub(super) fn take(&mut self, piece: Bytes) -> Result<Bytes, OutputError> {
        match self {
            Self::Bytes => Ok(piece),
            Self::Lines(last_line) => Ok(last_line.pass(piece)),
            Self::Csv { header, last_line } => Ok(last_line.pass(header.take_off(piece))),
            Self::JsonLines { lines, last_line } => {
                lines.push(&piece).map_err(not_json_lines)?;
                Ok(last_line.pass(piece))
            }
            Self::JsonArray(array) => {
                array.take(&piece).map(|inside| piece.slice(inside)).map_err(not_an_array)
            }
        }
    }

    /// What an output has before this result, if it is the first. Known when the first byte has counted.
    pub(super) fn lead(&self) -> &[u8] {
        match self {
            Self::Bytes => Format::Bytes.prefix(),
            Self::Lines(_) => Format::Lines.prefix(),
            Self::Csv { header, .. } => header.bytes(),
            Self::JsonLines { .. } => Format::JsonLines.prefix(),
            Self::JsonArray(_) => Format::JsonArray.prefix(),
        }
    }

    /// The end of a result. Behind the very last one of a job comes the output's end, and its last line stays as it is.
    pub(super) fn end(&mut self, is_last: bool) -> Result<End, OutputError> {
        let end = |separator| End { rest: Bytes::new(), header: None, separator };
        match self {
            Self::Bytes => Ok(end(b"")),
            Self::Lines(last_line) => Ok(end(last_line.separator(is_last))),
            Self::Csv { header, last_line } => {
                let rest = last_line.pass(header.end()?);
                Ok(End { rest, header: header.taken(), separator: last_line.separator(is_last) })
            }
            Self::JsonLines { lines, last_line } => {
                lines.end().map_err(not_json_lines)?;
                Ok(end(last_line.separator(is_last)))
            }
            Self::JsonArray(array) => {
                if array.is_blank() {
                    return Err(no_array());
                }
                array.end().map_err(not_an_array)?;
                Ok(end(if is_last { Format::JsonArray.suffix() } else { b"," }))
            }
        }
    }
}

fn no_array() -> OutputError {
    OutputError::Malformed("it is empty; a program must print a JSON array, at least []".to_owned())
}

fn not_an_array(error: JsonError) -> OutputError {
    OutputError::Malformed(format!("it is not one JSON array: {error}"))
}

fn not_json_lines(error: LineError) -> OutputError {
    OutputError::Malformed(format!("each line must be one JSON value, but {error}"))
}

/// Whether the last line has its line feed.
#[derive(Debug)]
pub(super) struct LastLine {
    byte: u8,
}

impl LastLine {
    fn pass(&mut self, piece: Bytes) -> Bytes {
        self.byte = piece.last().copied().unwrap_or(self.byte);
        piece
    }

    fn separator(&self, is_last: bool) -> &'static [u8] {
        if is_last || self.byte == b'\n' { b"" } else { b"\n" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What counts of a result, its header and its separator.
    type Shaped = (Vec<u8>, Option<Vec<u8>>, &'static [u8]);

    /// What a format makes of a result, when it comes in pieces of these sizes.
    fn shaped(format: Format, last: bool, result: &[u8], piece_bytes: usize) -> Result<Shaped, String> {
        let mut shape = Shape::new(format, (format == Format::Csv).then_some(HeaderRule::Records(1)));
        let mut counts = Vec::new();
        for piece in result.chunks(piece_bytes.max(1)) {
            let piece = shape.take(Bytes::copy_from_slice(piece)).map_err(|error| error.to_string())?;
            counts.extend_from_slice(&piece);
        }
        let end = shape.end(last).map_err(|error| error.to_string())?;
        counts.extend_from_slice(&end.rest);
        Ok((counts, end.header.map(|header| header.0), end.separator))
    }

    #[test]
    fn only_the_jobs_last_line_may_lack_its_line_feed() {
        assert_eq!(shaped(Format::Lines, false, b"a\nb", 2).unwrap().2, b"\n");
        assert_eq!(shaped(Format::Lines, false, b"a\nb\n", 2).unwrap().2, b"");
        assert_eq!(shaped(Format::Lines, true, b"a\nb", 2).unwrap().2, b"");
        assert_eq!(shaped(Format::Csv, false, b"", 1).unwrap(), (vec![], None, &b""[..]));
        assert_eq!(shaped(Format::JsonLines, false, b"1\n[2]", 2).unwrap().2, b"\n");
        assert_eq!(shaped(Format::JsonLines, true, b"1\n[2]", 2).unwrap().2, b"");
    }

    #[test]
    fn json_lines_stay_as_they_were_printed() {
        for result in ["", "1\n", " {\"a\": 1.0}\r\n[]\n", "null"] {
            let (counts, ..) = shaped(Format::JsonLines, false, result.as_bytes(), 3).unwrap();
            assert_eq!(counts, result.as_bytes());
        }
    }

    #[test]
    fn what_is_not_json_lines_is_refused_with_line_and_byte() {
        for (text, words) in [
            ("1\n\n2\n", "line 2, at byte 2, is blank"),
            ("{\n}", "line 1 ends at byte 1 within a JSON value"),
            ("1\n2\ntrue false\n", "line 3 is not one JSON value: at byte 9"),
        ] {
            let refusal = shaped(Format::JsonLines, false, text.as_bytes(), 3).unwrap_err();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }

    #[test]
    fn behind_the_jobs_last_array_stands_the_end_of_the_output() {
        assert_eq!(shaped(Format::JsonArray, true, b"[1]", 2).unwrap().2, b"]\n");
    }

    proptest! {
        #[test]
        fn an_array_comes_out_the_same_however_it_is_cut_into_pieces(
            values in prop::collection::vec(prop::sample::select(vec!["1", "\"]\"", "\"a\\\"[,\"", "[]", "{\"k\": [1, \"}\"]}", "null"]), 0..5),
            space in prop::sample::select(vec!["", " ", "\n\t "]), piece_bytes in 1..9_usize,
        ) {
            let inner = values.join(&format!("{space},{space}"));
            let text = format!("{space}[{space}{inner}{space}]{space}");
            let (counts, _, separator) = shaped(Format::JsonArray, false, text.as_bytes(), piece_bytes).unwrap();
            let again = format!("[{}]", String::from_utf8(counts.clone()).unwrap());
            let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&again).unwrap(), wanted);
            prop_assert_eq!(counts.is_empty(), values.is_empty());
            prop_assert_eq!(separator, b",");
        }
    }

    #[test]
    fn what_is_not_one_array_is_refused_with_the_place() {
        for (text, words) in [
            ("{}", "at byte 0"),
            ("", "empty"),
            ("[1", "at byte 2 is the end"),
            ("[1,2,]", "at byte 5 is ']', expected a value"),
            ("[1}", "at byte 2"),
            ("[1] 2", "at byte 4"),
            ("[\"a]", "at byte 4 is the end"),
        ] {
            let refusal = shaped(Format::JsonArray, false, text.as_bytes(), 3).unwrap_err();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
