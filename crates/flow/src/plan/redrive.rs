//! A run that does over what failed in another: which chunks those are, and where the results of all others are.
//!
//! Such a run is a run of its own, with an id and a folder of its own, so that nothing that was written once is changed. Its
//! plan is the other's, input and indexes and output, but that its partitions have the chunks of [`Redrive::chunks`] only.
//! Each has chunks of one partition of the other, so that it is no larger than what was found to fit.

use std::iter;

use serde::{Deserialize, Serialize};

use super::{Chunk, JobId, Plan, Span, make};
use crate::chunk::Prior;
use crate::done::Failure;

/// What a plan says of the runs whose failures it does over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// The runs that have the other results: the first run, and those that redrove it since, in their order. This one does
    /// over what failed or was cancelled in the last of them.
    pub earlier: Vec<JobId>,
    /// When it was asked for, in milliseconds since 1970 (UTC). What the plan says of its occasion is that of the first run.
    pub started_ms: i64,
    /// The ETag of the output that an earlier run put, without what failed there: this run's output takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The chunks that it does, in order.
    pub chunks: Vec<Series>,
    /// Of those that were cut before, what is left, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests: Vec<Chunk>,
}

/// Consecutive chunks that a redrive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The place of its first chunk among all that the redrive does, from 0. A plan's partitions count by places.
    pub place: u64,
    /// That chunk's index.
    pub first: u64,
    /// How many.
    pub chunks: u64,
}

impl Redrive {
    /// How many chunks it does.
    pub fn count(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.place.saturating_add(last.chunks))
    }

    /// The index of the chunk at this place; none past the end.
    pub(super) fn index(&self, place: u64) -> Option<u64> {
        let at = self.chunks.partition_point(|series| series.place <= place).checked_sub(1)?;
        let series = self.chunks.get(at)?;
        let position = (place - series.place < series.chunks).then_some(place - series.place)?;
        series.first.checked_add(position)
    }

    /// The place of the chunk with this index; none where the redrive does not do it.
    pub(super) fn place(&self, index: u64) -> Option<u64> {
        let at = self.chunks.partition_point(|series| series.first <= index).checked_sub(1)?;
        let series = self.chunks.get(at)?;
        let position = (index - series.first < series.chunks).then_some(index - series.first)?;
        series.place.checked_add(position)
    }

    /// What is left of a chunk that was cut before; none where it is done as a whole.
    pub(super) fn rest(&self, index: u64) -> Option<&Chunk> {
        let at = self.rests.binary_search_by_key(&index, |rest| rest.index).ok()?;
        self.rests.get(at)
    }
}

impl Series {
    /// The index after its last chunk.
    pub(super) fn end(self) -> u64 {
        self.first.saturating_add(self.chunks)
    }
}

impl Plan {
    /// The plan of a run that does over what failed in this plan's run, `failures` being all of that, by index. `replaces`
    /// is the ETag of the output that an earlier run left in its place, `now_ms` the time in milliseconds since 1970 (UTC).
    #[must_use]
    pub fn redriven(
        &self,
        job_id: &JobId,
        failures: &[Failure],
        replaces: Option<String>,
        now_ms: i64,
    ) -> Self {
        let earlier = self.earlier().iter().chain(iter::once(&self.job_id)).cloned().collect();
        // What the last run took its time for need not take it again: the redrive begins afresh.
        let afresh = |rest: &Chunk| Chunk { prior: Prior::default(), ..rest.clone() };
        let rests = failures.iter().filter_map(|failure| failure.rest.as_ref().map(afresh)).collect();
        let (mut chunks, mut partitions) = (Vec::<Series>::new(), Vec::<Span>::new());
        let mut partition_before = None;
        for (place, index) in (0..).zip(failures.iter().map(|failure| failure.index)) {
            match chunks.last_mut() {
                Some(series) if series.end() == index => series.chunks += 1,
                _ => chunks.push(Series { place, first: index, chunks: 1 }),
            }
            let partition = self.partition_of(index);
            match partitions.last_mut() {
                Some(span) if partition == partition_before => span.chunks += 1,
                _ => partitions.push(Span { first: place, chunks: 1 }),
            }
            partition_before = partition;
        }
        let group_partitions = make::group_partitions(partitions.len() as u64);
        let redrive = Redrive { earlier, started_ms: now_ms, replaces, chunks, rests };
        Self {
            job_id: job_id.clone(),
            redrive: Some(Box::new(redrive)),
            partitions,
            group_partitions,
            ..self.clone()
        }
    }

    /// The runs that have the results of all chunks that this one does not do: the first run, and those that redrove it
    /// since, in their order. None where this one does the whole job.
    pub fn earlier(&self) -> &[JobId] {
        self.redrive.as_ref().map_or(&[], |redrive| &redrive.earlier)
    }

    /// When the run was accepted, in milliseconds since 1970 (UTC).
    pub fn started_ms(&self) -> i64 {
        self.redrive.as_ref().map_or(self.occasion.started_ms, |redrive| redrive.started_ms)
    }

    /// How many chunks the run does: all of the job's, unless it is a redrive.
    pub fn chunks_to_do(&self) -> u64 {
        self.redrive.as_ref().map_or(self.chunks, |redrive| redrive.count())
    }

    /// The partition that has the chunk with this index; none where the run does not do it.
    pub fn partition_of(&self, index: u64) -> Option<u64> {
        let place = match &self.redrive {
            Some(redrive) => redrive.place(index)?,
            None => index,
        };
        let at = self.partitions.partition_point(|span| span.first <= place).checked_sub(1)?;
        let is_in = self.partitions.get(at).is_some_and(|span| place < span.end());
        is_in.then_some(at as u64)
    }

    /// The chunk that the run does at this place among all that it does; none past the end.
    pub(super) fn chunk_to_do(&self, place: u64) -> Option<Chunk> {
        let Some(redrive) = &self.redrive else { return self.chunk(place) };
        let index = redrive.index(place)?;
        redrive.rest(index).cloned().or_else(|| self.chunk(index))
    }
}
