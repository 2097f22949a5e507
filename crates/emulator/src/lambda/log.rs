//! What an environment's processes print, with Lambda's START, END and REPORT around it: in a file, to whoever listens,
//! and for the log tail that a caller may ask for.
//!
//! What it owes its neighbours: the pipe is always being read, so that printing never blocks a function; and what a
//! process printed before it answered stands before END, because the pipe is emptied before END is written; and what it printed
//! for an invocation stands after START, because the event is only given out after START is written.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

/// How much of the end of a log a caller gets (`X-Amz-Log-Result`), in bytes.
const TAIL_BYTES: usize = 4 * 1024;
/// A line longer than this many bytes is written as several; CloudWatch's limit for one log event.
const LINE_BYTES: usize = 256 * 1024;
/// How much is taken from the pipe at a time, in bytes: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// How much is taken from the pipe before END at most, in bytes: a child that never stops printing must not hold it up.
const DRAIN_BYTES: usize = 1024 * 1024;

/// One line that a function, or Lambda for it, logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The function's name.
    pub function: String,
    /// The environment's id, unique within the emulator's life.
    pub environment: String,
    /// The name that CloudWatch would give the environment's log stream.
    pub log_stream: String,
    /// When it came out of the pipe.
    pub at: SystemTime,
    /// The invocation it was printed in; none during INIT.
    pub request_id: Option<String>,
    /// The line without its end. Bytes that are not UTF-8 are replaced.
    pub line: String,
}

/// Who logs, and who listens.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) function: String,
    pub(super) environment: String,
    pub(super) log_stream: String,
    pub(super) listener: Option<mpsc::UnboundedSender<LogLine>>,
}

enum Command {
    Begin { request_id: Arc<str>, begun: oneshot::Sender<()> },
    Note(String),
    End { lines: Vec<String>, tail: oneshot::Sender<Vec<u8>> },
}

/// The handle by which Lambda's own lines get into an environment's log, in order with what its processes print.
#[derive(Debug, Clone)]
pub(super) struct Log {
    // Unbounded, but an invocation puts two or three commands in.
    commands: mpsc::UnboundedSender<Command>,
}

impl Log {
    /// Writes START; what is printed after this returns belongs to `request_id`, and the tail starts here.
    pub(super) async fn begin(&self, request_id: Arc<str>) {
        let (begun, received) = oneshot::channel();
        self.send(Command::Begin { request_id, begun });
        if received.await.is_err() {
            tracing::debug!("a log ended before its invocation began");
        }
    }

    /// Writes one line of Lambda's own.
    pub(super) fn note(&self, line: String) {
        self.send(Command::Note(line));
    }

    /// Writes all that was printed so far, then `lines` (END, REPORT), and returns the tail of this invocation's log.
    pub(super) async fn end(&self, lines: Vec<String>) -> Vec<u8> {
        let (tail, received) = oneshot::channel();
        self.send(Command::End { lines, tail });
        received.await.unwrap_or_default()
    }

    fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            // Only while the emulator stops: the pump ends after its last handle otherwise.
            tracing::debug!("a log line came after the end of its log");
        }
    }
}

/// Opens `file` and makes the log that is fed by `pipe`. The returned future must be driven; it ends, with everything
/// written, when the last handle is gone.
///
/// # Errors
/// The file cannot be opened or `pipe` is not a pipe.
pub(super) fn open(
    pipe: OwnedFd,
    file: &Path,
    origin: Origin,
) -> io::Result<(Log, impl Future<Output = ()> + Send + 'static)> {
    let pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let file = std::fs::File::options().create(true).append(true).open(file)?;
    let (commands, received) = mpsc::unbounded_channel();
    let journal = Journal {
        origin,
        file: File::from_std(file),
        file_is_broken: false,
        request_id: None,
        partial: Vec::new(),
        tail: Vec::new(),
    };
    Ok((Log { commands }, pump(pipe, received, journal)))
}

async fn pump(pipe: pipe::Receiver, mut commands: mpsc::UnboundedReceiver<Command>, mut journal: Journal) {
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut open = true;
    loop {
        tokio::select! {
            command = commands.recv() => {
                drain(&pipe, &mut buffer, &mut journal).await;
                match command {
                    Some(command) => journal.obey(command).await,
                    None => break,
                }
            }
            readable = pipe.readable(), if open => match readable.and_then(|()| pipe.try_read(&mut buffer)) {
                Ok(0) => open = false,
                Ok(size) => journal.printed(&buffer[..size]).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!(%error, function = journal.origin.function, "failed to read what a function prints");
                    open = false;
                }
            },
        }
    }
    journal.finish_line().await;
}

/// Takes what is in the pipe now. It asks the kernel and not the runtime, which may not have noticed the newest bytes yet.
async fn drain(pipe: &pipe::Receiver, buffer: &mut [u8], journal: &mut Journal) {
    let mut drained = 0;
    while drained < DRAIN_BYTES {
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(size) => {
                drained += size;
                journal.printed(&buffer[..size]).await;
            }
            Err(Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, function = journal.origin.function, "failed to read what a function prints");
                break;
            }
        }
    }
}

struct Journal {
    origin: Origin,
    file: File,
    file_is_broken: bool,
    request_id: Option<Arc<str>>,
    /// The beginning of a line whose end has not been printed yet.
    partial: Vec<u8>,
    /// The end of the current invocation's log, trimmed to [`TAIL_BYTES`] when it is handed out.
    tail: Vec<u8>,
}

impl Journal {
    async fn obey(&mut self, command: Command) {
        self.finish_line().await;
        match command {
            Command::Begin { request_id, begun } => {
                self.tail.clear();
                let line = format!("START RequestId: {request_id} Version: $LATEST");
                self.request_id = Some(request_id);
                self.write(&[line.as_bytes()]).await;
                if begun.send(()).is_err() {
                    tracing::debug!("an invocation was given up while its log began");
                }
            }
            Command::Note(line) => self.write(&[line.as_bytes()]).await,
            Command::End { lines, tail } => {
                let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
                self.write(&lines).await;
                let start = self.tail.len().saturating_sub(TAIL_BYTES);
                if tail.send(self.tail.split_off(start)).is_err() {
                    tracing::debug!("nobody waited for a log tail");
                }
                self.tail.clear();
            }
        }
    }

    async fn printed(&mut self, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.partial);
        pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut rest = pending.as_slice();
        loop {
            let window = &rest[..rest.len().min(LINE_BYTES)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                lines.push(&rest[..end]);
                rest = &rest[end + 1..];
            } else if window.len() == LINE_BYTES {
                lines.push(window);
                rest = &rest[LINE_BYTES..];
            } else {
                break;
            }
        }
        self.write(&lines).await;
        self.partial = rest.to_vec();
    }

    async fn finish_line(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.write(&[&line]).await;
        }
    }

    async fn write(&mut self, lines: &[&[u8]]) {
        if lines.is_empty() {
            return;
        }
        let mut text = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
            self.tell(line);
        }
        self.tail.extend_from_slice(&text);
        if self.tail.len() > 2 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
        if self.file_is_broken {
            return;
        }
        let written = async {
            self.file.write_all(&text).await?;
            self.file.flush().await
        };
        if let Err(error) = written.await {
            // A full disk must not stop a function; it would not on Lambda.
            tracing::error!(%error, function = self.origin.function, "failed to write a function's log, which ends here");
            self.file_is_broken = true;
        }
    }

    fn tell(&mut self, line: &[u8]) {
        let Some(listener) = &self.origin.listener else { return };
        let line = LogLine {
            function: self.origin.function.clone(),
            environment: self.origin.environment.clone(),
            log_stream: self.origin.log_stream.clone(),
            at: SystemTime::now(),
            request_id: self.request_id.as_deref().map(str::to_owned),
            line: String::from_utf8_lossy(line).into_owned(),
        };
        if listener.send(line).is_err() {
            self.origin.listener = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Fixture {
        log: Log,
        writer: io::PipeWriter,
        lines: mpsc::UnboundedReceiver<LogLine>,
        pump: tokio::task::JoinHandle<()>,
        folder: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let (listener, lines) = mpsc::unbounded_channel();
        let origin = Origin {
            function: "f".into(),
            environment: "e".into(),
            log_stream: "s".into(),
            listener: Some(listener),
        };
        let (log, pump) = open(reader.into(), &folder.path().join("log"), origin).unwrap();
        Fixture { log, writer, lines, pump: tokio::spawn(pump), folder }
    }

    #[tokio::test]
    async fn what_was_printed_before_the_end_stands_before_it() {
        let mut fixture = fixture();
        for round in 0..100 {
            let id: Arc<str> = format!("id{round}").into();
            fixture.log.begin(Arc::clone(&id)).await;
            // Writing needs the pump to run only when the pipe is full, which it is not: nothing was read yet.
            fixture.writer.write_all(b"one\ntwo without an end").unwrap();
            let tail = fixture.log.end(vec!["END".into(), "REPORT".into()]).await;
            assert_eq!(
                String::from_utf8(tail).unwrap(),
                format!("START RequestId: {id} Version: $LATEST\none\ntwo without an end\nEND\nREPORT\n")
            );
            for line in ["START RequestId", "one", "two without an end", "END", "REPORT"] {
                let got = fixture.lines.recv().await.unwrap();
                assert!(got.line.starts_with(line), "{got:?}");
                assert_eq!(got.request_id.as_deref(), Some(&*id));
            }
        }
    }

    #[tokio::test]
    async fn the_tail_is_the_last_4_kib_and_the_file_has_everything() {
        let Fixture { log, mut writer, pump, folder, lines } = fixture();
        drop(lines);
        let long = "x".repeat(LINE_BYTES + 5);
        log.begin("id".into()).await;
        let printed = long.clone();
        let printing = tokio::task::spawn_blocking(move || {
            writer.write_all(printed.as_bytes()).unwrap();
            writer.write_all(b"\n").unwrap();
        });
        printing.await.unwrap();
        let tail = log.end(vec!["END".into()]).await;
        assert_eq!(tail.len(), TAIL_BYTES);
        assert!(tail.ends_with(b"\nxxxxx\nEND\n"), "a line past the limit is cut in two");
        drop(log);
        pump.await.unwrap();
        let file = std::fs::read_to_string(folder.path().join("log")).unwrap();
        let cut = format!("{}\nxxxxx", "x".repeat(LINE_BYTES));
        assert_eq!(file, format!("START RequestId: id Version: $LATEST\n{cut}\nEND\n"));
    }

    #[tokio::test]
    async fn a_pipe_held_open_by_a_stranger_does_not_keep_the_log_open() {
        let Fixture { log, mut writer, pump, folder, .. } = fixture();
        writer.write_all(b"last words").unwrap();
        drop(log);
        pump.await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "last words\n");
        drop(writer);
    }
}
