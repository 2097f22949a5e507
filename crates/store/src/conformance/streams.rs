//! Properties of the writer, the reader, and the writes that find out what became of them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::uri::ObjectUri;
use futures::TryStreamExt;

use super::{Verdict, World, ensure, equal, refused, same_bytes, sample};
use crate::error::{ErrorKind, Operation, StoreError};
use crate::ext::{Created, StoreExt};
use crate::faults::{Decision, Faulty, Script};
use crate::object::{Condition, PutOptions};
use crate::read::{ObjectReader, ReadOptions};
use crate::upload::CompleteOptions;
use crate::write::{ObjectWriter, WhenEmpty, WriteOptions, Written};

const PART: usize = PART_BYTES_MIN as usize;

/// A prime, so that what is written never meets the borders of parts.
const PIECE: usize = 65_521;

fn small_parts() -> WriteOptions {
    let part_bytes = NonZeroU64::new(PART_BYTES_MIN).unwrap_or(NonZeroU64::MIN);
    WriteOptions { part_bytes, ..WriteOptions::default() }
}

fn small_requests() -> ReadOptions {
    let (request, in_flight) = (NonZeroU64::new(1_000_003), NonZeroUsize::new(3));
    ReadOptions {
        request_bytes: request.unwrap_or(NonZeroU64::MIN),
        requests_in_flight: in_flight.unwrap_or(NonZeroUsize::MIN),
    }
}

async fn write(
    world: &World,
    at: &ObjectUri,
    content: &[u8],
    options: WriteOptions,
) -> Result<Written, StoreError> {
    let mut writer = ObjectWriter::new(Arc::clone(&world.store), at.clone(), options);
    for piece in content.chunks(PIECE) {
        writer.write(bytes::Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

async fn read(world: &World, at: &ObjectUri) -> Result<Vec<u8>, StoreError> {
    let (_, reader) = ObjectReader::open(Arc::clone(&world.store), at.clone(), small_requests()).await?;
    let pieces: Vec<_> = reader.into_stream().try_collect().await?;
    Ok(pieces.concat())
}

/// Sizes around the borders of parts, in pieces that never meet them, and in one piece; read back by the reader.
pub async fn a_writer_writes_any_size_exactly(world: &World) -> Verdict {
    let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 17];
    for bytes in sizes {
        let (at, content) = (world.at(&format!("{bytes}")), sample(bytes, 60));
        let written = write(world, &at, &content, small_parts()).await?;
        equal("the size written", &written.bytes, &(bytes as u64))?;
        equal("the checksum written", &written.crc, &Crc64::of(&content))?;
        let info = world.store.head(&at).await?;
        equal("the etag", &Some(info.etag), &written.etag)?;
        equal("the checksum kept", &info.crc64, &Some(written.crc))?;
        same_bytes("the content", &read(world, &at).await?, &content)?;
    }
    let (at, content) = (world.at("in one piece"), sample(2 * PART + 17, 61));
    let mut writer = ObjectWriter::new(Arc::clone(&world.store), at.clone(), small_parts());
    writer.write(content.clone()).await?;
    writer.finish().await?;
    same_bytes("the content", &read(world, &at).await?, &content)
}

/// `WhenEmpty::Skip` writes nothing where there is nothing.
pub async fn a_writer_may_skip_an_empty_object(world: &World) -> Verdict {
    let options = WriteOptions { when_empty: WhenEmpty::Skip, ..small_parts() };
    let at = world.at("object");
    let written = write(world, &at, &[], options.clone()).await?;
    equal("what was written", &written, &Written { etag: None, bytes: 0, crc: Crc64::EMPTY })?;
    refused("the object", world.store.head(&at).await, &[ErrorKind::NotFound])?;
    write(world, &at, b"x", options).await?;
    same_bytes("the content", &world.read(&at).await?, b"x")
}

/// Neither object nor upload, whether it was aborted, dropped, or failed.
pub async fn a_writer_that_is_given_up_leaves_nothing(world: &World) -> Verdict {
    for way in ["aborted", "dropped", "failed"] {
        let at = world.at(way);
        let broken = Script::new().then(Operation::UploadPart, "#2", Decision::Fail(ErrorKind::Denied));
        let through = world.through(Faulty::new(Arc::clone(&world.store), broken));
        let store = if way == "failed" { through.store } else { Arc::clone(&world.store) };
        let mut writer = ObjectWriter::new(store, at.clone(), small_parts());
        writer.write(sample(PART + 10, 62)).await?;
        match way {
            "aborted" => writer.abort().await?,
            "dropped" => drop(writer),
            _ => refused("a writer with a lost part", writer.finish().await, &[ErrorKind::Denied])?,
        }
        no_upload_is_left(world).await?;
        refused("the object", world.store.head(&at).await, &[ErrorKind::NotFound])?;
    }
    Ok(())
}

/// A dropped writer aborts in the background, hence the wait for the condition.
async fn no_upload_is_left(world: &World) -> Verdict {
    const LOOKS: u32 = 500;
    for _ in 0..LOOKS {
        if world.store.list_uploads(&world.bucket, &world.prefix).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensure(false, || "an upload is left of a writer that was given up".to_owned())
}

/// A writer that may only create is refused over an object, in one request and in parts, and leaves no upload.
pub async fn a_writer_keeps_its_condition(world: &World) -> Verdict {
    let at = world.at("object");
    world.store.put(&at, sample(10, 63), PutOptions::default()).await?;
    for bytes in [10, PART + 10] {
        let options = WriteOptions { condition: Condition::IfAbsent, ..small_parts() };
        let written = write(world, &at, &sample(bytes, 64), options).await;
        refused("a creation", written, &[ErrorKind::PreconditionFailed])?;
        same_bytes("the content", &world.read(&at).await?, &sample(10, 63))?;
        no_upload_is_left(world).await?;
    }
    Ok(())
}

/// Bodies that break off, at once or later, cost time and nothing else.
pub async fn a_reader_resumes_where_a_body_breaks(world: &World) -> Verdict {
    let (at, content) = (world.at("object"), sample(3_000_017, 65));
    world.store.put(&at, content.clone(), PutOptions::default()).await?;
    let every_other = |call: &crate::faults::Call<'_>| match call.number % 4 {
        0 => Decision::CutBody(400_009),
        1 => Decision::CutBody(0),
        2 => Decision::Fail(ErrorKind::Timeout),
        _ => Decision::Pass,
    };
    let through = world.through(Faulty::new(Arc::clone(&world.store), every_other));
    let info = world.store.head(&at).await?;
    let reader =
        ObjectReader::new(Arc::clone(&through.store), at.clone(), info.etag, 0..info.size, small_requests());
    let pieces: Vec<_> = reader.into_stream().try_collect().await?;
    same_bytes("what the reader read", &pieces.concat(), &content)?;
    same_bytes("what was read at once", &through.read(&at).await?, &content)
}

/// A content is read whole or not at all, also over many requests; and a range never past its end.
pub async fn a_reader_notices_that_the_content_changed(world: &World) -> Verdict {
    let at = world.at("object");
    let old = world.store.put(&at, sample(3_000_017, 66), PutOptions::default()).await?;
    let read = |etag, range| {
        let store = Arc::clone(&world.store);
        let reader = ObjectReader::new(store, at.clone(), etag, range, small_requests());
        reader.into_stream().try_collect::<Vec<_>>()
    };
    let part = read(old.clone(), 1_999_999..2_000_101).await?;
    same_bytes("a range", &part.concat(), &sample(3_000_017, 66)[1_999_999..2_000_101])?;
    refused("a range past the end", read(old.clone(), 0..3_000_018).await, &[ErrorKind::Invalid])?;
    world.store.put(&at, sample(3_000_017, 67), PutOptions::default()).await?;
    refused("the old content", read(old, 0..3_000_017).await, &[ErrorKind::PreconditionFailed])
}

/// Where the service has done what it was asked and the answer is lost, the writer learns that it is done.
pub async fn a_write_whose_answer_is_lost_is_found_done(world: &World) -> Verdict {
    let lose = Decision::LoseAnswer(ErrorKind::Timeout);
    let script = Script::new().then(Operation::Put, "", lose).then(Operation::UploadPart, "", lose).then(
        Operation::CompleteUpload,
        "",
        lose,
    );
    let through = world.through(Faulty::new(Arc::clone(&world.store), script));
    for bytes in [1_000, PART + 1_000] {
        let (at, content) = (world.at(&format!("{bytes}")), sample(bytes, 68));
        let options = WriteOptions { condition: Condition::IfAbsent, ..small_parts() };
        let written = write(&through, &at, &content, options).await?;
        equal("the etag", &written.etag, &Some(world.store.head(&at).await?.etag))?;
        same_bytes("the content", &world.read(&at).await?, &content)?;
    }
    // What is there must be what was meant: an upload that is gone and another object in its place is a failure.
    let upload = world.store.create_upload(&world.at("1000"), None).await?;
    world.store.abort_upload(&upload).await?;
    let options = CompleteOptions {
        crc: Some(Crc64::of(&sample(1_000, 69))),
        bytes: Some(1_000),
        condition: Condition::Always,
    };
    let part = crate::upload::Part {
        number: 1,
        etag: crate::object::ETag::new("d41d8cd98f00b204e9800998ecf8427e"),
        size: 1_000,
        crc: options.crc,
    };
    let completed = world.store.complete_surely(&upload, &[part], options).await;
    refused("a completion of nothing", completed, &[ErrorKind::NoSuchUpload])
}

/// Who creates again after a lost answer is told that the document exists, and reads its own.
pub async fn a_creation_whose_answer_is_lost_is_found_existing(world: &World) -> Verdict {
    let script = Script::new().then(Operation::Put, "", Decision::Fail(ErrorKind::Conflict)).then(
        Operation::Put,
        "",
        Decision::LoseAnswer(ErrorKind::Unavailable),
    );
    let through = world.through(Faulty::new(Arc::clone(&world.store), script));
    let (at, document) = (world.at("document.json"), vec!["한", "글"]);
    let first = through.store.create_json(&at, &document).await;
    refused("a creation whose answer is lost", first, &[ErrorKind::Unavailable])?;
    equal("the second creation", &through.store.create_json(&at, &["other"]).await?, &Created::Existed)?;
    equal("the document", &world.store.get_json::<Vec<String>>(&at).await?, &vec!["한".into(), "글".into()])?;
    let wrong = world.store.get_json::<u64>(&at).await;
    refused("the document read as a number", wrong, &[ErrorKind::Malformed])?;
    let limited = world.store.get_bytes(&at, 3).await;
    refused("more bytes than the limit", limited, &[ErrorKind::TooLarge])
}
