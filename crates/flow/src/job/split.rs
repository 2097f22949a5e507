//! What a record is, as a job says it.

use fanfold_records::{Dialect, HeadRule, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a record is: a word, or an object of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Split {
    /// As a word says.
    Named(SplitName),
    /// As its field says.
    By(SplitBy),
}

/// The words for what a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitName {
    /// A record ends with its line.
    Lines,
    /// A record ends with a line end outside quotes. The delimiter is looked for in the first bytes: a comma, a semicolon, a tab
    /// or a bar.
    Csv,
    /// A record ends with its line, and fields are separated by tabs. There are no quotes.
    Tsv,
    /// JSON Lines: a record is a line.
    Jsonl,
    /// A record begins with a line that is not blank, behind one that is.
    Paragraphs,
    /// An object is never split: a chunk is a whole object.
    None,
}

/// What a record is, with what it takes to know one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// A record ends with a line end outside quotes.
    Csv(Csv),
    /// A record ends with this text: at most 1,024 bytes, in which no beginning is also an end.
    Separator(String),
    /// A record begins with a line that begins with this text: at most 1,024 bytes, without a line feed. `">"` is FASTA.
    BeginsWith(String),
    /// A record has so many lines. 4 is FASTQ.
    Lines(#[schemars(range(min = 1))] u64),
}

/// How a CSV is written. What is left out is looked for in the first bytes of the first object, or has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// What stands between two fields: one ASCII character. Default: a comma, a semicolon, a tab or a bar, whichever the first
    /// records are written with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<Letter>,
    /// What stands around a field that may hold delimiters and line ends; doubled within such a field, it is a letter. One ASCII
    /// character, or `null` where nothing is quoted. Default `"\""`.
    #[serde(default, skip_serializing_if = "Choice::is_default")]
    #[schemars(with = "Option<Letter>")]
    pub quote: Choice,
    /// What makes the next character a letter, a line end too: one ASCII character, or `null` where there is none. Default `null`; a
    /// file that looks as if it had one is refused until the job says.
    #[serde(default, skip_serializing_if = "Choice::is_default")]
    #[schemars(with = "Option<Letter>")]
    pub escape: Choice,
    /// What begins a line that is no record: one ASCII character. Default: there are no such lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Letter>,
    /// How many lines of each object stand before its header, or before its first record. They are given to every process, before
    /// the header. Default 0; a file that looks as if it had some is refused until the job says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_lines: Option<u64>,
}

/// One ASCII character that ends no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter(pub u8);

/// A character, none, or what is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Nothing was said.
    #[default]
    Default,
    /// There is none.
    Never,
    /// This one.
    Is(Letter),
}

impl Choice {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }

    /// The character, where `default` stands for nothing said.
    pub fn or(self, default: Option<u8>) -> Option<u8> {
        match self {
            Self::Default => default,
            Self::Never => None,
            Self::Is(Letter(byte)) => Some(byte),
        }
    }
}

/// Which byte ends a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// LF, with or without a CR before it; or CR, where the first bytes of the first object have no LF.
    #[default]
    Auto,
    /// LF, with or without a CR before it.
    Lf,
    /// CR.
    Cr,
}

impl LineEnd {
    /// Whether it is the default.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Whether an object begins with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Header {
    /// Its first record is one, or none is.
    Is(bool),
    /// So many records are.
    Records(#[schemars(range(min = 0, max = 1000))] u64),
}

impl Default for Header {
    fn default() -> Self {
        Self::Is(false)
    }
}

impl Header {
    /// How many records of an object are its header.
    pub fn records(self) -> u64 {
        match self {
            Self::Is(is_there) => u64::from(is_there),
            Self::Records(records) => records,
        }
    }
}

impl Default for Split {
    fn default() -> Self {
        Self::Named(SplitName::Lines)
    }
}

impl Split {
    /// Whether objects are never split.
    pub fn is_none(&self) -> bool {
        *self == Self::Named(SplitName::None)
    }

    /// The table that each object is, if it is one.
    pub fn csv(&self) -> Option<Csv> {
        match self {
            Self::Named(SplitName::Csv) => Some(Csv::default()),
            Self::Named(SplitName::Tsv) => {
                Some(Csv { delimiter: Some(Letter(b'\t')), quote: Choice::Never, ..Csv::default() })
            }
            Self::By(SplitBy::Csv(csv)) => Some(csv.clone()),
            Self::Named(_) | Self::By(_) => None,
        }
    }

    /// What stands before an object's first record.
    pub fn head(&self, header: Header) -> HeadRule {
        let csv = self.csv().unwrap_or_default();
        HeadRule {
            skip_lines: csv.skip_lines.unwrap_or(0),
            comment: csv.comment.map(|letter| letter.0),
            header_records: header.records(),
        }
    }

    /// What a record is, where lines end with `line_end`, and a table that does not name a delimiter has this one.
    pub fn rule(&self, delimiter: u8, line_end: u8) -> Rule {
        let line = || Rule::Separator(char::from(line_end).into());
        match self {
            Self::Named(SplitName::Lines | SplitName::Jsonl) => line(),
            Self::Named(SplitName::Csv | SplitName::Tsv) | Self::By(SplitBy::Csv(_)) => {
                let csv = self.csv().unwrap_or_default();
                let dialect = Dialect {
                    delimiter: csv.delimiter.map_or(delimiter, |letter| letter.0),
                    quote: csv.quote.or(Some(b'"')),
                    escape: csv.escape.or(None),
                    comment: csv.comment.map(|letter| letter.0),
                    line_end,
                };
                if dialect.quote.is_none() && dialect.escape.is_none() {
                    return line();
                }
                Rule::Csv(dialect)
            }
            Self::Named(SplitName::Paragraphs) => Rule::Paragraphs,
            Self::Named(SplitName::None) => Rule::Whole,
            Self::By(SplitBy::Separator(text)) => Rule::Separator(text.clone()),
            Self::By(SplitBy::BeginsWith(mark)) => Rule::BeginsWith(mark.clone()),
            Self::By(SplitBy::Lines(lines)) => Rule::Lines(*lines),
        }
    }
}

impl Letter {
    /// The letter that a text is, if it is one.
    pub fn of(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [byte] if byte.is_ascii() && !b"\r\n".contains(byte) => Some(Self(*byte)),
            _ => None,
        }
    }
}

impl Serialize for Letter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(char::from(self.0))
    }
}

impl<'de> Deserialize<'de> for Letter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of(&text)
            .ok_or_else(|| serde::de::Error::custom("must be one ASCII character, and no line end"))
    }
}

impl JsonSchema for Letter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Letter".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "letter", "minLength": 1, "maxLength": 1,
            "description": "one ASCII character, and no line end",
        })
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default | Self::Never => serializer.serialize_none(),
            Self::Is(letter) => letter.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Letter>::deserialize(deserializer)?.map_or(Self::Never, Self::Is))
    }
}
