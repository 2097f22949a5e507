//! From a job's source to what there is of it.

use std::ops::Range;
use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::code::Code;
use fanfold_flow::job::{Items, Job, Objects, Source};
use fanfold_flow::literal::Literal;
use fanfold_flow::plan::{Listed, Listing};
use fanfold_flow::template::{Selection, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_records::Rule;
use fanfold_runtime::Error;
use fanfold_store::{Body, ETag, ErrorKind, ObjectReader, ReadOptions, Store, StoreError, StoreExt};
use futures::StreamExt;
use globset::{GlobBuilder, GlobMatcher};

mod look;
mod refusal;
mod scan;

pub(crate) use refusal::Refusal;

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// An object is not there, or a prefix or glob matches nothing.
    #[error("find the input {0}: {1}")]
    Missing(ObjectUri, &'static str),
    /// A glob cannot be read.
    #[error("read the glob {0}")]
    Glob(ObjectUri, #[source] globset::Error),
    /// What stands before the first record is too long, or a quote in it is never closed.
    #[error(
        "read the header of {0}: it does not end within {1} bytes; where a quote in it is a letter, set --no-quote (\"quote\": null), and \
         --line-end where lines end otherwise"
    )]
    LongHead(ObjectUri, u64),
    /// An object is not what the job says.
    #[error("read {0}: {1}")]
    Refused(ObjectUri, Refusal),
    /// The object begins with another header than the first object of the job.
    #[error("read {uri}: its header differs at byte {byte} from that of the job's first object, {header:?}")]
    HeaderDiffers {
        /// The object.
        uri: ObjectUri,
        /// The first byte that differs.
        byte: u64,
        /// The header that it should have.
        header: Literal,
    },
    /// The store failed.
    #[error("list the input")]
    Store(#[from] StoreError),
}

impl From<ListingError> for Error {
    fn from(error: ListingError) -> Self {
        let code = match &error {
            ListingError::Missing(..) => Code::InputMissing,
            ListingError::Glob(..) => Code::InvalidJob,
            ListingError::LongHead(..) | ListingError::Refused(..) => Code::InputFormat,
            ListingError::HeaderDiffers { .. } => Code::HeaderDiffers,
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
    if wanted.split.is_none() {
        let objects = objects.into_iter().map(Listed::from).collect();
        return Ok(Listing::Objects { objects, rule: Rule::Whole, head: None });
    }
    look::look(wanted, objects, store).await
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

/// Some bytes of an object.
fn bytes_of(store: &Arc<dyn Store>, object: &ObjectVersion, range: Range<u64>) -> Body {
    let etag = ETag::new(&object.etag);
    ObjectReader::new(Arc::clone(store), object.uri.clone(), etag, range, ReadOptions::default())
        .into_stream()
}

async fn read(
    store: &Arc<dyn Store>,
    object: &ObjectVersion,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let mut body = bytes_of(store, object, range);
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await.transpose()? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Where every `chunk` lines end: the one source that must be read to be planned.
async fn item_lines(uri: &ObjectUri, chunk: u64, store: &Arc<dyn Store>) -> Result<Listing, ListingError> {
    let object = single(uri, store).await?;
    let mut body = bytes_of(store, &object, 0..object.bytes);
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
                    Ok(objects.into_iter().map(|listed| listed.object.uri.key).collect())
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
