//! What a process is fed: the records of its chunk.
//!
//! Data flows one way: [`fetch`] gets an object's bytes, a [`Cutter`](fanfold_records::Cutter) says which of them are the chunk's
//! records, and [`portions`] hands those out, in portions that end where records do, until all are or the time is up. The last two
//! are pure.
//!
//! An input can be **cut**: ended at a border between two records though some are left. Then [`Tally::rest`] is a chunk's
//! input of its own, and the two read what the one would have: its records, in order, none twice, none lost. What it costs:
//! a cut comes as late as the record that the program was begun to be given is long, and where an object has no border it does not
//! come at all.

mod fetch;
mod items;
#[cfg(test)]
mod model;
mod object;
mod portions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::chunk::{self, Chunk};
use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::Aligned;
use fanfold_flow::uri::ObjectUri;
use fanfold_records::{Piece, Rule};
use fanfold_store::{ErrorKind, Store, StoreError};

use object::Object;
use portions::{CutAt, Portions, Step};

/// How often the clock is asked while bytes are waited for: an input that stands between two records ends so soon after its
/// time, however long the store takes.
const CLOCK_EVERY: Duration = Duration::from_millis(250);

/// Why a chunk could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The store failed, or has the object no more as it was.
    #[error("read {0}")]
    Store(ObjectUri, #[source] StoreError),
    /// A CSV ends within quotes.
    #[error("read {uri}: the quote at byte {byte} is never closed, so all behind it would be one field")]
    Unclosed {
        /// The object.
        uri: ObjectUri,
        /// Where the quote stands.
        byte: u64,
        /// What was read: from where the chunk begins to the object's end.
        read: Option<Aligned>,
    },
}

impl InputError {
    /// Which bytes of its object were taken for the chunk's records, if they were all read. A chunk that guessed its beginning wrong
    /// does not count, and is recognised by these.
    pub(crate) fn read(&self) -> Option<Aligned> {
        match self {
            Self::Unclosed { read, .. } => *read,
            Self::Store(..) => None,
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Store(_, error) => match error.kind() {
                ErrorKind::PreconditionFailed => Code::InputChanged,
                ErrorKind::NotFound => Code::InputMissing,
                _ => Code::Store,
            },
            Self::Unclosed { .. } => Code::RecordCut,
        }
    }
}

/// When an input shall end though records are left.
pub(crate) struct Cut {
    /// Whether the time is up. Asked before each portion, and while bytes are waited for; once it said yes, that stands.
    pub(crate) is_due: Box<dyn Fn() -> bool + Send + Sync>,
    /// How much is taken at most, from the chunk's nominal beginning: bytes of an object, or items. What begins within
    /// them is taken whole, and never less than one record.
    pub(crate) at_most: Option<u64>,
}

/// What a process was fed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many records, a header aside.
    pub(crate) records: u64,
    /// Which bytes of the object they took; known only when all of them were read.
    pub(crate) aligned: Option<Aligned>,
    /// What is left, if the input was cut; for bytes it begins where `aligned` ends. It is the whole chunk, just as it was,
    /// if no record was handed out.
    pub(crate) rest: Option<chunk::Input>,
}

/// A chunk's input, which can be asked afterwards what it was.
///
/// Each process gets the head of the job's first object first, where there is one.
pub(crate) struct Input {
    chunk: chunk::Input,
    head: Option<Bytes>,
    source: Source,
    portions: Portions,
    is_due: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// Where records come from.
enum Source {
    /// A range of an object's bytes.
    Object(Box<Object>),
    /// The job itself: all at once.
    Items(Option<Bytes>),
    /// There are none: the program has been told its numbers.
    Numbers,
}

impl Input {
    /// The input of this chunk. Without a `cut` all of it is fed, as it must be to a program that sums up its whole chunk.
    pub(crate) fn new(
        chunk: &Chunk,
        partition: &Partition,
        job: &Job,
        store: &Arc<dyn Store>,
        cut: Option<Cut>,
    ) -> Self {
        let (is_due, at_most) = cut.map(|cut| (cut.is_due, cut.at_most)).unzip();
        let at_most = at_most.flatten();
        let (source, mut portions, is_empty) = match &chunk.input {
            chunk::Input::Bytes(range) => {
                let object = Object::new(range, partition, store);
                let limit = at_most.map(|bytes| range.start.saturating_add(bytes));
                let portions = Portions::new(partition.rule.walker(range.start == 0), limit);
                (Source::Object(Box::new(object)), portions, range.start >= range.object.bytes)
            }
            chunk::Input::Items { first, count } => {
                let lines = items::lines(job, *first, *count);
                let limit = at_most.and_then(|most| items::end_of(&lines, most));
                let portions = Portions::new(Rule::Lines(1).walker(true), limit);
                (Source::Items(Some(lines)), portions, *count == 0)
            }
            chunk::Input::Range { .. } => {
                (Source::Numbers, Portions::new(Rule::Whole.walker(true), None), true)
            }
        };
        // Nothing is all there is, and leaves no rest.
        if is_empty {
            portions.close();
        }
        let head = partition.head.as_ref().filter(|_| matches!(source, Source::Object(_)));
        let head = head.map(|head| Bytes::from(head.bytes()));
        Self { chunk: chunk.input.clone(), head, source, portions, is_due }
    }

    /// What was fed. A program that stopped reading early leaves the rest unread, and that counts as handled; where the
    /// chunk must prove that it did not cut a record in two, the rest is read now.
    ///
    /// # Errors
    /// As reading itself.
    pub(crate) async fn finish(mut self) -> Result<Tally, InputError> {
        let records = match self.chunk {
            chunk::Input::Range { limit, .. } => limit,
            chunk::Input::Bytes(_) | chunk::Input::Items { .. } => self.portions.records(),
        };
        match self.portions.cut() {
            Some(CutAt::Start) => Ok(Tally { records: 0, aligned: None, rest: Some(self.chunk) }),
            Some(CutAt::Border(border)) => Ok(Tally {
                records,
                aligned: self.object().and_then(|object| object.aligned_until(border)),
                rest: Some(self.rest(border, records)),
            }),
            None => {
                self.read_to_a_proof().await?;
                Ok(Tally { records, aligned: self.object().and_then(Object::aligned), rest: None })
            }
        }
    }

    /// Whether it was cut before its first record: the process was given nothing of the chunk.
    pub(crate) fn is_cut_at_its_start(&self) -> bool {
        self.portions.cut() == Some(CutAt::Start)
    }

    /// Proves that the whole chunk, cut or not, ends where a record does. For a chunk whose result does not count: the chunk
    /// behind it begins there all the same.
    ///
    /// Gives the bytes that its records take, if they were read.
    ///
    /// # Errors
    /// As reading itself.
    pub(crate) async fn prove_end(mut self) -> Result<Option<Aligned>, InputError> {
        self.read_to_a_proof().await?;
        Ok(self.object().and_then(Object::aligned))
    }

    /// Reads on to the first record. Whether there is one, or its time is up before that is known.
    ///
    /// # Errors
    /// As reading itself.
    ///
    /// # Cancellation
    /// Loses nothing when dropped.
    pub(crate) async fn has_a_record(&mut self) -> Result<bool, InputError> {
        while self.portions.is_waiting() {
            if self.is_due.as_ref().is_some_and(|is_due| is_due()) {
                return Ok(true);
            }
            self.read_more().await?;
        }
        Ok(!self.portions.is_exhausted())
    }

    async fn read_to_a_proof(&mut self) -> Result<(), InputError> {
        if self.object().is_some_and(Object::must_be_read) {
            self.is_due = None;
            self.portions.go_on_to_the_end();
            while self.portion(usize::MAX).await?.is_some() {}
        }
        Ok(())
    }

    fn object(&self) -> Option<&Object> {
        match &self.source {
            Source::Object(object) => Some(object),
            Source::Items(_) | Source::Numbers => None,
        }
    }

    async fn portion(&mut self, room_bytes: usize) -> Result<Option<Bytes>, InputError> {
        loop {
            let time_is_up = self.is_due.as_ref().is_some_and(|is_due| is_due());
            match self.portions.next(room_bytes, time_is_up) {
                Step::Portion(portion) => return Ok(Some(portion)),
                Step::End if self.goes_on()? => {}
                Step::End => return Ok(None),
                Step::NeedsMore => self.read_more().await?,
            }
        }
    }

    /// Whether more of the object belongs to this chunk than was guessed, since its last record goes on: then that is put at hand.
    fn goes_on(&mut self) -> Result<bool, InputError> {
        let Source::Object(object) = &mut self.source else { return Ok(false) };
        if self.portions.is_within_a_record()
            && let Some(piece) = object.extend()
        {
            self.portions.add(piece);
            return Ok(true);
        }
        match self.portions.open_quote() {
            Some(ago) => Err(object.unclosed(ago)),
            None => Ok(false),
        }
    }

    /// What is left of the chunk behind a border, when `records` of it lie before.
    fn rest(&self, border: u64, records: u64) -> chunk::Input {
        match (&self.source, &self.chunk) {
            (Source::Object(object), _) => chunk::Input::Bytes(object.rest(border)),
            (_, chunk::Input::Items { first, count }) => {
                chunk::Input::Items { first: first + records, count: count - records }
            }
            // Without records there are no borders.
            (_, whole) => whole.clone(),
        }
    }

    /// Puts more records at hand, if any come before the clock is to be asked again.
    async fn read_more(&mut self) -> Result<(), InputError> {
        let piece = match &mut self.source {
            Source::Object(object) if self.is_due.is_some() => {
                match tokio::time::timeout(CLOCK_EVERY, object.next()).await {
                    Ok(piece) => piece.transpose()?,
                    Err(_) => return Ok(()),
                }
            }
            Source::Object(object) => object.next().await.transpose()?,
            Source::Items(lines) => lines.take().map(|records| Piece { records, position: 0, is_last: true }),
            Source::Numbers => None,
        };
        match piece {
            Some(piece) => self.portions.add(piece),
            None => self.portions.close(),
        }
        Ok(())
    }
}

impl fanfold_pool::Input for Input {
    type Error = InputError;

    async fn next(&mut self, room_bytes: usize) -> Option<Result<Bytes, InputError>> {
        match self.head.take() {
            Some(head) => Some(Ok(head)),
            None => self.portion(room_bytes).await.transpose(),
        }
    }

    fn may_end_early(&self) -> bool {
        self.is_due.is_some()
    }
}

#[cfg(test)]
mod tests;
