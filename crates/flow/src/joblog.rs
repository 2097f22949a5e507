//! The joblog: a line for each try at a chunk, in columns.
//!
//! The first nine are those of GNU parallel's `--joblog`, by its names, in its order and in its number formats, so that
//! what people and their tools know of that log holds of this one; ours follow. Columns are separated by tabs, and no
//! field has a tab or a line break in it, whatever a program or a service said.
//!
//! | column | |
//! |---|---|
//! | `Seq` | the chunk's index. From 0, as in `FANFOLD_INDEX` and in every message, though parallel counts from 1: two numbers for one chunk would be worse |
//! | `Host` | the environment of Lambda that it ran in, by its log stream's name |
//! | `Starttime` | when the process started, in seconds since 1970 (UTC) |
//! | `JobRuntime` | how long it ran, in seconds |
//! | `Send` | bytes that the process was given, a header included |
//! | `Receive` | of a result, its bytes that count in the output: without the header or the brackets that the output has once, and compressed where the output is. Of a failed try, bytes that were printed |
//! | `Exitval` | the exit status. -1 where there was none, and where it was 0 but the try failed all the same |
//! | `Signal` | the signal that ended the process, `Exitval` being 0 then; else 0 |
//! | `Command` | the program, as bash reads it. A registered task by its name. Cut off with `…` where it is long; `job.json` has the whole |
//! | `Partition`, `Hop`, `Attempt` | which invocation it was: the run of chunks, how often that was handed on when time was up, and which try at that hop, from 1 |
//! | `Cut` | which piece of the chunk, from 0: more where it was cut at a deadline |
//! | `Records` | records that the process was given |
//! | `Start` | `cold` for the first invocation of its environment, else `warm` |
//! | `Outcome` | `done`; `partial` for a piece that was done, but not the rest of its chunk, so that it is not in the output; else the [code](crate::code) of the failure |
//! | `Reason` | what is known of a worker's death |
//!
//! So `Exitval` and `Signal` are both 0 just where there is a result. `-` stands for what is not known. Lines come in the
//! order of index, cut, hop and attempt.
//!
//! An attempt whose worker died has a line too, but what it was at died with it. By convention the line names the first
//! chunk of the partition, as it was planned, ran for no time from when the death was known, moved nothing, and ended with
//! -1.
//!
//! The price: host and command stand in every line, so that a line can be read alone, and a million chunks make some 200 MB.

use std::fmt::Write as _;

use crate::code::Code;
use crate::done::{Death, Environment, Try};
use crate::job::Task;
use crate::result::ChunkResult;

/// The columns, in order.
pub const COLUMNS: [&str; 17] = [
    "Seq",
    "Host",
    "Starttime",
    "JobRuntime",
    "Send",
    "Receive",
    "Exitval",
    "Signal",
    "Command",
    "Partition",
    "Hop",
    "Attempt",
    "Cut",
    "Records",
    "Start",
    "Outcome",
    "Reason",
];

/// The media type of a joblog.
pub const CONTENT_TYPE: &str = "text/tab-separated-values; charset=utf-8";

/// Most characters of a command or of a reason: each command stands in every line.
const TEXT_CHARS_MAX: usize = 1_000;

/// What stands for what is not known.
const UNKNOWN: &str = "-";

/// The exit status where there was none that tells the truth: the one that parallel writes for a job that it ended itself.
const NO_STATUS: i32 = -1;

/// A line of the joblog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The chunk's index.
    pub index: u64,
    /// The chunk's cut.
    pub cut: u32,
    /// The hop of its partition.
    pub hop: u32,
    /// Which try at that hop, from 1.
    pub attempt: u32,
    /// The partition's number.
    pub partition: u64,
    /// The environment's id, where it is known.
    pub host: Option<&'a str>,
    /// Whether that was the environment's first invocation, where it is known.
    pub cold: Option<bool>,
    /// When the process started, in milliseconds since 1970 (UTC), not before that.
    pub started_ms: i64,
    /// How long it ran, in milliseconds.
    pub wall_ms: u64,
    /// How many bytes it was given.
    pub bytes_in: u64,
    /// How many bytes came of it.
    pub bytes_out: u64,
    /// How many records it was given, where they were counted.
    pub records: Option<u64>,
    /// Its exit status, as parallel means it.
    pub exitval: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// The program, as [`command_of`] writes it.
    pub command: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// What is known of a worker's death.
    pub reason: Option<&'a str>,
}

/// How a try at a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result that counts.
    Done,
    /// With a result of an earlier cut, while a later one failed: it is kept, and is in no output.
    Partial,
    /// Without a result.
    Failed(Code),
}

/// Where a line's try was made.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The partition's number.
    pub partition: u64,
    /// Where its hop ran, where that is known.
    pub environment: Option<&'a Environment>,
    /// The program, as [`command_of`] writes it.
    pub command: &'a str,
}

/// Why a text is no line of a joblog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It has fewer columns, or more.
    #[error("a line of a joblog has {} columns, not {found}", COLUMNS.len())]
    Columns {
        /// How many it has.
        found: usize,
    },
    /// A field is not what its column holds.
    #[error("'{text}' is nothing for the column {column}")]
    Field {
        /// The column's name.
        column: &'static str,
        /// What stands there.
        text: String,
    },
}

/// The first line: the columns' names.
pub fn header() -> String {
    COLUMNS.join("\t") + "\n"
}

impl<'a> Line<'a> {
    /// The line of a result, which `outcome` says whether it counts.
    pub fn of_result(result: &ChunkResult, outcome: Outcome, place: Place<'a>) -> Self {
        Self {
            cut: result.cut,
            started_ms: result.started_ms,
            wall_ms: result.wall_ms,
            bytes_in: result.bytes_in,
            bytes_out: result.bytes(),
            records: Some(result.records),
            exitval: 0,
            ..Self::at(result.index, result.hop, result.attempt, outcome, place)
        }
    }

    /// The line of a try that left no result.
    pub fn of_try(failed: &Try, place: Place<'a>) -> Self {
        let (exitval, signal) = match (failed.exit, failed.signal) {
            (_, Some(signal)) => (0, signal),
            // Who looks at the status alone must not take it for a success.
            (None | Some(0), None) => (NO_STATUS, 0),
            (Some(status), None) => (status, 0),
        };
        Self {
            cut: failed.cut,
            started_ms: failed.started_ms,
            wall_ms: failed.wall_ms,
            bytes_in: failed.bytes_in,
            bytes_out: failed.bytes_out,
            exitval,
            signal,
            ..Self::at(failed.index, failed.hop, failed.attempt, Outcome::Failed(failed.code), place)
        }
    }

    /// The line of an attempt whose worker died, at a partition whose first chunk has this index and this cut. Where it ran
    /// is not known, whatever the place says: others went on at its hop.
    pub fn of_death(death: &'a Death, (index, cut): (u64, u32), place: Place<'a>) -> Self {
        let place = Place { environment: None, ..place };
        let outcome = Outcome::Failed(Code::WorkerDied);
        Self {
            cut,
            started_ms: death.known_ms,
            reason: Some(&death.reason),
            ..Self::at(index, death.hop, death.attempt, outcome, place)
        }
    }

    /// A line of which no more is known than this.
    fn at(index: u64, hop: u32, attempt: u32, outcome: Outcome, place: Place<'a>) -> Self {
        Self {
            index,
            cut: 0,
            hop,
            attempt,
            partition: place.partition,
            host: place.environment.map(|environment| environment.id.as_str()),
            cold: place.environment.map(|environment| environment.cold),
            started_ms: 0,
            wall_ms: 0,
            bytes_in: 0,
            bytes_out: 0,
            records: None,
            exitval: NO_STATUS,
            signal: 0,
            command: place.command,
            outcome,
            reason: None,
        }
    }

    /// Writes the line to the end of `text`, line feed included.
    pub fn write_to(&self, text: &mut String) {
        let started = u64::try_from(self.started_ms).unwrap_or(0);
        // Writing to a string cannot fail.
        let _written = write!(text, "{}\t", self.index);
        push_word(text, self.host.unwrap_or_default());
        let _written = write!(
            text,
            "\t{}\t{:>10}\t{}\t{}\t{}\t{}\t",
            seconds(started),
            seconds(self.wall_ms),
            self.bytes_in,
            self.bytes_out,
            self.exitval,
            self.signal,
        );
        push_text(text, self.command);
        let _written = write!(text, "\t{}\t{}\t{}\t{}\t", self.partition, self.hop, self.attempt, self.cut);
        match self.records {
            Some(records) => _ = write!(text, "{records}"),
            None => text.push_str(UNKNOWN),
        }
        let start = self.cold.map_or(UNKNOWN, |cold| if cold { COLD } else { WARM });
        let _written = write!(text, "\t{start}\t{}\t", self.outcome.as_str());
        push_text(text, self.reason.unwrap_or_default());
        text.push('\n');
    }

    /// Reads a line, with its line feed or without. Commands and reasons stay as they were written.
    ///
    /// # Errors
    /// When it has other columns, or a field does not hold what its column should.
    pub fn parse(line: &'a str) -> Result<Self, LineError> {
        let fields: Vec<&str> = line.strip_suffix('\n').unwrap_or(line).split('\t').collect();
        let Ok(fields) = <[&str; COLUMNS.len()]>::try_from(fields.as_slice()) else {
            return Err(LineError::Columns { found: fields.len() });
        };
        let [seq, host, start, runtime, send, receive, exitval, signal, command, ours @ ..] = fields;
        let [partition, hop, attempt, cut, records, temperature, outcome, reason] = ours;
        Ok(Self {
            index: number("Seq", seq)?,
            cut: number("Cut", cut)?,
            hop: number("Hop", hop)?,
            attempt: number("Attempt", attempt)?,
            partition: number("Partition", partition)?,
            host: known(host),
            cold: known(temperature).map(is_cold).transpose()?,
            started_ms: i64::try_from(milliseconds("Starttime", start)?)
                .map_err(|_| wrong("Starttime", start))?,
            wall_ms: milliseconds("JobRuntime", runtime)?,
            bytes_in: number("Send", send)?,
            bytes_out: number("Receive", receive)?,
            records: known(records).map(|records| number("Records", records)).transpose()?,
            exitval: number("Exitval", exitval)?,
            signal: number("Signal", signal)?,
            command: known(command).unwrap_or_default(),
            outcome: Outcome::named(outcome).ok_or_else(|| wrong("Outcome", outcome))?,
            reason: known(reason),
        })
    }
}

const COLD: &str = "cold";
const WARM: &str = "warm";

impl Outcome {
    /// What stands in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed(code) => code.as_str(),
        }
    }

    fn named(text: &str) -> Option<Self> {
        let failures = Code::ALL.iter().map(|code| Self::Failed(*code));
        [Self::Done, Self::Partial].into_iter().chain(failures).find(|outcome| outcome.as_str() == text)
    }
}

/// A task as its lines have it: its command, or its name and arguments, each so that bash reads it as it is.
pub fn command_of(task: &Task) -> String {
    let words: Vec<&String> = match &task.command {
        Some(command) => command.iter().collect(),
        None => task.name.iter().chain(&task.args).collect(),
    };
    words.into_iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as bash reads it, on one line.
pub fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_@%+=:,./-".contains(letter);
    if word.chars().any(breaks) {
        let mut text = "$'".to_owned();
        word.chars().for_each(|letter| push_escaped(&mut text, letter));
        return text + "'";
    }
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn push_escaped(text: &mut String, letter: char) {
    match letter {
        '\\' | '\'' => text.extend(['\\', letter]),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        // By bytes, since what \u gives depends on the shell's locale.
        other if breaks(other) => {
            other.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| _ = write!(text, "\\x{byte:02x}"));
        }
        other => text.push(other),
    }
}

/// Whether a character would end a field or a line for some reader, or cannot be seen at all.
fn breaks(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// A text on one line and of bounded length; `-` for none.
fn push_text(text: &mut String, field: &str) {
    if field.is_empty() {
        text.push_str(UNKNOWN);
    }
    let mut letters = field.chars();
    text.extend(
        letters.by_ref().take(TEXT_CHARS_MAX).map(|letter| if breaks(letter) { ' ' } else { letter }),
    );
    if letters.next().is_some() {
        text.push('…');
    }
}

/// The same without a space: to parallel a host is one word.
fn push_word(text: &mut String, field: &str) {
    let begin = text.len();
    push_text(text, field);
    if text[begin..].contains(char::is_whitespace) {
        let word = text.split_off(begin);
        text.push_str(&word.replace(char::is_whitespace, "_"));
    }
}

/// Milliseconds as seconds with three decimals.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

fn milliseconds(column: &'static str, text: &str) -> Result<u64, LineError> {
    let refused = || wrong(column, text);
    let (seconds, rest) = text.trim_start().split_once('.').ok_or_else(refused)?;
    let seconds: u64 = number(column, seconds)?;
    let rest: u64 = if rest.len() == 3 { number(column, rest)? } else { return Err(refused()) };
    seconds.checked_mul(1_000).and_then(|ms| ms.checked_add(rest)).ok_or_else(refused)
}

fn number<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, LineError> {
    text.parse().map_err(|_| wrong(column, text))
}

fn is_cold(text: &str) -> Result<bool, LineError> {
    match text {
        COLD => Ok(true),
        WARM => Ok(false),
        other => Err(wrong("Start", other)),
    }
}

fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != UNKNOWN)
}

fn wrong(column: &'static str, text: &str) -> LineError {
    LineError::Field { column, text: text.to_owned() }
}
