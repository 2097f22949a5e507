//! Why an object is not what its job says, and what to say instead.

use std::fmt;

use fanfold_compression::FileKind;
use fanfold_records::{MismatchKind, WideEncoding};

/// Why an object is not what its job says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is compressed, or no text at all.
    Kind(FileKind),
    /// It is text in an encoding in which bytes are no characters.
    Encoding(WideEncoding),
    /// Something at this byte that the job's dialect does not explain.
    Mismatch(MismatchKind, usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) if kind.codec().is_some() => write!(
                f,
                "it is {kind}, and records cannot be cut in what is compressed; hand over whole objects (--split none, \"split\": \"none\") \
                 to a program that decompresses, or decompress it first"
            ),
            Self::Kind(kind) => write!(
                f,
                "it is {kind}, which has no records that could be cut; hand over whole objects (--split none, \"split\": \"none\")"
            ),
            Self::Encoding(encoding) => write!(
                f,
                "it is {}, in which records cannot be cut; convert it first, such as by iconv -t utf-8, or hand over whole objects \
                 (--split none, \"split\": \"none\")",
                encoding.name()
            ),
            Self::Mismatch(kind, byte) => {
                let (what, advice) = mismatch(*kind);
                write!(f, "{what} at byte {byte}: {advice}")
            }
        }
    }
}

/// What was found, and what to say.
fn mismatch(kind: MismatchKind) -> (&'static str, &'static str) {
    match kind {
        MismatchKind::BackslashQuote => (
            "a quoted field goes on behind a backslash and a quote",
            "where the backslash escapes the quote, set --escape '\\' (\"escape\": \"\\\\\"); where it does not, --no-escape (\"escape\": null)",
        ),
        MismatchKind::TextBehindQuote => (
            "there is text behind a closing quote",
            "set --delimiter or --quote where they are other characters; --no-quote (\"quote\": null) where nothing is quoted; or --quote '\"' \
             where the text belongs to the field",
        ),
        MismatchKind::LoneQuote => (
            "there is a quote in a field that does not begin with one",
            "set --delimiter where another character separates fields; --no-quote (\"quote\": null) where nothing is quoted; or --quote '\"' \
             where it is a letter there",
        ),
        MismatchKind::ContinuedLine => (
            "lines end with a backslash",
            "where the backslash takes the line end into the field, use --split csv with --escape '\\' (\"escape\": \"\\\\\"), and \
             --no-quote where nothing is quoted; where a record ends there, --split 'sep:\\n' ({\"separator\": \"\\n\"}), or --no-escape \
             (\"escape\": null) with csv",
        ),
        MismatchKind::SepLine => (
            "the first line says what the delimiter is, and is no header",
            "set --skip-lines 1 (\"skip_lines\": 1) and that --delimiter; or --skip-lines 0 where it is the header",
        ),
        MismatchKind::Comment => (
            "the first line begins with '#' and has another number of fields than the next",
            "set --comment '#' (\"comment\": \"#\") or --skip-lines N (\"skip_lines\"), so that the header is found; or --skip-lines 0 where \
             it is the header",
        ),
        MismatchKind::Title => (
            "the first line has one field, and the next have more",
            "set --skip-lines N (\"skip_lines\"), so that the header is found, or another --delimiter; or --skip-lines 0 where it is the \
             header",
        ),
    }
}
