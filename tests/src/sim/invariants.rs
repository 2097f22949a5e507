//! What must hold when a world is at rest.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use fanfold_flow::done::{Done, Failure, Group};
use fanfold_flow::job::Compress;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use fanfold_store::Store;
use serde::de::DeserializeOwned;

use super::faults::Fault;
use super::judge::Invariant;
use super::lambda::Role;
use super::scenario::{BUCKET, OUTPUT, Surprise};
use super::world::{STRANGERS, World};
use crate::decoders;

/// Looks at what a job and its redrives have left, and tells the judge what should not be.
pub(crate) async fn check(world: &World) {
    let mut runs = Vec::new();
    while world.is_planned(runs.len() as u32).await {
        let number = runs.len() as u32;
        match Run::read(world, number).await {
            Some(run) => runs.push(run),
            None => return world.judge.finds(Invariant::TheJobEnds, format!("run {number} has no report")),
        }
    }
    let Some(last) = runs.last() else {
        return world.judge.finds(Invariant::TheJobEnds, "nothing was planned".to_owned());
    };
    for run in &runs {
        run.every_index_is_accounted_for();
        run.failures_have_a_reason();
    }
    the_output_is_exact(world, &runs).await;
    last.nothing_is_left().await;
    calls_are_linear(world, &runs);
    metrics_add_up(world, &runs);
}

/// How the first run ended, in a word: `succeeded`, the code of its report, or `not` at all.
pub(crate) async fn ended(world: &World) -> String {
    let report: Option<Report> = read(world, &world.keys(0).result()).await;
    match report {
        None => "not".to_owned(),
        Some(Report { code: Some(code), .. }) => code.to_string(),
        Some(_) => "succeeded".to_owned(),
    }
}

async fn read<T: DeserializeOwned>(world: &World, at: &ObjectUri) -> Option<T> {
    serde_json::from_slice(&world.read(at).await?).ok()
}

/// A run that has ended.
pub(crate) struct Run<'a> {
    pub(crate) world: &'a World,
    /// 0, or which redrive it is.
    pub(crate) number: u32,
    pub(crate) report: Report,
    plan: Plan,
    /// The outcomes of all its partitions.
    done: Vec<Done>,
}

impl<'a> Run<'a> {
    async fn read(world: &'a World, number: u32) -> Option<Self> {
        let keys = world.keys(number);
        let (report, plan): (Report, Plan) =
            (read(world, &keys.result()).await?, read(world, &keys.plan()).await?);
        let mut done = Vec::new();
        for group in 0..plan.grouping().groups() {
            let found: Group = read(world, &keys.group(group)).await?;
            done.extend(found.done);
        }
        Some(Self { world, number, report, plan, done })
    }

    pub(crate) fn finds(&self, invariant: Invariant, found: String) {
        self.world.judge.finds(invariant, format!("{found}\nthe report: {:?}", self.report));
    }

    /// What failed, or was cancelled.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Failure> {
        // What a chunk made of bytes that the one before it took over does not count.
        let is_void =
            |failure: &&Failure| failure.input.is_some() && !self.world.scenario.input.runs(failure.index);
        self.done.iter().flat_map(|done| &done.failures).filter(move |failure| !is_void(failure))
    }

    pub(crate) fn failed(&self) -> BTreeSet<u64> {
        self.failures().map(|failure| failure.index).collect()
    }

    fn every_index_is_accounted_for(&self) {
        let invariant = Invariant::EveryIndexIsAccountedFor;
        let (chunks, failed) = (self.report.chunks, self.failed());
        let expected = self.world.scenario.input.chunks;
        if !chunks.add_up() || chunks.total != expected {
            self.finds(invariant, format!("{chunks}, of {expected}"));
        }
        if chunks.failed + chunks.cancelled != failed.len() as u64 || self.failures().count() != failed.len()
        {
            self.finds(invariant, format!("{chunks}; the records say that {failed:?} failed"));
        }
        let results = || self.done.iter().flat_map(|done| &done.results);
        let mut cuts: Vec<(u64, u32)> = results().map(|result| (result.index, result.cut)).collect();
        cuts.sort_unstable();
        if cuts.windows(2).any(|pair| pair[0] == pair[1]) {
            self.finds(invariant, format!("there are two results of one cut: {cuts:?}"));
        }
        let own: BTreeSet<u64> = cuts.iter().map(|(index, _)| *index).chain(failed.iter().copied()).collect();
        if own.len() as u64 != self.plan.chunks_to_do() {
            let found = format!("{own:?} have an outcome, of {} chunks to do", self.plan.chunks_to_do());
            self.finds(invariant, found);
        }
        let records = self.world.scenario.input.records_without(&failed);
        // Behind a chunk that died, one of a CSV may have begun within quotes. Then the job fails of it.
        let is_known =
            self.failures().all(|failure| failure.input.is_some()) || !self.world.scenario.input.is_csv();
        if is_known && self.report.records != records {
            self.finds(
                invariant,
                format!("{} records were given to programs, not {records}", self.report.records),
            );
        }
    }

    async fn nothing_is_left(&self) {
        let uploads = self.world.objects.list_uploads(BUCKET, "").await.unwrap_or_default();
        if !uploads.is_empty() {
            self.finds(Invariant::NoUploadStays, format!("{uploads:?}"));
        }
        let markers = self.world.list("work/active/").await;
        if !markers.is_empty() {
            self.finds(Invariant::NoMarkerStays, format!("{markers:?}"));
        }
        let results = self.world.list("work/jobs/").await.into_iter().filter(|key| key.contains("/chunks/"));
        let results: Vec<String> = results.collect();
        if self.report.status == Status::Succeeded && self.failed().is_empty() && !results.is_empty() {
            self.finds(Invariant::NoChunkResultStays, format!("{results:?}"));
        }
    }
}

/// The output is that of the last run that has one; without one, nothing that the job wrote.
async fn the_output_is_exact(world: &World, runs: &[Run<'_>]) {
    let output = world.read(&ObjectUri::new(BUCKET, OUTPUT)).await;
    let is_taken = world.is_output_taken.load(Ordering::Relaxed) && !world.scenario.overwrite;
    if is_taken && output.as_deref() != Some(STRANGERS) {
        let found = format!("there is {}", text(output.as_deref()));
        world.judge.finds(Invariant::WhatOthersWroteStands, found);
    }
    match runs.iter().rfind(|run| run.report.status == Status::Succeeded) {
        Some(run) => {
            let expected = world.scenario.output(&run.failed());
            let output = output.map(|output| decompressed(world.scenario.compress, &output));
            if output.as_deref() != Some(expected.as_slice()) {
                let found = format!("{}\nin place of\n{}", text(output.as_deref()), text(Some(&expected)));
                run.finds(Invariant::TheOutputIsExact, found);
            }
        }
        // A reducer that was told dead while it lived may put the output after the job was ended without it.
        None if world.judge.seen().twins_died(Role::Reducer) > 0 => {}
        None if output.as_deref().is_some_and(|output| output != STRANGERS) => {
            let found = format!("there is {}", text(output.as_deref()));
            world.judge.finds(Invariant::NoOutputOfAFailedJob, found);
        }
        None => {}
    }
}

/// What a decoder makes of an output; of what it cannot read, that it cannot.
fn decompressed(compress: Compress, output: &[u8]) -> Vec<u8> {
    decoders::decompressed(compress, output).unwrap_or_else(|error| error.to_string().into_bytes())
}

/// A bound with room: what it is to show is that no step is made for each partition of each other.
fn calls_are_linear(world: &World, runs: &[Run<'_>]) {
    let counts = world.counted.counts();
    let calls: u64 = counts.calls.values().sum();
    let seen = world.judge.seen();
    let (invocations, hops) = (seen.all_invocations(), u64::from(seen.hops));
    // Each worker looks every two seconds whether its job is cancelled.
    let workers = seen.invocations.get(&Role::Worker).map_or(0, |(all, _)| *all);
    drop(seen);
    let looks = workers * world.scenario.machines.worker_time.as_secs() / 2;
    let minutes = world.clock.elapsed().as_secs() / 60;
    let pieces: u64 = runs.iter().map(|run| run.plan.partitions.len() as u64 + run.plan.chunks_to_do()).sum();
    let bound = 100 * runs.len() as u64 + 40 * pieces * (1 + hops) + 25 * invocations + 10 * minutes + looks;
    if calls > bound {
        world.judge.finds(Invariant::CallsAreLinear, format!("{calls} calls, {bound} at most: {counts:?}"));
    }
}

/// A line of metrics follows its record, so that it is lost with who dies between the two, or whose time is up there, as a slow
/// machine's may be; and what is committed in a job that is just being stopped is measured, and counts for nothing.
fn metrics_add_up(world: &World, runs: &[Run<'_>]) {
    let faults = world.faults();
    let of_lost = [Fault::Death, Fault::SentAgain, Fault::AnswerLost, Fault::Late, Fault::SlowMachine];
    let may_lack = of_lost.into_iter().any(|fault| faults.of(fault) > 0);
    let sum = |of: fn(&Run<'_>) -> u64| runs.iter().map(of).sum::<u64>() as f64;
    let succeeded = |run: &Run<'_>| u64::from(run.report.status == Status::Succeeded);
    let mut expected = vec![
        ("JobsStarted", runs.len() as f64),
        ("Partitions", sum(|run| run.plan.partitions.len() as u64)),
        ("JobsSucceeded", sum(succeeded)),
        ("JobsFailed", runs.len() as f64 - sum(succeeded)),
    ];
    if !world.scenario.has(Surprise::Cancelled) {
        expected.extend([
            ("Chunks", sum(|run| run.done.iter().map(|done| done.results.len() as u64).sum())),
            ("ChunksFailed", sum(|run| run.report.chunks.failed)),
            ("Attempts", sum(|run| run.report.attempts)),
        ]);
    }
    let seen = world.judge.seen();
    let wrong: Vec<String> = expected
        .into_iter()
        .filter(|(name, number)| seen.metric(name) > *number || (!may_lack && seen.metric(name) < *number))
        .map(|(name, number)| format!("{name} is {}, not {number}", seen.metric(name)))
        .collect();
    drop(seen);
    if !wrong.is_empty() {
        world.judge.finds(Invariant::MetricsAddUp, wrong.join("; "));
    }
}

/// Bytes for a person: not all of them where they are many.
fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "nothing".to_owned() };
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
    format!("{} bytes: {shown:?}", bytes.len())
}
