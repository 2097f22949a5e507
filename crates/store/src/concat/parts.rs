//! The parts of an upload: made, as long as there is time, or found.

use std::collections::BTreeMap;
use std::pin::pin;

use fanfold_flow::concat::{self as flow, Range};
use fanfold_flow::limits::PART_BYTES_MIN;
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};

use super::queue::{Job, Queue};
use super::{Assembly, ConcatError};
use crate::error::StoreError;
use crate::object::ETag;
use crate::surely::again;
use crate::upload::{Part, Upload};

/// How far an upload came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All parts are there, in order.
    Whole(Vec<Part>),
    /// Time was up when this many were there.
    TimeIsUp(usize),
}

impl Assembly<'_> {
    /// The parts that an upload has already, from whoever was at it before: those with number and size of the plan's. Whether
    /// they are right the checksum of the whole says in the end.
    ///
    /// # Errors
    /// Those of [`Store::list_parts`](crate::Store::list_parts).
    pub async fn found(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        let mut listed = again(|| self.store.list_parts(upload)).await?;
        listed.retain(|part| self.planned(part.number).is_some_and(|planned| planned.bytes() == part.size));
        Ok(listed)
    }

    /// Makes all parts that an upload has not; `found` are those that it has. Once `time_is_up` is done, or something failed,
    /// no further part is begun, and those under way are waited for.
    ///
    /// # Errors
    /// The first failure. What was made stays in the upload.
    ///
    /// # Cancellation
    /// Parts under way may still be made, or not; [`found`](Self::found) says it later.
    pub async fn parts(
        &self,
        upload: &Upload,
        found: Vec<Part>,
        time_is_up: impl Future<Output = ()>,
    ) -> Result<Progress, ConcatError> {
        let mut made: BTreeMap<u32, Part> = found.into_iter().map(|part| (part.number, part)).collect();
        let mut queue = Queue::new(self.plan, self.bounds, |number| made.contains_key(&number));
        let mut time_is_up = pin!(time_is_up.fuse());
        let mut under_way = FuturesUnordered::new();
        let (mut stopped, mut failed) = (time_is_up.as_mut().now_or_never().is_some(), None);
        loop {
            while !stopped && let Some(job) = queue.next() {
                under_way.push(async move { (job, self.make(job, upload).await) });
            }
            tokio::select! {
                biased;
                () = &mut time_is_up, if !stopped => stopped = true,
                ended = under_way.next() => match ended {
                    None => break,
                    Some((job, ended)) => {
                        queue.ended(job);
                        match ended {
                            Ok(part) => drop(made.insert(part.number, part)),
                            Err(error) => {
                                stopped = true;
                                failed.get_or_insert(error);
                            }
                        }
                    }
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None if made.len() < self.plan.parts.len() => Ok(Progress::TimeIsUp(made.len())),
            None => Ok(Progress::Whole(made.into_values().collect())),
        }
    }

    fn planned(&self, number: u32) -> Option<&flow::Part> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.plan.parts.get(place)
    }

    async fn make(&self, job: Job<'_>, upload: &Upload) -> Result<Part, ConcatError> {
        match job.part {
            flow::Part::Copy(range) => self.copy(job.number, range, upload).await,
            flow::Part::Stream(segments) => {
                let bytes = self.read_all(job.number, segments).await?;
                Ok(again(|| self.store.upload_part(upload, job.number, bytes.clone())).await?)
            }
        }
    }

    async fn copy(&self, number: u32, range: &Range, upload: &Upload) -> Result<Part, ConcatError> {
        // Of what is small S3 copies only the whole. The whole of what is not is named as a range all the same: then nobody
        // has to ask first how many bytes those are.
        let names_no_range = range.is_whole() && range.object.bytes <= PART_BYTES_MIN;
        let bytes = (!names_no_range).then_some(range.start..range.end);
        let etag = ETag::new(&range.object.etag);
        let copied =
            again(|| self.store.copy_part(upload, number, &range.object.uri, bytes.clone(), Some(&etag)))
                .await;
        copied.map_err(|error| ConcatError::of_source(number, range, error))
    }
}
