//! Properties of single objects.

use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::KEY_BYTES;
use fanfold_flow::uri::ObjectUri;
use futures::future::join_all;

use super::{Verdict, World, ensure, equal, refused, same_bytes, sample};
use crate::error::{ErrorKind, StoreError};
use crate::ext::StoreExt;
use crate::object::{ETag, GetOptions, PutOptions};

/// How many writers race for one object.
const RACERS: u8 = 24;

/// Bytes, size, tag and checksum come back as they were written.
pub async fn what_is_put_is_read_back(world: &World) -> Verdict {
    for bytes in [0, 1, 70_001] {
        let (at, content) = (world.at(&format!("{bytes}")), sample(bytes, 1));
        let etag = world.store.put(&at, content.clone(), PutOptions::default()).await?;
        let info = world.store.head(&at).await?;
        equal("the etag", &info.etag, &etag)?;
        equal("the size", &info.size, &(bytes as u64))?;
        equal("the checksum", &info.crc64, &Some(Crc64::of(&content)))?;
        let got = world.store.get(&at, GetOptions::default()).await?;
        equal("what a read says", &got.info, &info)?;
        equal("the range of a whole read", &got.range, &(0..bytes as u64))?;
        same_bytes("the content", &world.read(&at).await?, &content)?;
    }
    Ok(())
}

/// A range gives exactly its bytes, clipped to the object.
pub async fn a_range_is_exact(world: &World) -> Verdict {
    let (at, content) = (world.at("object"), sample(10_007, 2));
    let etag = world.store.put(&at, content.clone(), PutOptions::default()).await?;
    for range in [0..1, 0..10_007, 1..2, 5_000..10_007, 10_006..10_007, 9_000..20_000] {
        let got = world.store.get(&at, GetOptions::range_of(range.clone(), etag.clone())).await?;
        let clipped = range.start..range.end.min(10_007);
        equal("the range given", &got.range, &clipped)?;
        equal("the whole size", &got.info.size, &10_007)?;
        let pieces: Vec<_> = futures::TryStreamExt::try_collect(got.body).await?;
        let should_be = &content[clipped.start as usize..clipped.end as usize];
        same_bytes(&format!("the range {range:?}"), &pieces.concat(), should_be)?;
    }
    Ok(())
}

/// A range that is empty, or begins where the object ends, is an error and not an empty answer.
pub async fn a_range_that_holds_nothing_is_refused(world: &World) -> Verdict {
    let (full, empty) = (world.at("full"), world.at("empty"));
    world.store.put(&full, sample(100, 3), PutOptions::default()).await?;
    world.store.put(&empty, sample(0, 3), PutOptions::default()).await?;
    for (at, range) in [(&full, 100..101), (&full, 50..50), (&full, 4_000..5_000), (&empty, 0..1)] {
        let what = format!("the range {range:?} of {at}");
        let options = GetOptions { range: Some(range), if_match: None };
        refused(&what, world.store.get(at, options).await, &[ErrorKind::Invalid])?;
    }
    Ok(())
}

/// Objects and buckets that are not there are not found, whatever is asked of them.
pub async fn what_is_not_there_is_not_found(world: &World) -> Verdict {
    let (at, kinds) = (world.at("nothing"), [ErrorKind::NotFound]);
    refused("a get", world.store.get(&at, GetOptions::default()).await, &kinds)?;
    refused("a head", world.store.head(&at).await, &kinds)?;
    let bucket = "fanfold-conformance-no-such-bucket";
    let nowhere = ObjectUri::new(bucket, "key");
    refused("a list", world.store.list(bucket, "", None).await, &kinds)?;
    refused("a put", world.store.put(&nowhere, sample(1, 4), PutOptions::default()).await, &kinds)?;
    refused("a get", world.store.get(&nowhere, GetOptions::default()).await, &kinds)?;
    refused("an upload", world.store.create_upload(&nowhere, None).await, &kinds)
}

/// The last write wins, and the object is all of it.
pub async fn an_overwrite_leaves_nothing_of_the_old(world: &World) -> Verdict {
    let at = world.at("object");
    let first = world.store.put(&at, sample(5_000, 5), PutOptions::default()).await?;
    let second = world.store.put(&at, sample(77, 6), PutOptions::default()).await?;
    ensure(first != second, || format!("two contents have one etag, {first}"))?;
    same_bytes("the content", &world.read(&at).await?, &sample(77, 6))
}

/// A read with a tag gives that content or none.
pub async fn a_read_of_another_content_is_refused(world: &World) -> Verdict {
    let at = world.at("object");
    let old = world.store.put(&at, sample(500, 7), PutOptions::default()).await?;
    let read = |etag: &ETag| world.store.get(&at, GetOptions::range_of(10..20, etag.clone()));
    read(&old).await?;
    let new = world.store.put(&at, sample(500, 8), PutOptions::default()).await?;
    refused("a read of the old content", read(&old).await, &[ErrorKind::PreconditionFailed])?;
    read(&new).await?;
    Ok(())
}

/// `IfAbsent` writes where nothing is, and changes nothing where something is.
pub async fn a_creation_over_an_object_is_refused(world: &World) -> Verdict {
    let at = world.at("object");
    world.store.put(&at, sample(100, 9), PutOptions::if_absent()).await?;
    let second = world.store.put(&at, sample(100, 10), PutOptions::if_absent()).await;
    refused("a second creation", second, &[ErrorKind::PreconditionFailed])?;
    same_bytes("the content", &world.read(&at).await?, &sample(100, 9))?;
    world.store.delete(&world.bucket, std::slice::from_ref(&at.key)).await?;
    world.store.put(&at, sample(100, 11), PutOptions::if_absent()).await?;
    Ok(())
}

/// `IfMatches` writes over that content, and over nothing else.
pub async fn a_replacement_of_another_content_is_refused(world: &World) -> Verdict {
    let at = world.at("object");
    let put = |first, options| world.store.put(&at, sample(100, first), options);
    let never = PutOptions::if_matches(ETag::new("d41d8cd98f00b204e9800998ecf8427e"));
    refused("a replacement of nothing", put(12, never).await, &[ErrorKind::NotFound])?;
    let old = put(13, PutOptions::default()).await?;
    let new = put(14, PutOptions::if_matches(old.clone())).await?;
    let late = put(15, PutOptions::if_matches(old)).await;
    refused("a replacement of the old content", late, &[ErrorKind::PreconditionFailed])?;
    same_bytes("the content", &world.read(&at).await?, &sample(100, 14))?;
    put(16, PutOptions::if_matches(new)).await?;
    Ok(())
}

/// Of many creations at once, one is told that it wrote, and its bytes are there.
pub async fn racing_creations_have_one_winner(world: &World) -> Verdict {
    race(world, &world.at("object"), &PutOptions::if_absent()).await
}

/// Of many replacements of one content at once, one is told that it wrote, and its bytes are there.
pub async fn racing_replacements_have_one_winner(world: &World) -> Verdict {
    let at = world.at("object");
    let etag = world.store.put(&at, sample(50, 200), PutOptions::default()).await?;
    race(world, &at, &PutOptions::if_matches(etag)).await
}

async fn race(world: &World, at: &ObjectUri, options: &PutOptions) -> Verdict {
    let outcomes =
        join_all((0..RACERS).map(|racer| world.store.put(at, sample(3_000, racer), options.clone()))).await;
    let winner = one_winner(outcomes)?;
    same_bytes("the winner's content", &world.read(at).await?, &sample(3_000, winner))
}

/// Which of the racers won. All others must have been refused, be it at once or in the middle.
pub(super) fn one_winner<T: std::fmt::Debug>(
    outcomes: Vec<Result<T, StoreError>>,
) -> Result<u8, super::Violation> {
    let mut winners = Vec::new();
    for (racer, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(_) => winners.push(racer),
            lost => refused("a loser", lost, &[ErrorKind::PreconditionFailed, ErrorKind::Conflict])?,
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    Ok(winners[0])
}

/// Keys are kept as they are: no decoding, no normalising, no folders.
pub async fn unusual_keys_are_kept_byte_for_byte(world: &World) -> Verdict {
    let names = [
        "a",
        "a/b",
        "a//b",
        "a/",
        "/",
        "plus+sign",
        "per%cent",
        "per%2Fcent",
        "space ",
        " space",
        "quote\"'",
        "amp&lt;",
        "a?b#c",
        "back\\slash",
        "~tilde",
        "colon:semi;",
        "한글 파일.csv",
        "e\u{301}",
        "\u{e9}",
        "😀",
        "star*",
        "{brace}",
        "[x]",
        "=,@$!",
        "..a",
        "new\u{2028}line",
    ];
    for name in names {
        let content = name.as_bytes().to_vec();
        world.store.put(&world.at(name), content.into(), PutOptions::default()).await?;
    }
    for name in names {
        let content = world.read(&world.at(name)).await?;
        same_bytes(&format!("the object at {name:?}"), &content, name.as_bytes())?;
    }
    let mut keys: Vec<String> = names.iter().map(|name| world.at(name).key).collect();
    keys.sort();
    let listed = world.store.list_all(&world.bucket, &world.prefix).await?;
    let listed: Vec<String> = listed.into_iter().map(|object| object.key).collect();
    equal("the list", &listed, &keys)
}

/// 1,024 bytes are a key, 1,025 are none.
pub async fn a_key_has_at_most_1024_bytes(world: &World) -> Verdict {
    let fits = world.at(&"k".repeat(KEY_BYTES - world.prefix.len()));
    world.store.put(&fits, sample(10, 17), PutOptions::default()).await?;
    same_bytes("the content", &world.read(&fits).await?, &sample(10, 17))?;
    let too_long = ObjectUri::new(&world.bucket, format!("{}k", fits.key));
    let put = world.store.put(&too_long, sample(10, 18), PutOptions::default()).await;
    refused("a key of 1,025 bytes", put, &[ErrorKind::Invalid])
}

/// Deleting is done once it is answered, also where there was nothing to delete.
pub async fn a_delete_takes_what_is_there_and_forgives_what_is_not(world: &World) -> Verdict {
    let (kept, gone) = (world.at("kept"), world.at("gone & gone"));
    for at in [&kept, &gone] {
        world.store.put(at, sample(10, 19), PutOptions::default()).await?;
    }
    world.store.delete(&world.bucket, &[]).await?;
    let keys = [gone.key.clone(), world.at("never").key];
    world.store.delete(&world.bucket, &keys).await?;
    refused("a deleted object", world.store.head(&gone).await, &[ErrorKind::NotFound])?;
    world.store.head(&kept).await?;
    world.store.delete(&world.bucket, &keys).await?;
    Ok(())
}
