//! Whether what failed, failed for a reason that the world gave it: so that no job passes as unlucky that Fanfold has spoilt.

use std::sync::atomic::Ordering;

use fanfold_flow::code::Code;
use fanfold_flow::concat::Limits;
use fanfold_flow::done::Failure;
use fanfold_flow::report::Status;

use super::faults::Fault;
use super::invariants::Run;
use super::judge::Invariant;
use super::lambda::Role;
use super::scenario::{How, Surprise};

impl Run<'_> {
    pub(crate) fn failures_have_a_reason(&self) {
        for failure in self.failures() {
            if !self.explains(failure) {
                self.finds(Invariant::FailuresHaveAReason, format!("{failure:?}"));
            }
        }
        let scenario = &self.world.scenario;
        let fails_always = scenario.program.failing.iter().filter(|(_, failing)| failing.tries.is_none());
        for (index, _) in fails_always.filter(|_| self.number == 0 || !scenario.mended) {
            if scenario.input.runs(*index) && !self.failed().contains(index) {
                self.finds(
                    Invariant::FailuresHaveAReason,
                    format!("{index} was done, though its program fails"),
                );
            }
        }
        if !self.is_explained() {
            self.finds(Invariant::FailuresHaveAReason, "there is no reason for how the job ended".to_owned());
        }
    }

    /// Whether the world gave this chunk a reason to fail.
    fn explains(&self, failure: &Failure) -> bool {
        let scenario = &self.world.scenario;
        let attempts = u64::from(scenario.retries) + 1;
        let faults = self.world.faults();
        let worker_deaths = self.world.judge.seen().failures(Role::Worker);
        let unread = faults.of(Fault::StoreError) + faults.of(Fault::AnswerLost) + faults.of(Fault::BodyCut);
        match failure.code {
            Code::ProgramFailed => self.program_fails(failure.index, |how| matches!(how, How::Exits(_))),
            Code::OutOfMemory => self.program_fails(failure.index, |how| how == How::Killed),
            Code::ProgramNotStarted => self.program_fails(failure.index, |how| how == How::NotStarted),
            Code::OutOfTime => self.may_run_out_of_time(failure.index),
            Code::WorkerDied => {
                let failing = scenario.program.failing.values();
                let tries: u64 = failing.map(|failing| failing.tries.map_or(attempts, u64::from)).sum();
                let never_came = faults.of(Fault::EventLost) + faults.of(Fault::EventAged) >= 10;
                never_came || (worker_deaths > 0 && worker_deaths + tries + unread >= attempts)
            }
            Code::Store => unread + worker_deaths >= attempts,
            Code::InputChanged => scenario.has(Surprise::InputReplaced),
            Code::Cancelled => scenario.has(Surprise::Cancelled),
            _ => false,
        }
    }

    /// Whether the program fails at this chunk in such a way, and so often that retries do not help.
    fn program_fails(&self, index: u64, so: impl Fn(How) -> bool) -> bool {
        let scenario = &self.world.scenario;
        let Some(failing) = scenario.program.failing.get(&index).filter(|failing| so(failing.how)) else {
            return false;
        };
        let faults = self.world.faults();
        let wasted = self.world.judge.seen().failures(Role::Worker)
            + faults.of(Fault::StoreError)
            + faults.of(Fault::AnswerLost)
            + faults.of(Fault::BodyCut);
        let outlasts_retries = |tries| u64::from(tries) + wasted > u64::from(scenario.retries);
        // What cannot be started is not tried again. A chunk that is cut is several, of which each has its tries.
        failing.how == How::NotStarted || scenario.can_be_cut() || failing.tries.is_none_or(outlasts_retries)
    }

    /// Whether a chunk takes so long, or requests do, that a worker may not suffice for it.
    fn may_run_out_of_time(&self, index: u64) -> bool {
        let scenario = &self.world.scenario;
        let program = &scenario.program;
        let records = u32::try_from(scenario.input.records_of(index)).unwrap_or(u32::MAX);
        let least = if scenario.can_be_cut() { 1 } else { records };
        let faults = self.world.faults();
        // The program takes lines for records, and a chunk that guessed wrong has other ones. Some of a worker's time is for what
        // comes before its processes, and behind them.
        scenario.input.has_line_breaks()
            || program.start + program.record * least > scenario.machines.worker_time.mul_f64(0.7)
            || faults.of(Fault::Late) + faults.of(Fault::BodyCut) + faults.of(Fault::SlowMachine) > 0
    }

    /// Whether the job ended as its chunks and the world would have it.
    fn is_explained(&self) -> bool {
        let scenario = &self.world.scenario;
        let failed = self.failed().len() as u64;
        let must_fail = failed > scenario.tolerated_failures;
        match self.report.code {
            None => self.report.status == Status::Succeeded && !must_fail,
            Some(Code::Cancelled) => {
                self.report.status == Status::Cancelled && self.report.chunks.cancelled > 0
            }
            Some(Code::OutputExists) => {
                self.world.is_output_taken.load(Ordering::Relaxed) && !scenario.overwrite
            }
            // The reducer was tried as often as it is.
            Some(Code::Internal) => self.world.judge.seen().failures(Role::Reducer) >= 3,
            Some(Code::OutputTooLarge) => scenario.limits != Limits::S3,
            // A chunk of a CSV that failed before it was read to its end is not tolerated.
            Some(_) => must_fail || (scenario.input.is_csv() && failed > 0),
        }
    }
}
