//! Standard output gets results in order as partitions end, before the whole output is put together.
//!
//! Guarantees: what is written is how the output begins, byte for byte; what is left of it comes from the output itself, and all of
//! it is compared with the report's length and checksum. What cannot be taken back: if the job fails later, a beginning has been
//! written, and the exit status says so. Costs: each result is read once more than for a file. Does not: go past a chunk that
//! failed, nor past one that is not done; nor ask a store that counts requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::concat::{Segment, ahead};
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::done::Done;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::{Plan, Span};
use fanfold_flow::result::ChunkResult;
use fanfold_runtime::Error;
use fanfold_store::{ETag, ObjectReader, ReadOptions, Store, StoreExt};
use futures::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch::Receiver;

use crate::stdout;

/// How often it is looked whether the next partition has ended.
const TICK: Duration = Duration::from_millis(50);

/// What was written ahead of the output, and what is still to come.
pub(crate) struct Ahead<'a> {
    plan: &'a Plan,
    keys: &'a JobKeys,
    store: &'a Arc<dyn Store>,
    written: RunningCrc,
    /// The last result with bytes of those that are written.
    last: Option<ChunkResult>,
}

/// Why no more is written ahead.
enum Stopped {
    /// The rest comes from the output.
    Quietly,
    /// Standard output cannot be written.
    With(Error),
}

impl<'a> Ahead<'a> {
    /// Nothing is written yet.
    pub(crate) fn new(plan: &'a Plan, keys: &'a JobKeys, store: &'a Arc<dyn Store>) -> Self {
        Self { plan, keys, store, written: RunningCrc::new(), last: None }
    }

    /// Writes results in order as their partitions end, until `has_ended`, and gives what was written.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(crate) async fn follow(
        mut self,
        out: &mut (dyn AsyncWrite + Unpin + Send),
        has_ended: &mut Receiver<bool>,
    ) -> Result<RunningCrc, Error> {
        // Of a redrive, other results stand between its own.
        let partitions = if self.plan.earlier().is_empty() { &self.plan.partitions[..] } else { &[] };
        for (number, span) in partitions.iter().enumerate() {
            let Some(done) = self.done(number as u64, *span, has_ended).await? else { break };
            match self.write(done.results, out).await {
                Ok(()) => {}
                Err(Stopped::Quietly) => break,
                Err(Stopped::With(error)) => return Err(error),
            }
        }
        while !*has_ended.borrow() {
            tick(has_ended).await?;
        }
        Ok(self.written)
    }

    /// The outcome of a partition, once it has ended; none if it is not whole, or all has ended.
    async fn done(
        &self,
        number: u64,
        span: Span,
        has_ended: &mut Receiver<bool>,
    ) -> Result<Option<Done>, Error> {
        let at = self.keys.done(self.plan.grouping().group_of(number), number);
        while !*has_ended.borrow() {
            match self.store.get_json::<Done>(&at).await {
                Ok(done) => return Ok(Some(done).filter(|done| is_whole(done, span))),
                // Most often it is not there yet; whatever it is, the output does not depend on it.
                Err(_) => tick(has_ended).await?,
            }
        }
        Ok(None)
    }

    async fn write(
        &mut self,
        results: Vec<ChunkResult>,
        out: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<(), Stopped> {
        let segments = ahead(self.plan.format, self.plan.compress, self.last.as_ref(), &results);
        for segment in segments.ok_or(Stopped::Quietly)? {
            match segment {
                Segment::Literal(literal) => self.put(&literal.0, out).await?,
                Segment::Range(range) => {
                    let (object, options) = (&range.object, ReadOptions::default());
                    let (uri, etag) = (object.uri.clone(), ETag::new(&object.etag));
                    let reader =
                        ObjectReader::new(Arc::clone(self.store), uri, etag, range.start..range.end, options);
                    let mut body = reader.into_stream();
                    while let Some(bytes) = body.next().await {
                        // It may be cleaned away already: the job has ended.
                        self.put(&bytes.map_err(|_| Stopped::Quietly)?, out).await?;
                    }
                }
            }
        }
        out.flush().await.map_err(|error| Stopped::With(stdout::unwritten(error)))?;
        let with_bytes = results.into_iter().rev().find(|result| result.bytes() > 0);
        self.last = with_bytes.or(self.last.take());
        Ok(())
    }

    async fn put(&mut self, bytes: &[u8], out: &mut (dyn AsyncWrite + Unpin + Send)) -> Result<(), Stopped> {
        out.write_all(bytes).await.map_err(|error| Stopped::With(stdout::unwritten(error)))?;
        self.written.update(bytes);
        Ok(())
    }
}

/// Waits a moment, or until all has ended, unless nobody reads standard output any more.
async fn tick(has_ended: &mut Receiver<bool>) -> Result<(), Error> {
    // Past the time, or told that it has ended: either way it is looked at again.
    let _waited = tokio::time::timeout(TICK, has_ended.changed()).await;
    if stdout::is_abandoned() {
        return Err(stdout::unwritten(io::ErrorKind::BrokenPipe.into()));
    }
    Ok(())
}

/// Whether all chunks of a partition are done, each from its first cut on.
fn is_whole(done: &Done, span: Span) -> bool {
    let mut next = (span.first, 0);
    for result in &done.results {
        let is_next =
            (result.index, result.cut) == next || (result.index, result.cut) == (next.0 + 1, 0) && next.1 > 0;
        if !is_next {
            return false;
        }
        next = (result.index, result.cut + 1);
    }
    let covered = if next.1 > 0 { next.0 + 1 - span.first } else { 0 };
    done.failures.is_empty() && covered == span.chunks
}

#[cfg(test)]
mod tests {
    use fanfold_flow::version::Version;

    use super::*;

    fn done(results: &[(u64, u32)]) -> Done {
        let result = |&(index, cut): &(u64, u32)| ChunkResult {
            index,
            cut,
            hop: 0,
            attempt: 1,
            stored: None,
            header: None,
            records: 0,
            input: None,
            bytes_in: 0,
            bytes_out: 0,
            started_ms: 0,
            wall_ms: 0,
        };
        Done {
            version: Version,
            partition: 0,
            attempts: 1,
            results: results.iter().map(result).collect(),
            failures: Vec::new(),
            tries: Vec::new(),
            deaths: Vec::new(),
            environments: Vec::new(),
        }
    }

    #[test]
    fn a_partition_is_whole_with_all_its_chunks_and_their_first_cuts() {
        let span = Span { first: 3, chunks: 2 };
        for (results, whole) in [
            (&[(3, 0), (4, 0)][..], true),
            (&[(3, 0), (3, 1), (4, 0), (4, 1)], true),
            (&[(3, 0)], false),
            (&[(3, 1), (4, 0)], false),
            (&[(3, 0), (4, 1)], false),
            (&[(3, 0), (4, 0), (5, 0)], false),
            (&[], false),
        ] {
            assert_eq!(is_whole(&done(results), span), whole, "{results:?}");
        }
    }
}
