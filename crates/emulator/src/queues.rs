//! Queues for what nobody could use: on-failure records, and events whose target is a queue. Each is a file that a test and
//! a person can read, one message a line.
//!
//! There is no SQS here: messages are sent to a queue and stay in it. What is owed to the neighbours: a message that was
//! taken is in the file, whole, also after the emulator was killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// As SQS would have given it: a UUID.
    pub id: String,
    /// When it was sent, RFC 3339.
    pub sent: String,
    /// The message's body: for an on-failure record its JSON.
    pub body: String,
}

/// Why a queue cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no queue of this name.
    #[error("there is no queue `{0}`")]
    NoSuchQueue(String),
    /// The file system refuses.
    #[error("the queue's file {} failed", path.display())]
    File {
        /// The queue's file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A line of the file is no message; somebody else has written to it.
    #[error("line {line} of the queue's file {} is no message", path.display())]
    Line {
        /// The queue's file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// All queues: `<folder>/<name>.jsonl`.
#[derive(Debug, Clone)]
pub struct Queues {
    folder: PathBuf,
    names: Arc<BTreeSet<String>>,
    /// Held over a write, so that lines do not mix.
    writing: Arc<Mutex<()>>,
}

impl Queues {
    /// Queues of these names, with their files in `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf, names: impl IntoIterator<Item = String>) -> Self {
        Self { folder, names: Arc::new(names.into_iter().collect()), writing: Arc::default() }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Puts a message at the queue's end. Blocks for one short write.
    pub(crate) fn send(&self, name: &str, body: &str) -> Result<(), QueueError> {
        let path = self.path(name)?;
        let message = Message {
            id: uuid::Uuid::new_v4().to_string(),
            sent: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            body: body.to_owned(),
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        append(&self.folder, &path, &message).map_err(|source| QueueError::File { path, source })
    }

    /// The messages of a queue, the oldest first. Blocks.
    ///
    /// # Errors
    /// [`QueueError`]: there is no such queue, or its file cannot be read.
    pub fn messages(&self, name: &str) -> Result<Vec<Message>, QueueError> {
        let path = self.path(name)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(QueueError::File { path, source }),
        };
        let messages = text.lines().zip(1..).map(|(text, line)| {
            serde_json::from_str(text).map_err(|source| QueueError::Line { path: path.clone(), line, source })
        });
        messages.collect()
    }

    fn path(&self, name: &str) -> Result<PathBuf, QueueError> {
        if !self.has(name) {
            return Err(QueueError::NoSuchQueue(name.to_owned()));
        }
        Ok(self.folder.join(format!("{name}.jsonl")))
    }
}

/// Whether SQS would accept `name`: 1 to 80 letters, digits, hyphens and underscores, with `.fifo` at the end of some.
pub(crate) fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    !stem.is_empty()
        && name.len() <= 80
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn append(folder: &Path, path: &Path, message: &Message) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    File::options().create(true).append(true).open(path)?.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_the_order_in_which_they_were_sent_also_by_another_start() {
        let folder = tempfile::tempdir().unwrap();
        let queues = || Queues::new(folder.path().join("queues"), ["dead".to_owned()]);
        assert_eq!(queues().messages("dead").unwrap(), []);
        for body in ["one\nline", "two"] {
            queues().send("dead", body).unwrap();
        }
        let bodies: Vec<String> =
            queues().messages("dead").unwrap().into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, ["one\nline", "two"]);
    }

    #[test]
    fn a_queue_that_is_not_there_is_named() {
        let queues = Queues::new("/nowhere".into(), ["dead".to_owned()]);
        for result in [queues.send("../x", "").map(|()| Vec::new()), queues.messages("../x")] {
            assert_eq!(result.unwrap_err().to_string(), "there is no queue `../x`");
        }
    }

    #[test]
    fn a_line_that_somebody_else_wrote_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let queues = Queues::new(folder.path().to_owned(), ["dead".to_owned()]);
        queues.send("dead", "one").unwrap();
        let mut file = File::options().append(true).open(folder.path().join("dead.jsonl")).unwrap();
        file.write_all(b"scribble\n").unwrap();
        let error = queues.messages("dead").unwrap_err().to_string();
        assert!(error.starts_with("line 2 of"), "{error}");
    }

    #[test]
    fn names_are_what_sqs_takes() {
        for name in ["a", "Dead_Letters-1", "x.fifo"] {
            assert!(is_queue_name(name), "{name}");
        }
        for name in ["", "a/b", ".fifo", "a.b", &"x".repeat(81)] {
            assert!(!is_queue_name(name), "{name}");
        }
    }
}
