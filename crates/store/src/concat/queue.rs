//! Which part is made next, within the bounds.

use std::collections::VecDeque;

use fanfold_flow::concat::{ConcatPlan, Part};

use super::Bounds;

/// The parts that are still to be made, and how much may be under way beside what is.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    copied: VecDeque<Job<'a>>,
    streamed: VecDeque<Job<'a>>,
    bounds: Bounds,
    copies: usize,
    streamed_bytes: u64,
}

/// A part to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    /// Its number in the upload, from 1.
    pub(super) number: u32,
    pub(super) part: &'a Part,
}

impl<'a> Queue<'a> {
    /// The parts of a plan that `is_made` does not say of that they are there.
    pub(super) fn new(plan: &'a ConcatPlan, bounds: Bounds, is_made: impl Fn(u32) -> bool) -> Self {
        let jobs = (1..).zip(&plan.parts).map(|(number, part)| Job { number, part });
        let (copied, streamed) =
            jobs.filter(|job| !is_made(job.number)).partition(|job| matches!(job.part, Part::Copy(_)));
        Self { copied, streamed, bounds, copies: 0, streamed_bytes: 0 }
    }

    /// The next part for which there is room. Streamed ones come first, for they take longest.
    pub(super) fn next(&mut self) -> Option<Job<'a>> {
        if let Some(job) = self.streamed.front() {
            let after = self.streamed_bytes.saturating_add(job.part.bytes());
            if self.streamed_bytes == 0 || after <= self.bounds.streamed_bytes_in_flight {
                self.streamed_bytes = after;
                return self.streamed.pop_front();
            }
        }
        if self.copies < self.bounds.copies_in_flight.max(1)
            && let Some(job) = self.copied.pop_front()
        {
            self.copies += 1;
            return Some(job);
        }
        None
    }

    /// Takes note that a part is no longer under way.
    pub(super) fn ended(&mut self, job: Job<'a>) {
        match job.part {
            Part::Copy(_) => self.copies = self.copies.saturating_sub(1),
            Part::Stream(_) => {
                self.streamed_bytes = self.streamed_bytes.saturating_sub(job.part.bytes());
            }
        }
    }
}
