//! What a request makes its answer depend on: `If-Match` and its kin.

use s3s::dto::{ETagCondition, Timestamp};
use time::OffsetDateTime;

use super::error::Error;
use super::index::Index;
use super::record::Object;

/// The condition of a write, checked in the moment of the commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteCondition {
    if_match: Option<ETagCondition>,
    if_absent: bool,
}

impl WriteCondition {
    /// # Errors
    /// [`Error::NotOffered`] for `If-None-Match` with an ETag, which S3 has no writes for either.
    pub(crate) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<ETagCondition>,
    ) -> Result<Self, Error> {
        if if_none_match.as_ref().is_some_and(|condition| !condition.is_any()) {
            return Err(Error::NotOffered("If-None-Match with anything but `*` on a write".into()));
        }
        Ok(Self { if_match, if_absent: if_none_match.is_some() })
    }

    /// Whether the write goes through whatever is there.
    pub(crate) fn holds_always(&self) -> bool {
        self.if_match.is_none() && !self.if_absent
    }

    /// # Errors
    /// [`Error::Precondition`]; [`Error::NoSuchKey`] when an object must match that does not exist.
    pub(crate) fn check(&self, key: &str, index: &Index) -> Result<(), Error> {
        let present = index.objects.get(key);
        if self.if_absent && present.is_some() {
            return Err(unmet(key, "it exists"));
        }
        match (&self.if_match, present) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Error::NoSuchKey(key.to_owned())),
            (Some(condition), Some(object)) if matches(condition, object) => Ok(()),
            (Some(_), Some(object)) => Err(unmet(key, &format!("its ETag is \"{}\"", object.etag))),
        }
    }
}

/// The conditions of a read, also of the source of a copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadCondition {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Checks in the order of RFC 9110, section 13.2.2: an ETag outweighs a date.
    ///
    /// # Errors
    /// [`Error::Precondition`]; [`Error::NotModified`].
    pub(crate) fn check(&self, key: &str, object: &Object) -> Result<(), Error> {
        // The dates in headers have whole seconds.
        let modified = object.modified.div_euclid(1_000);
        let seconds = |date: &Timestamp| OffsetDateTime::from(date.clone()).unix_timestamp();
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(date)) => modified <= seconds(date),
            (None, None) => true,
        };
        if !holds {
            return Err(unmet(key, &format!("its ETag is \"{}\"", object.etag)));
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(date)) => modified <= seconds(date),
            (None, None) => false,
        };
        if unchanged {
            return Err(Error::NotModified { key: key.to_owned(), etag: object.etag.clone() });
        }
        Ok(())
    }

    /// As [`ReadCondition::check`], for a copy: there an unchanged source is a precondition that does not hold.
    ///
    /// # Errors
    /// [`Error::Precondition`].
    pub(crate) fn check_source(&self, key: &str, object: &Object) -> Result<(), Error> {
        self.check(key, object).map_err(|error| match error {
            Error::NotModified { .. } => unmet(key, "it is unchanged"),
            error => error,
        })
    }
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == object.etag)
}

fn unmet(key: &str, reason: &str) -> Error {
    Error::Precondition { key: key.to_owned(), reason: reason.to_owned() }
}
