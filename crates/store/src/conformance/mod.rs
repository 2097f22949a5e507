//! What every store and every wrapper is held to: one function a property, named for it.
//!
//! Run it over a bucket that exists, with a prefix of its own that nobody else uses:
//!
//! ```
//! # use std::sync::Arc;
//! # use fanfold_store::{conformance, memory::MemoryStore};
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let held = conformance::run(Arc::new(MemoryStore::new(["bucket"])), "bucket", "try-1/").await;
//! assert!(held.is_ok(), "{}", held.unwrap_err());
//! # });
//! ```
//!
//! It writes some 200 MB and deletes what it wrote, but for what a failed property leaves.

#![allow(
    clippy::missing_errors_doc,
    reason = "every property fails in one way: it is broken, as `Verdict` says"
)]

mod listing;
mod objects;
mod streams;
mod uploads;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use futures::future::BoxFuture;

use crate::error::{ErrorKind, StoreError};
use crate::ext::StoreExt;
use crate::store::Store;

pub use self::{listing::*, objects::*, streams::*, uploads::*};

/// The store under test, and the place in it that one property has for itself.
#[derive(Clone, Debug)]
pub struct World {
    /// The store under test.
    pub store: Arc<dyn Store>,
    /// A bucket that exists.
    pub bucket: String,
    /// The beginning of all keys.
    pub prefix: String,
}

impl World {
    /// An object of this property.
    pub fn at(&self, name: &str) -> ObjectUri {
        ObjectUri::new(&self.bucket, format!("{}{name}", self.prefix))
    }

    /// The same place, seen through another store.
    fn through(&self, store: impl Store) -> Self {
        Self { store: Arc::new(store), ..self.clone() }
    }

    async fn read(&self, at: &ObjectUri) -> Result<Bytes, StoreError> {
        self.store.get_bytes(at, u64::MAX).await
    }
}

/// How a property is broken, in words.
#[derive(Debug)]
pub struct Violation(String);

/// Whether a property holds.
pub type Verdict = Result<(), Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreError> for Violation {
    fn from(error: StoreError) -> Self {
        Self(format!("an operation that should have succeeded failed: {error}"))
    }
}

/// The properties that do not hold, by name.
#[derive(Debug)]
pub struct Broken(Vec<(&'static str, Violation)>);

impl Broken {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} properties do not hold:", self.0.len())?;
        self.0.iter().try_for_each(|(name, violation)| writeln!(f, "- {name}: {violation}"))
    }
}

impl std::error::Error for Broken {}

/// A property: its name, and the function that tries it.
pub struct Property {
    /// The name of the function, which is the property in words.
    pub name: &'static str,
    check: for<'a> fn(&'a World) -> BoxFuture<'a, Verdict>,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! properties {
    ($($name:ident),* $(,)?) => {
        /// All properties, from the simple to the involved.
        pub const PROPERTIES: &[Property] =
            &[$(Property { name: stringify!($name), check: |world| Box::pin($name(world)) }),*];
    };
}

properties![
    what_is_put_is_read_back,
    a_range_is_exact,
    a_range_that_holds_nothing_is_refused,
    what_is_not_there_is_not_found,
    an_overwrite_leaves_nothing_of_the_old,
    a_read_of_another_content_is_refused,
    a_creation_over_an_object_is_refused,
    a_replacement_of_another_content_is_refused,
    racing_creations_have_one_winner,
    racing_replacements_have_one_winner,
    unusual_keys_are_kept_byte_for_byte,
    a_key_has_at_most_1024_bytes,
    a_delete_takes_what_is_there_and_forgives_what_is_not,
    a_list_is_in_byte_order_and_below_its_prefix,
    a_list_begins_after_the_key_it_is_given,
    a_list_longer_than_a_page_is_whole,
    parts_become_one_object,
    an_upload_is_invisible_until_it_is_complete,
    a_small_part_that_is_not_the_last_is_refused,
    parts_that_are_not_there_or_not_in_order_are_refused,
    the_last_content_of_a_part_counts_and_unnamed_parts_are_dropped,
    a_whole_of_another_checksum_or_size_is_refused_and_can_be_tried_again,
    a_completion_over_an_object_is_refused,
    racing_completions_have_one_winner,
    an_aborted_upload_is_gone,
    a_copied_part_is_the_range_of_its_source,
    a_copy_of_what_is_not_there_is_refused,
    a_writer_writes_any_size_exactly,
    a_writer_may_skip_an_empty_object,
    a_writer_that_is_given_up_leaves_nothing,
    a_writer_keeps_its_condition,
    a_reader_resumes_where_a_body_breaks,
    a_reader_notices_that_the_content_changed,
    a_write_whose_answer_is_lost_is_found_done,
    a_creation_whose_answer_is_lost_is_found_existing,
];

/// Tries every property, each below a prefix of its own, and says which do not hold.
///
/// # Errors
/// The properties that do not hold.
pub async fn run(store: Arc<dyn Store>, bucket: &str, prefix: &str) -> Result<usize, Broken> {
    let mut broken = Vec::new();
    for property in PROPERTIES {
        let prefix = format!("{prefix}{}/", property.name);
        let world = World { store: Arc::clone(&store), bucket: bucket.to_owned(), prefix };
        let held = match (property.check)(&world).await {
            Ok(()) => clear(&world).await,
            violated => violated,
        };
        if let Err(violation) = held {
            broken.push((property.name, violation));
        }
    }
    if broken.is_empty() { Ok(PROPERTIES.len()) } else { Err(Broken(broken)) }
}

/// Deletes what a property wrote; that this works is part of every property.
async fn clear(world: &World) -> Verdict {
    for upload in world.store.list_uploads(&world.bucket, &world.prefix).await? {
        world.store.abort_upload(&upload).await?;
    }
    world.store.delete_prefix(&world.bucket, &world.prefix).await?;
    let left = world.store.list_all(&world.bucket, &world.prefix).await?;
    ensure(left.is_empty(), || format!("{} objects are left after all were deleted", left.len()))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation(otherwise())) }
}

fn equal<T: PartialEq + fmt::Debug>(what: &str, is: &T, should_be: &T) -> Verdict {
    ensure(is == should_be, || format!("{what} is {is:?}, should be {should_be:?}"))
}

/// As [`equal`], without printing megabytes.
fn same_bytes(what: &str, is: &[u8], should_be: &[u8]) -> Verdict {
    ensure(is.len() == should_be.len(), || {
        format!("{what} has {} bytes, should have {}", is.len(), should_be.len())
    })?;
    let differs = is.iter().zip(should_be).position(|(left, right)| left != right);
    ensure(differs.is_none(), || format!("{what} differs from byte {differs:?} on"))
}

/// Holds when the operation fails in one of these ways.
fn refused<T: fmt::Debug>(what: &str, result: Result<T, StoreError>, kinds: &[ErrorKind]) -> Verdict {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Violation(format!("{what} should fail with one of {kinds:?}, not: {error}"))),
        Ok(value) => Err(Violation(format!("{what} should fail with one of {kinds:?}, but gives {value:?}"))),
    }
}

/// Bytes whose period is a prime, so that an offset that is off by one shows.
fn sample(bytes: usize, first: u8) -> Bytes {
    let period: Vec<u8> = (0..251).map(|place: u8| place.wrapping_add(first)).collect();
    let mut whole = period.repeat(bytes.div_ceil(period.len()));
    whole.truncate(bytes);
    whole.into()
}
