//! From a job's source to what there is of it.

use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::code::Code;
use fanfold_flow::job::{Items, Job, Objects, Source, Split};
use fanfold_flow::limits;
use fanfold_flow::literal::Literal;
use fanfold_flow::plan::Listing;
use fanfold_flow::template::{Selection, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::{Body, ETag, ErrorKind, ObjectReader, ReadOptions, Store, StoreError, StoreExt};
use futures::StreamExt;
use globset::{GlobBuilder, GlobMatcher};

/// Longest CSV header that is looked for: one that is longer would not fit into a payload anyway.
const HEADER_BYTES_MAX: u64 = limits::HEADER_JSON_BYTES_MAX;

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// An object is not there, or a prefix or glob matches nothing.
    #[error("find the input {0}: {1}")]
    Missing(ObjectUri, &'static str),
    /// A glob cannot be read.
    #[error("read the glob {0}")]
    Glob(ObjectUri, #[source] globset::Error),
    /// The first record of a CSV is too long to be a header.
    #[error("read the header of {0}: its first record does not end within {HEADER_BYTES_MAX} bytes")]
    LongHeader(ObjectUri),
    /// The store failed.
    #[error("list the input")]
    Store(#[from] StoreError),
}

impl From<ListingError> for Error {
    fn from(error: ListingError) -> Self {
        let code = match &error {
            ListingError::Missing(..) => Code::InputMissing,
            ListingError::Glob(..) => Code::InvalidJob,
            ListingError::LongHeader(_) => Code::RecordCut,
            ListingError::Store(_) => Code::Store,
        };
        Self::caused(code, "plan the job", error)
    }
}

/// Looks at a job's source: lists its objects, reads its header, counts its lines, whatever planning needs. The addresses'
/// placeholders stand for `values`.
///
/// # Errors
/// When something that the job names is not there, or the store fails.
pub async fn list(job: &Job, values: &Values<'_>, store: &Arc<dyn Store>) -> Result<Listing, ListingError> {
    match &job.source {
        Source::Objects(wanted) => objects(wanted, values, store).await,
        Source::Items(Items { uri: Some(uri), chunk, .. }) => {
            item_lines(&uri.filled(values), *chunk, store).await
        }
        Source::Items(_) | Source::Range(_) => Ok(Listing::Nothing),
    }
}

async fn objects(
    wanted: &Objects,
    values: &Values<'_>,
    store: &Arc<dyn Store>,
) -> Result<Listing, ListingError> {
    let mut objects = Vec::new();
    for uri in wanted.uri.as_slice() {
        match uri.selected(values) {
            Selection::One(uri) => objects.push(single(&uri, store).await?),
            Selection::Under(uri) => objects.extend(matching(&uri, &uri.key, None, store).await?),
            Selection::Matching { glob, beginning } => {
                let matcher = matcher(&glob)?;
                objects.extend(matching(&glob, &beginning, Some(&matcher), store).await?);
            }
        }
    }
    let header =
        if wanted.header && wanted.split == Split::Csv { header(&objects, store).await? } else { None };
    Ok(Listing::Objects { objects, header })
}

/// The header of the first object that has one with a line feed; of the last one, where none has. So a header that is
/// given to a process with records behind it always has its line feed.
async fn header(objects: &[ObjectVersion], store: &Arc<dyn Store>) -> Result<Option<Literal>, ListingError> {
    let mut header = None;
    for object in objects.iter().filter(|object| object.bytes > 0) {
        let found = first_record(object, store).await?;
        let has_line_feed = found.0.ends_with(b"\n");
        header = Some(found);
        if has_line_feed {
            break;
        }
    }
    Ok(header)
}

async fn single(uri: &ObjectUri, store: &Arc<dyn Store>) -> Result<ObjectVersion, ListingError> {
    match store.head(uri).await {
        Ok(info) => Ok(ObjectVersion { uri: uri.clone(), etag: info.etag.to_string(), bytes: info.size }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ListingError::Missing(uri.clone(), "there is no such object"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The objects that an address means: those whose keys begin with `beginning` and match the glob, if there is one, in the
/// byte order of keys. The empty objects named like folders, which the console makes, are no input.
async fn matching(
    address: &ObjectUri,
    beginning: &str,
    glob: Option<&GlobMatcher>,
    store: &Arc<dyn Store>,
) -> Result<Vec<ObjectVersion>, ListingError> {
    let listed = store.list_all(&address.bucket, beginning).await?;
    let found: Vec<ObjectVersion> = listed
        .into_iter()
        .filter(|object| glob.is_none_or(|glob| glob.is_match(&object.key)))
        .filter(|object| !(object.size == 0 && object.key.ends_with('/')))
        .map(|object| ObjectVersion {
            uri: ObjectUri::new(&address.bucket, object.key),
            etag: object.etag.to_string(),
            bytes: object.size,
        })
        .collect();
    if found.is_empty() {
        return Err(ListingError::Missing(address.clone(), "it matches no object"));
    }
    Ok(found)
}

fn matcher(uri: &ObjectUri) -> Result<GlobMatcher, ListingError> {
    let glob = GlobBuilder::new(&uri.key).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| ListingError::Glob(uri.clone(), error))
}

/// The first record, its line feed included: up to the first line feed outside quotes, or the whole object.
async fn first_record(object: &ObjectVersion, store: &Arc<dyn Store>) -> Result<Literal, ListingError> {
    let mut body = read(store, object, object.bytes.min(HEADER_BYTES_MAX));
    let (mut header, mut quoted) = (Vec::new(), false);
    while let Some(bytes) = body.next().await.transpose()? {
        for (position, byte) in bytes.iter().enumerate() {
            quoted ^= *byte == b'"';
            if *byte == b'\n' && !quoted {
                header.extend_from_slice(&bytes[..=position]);
                return Ok(Literal(header));
            }
        }
        header.extend_from_slice(&bytes);
    }
    if object.bytes > HEADER_BYTES_MAX {
        return Err(ListingError::LongHeader(object.uri.clone()));
    }
    Ok(Literal(header))
}

/// The first `bytes` of an object.
fn read(store: &Arc<dyn Store>, object: &ObjectVersion, bytes: u64) -> Body {
    let etag = ETag::new(&object.etag);
    ObjectReader::new(Arc::clone(store), object.uri.clone(), etag, 0..bytes, ReadOptions::default())
        .into_stream()
}

/// Where every `chunk` lines end: the one source that must be read to be planned.
async fn item_lines(uri: &ObjectUri, chunk: u64, store: &Arc<dyn Store>) -> Result<Listing, ListingError> {
    let object = single(uri, store).await?;
    let mut body = read(store, &object, object.bytes);
    let (mut ends, mut lines, mut offset) = (Vec::new(), 0, 0);
    while let Some(bytes) = body.next().await.transpose()? {
        for position in memchr::memchr_iter(b'\n', &bytes) {
            lines += 1;
            if lines == chunk {
                ends.push(offset + position as u64 + 1);
                lines = 0;
            }
        }
        offset += bytes.len() as u64;
    }
    if ends.last().copied().unwrap_or(0) < object.bytes {
        ends.push(object.bytes);
    }
    Ok(Listing::ItemLines { object, ends })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfold_flow::keys::JobId;
    use fanfold_flow::occasion::Occasion;
    use fanfold_store::PutOptions;
    use fanfold_store::memory::MemoryStore;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The keys that a source's address means, for a run that this object started.
    fn meant(address: &str, object: &str, keys: &[&str]) -> Result<Vec<String>, ListingError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "objects": { "uri": address } }, "task": { "name": "t" },
            "output": { "uri": "s3://out/k" }, "on_object_created": { "bucket": "in" }
        }));
        let job = job.unwrap_or_else(|problems| panic!("{problems}"));
        let job_id: JobId = "run".parse().unwrap();
        let occasion = Occasion { object: Some(ObjectUri::new("in", object)), ..Occasion::at(0) };
        let values = Values { job_id: &job_id, name: "n", occasion: &occasion };
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(["in"]));
            for key in keys {
                let at = ObjectUri::new("in", *key);
                store.put(&at, Bytes::from_static(b"x\n"), PutOptions::default()).await.unwrap();
            }
            match list(&job, &values, &store).await? {
                Listing::Objects { objects, .. } => {
                    Ok(objects.into_iter().map(|object| object.uri.key).collect())
                }
                listing => panic!("{listing:?}"),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Keys made of what globs and placeholders are made of: the object stays one, and none of the others joins it.
        #[test]
        fn an_objects_key_is_taken_for_itself_in_any_address(
            object in "[a*?\\[\\]{}\\\\,!^/-]{1,6}",
            others in prop::collection::btree_set("[a*?\\[\\]{}\\\\,!^/-]{1,6}", 0..8),
        ) {
            let mut keys: Vec<&str> = others.iter().map(String::as_str).chain([object.as_str()]).collect();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(meant("{object_uri}", &object, &keys).unwrap(), std::slice::from_ref(&object));
            prop_assert_eq!(meant("s3://in/{object_key}", &object, &keys).unwrap(), std::slice::from_ref(&object));
            // With a star of the job's own behind it: all keys that begin with it and go on within its folder.
            let within = |key: &&&str| key.strip_prefix(object.as_str()).is_some_and(|rest| !rest.contains('/'));
            let expected: Vec<String> = keys.iter().filter(within).map(|key| (*key).to_owned()).collect();
            prop_assert_eq!(meant("s3://in/{object_key}*", &object, &keys).unwrap(), expected);
        }
    }

    #[test]
    fn an_object_that_is_gone_is_named() {
        let told = meant("{object_uri}", "a*", &["ab"]).unwrap_err().to_string();
        assert_eq!(told, "find the input s3://in/a*: there is no such object");
    }
}
