//! A bucket's journal: every committed change, one line each, in the order of the commits.
//!
//! A line is the CRC32 of its document as eight hexadecimal digits, a space, the JSON document, a line feed. A change
//! is committed when its line is whole. A process that is killed while it writes leaves a line without its line feed
//! at the very end: that one never happened and is cut off at the next start. A whole line that is wrong can't come
//! from a kill; it is reported with its place, never skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::FileError;

/// A journal is rewritten when it is more than twice as long as the last rewriting left it, and this much besides.
const SLACK_BYTES: u64 = 64 << 20;
/// Digits of the CRC and the space behind them.
const PREFIX_BYTES: usize = 9;

/// Why a journal can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged { path: PathBuf, offset: usize, reason: String },
}

/// A change, encoded as its line.
pub(crate) struct Line(Vec<u8>);

impl Line {
    /// Encodes a change; done outside of the lock, since a large object has a long line.
    ///
    /// # Errors
    /// When the change has no JSON form.
    pub(crate) fn encode(change: &impl Serialize) -> io::Result<Self> {
        let mut line = vec![b' '; PREFIX_BYTES];
        serde_json::to_writer(&mut line, change)?;
        let prefix = prefix_of(&line[PREFIX_BYTES..]);
        line[..PREFIX_BYTES].copy_from_slice(prefix.as_bytes());
        line.push(b'\n');
        Ok(Self(line))
    }
}

/// An open journal, at whose end changes are added.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    /// The length that the last rewriting left.
    compact_length: u64,
    /// Whether something may stand behind the last whole line.
    torn: bool,
}

impl Journal {
    /// A new journal that holds `changes`, in place of one that may be there. It appears whole or not at all.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn write<T: Serialize>(
        path: &Path,
        changes: impl Iterator<Item = T>,
    ) -> Result<Self, FileError> {
        let fresh = path.with_extension("new");
        let file = File::create(&fresh).map_err(FileError::when("create", &fresh))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let mut length = 0;
        for change in changes {
            let line = Line::encode(&change).map_err(FileError::when("encode a line for", path))?;
            writer.write_all(&line.0).map_err(FileError::when("write to", &fresh))?;
            length += line.0.len() as u64;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(FileError::when("write to", &fresh))?;
        fs::rename(&fresh, path).map_err(FileError::when("put in place", path))?;
        Ok(Self { path: path.to_owned(), file, length, compact_length: length, torn: false })
    }

    /// Reads a journal, calling `each` with its changes in order, and opens it for more.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the place of the first line that can't be right; what `each` says; and
    /// [`FileError`] when the file system refuses.
    pub(crate) fn read<T: DeserializeOwned>(
        path: &Path,
        mut each: impl FnMut(T) -> Result<(), String>,
    ) -> Result<Self, JournalError> {
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::when("delete the leftover", &fresh)(error).into());
            }
            _ => {}
        }
        let bytes = fs::read(path).map_err(FileError::when("read", path))?;
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { break };
            let damaged = |reason| JournalError::Damaged { path: path.to_owned(), offset, reason };
            each(decode(line).map_err(damaged)?).map_err(damaged)?;
            offset += line.len() + 1;
        }
        let file = OpenOptions::new().write(true).open(path).map_err(FileError::when("open", path))?;
        let length = offset as u64;
        let mut journal = Self { path: path.to_owned(), file, length, compact_length: length, torn: true };
        journal.cut()?;
        Ok(journal)
    }

    /// Commits a change. After an error it has not happened.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn append(&mut self, line: &Line) -> Result<(), FileError> {
        // Half a line must not stand in front of this one.
        self.cut()?;
        self.torn = true;
        if let Err(error) = self.file.write_all(&line.0) {
            // What can't be cut off now is cut off before the next line, or at the next start.
            self.cut()?;
            return Err(FileError::when("write to", &self.path)(error));
        }
        self.torn = false;
        self.length += line.0.len() as u64;
        Ok(())
    }

    /// Whether most of the journal is about what is no more.
    pub(crate) fn wants_rewriting(&self) -> bool {
        self.length > 2 * self.compact_length + SLACK_BYTES
    }

    /// Cuts off what stands behind the last whole line.
    fn cut(&mut self) -> Result<(), FileError> {
        if self.torn {
            let cut = self.file.set_len(self.length);
            let to_end = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            to_end.map_err(FileError::when("cut the unfinished line off", &self.path))?;
            self.torn = false;
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let (prefix, document) = line.split_at_checked(PREFIX_BYTES).ok_or("the line is too short")?;
    if prefix != prefix_of(document).as_bytes() {
        return Err("the line does not begin with the CRC32 of its document".into());
    }
    serde_json::from_slice(document).map_err(|error| error.to_string())
}

/// The CRC32 in digits, and the space behind them.
fn prefix_of(document: &[u8]) -> String {
    format!("{:08x} ", s3s::crypto::Crc32::checksum_u32(document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(path: &Path) -> Result<Vec<String>, JournalError> {
        let mut lines = Vec::new();
        Journal::read(path, |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    fn journal_of(path: &Path, lines: &[String]) {
        let mut journal = Journal::write(path, std::iter::empty::<String>()).unwrap();
        for line in lines {
            journal.append(&Line::encode(line).unwrap()).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn a_journal_cut_anywhere_holds_the_whole_lines_before_the_cut_and_takes_more(
            lines in prop::collection::vec(".{0,20}", 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            journal_of(&path, &lines);
            let bytes = fs::read(&path).unwrap();
            let kept = &bytes[..cut.index(bytes.len() + 1)];
            fs::write(&path, kept).unwrap();
            let whole = kept.iter().filter(|byte| **byte == b'\n').count();

            prop_assert_eq!(&read(&path).unwrap(), &lines[..whole]);
            let mut journal = Journal::read(&path, |_: String| Ok(())).unwrap();
            journal.append(&Line::encode(&"more").unwrap()).unwrap();
            let mut expected = lines[..whole].to_vec();
            expected.push("more".into());
            prop_assert_eq!(read(&path).unwrap(), expected);
        }

        #[test]
        fn a_changed_byte_in_a_whole_line_is_reported_and_never_read_as_something_else(
            lines in prop::collection::vec("[a-z]{0,20}", 1..8),
            place in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            journal_of(&path, &lines);
            let mut bytes = fs::read(&path).unwrap();
            // The last line feed alone looks like an unfinished line when it is gone.
            let place = place.index(bytes.len() - 1);
            bytes[place] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            let result = read(&path);
            prop_assert!(matches!(result, Err(JournalError::Damaged { .. })), "{result:?}");
        }
    }

    #[test]
    fn a_rewriting_that_was_killed_leaves_the_journal_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        journal_of(&path, &["one".into(), "two".into()]);
        fs::write(path.with_extension("new"), "half a li").unwrap();
        assert_eq!(read(&path).unwrap(), ["one", "two"]);
        assert!(!path.with_extension("new").exists());
    }
}
