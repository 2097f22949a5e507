//! Tags of an object.

use std::sync::Arc;

use s3s::dto::*;

use super::super::body::blocking;
use super::super::bucket::Bucket;
use super::super::error::Error;
use super::super::record::{Change, Object};
use super::Service;

/// Source: S3 user guide, "Categorizing your objects using tags".
const TAGS: usize = 10;

/// Reads tags as `PutObject` has them: `a=1&b=2`, percent-encoded.
///
/// # Errors
/// [`Error::Tag`].
pub(super) fn parse(header: &str) -> Result<Vec<(String, String)>, Error> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        decoded
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Error::Tag(format!("tag `{text}` is not UTF-8")))
    };
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key)?, decode(value)?))
    });
    checked(tags.collect::<Result<_, Error>>()?)
}

fn checked(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, Error> {
    if tags.len() > TAGS {
        return Err(Error::Tag(format!("there are {} tags; {TAGS} is the most", tags.len())));
    }
    for (at, (key, _)) in tags.iter().enumerate() {
        if tags.iter().take(at).any(|(earlier, _)| earlier == key) {
            return Err(Error::Tag(format!("tag `{key}` is given twice")));
        }
    }
    Ok(tags)
}

pub(super) fn get(service: &Service, input: &GetObjectTaggingInput) -> Result<GetObjectTaggingOutput, Error> {
    let object = service.store.bucket(&input.bucket)?.read().object(&input.key)?;
    let tags = object.attributes.tags.iter().cloned();
    let tag_set = tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(GetObjectTaggingOutput { tag_set, version_id: None })
}

pub(super) async fn put(
    service: &Service,
    input: PutObjectTaggingInput,
) -> Result<PutObjectTaggingOutput, Error> {
    let tags = input.tagging.tag_set.into_iter();
    let tags = tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
    let tags = checked(tags)?;
    let bucket = service.store.bucket(&input.bucket)?;
    blocking(move || set(&bucket, &input.key, &tags)).await?;
    Ok(PutObjectTaggingOutput::default())
}

pub(super) async fn delete(
    service: &Service,
    input: DeleteObjectTaggingInput,
) -> Result<DeleteObjectTaggingOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    blocking(move || set(&bucket, &input.key, &[])).await?;
    Ok(DeleteObjectTaggingOutput::default())
}

/// Gives an object other tags; it stays the same object.
fn set(bucket: &Bucket, key: &str, tags: &[(String, String)]) -> Result<(), Error> {
    loop {
        let object = bucket.read().object(key)?;
        let mut tagged = Object::clone(&object);
        tagged.attributes.tags = tags.to_vec();
        let change = Change::Put { key: key.to_owned(), object: Arc::new(tagged) };
        let mut raced = false;
        let result = bucket.commit(change, |index| {
            raced = !Arc::ptr_eq(&index.object(key)?, &object);
            if raced { Err(Error::NoSuchKey(key.to_owned())) } else { Ok(()) }
        });
        if !raced {
            return result;
        }
    }
}
