//! A checked concat plan, executed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfold_flow::code::Code;
use fanfold_flow::concat::{ConcatPlan, Part, Range, Segment};
use fanfold_flow::crc::Crc64;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_gather::Lease;
use fanfold_runtime::{Deps, Error};
use fanfold_store::{
    self as store, CompleteOptions, Condition, ETag, ObjectReader, PutOptions, ReadOptions, StoreError,
    StoreExt, Upload,
};
use futures::{StreamExt, TryStreamExt, stream};

/// Parts that S3 copies at once.
const COPIES_IN_FLIGHT: usize = 16;

/// Streamed parts in memory at once; each has 10 MiB at most, unless the output needs larger ones.
const STREAMED_PARTS_IN_FLIGHT: usize = 3;

/// Pieces of one streamed part that are read at once.
const READS_IN_FLIGHT: usize = 16;

/// Pieces whose reads are planned at once: a part may have a million of them, and each read that waits takes memory.
const READS_PLANNED_MAX: usize = 4_096;

/// Puts the output together, and has the store compare it with the plan's size and CRC before it appears.
pub(crate) async fn execute(
    concat: &ConcatPlan,
    plan: &Plan,
    condition: Condition,
    deps: &Deps,
    keys: &JobKeys,
    lease: &mut Lease,
) -> Result<ETag, Error> {
    if let [] | [Part::Stream(_)] = concat.parts.as_slice() {
        let bytes = match concat.parts.first() {
            Some(Part::Stream(segments)) => streamed(segments, deps).await?,
            _ => Bytes::new(),
        };
        as_planned(&bytes, concat, plan)?;
        let options = PutOptions { condition, ..PutOptions::default() };
        return Ok(deps.store.put_surely(&plan.output, bytes, options).await?);
    }
    let upload = deps.store.create_upload(&plan.output, None).await?;
    let completed = match lease.note(deps, keys, &upload).await {
        Ok(()) => complete(concat, &upload, condition, deps).await,
        Err(error) => Err(error),
    };
    if completed.is_err()
        && let Err(unaborted) = deps.store.abort_upload(&upload).await
    {
        // The failure that led here is the one to tell; who takes the lease over drops the upload.
        tracing::warn!("failed to drop the unfinished output: {unaborted}");
    }
    completed
}

async fn complete(
    concat: &ConcatPlan,
    upload: &Upload,
    condition: Condition,
    deps: &Deps,
) -> Result<ETag, Error> {
    let parts = upload_parts(concat, upload, deps).await?;
    let options = CompleteOptions { condition, crc: Some(concat.crc), bytes: Some(concat.bytes) };
    Ok(deps.store.complete_surely(upload, &parts, options).await?)
}

/// What the store does for an upload it cannot do for a plain object, whose checksum is taken from what is sent.
fn as_planned(bytes: &Bytes, concat: &ConcatPlan, plan: &Plan) -> Result<(), Error> {
    let found = Crc64::of(bytes);
    if bytes.len() as u64 == concat.bytes && found == concat.crc {
        return Ok(());
    }
    let message = format!(
        "put {} together: its pieces have {} bytes with CRC {found}, the workers wrote {} with CRC {}",
        plan.output,
        bytes.len(),
        concat.bytes,
        concat.crc
    );
    Err(Error::new(Code::OutputCorrupt, message))
}

async fn upload_parts(
    concat: &ConcatPlan,
    upload: &Upload,
    deps: &Deps,
) -> Result<Vec<store::Part>, StoreError> {
    let (mut copies, mut streams) = (Vec::new(), Vec::new());
    for (number, part) in (1..).zip(&concat.parts) {
        match part {
            Part::Copy(range) => copies.push(copy(number, range, upload, deps)),
            Part::Stream(segments) => streams.push(stream_up(number, segments, upload, deps)),
        }
    }
    let copied = stream::iter(copies).buffer_unordered(COPIES_IN_FLIGHT).try_collect::<Vec<_>>();
    let uploaded = stream::iter(streams).buffer_unordered(STREAMED_PARTS_IN_FLIGHT).try_collect::<Vec<_>>();
    let (mut parts, uploaded) = tokio::try_join!(copied, uploaded)?;
    parts.extend(uploaded);
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}

async fn copy(number: u32, range: &Range, upload: &Upload, deps: &Deps) -> Result<store::Part, StoreError> {
    let bytes = (!range.is_whole()).then_some(range.start..range.end);
    deps.store.copy_part(upload, number, &range.object, bytes, Some(&ETag::new(&range.etag))).await
}

async fn stream_up(
    number: u32,
    segments: &[Segment],
    upload: &Upload,
    deps: &Deps,
) -> Result<store::Part, StoreError> {
    deps.store.upload_part(upload, number, streamed(segments, deps).await?).await
}

/// The bytes of a streamed part.
async fn streamed(segments: &[Segment], deps: &Deps) -> Result<Bytes, StoreError> {
    let mut bytes = BytesMut::new();
    for some in segments.chunks(READS_PLANNED_MAX) {
        let reads: Vec<_> = some.iter().map(|segment| bytes_of(segment, deps)).collect();
        let mut pieces = stream::iter(reads).buffered(READS_IN_FLIGHT);
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes.freeze())
}

async fn bytes_of(segment: &Segment, deps: &Deps) -> Result<Bytes, StoreError> {
    let range = match segment {
        Segment::Literal(literal) => return Ok(Bytes::copy_from_slice(&literal.0)),
        Segment::Range(range) => range,
    };
    let (store, etag) = (Arc::clone(&deps.store), ETag::new(&range.etag));
    let options = ReadOptions::default();
    let mut body =
        ObjectReader::new(store, range.object.clone(), etag, range.start..range.end, options).into_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await.transpose()? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
