//! A run: a job is submitted, things go wrong, sweeps come each minute, and the job ends.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::uri::ObjectUri;
use fanfold_store::counting::Counting;
use fanfold_store::memory::{MemorySettings, MemoryStore};
use fanfold_store::{PutOptions, Store, StoreExt};
use fastrand::Rng;
use serde_json::{Value, json};

use super::clock::Clock;
use super::faults::{Fault, PerFault};
use super::judge::{Invariant, Judge, Policy};
use super::lambda::{Lambda, Role};
use super::mutation::{Mutation, Names};
use super::scenario::{BUCKET, MINUTE, OUTPUT, RUN, Scenario, Surprise};
use super::trace::Trace;

/// The event of the schedule.
pub(crate) const SWEEP: &str = r#"{"sweep":{}}"#;

/// How long an invocation of the dispatcher may take.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// How long after things stopped going wrong a job must have ended: what never started is given up after more than 12 hours,
/// twice if it is a partition and then the reducer, and a slow program takes its time.
const END_WITHIN: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Requests after which a run goes round in circles: of thousands of seeds none needs a fifth of that.
const CALLS_MAX: u64 = 150_000;

/// How long whoever asks for something waits before doing so again, where it was not done.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// What another writes where the output should go.
pub(crate) const STRANGERS: &[u8] = b"somebody else's";

/// All that the parts of a run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) trace: Trace,
    pub(crate) judge: Judge,
    /// The objects, for functions: what they ask for is counted.
    pub(crate) counted: Arc<Counting>,
    /// The same, for whoever stands outside.
    pub(crate) objects: Arc<MemoryStore>,
    faults: Mutex<PerFault<u64>>,
    /// Where a mutation gives objects other keys: their names.
    pub(crate) names: Names,
    /// Whether another wrote an object where the output should go.
    pub(crate) is_output_taken: AtomicBool,
}

impl World {
    /// A world that begins now, on tokio's paused clock.
    pub(crate) fn new(scenario: Scenario, mutation: Option<Mutation>, traced: bool) -> Arc<Self> {
        let part_bytes_min = scenario.limits.part_bytes_min;
        let settings = MemorySettings { part_bytes_min, ..MemorySettings::default() };
        let objects = Arc::new(MemoryStore::with_settings([BUCKET], settings));
        let policy = Policy { attempts_max: scenario.retries + 1, max_concurrency: scenario.max_concurrency };
        Arc::new(Self {
            mutation,
            clock: Arc::new(Clock::new(scenario.seed)),
            trace: Trace::new(traced),
            judge: Judge::new(policy),
            counted: Arc::new(Counting::new(objects.clone())),
            objects,
            faults: Mutex::default(),
            names: Names::default(),
            is_output_taken: AtomicBool::new(false),
            scenario,
        })
    }

    /// Whether a fault of this rate happens now.
    pub(crate) fn strikes(&self, fault: Fault, rate: f64, random: &mut Rng) -> bool {
        let strikes = rate > 0.0 && random.f64() < rate && self.clock.elapsed() < self.scenario.rates.until;
        if strikes {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).count(fault);
        }
        strikes
    }

    /// What went wrong so far.
    pub(crate) fn faults(&self) -> PerFault<u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long an invocation may take.
    pub(crate) fn time_limit(&self, role: Role) -> Duration {
        match role {
            Role::Worker => self.scenario.machines.worker_time,
            Role::Reducer => self.scenario.machines.reducer_time,
            Role::Dispatcher => TIME_LIMIT,
        }
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, who: &dyn Display, what: &dyn Display) {
        self.trace.note(self.clock.elapsed(), who, what);
    }

    /// The id of the first run, or of a redrive.
    pub(crate) fn id(&self, run: u32) -> JobId {
        let id = if run == 0 { RUN.to_owned() } else { format!("{RUN}-r{run}") };
        id.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The keys of a run's artefacts.
    pub(crate) fn keys(&self, run: u32) -> JobKeys {
        JobKeys::new(&ObjectUri::new(BUCKET, "work/"), &self.id(run))
    }

    /// The bytes of an object, if it is there.
    pub(crate) async fn read(&self, at: &ObjectUri) -> Option<Bytes> {
        self.objects.get_bytes(at, u64::MAX).await.ok()
    }

    async fn write(&self, key: &str, bytes: impl Into<Bytes>) {
        let at = ObjectUri::new(BUCKET, key);
        let put = self.objects.put(&at, bytes.into(), PutOptions::default()).await;
        put.unwrap_or_else(|error| panic!("put {at}: {error}"));
    }

    /// The keys that begin so.
    pub(crate) async fn list(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list_all(BUCKET, prefix).await;
        listed.unwrap_or_else(|error| panic!("list: {error}")).into_iter().map(|object| object.key).collect()
    }

    async fn is_there(&self, at: &ObjectUri) -> bool {
        self.objects.exists(at).await.unwrap_or(false)
    }

    /// Whether a run is planned.
    pub(crate) async fn is_planned(&self, run: u32) -> bool {
        self.is_there(&self.keys(run).plan()).await
    }

    async fn has_ended(&self, run: u32) -> bool {
        let keys = self.keys(run);
        self.is_there(&keys.result()).await && !self.is_there(&keys.active()).await
    }

    /// The last run that there is: the first, or a redrive.
    async fn last_run(&self) -> u32 {
        let mut run = 0;
        while self.is_planned(run + 1).await {
            run += 1;
        }
        run
    }
}

/// Lives a run from the job's submission to its end and beyond, until nothing happens any more.
pub(crate) async fn live(world: &Arc<World>) {
    for (key, bytes) in &world.scenario.input.objects {
        world.write(key, bytes.clone()).await;
    }
    if world.scenario.overwrite {
        world.write(OUTPUT, STRANGERS).await;
    }
    let lambda = Arc::new(Lambda::new(world));
    let from_outside = async {
        tokio::join!(submit(world, &lambda), surprises(world, &lambda));
        // Whether the job ends is for the sweeps to say.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = until_the_end(world, &lambda) => {}
        () = from_outside => {}
    }
}

/// Submits the job, as a person does.
async fn submit(world: &World, lambda: &Arc<Lambda>) {
    let refused = ask(world, lambda, &world.scenario.job()).await;
    if let Some(refusal) = refused.filter(|_| !world.scenario.has(Surprise::AnotherSubmitted)) {
        world.judge.finds(Invariant::TheScenarioIsRight, refusal);
    }
}

/// Asks the dispatcher for something, again until it is done or refused; then why.
async fn ask(world: &World, lambda: &Arc<Lambda>, event: &Value) -> Option<String> {
    while let Err(failure) = lambda.call(Role::Dispatcher, event).await {
        if failure.is_refusal() || world.judge.broken().is_some() {
            return Some(failure.message);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    None
}

/// Sweeps each minute until the job has ended, and what is redriven of it, and then until nothing can happen any more.
async fn until_the_end(world: &World, lambda: &Arc<Lambda>) {
    for run in 0..=world.scenario.redrives {
        if run > 0 {
            let refused = ask(world, lambda, &json!({ "redrive": world.id(run - 1) })).await;
            if refused.is_some() || !world.is_planned(run).await {
                break;
            }
        }
        if !ends(world, lambda, run).await {
            return;
        }
    }
    let last_surprise = world.scenario.surprises.last().map_or(Duration::ZERO, |(at, _)| *at);
    let calm = world.scenario.rates.until.max(last_surprise);
    tokio::time::sleep(calm.saturating_sub(world.clock.elapsed())).await;
    lambda.idle().await;
    // Who submitted the job may have come behind its end with a marker, which sweeps take away when no worker can be left.
    for run in 0..=world.last_run().await {
        if !ends(world, lambda, run).await {
            return;
        }
    }
    for _ in 0..2 {
        sweep(lambda);
        lambda.idle().await;
    }
    world.note(&"the world", &"is at rest");
}

/// Sweeps each minute until a run has ended; whether it does, and nothing was found that may not be.
async fn ends(world: &World, lambda: &Arc<Lambda>, run: u32) -> bool {
    let give_up = world.clock.elapsed().max(world.scenario.rates.until) + END_WITHIN;
    while !world.has_ended(run).await {
        tokio::time::sleep(MINUTE).await;
        sweep(lambda);
        if world.judge.broken().is_some() {
            return false;
        }
        let calls: u64 = world.counted.counts().calls.values().sum();
        if world.clock.elapsed() > give_up || calls > CALLS_MAX {
            let elapsed = world.clock.elapsed();
            let found =
                format!("after {elapsed:?} and {calls} requests there are {:#?}", world.list("").await);
            world.judge.finds(Invariant::TheJobEnds, found);
            return false;
        }
    }
    true
}

fn sweep(lambda: &Arc<Lambda>) {
    // Four bytes and a half are never refused.
    let _taken = lambda.accept(Role::Dispatcher.name(), Bytes::from_static(SWEEP.as_bytes()));
}

/// What else happens to the job.
async fn surprises(world: &World, lambda: &Arc<Lambda>) {
    for (at, surprise) in &world.scenario.surprises {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        let is_planned = world.is_planned(0).await;
        let has_output = world.is_there(&ObjectUri::new(BUCKET, OUTPUT)).await;
        match surprise {
            Surprise::Resubmitted | Surprise::AnotherSubmitted => {
                let mut job = world.scenario.job();
                if *surprise == Surprise::AnotherSubmitted {
                    job["name"] = "another".into();
                }
                // Any trigger's event; that it is too large is not to be feared.
                let _taken = lambda.accept(Role::Dispatcher.name(), job.to_string().into());
            }
            Surprise::Swept => sweep(lambda),
            Surprise::Cancelled if is_planned => {
                let last = world.last_run().await;
                // That there is nothing to stop is no refusal, and there is such a run.
                let _refused = ask(world, lambda, &json!({ "cancel": world.id(last) })).await;
            }
            Surprise::OutputTaken if is_planned && !has_output => {
                world.write(OUTPUT, STRANGERS).await;
                world.is_output_taken.store(true, Ordering::Relaxed);
            }
            Surprise::InputReplaced if is_planned => {
                let Some((key, bytes)) = world.scenario.input.objects.last() else { continue };
                world.write(key, bytes.iter().rev().copied().collect::<Vec<u8>>()).await;
            }
            Surprise::Cancelled | Surprise::OutputTaken | Surprise::InputReplaced => continue,
        }
        world.note(&"the outside", &format_args!("{surprise:?}"));
    }
}
