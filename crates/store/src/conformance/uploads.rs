//! Properties of multipart uploads.

use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::uri::ObjectUri;
use futures::future::join_all;

use super::objects::one_winner;
use super::{Verdict, World, ensure, equal, refused, same_bytes, sample};
use crate::error::{ErrorKind, StoreError};
use crate::object::{Condition, PutOptions};
use crate::upload::{CompleteOptions, Part, Upload};

/// The smallest part that may have another after it.
const FULL: usize = PART_BYTES_MIN as usize;

/// How many completions race for one object.
const RACERS: u8 = 8;

async fn begin(world: &World, name: &str) -> Result<Upload, StoreError> {
    world.store.create_upload(&world.at(name), None).await
}

/// An upload with these parts, numbered from 1.
async fn begin_with(world: &World, name: &str, parts: &[Bytes]) -> Result<(Upload, Vec<Part>), StoreError> {
    let upload = begin(world, name).await?;
    let mut sent = Vec::new();
    for (number, bytes) in (1..).zip(parts) {
        sent.push(world.store.upload_part(&upload, number, bytes.clone()).await?);
    }
    Ok((upload, sent))
}

fn whole_of(parts: &[Bytes]) -> (Bytes, CompleteOptions) {
    let whole = Bytes::from(parts.concat());
    let (crc, bytes) = (Some(Crc64::of(&whole)), Some(whole.len() as u64));
    (whole, CompleteOptions { condition: Condition::Always, crc, bytes })
}

/// The object is the parts one after the other, with the checksum of the whole.
pub async fn parts_become_one_object(world: &World) -> Verdict {
    let parts = [sample(FULL, 30), sample(FULL + 1, 31), sample(12_345, 32)];
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    for (part, bytes) in sent.iter().zip(&parts) {
        equal("a part's size", &part.size, &(bytes.len() as u64))?;
        equal("a part's checksum", &part.crc, &Some(Crc64::of(bytes)))?;
    }
    let listed = world.store.list_parts(&upload).await?;
    let brief = |parts: &[Part]| -> Vec<_> {
        parts.iter().map(|part| (part.number, part.etag.clone(), part.size)).collect()
    };
    equal("the list of parts", &brief(&listed), &brief(&sent))?;
    let (whole, options) = whole_of(&parts);
    let etag = world.store.complete_upload(&upload, &sent, options.clone()).await?;
    let info = world.store.head(&upload.at).await?;
    equal("the etag", &info.etag, &etag)?;
    equal("the size", &Some(info.size), &options.bytes)?;
    equal("the checksum", &info.crc64, &options.crc)?;
    same_bytes("the content", &world.read(&upload.at).await?, &whole)
}

/// Before completion there is an upload and no object; after it, the other way round.
pub async fn an_upload_is_invisible_until_it_is_complete(world: &World) -> Verdict {
    let parts = [sample(100, 33)];
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    refused("the object", world.store.head(&upload.at).await, &[ErrorKind::NotFound])?;
    let list = || world.store.list_uploads(&world.bucket, &world.prefix);
    equal("the uploads before", &list().await?, &vec![upload.clone()])?;
    world.store.complete_upload(&upload, &sent, whole_of(&parts).1).await?;
    equal("the uploads after", &list().await?, &vec![])?;
    refused("a list of parts", world.store.list_parts(&upload).await, &[ErrorKind::NoSuchUpload])
}

/// 5 MiB less one byte are too small but for the last part.
pub async fn a_small_part_that_is_not_the_last_is_refused(world: &World) -> Verdict {
    let parts = [sample(FULL - 1, 34), sample(10, 35)];
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    let completed = world.store.complete_upload(&upload, &sent, CompleteOptions::default()).await;
    refused("a completion", completed, &[ErrorKind::TooSmall])?;
    refused("the object", world.store.head(&upload.at).await, &[ErrorKind::NotFound])
}

/// Parts must be there with this very content, and be named in order; none at all is no object.
pub async fn parts_that_are_not_there_or_not_in_order_are_refused(world: &World) -> Verdict {
    let parts = [sample(FULL, 36), sample(10, 37)];
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    let (first, second) = (sent[0].clone(), sent[1].clone());
    let absent = Part { number: 7, ..second.clone() };
    let other = Part { etag: second.etag.clone(), ..first.clone() };
    let wrong = [vec![second.clone(), first.clone()], vec![first, absent], vec![other, second], vec![]];
    for parts in wrong {
        let numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
        let completed = world.store.complete_upload(&upload, &parts, CompleteOptions::default()).await;
        refused(&format!("a completion with parts {numbers:?}"), completed, &[ErrorKind::Invalid])?;
    }
    for number in [0, 10_001] {
        let sent = world.store.upload_part(&upload, number, sample(10, 38)).await;
        refused(&format!("part {number}"), sent, &[ErrorKind::Invalid])?;
    }
    Ok(())
}

/// A part sent again replaces the first; numbers may have gaps; what is not named is not in the object.
pub async fn the_last_content_of_a_part_counts_and_unnamed_parts_are_dropped(world: &World) -> Verdict {
    let upload = begin(world, "object").await?;
    let send = |number, bytes| world.store.upload_part(&upload, number, bytes);
    let replaced = send(3, sample(FULL, 39)).await?;
    let first = send(3, sample(FULL, 40)).await?;
    send(5, sample(FULL, 41)).await?;
    let last = send(10_000, sample(20, 42)).await?;
    let early = [replaced, last.clone()];
    let completed = world.store.complete_upload(&upload, &early, CompleteOptions::default()).await;
    refused("a completion with the replaced part", completed, &[ErrorKind::Invalid])?;
    let (whole, options) = whole_of(&[sample(FULL, 40), sample(20, 42)]);
    world.store.complete_upload(&upload, &[first, last], options).await?;
    same_bytes("the content", &world.read(&upload.at).await?, &whole)
}

/// The service itself refuses a whole that is not what was meant, and the upload can still be completed.
pub async fn a_whole_of_another_checksum_or_size_is_refused_and_can_be_tried_again(world: &World) -> Verdict {
    let parts = [sample(FULL, 43), sample(10, 44)];
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    let (whole, right) = whole_of(&parts);
    let other_crc = CompleteOptions { crc: Some(Crc64::of(b"another")), ..right.clone() };
    let other_size = CompleteOptions { bytes: Some(whole.len() as u64 + 1), ..right.clone() };
    for (what, wrong) in [("another checksum", other_crc), ("another size", other_size)] {
        let completed = world.store.complete_upload(&upload, &sent, wrong).await;
        refused(what, completed, &[ErrorKind::BadDigest, ErrorKind::Invalid])?;
        refused("the object", world.store.head(&upload.at).await, &[ErrorKind::NotFound])?;
    }
    world.store.complete_upload(&upload, &sent, right).await?;
    same_bytes("the content", &world.read(&upload.at).await?, &whole)
}

/// The conditions of a put hold for completions too. (The upload is begun last: one that is older than the object that
/// it should replace is a conflict.)
pub async fn a_completion_over_an_object_is_refused(world: &World) -> Verdict {
    let (at, parts) = (world.at("object"), [sample(10, 45)]);
    let old = world.store.put(&at, sample(10, 46), PutOptions::default()).await?;
    let new = world.store.put(&at, sample(10, 47), PutOptions::default()).await?;
    let (upload, sent) = begin_with(world, "object", &parts).await?;
    let complete = |condition| {
        let options = CompleteOptions { condition, ..CompleteOptions::default() };
        world.store.complete_upload(&upload, &sent, options)
    };
    let lost = [ErrorKind::PreconditionFailed];
    refused("a creation", complete(Condition::IfAbsent).await, &lost)?;
    refused("a replacement of the old", complete(Condition::IfMatches(old)).await, &lost)?;
    same_bytes("the content", &world.read(&at).await?, &sample(10, 47))?;
    complete(Condition::IfMatches(new)).await?;
    same_bytes("the content", &world.read(&at).await?, &sample(10, 45))
}

/// Of many completions that may only create, one is told that it did, and its bytes are there.
pub async fn racing_completions_have_one_winner(world: &World) -> Verdict {
    let mut uploads = Vec::new();
    for racer in 0..RACERS {
        uploads.push(begin_with(world, "object", &[sample(2_000, racer)]).await?);
    }
    let options = CompleteOptions { condition: Condition::IfAbsent, ..CompleteOptions::default() };
    let outcomes = join_all(
        uploads.iter().map(|(upload, sent)| world.store.complete_upload(upload, sent, options.clone())),
    )
    .await;
    let winner = one_winner(outcomes)?;
    let content = world.read(&world.at("object")).await?;
    same_bytes("the winner's content", &content, &sample(2_000, winner))
}

/// An aborted upload takes no part and becomes no object; aborting again is fine.
pub async fn an_aborted_upload_is_gone(world: &World) -> Verdict {
    let (upload, sent) = begin_with(world, "object", &[sample(10, 48)]).await?;
    world.store.abort_upload(&upload).await?;
    world.store.abort_upload(&upload).await?;
    let gone = [ErrorKind::NoSuchUpload];
    refused("a part", world.store.upload_part(&upload, 2, sample(10, 49)).await, &gone)?;
    let completed = world.store.complete_upload(&upload, &sent, CompleteOptions::default()).await;
    refused("a completion", completed, &gone)?;
    let left = world.store.list_uploads(&world.bucket, &world.prefix).await?;
    equal("the uploads", &left, &vec![])
}

/// The whole of a source, or a range of one over 5 MiB, becomes a part, with its checksum where the store tells it.
pub async fn a_copied_part_is_the_range_of_its_source(world: &World) -> Verdict {
    let (large, small) = (world.at("large 한+%"), world.at("small"));
    let large_bytes = sample(FULL + 4_321, 50);
    let large_etag = world.store.put(&large, large_bytes.clone(), PutOptions::default()).await?;
    world.store.put(&small, sample(999, 51), PutOptions::default()).await?;
    let upload = begin(world, "object").await?;
    let range = 1_001..(FULL as u64 + 1_001);
    let copy = |number, source, range, etag| world.store.copy_part(&upload, number, source, range, etag);
    let sent = [
        copy(1, &large, Some(range.clone()), Some(&large_etag)).await?,
        copy(2, &large, None, None).await?,
        copy(3, &small, None, None).await?,
    ];
    let bytes = [large_bytes.slice(1_001..FULL + 1_001), large_bytes, sample(999, 51)];
    for (part, bytes) in sent.iter().zip(&bytes) {
        equal("a copied part's size", &part.size, &(bytes.len() as u64))?;
        ensure(part.crc.is_none_or(|crc| crc == Crc64::of(bytes)), || {
            format!("the checksum of copied part {} is {:?}", part.number, part.crc)
        })?;
    }
    let (whole, options) = whole_of(&bytes);
    world.store.complete_upload(&upload, &sent, options).await?;
    same_bytes("the content", &world.read(&upload.at).await?, &whole)
}

/// No source, another content of it, or a range that leaves it: no part.
pub async fn a_copy_of_what_is_not_there_is_refused(world: &World) -> Verdict {
    let (source, absent) = (world.at("source"), world.at("absent"));
    let old = world.store.put(&source, sample(FULL + 10, 52), PutOptions::default()).await?;
    let new = world.store.put(&source, sample(FULL + 10, 53), PutOptions::default()).await?;
    let upload = begin(world, "object").await?;
    let copy = |source: &ObjectUri, range, etag| {
        let (source, upload, store) = (source.clone(), upload.clone(), world.store.clone());
        async move { store.copy_part(&upload, 1, &source, range, etag).await }
    };
    refused("a copy of nothing", copy(&absent, None, None).await, &[ErrorKind::NotFound])?;
    let lost = [ErrorKind::PreconditionFailed];
    refused("a copy of the old content", copy(&source, None, Some(&old)).await, &lost)?;
    refused("a range of the old content", copy(&source, Some(0..100), Some(&old)).await, &lost)?;
    let past = FULL as u64..FULL as u64 + 11;
    refused("a range past the end", copy(&source, Some(past), Some(&new)).await, &[ErrorKind::Invalid])?;
    refused("an empty range", copy(&source, Some(5..5), Some(&new)).await, &[ErrorKind::Invalid])?;
    equal("the parts", &world.store.list_parts(&upload).await?, &vec![])
}
