//! From a job to its plan, and to the first partitions.

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobKeys, is_kept};
use fanfold_flow::plan::{self, Plan, PlannedInput};
use fanfold_flow::problem::{Problem, Problems};
use fanfold_flow::report::Report;
use fanfold_gather::{clean_up, is_cancelled, report_of};
use fanfold_runtime::{Deps, Error, Metric, Of};
use fanfold_store::{Created, DOCUMENT_BYTES_MAX, ErrorKind, StoreExt};

use crate::marker::Marker;
use crate::request::Request;
use crate::{Settings, fan_out, listing};

/// A run that was planned, now or before.
pub(crate) struct Submitted {
    /// Its job, as its first delivery brought it.
    pub(crate) job: Job,
    pub(crate) plan: Plan,
    pub(crate) start: Start,
}

/// What came of setting a run under way.
pub(crate) enum Start {
    /// It is under way.
    UnderWay,
    /// It is to stop, so that nothing was started.
    IsToStop,
    /// It has ended before, likewise.
    HadEnded(Box<Report>),
}

/// Plans the job, unless it is planned already, and sets it under way.
pub(crate) async fn submit(request: &Request, deps: &Deps, settings: &Settings) -> Result<Submitted, Error> {
    let keys = deps.keys(&request.job_id);
    let plan = match planned(deps, &keys).await? {
        Some(plan) => plan,
        None => plan_anew(request, deps, settings, &keys).await?,
    };
    let job = match first_job(&request.job, deps, &keys).await? {
        None => request.job.clone(),
        Some(_) if request.has_token => return Err(another_job(&keys)),
        Some(first) => first,
    };
    is_the_same_run(request, &plan, &keys)?;
    let start = set_under_way(&plan, &job, deps).await?;
    Ok(Submitted { job, plan, start })
}

/// Sets a planned run under way, unless it has ended, or is to stop. To do so again is safe.
pub(crate) async fn set_under_way(plan: &Plan, job: &Job, deps: &Deps) -> Result<Start, Error> {
    let keys = deps.keys(&plan.job_id);
    // The marker first, and then the look whether it is still needed: the other way round the job could end in between, and
    // the marker would stay. One that is there knows more than a new one.
    deps.store.create_json(&keys.active(), &Marker::new(plan, job, deps.world.now_ms())).await?;
    let (report, is_to_stop) = tokio::try_join!(report_of(deps, &keys), is_cancelled(deps, &keys))?;
    if let Some(report) = report {
        // With the marker goes what tells a sweep to clean up, and who put the report may have died before it did.
        clean_up(deps, &keys, &report).await?;
        return Ok(Start::HadEnded(Box::new(report)));
    }
    if is_to_stop {
        return Ok(Start::IsToStop);
    }
    tracing::info!(job = %plan.job_id, chunks = plan.chunks_to_do(), partitions = plan.partitions.len(), "the job is planned");
    fan_out::start(plan, job.max_concurrency, deps).await?;
    Ok(Start::UnderWay)
}

/// The job that was first committed under this id; none where it is this very one.
pub(crate) async fn first_job(job: &Job, deps: &Deps, keys: &JobKeys) -> Result<Option<Job>, Error> {
    let first = deps.store.get_bytes(&keys.job(), DOCUMENT_BYTES_MAX).await?;
    // As it was written: a fraction that is read again need not be quite the same.
    let this = serde_json::to_vec(job)
        .map_err(|error| Error::caused(Code::Internal, "write the job as JSON", error))?;
    if first == this {
        return Ok(None);
    }
    let first = serde_json::from_slice(&first);
    first.map(Some).map_err(|error| Error::caused(Code::Store, format!("read {}", keys.job()), error))
}

/// Refuses another job under the token of an earlier one: it would get the earlier one's output, and not be told.
fn another_job(keys: &JobKeys) -> Error {
    let message = format!(
        "run the job as {}: another job was run under this token; give each job a token of its own",
        keys.job_id()
    );
    Error::new(Code::InvalidJob, message)
}

/// Refuses the same job for another object, or another time, under the token of an earlier run; and the whole job under the
/// name of a run that does over what failed in another.
fn is_the_same_run(request: &Request, plan: &Plan, keys: &JobKeys) -> Result<(), Error> {
    if let Some(of) = plan.earlier().last() {
        let job_id = keys.job_id();
        let message =
            format!("run the job as {job_id}: that is the redrive of {of}; give each run a token of its own");
        return Err(Error::new(Code::InvalidJob, message));
    }
    let other_time = request.scheduled_ms.is_some() && request.scheduled_ms != plan.occasion.scheduled_ms;
    if request.has_token && (other_time || request.object != plan.occasion.object) {
        let what = if other_time { "time" } else { "object" };
        let message = format!(
            "run the job as {}: under this token it was run for another {what}; give each run a token of its own",
            keys.job_id()
        );
        return Err(Error::new(Code::InvalidJob, message));
    }
    Ok(())
}

/// The plan of a run; none where there is no such run.
pub(crate) async fn planned(deps: &Deps, keys: &JobKeys) -> Result<Option<Plan>, Error> {
    match deps.store.get_json(&keys.plan()).await {
        Ok(plan) => Ok(Some(plan)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Commits job and plan: of each the first counts. The job comes first, so that a plan is always one of the job beside it;
/// and not before the plan is right, so that a job that is refused leaves nothing.
async fn plan_anew(
    request: &Request,
    deps: &Deps,
    settings: &Settings,
    keys: &JobKeys,
) -> Result<Plan, Error> {
    let mut plan = right_plan(&request.job, request, deps, settings).await?;
    if deps.store.create_json(&keys.job(), &request.job).await? == Created::Existed
        && let Some(first) = first_job(&request.job, deps, keys).await?
    {
        if request.has_token {
            return Err(another_job(keys));
        }
        plan = right_plan(&first, request, deps, settings).await?;
    }
    match deps.store.create_json(&keys.plan(), &plan).await? {
        Created::New => {
            let numbers = [(Metric::JobsStarted, 1.0), (Metric::Partitions, plan.partitions.len() as f64)];
            deps.measure(Of::Job(&request.job.name, &request.job_id), &numbers);
            Ok(plan)
        }
        Created::Existed => Ok(deps.store.get_json(&keys.plan()).await?),
    }
}

/// Makes the plan of a job, and checks it.
async fn right_plan(job: &Job, request: &Request, deps: &Deps, settings: &Settings) -> Result<Plan, Error> {
    if let Some(problem) = job.memory_problem(settings.process_memory_mb) {
        return Err(Problems(vec![problem]).into());
    }
    let occasion = request.occasion(job, deps.world.now_ms());
    let listing = listing::list(job, &request.values(job, &occasion), &deps.store).await?;
    let plan = plan::make(job, &request.job_id, listing, settings.worker_cores, occasion);
    let problems = [misplaced(&plan, request, deps), plan::problems(&plan)].concat();
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let defects = plan::defects(&plan);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("make a right plan: {}", defects.join("; "))));
    }
    output_is_free(job, &plan, deps).await?;
    Ok(plan)
}

/// What is wrong with the places that a run would read and write. Fanfold's own objects are none of them: an output could
/// take the place of what another run is told by, and a source could read another's results.
fn misplaced(plan: &Plan, request: &Request, deps: &Deps) -> Vec<Problem> {
    let (work, output) = (&deps.work, &plan.output);
    let mut problems = Vec::new();
    if is_kept(output, work) {
        let message = format!(
            "would be {output}, among Fanfold's own objects below {work}; choose another bucket or prefix"
        );
        problems.push(Problem::new("output.uri", message));
    }
    if request.trigger.as_ref().is_some_and(|trigger| trigger.matches(output)) {
        let message = format!(
            "would be {output}, which starts the job again, and so on without end; choose another bucket or prefix"
        );
        problems.push(Problem::new("output.uri", message));
    }
    let (path, mut objects) = match &plan.input {
        PlannedInput::Objects { slices, .. } => {
            ("source.objects.uri", slices.iter().map(|slice| &slice.object.uri).collect())
        }
        PlannedInput::ItemLines { object, .. } => ("source.items.uri", vec![&object.uri]),
        PlannedInput::Items { .. } | PlannedInput::Range { .. } => return problems,
    };
    objects.retain(|object| is_kept(object, work));
    if let Some(first) = objects.first() {
        let message = format!(
            "would read {first}, one of Fanfold's own objects below {work}; choose an address that leaves them out"
        );
        problems.push(Problem::new(path, message));
    }
    problems
}

/// Refuses early what the store would refuse at the end, after all the work.
pub(crate) async fn output_is_free(job: &Job, plan: &Plan, deps: &Deps) -> Result<(), Error> {
    if job.output.overwrite || !deps.store.exists(&plan.output).await? {
        return Ok(());
    }
    let message = format!(
        "write {}: there is an object already; set \"overwrite\": true, or choose another address",
        plan.output
    );
    Err(Error::new(Code::OutputExists, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use fanfold_flow::event::Event;
    use fanfold_flow::job::OnObjectCreated;
    use fanfold_store::PutOptions;
    use serde_json::{Value, json};

    use super::*;
    use crate::world::World;

    /// What becomes of a run of a job with this source and output, deployed with this trigger.
    async fn submitted(
        world: &World,
        source: Value,
        output: &str,
        trigger: Option<OnObjectCreated>,
    ) -> Result<Submitted, Error> {
        let settings = Settings::new(1);
        let event = json!({
            "version": 1, "name": "two", "source": source, "task": { "name": "t" }, "output": { "uri": output }, "token": "two"
        });
        let Event::Submit(submit) = Event::recognise(&event).unwrap() else { panic!("{event}") };
        let request = Request::of_submit(*submit, &settings, "request").unwrap();
        submit_with(world, Request { trigger, ..request }, &settings).await
    }

    async fn submit_with(world: &World, request: Request, settings: &Settings) -> Result<Submitted, Error> {
        let submitted = submit(&request, &world.deps, settings).await;
        let is_there = world.is_there(&world.deps.keys(&request.job_id).job()).await;
        assert_eq!(is_there, submitted.is_ok(), "what is refused leaves nothing");
        submitted
    }

    fn range() -> Value {
        json!({ "range": { "end": 1, "chunk": 1 } })
    }

    #[tokio::test]
    async fn a_job_that_lets_a_process_take_more_memory_than_a_worker_has_is_refused() {
        let world = World::with_job(1, None).await;
        let settings = Settings::new(1);
        for (memory_mb, is_right) in [(1_770, false), (1_769, true)] {
            let event = json!({
                "version": 1, "name": "two", "source": range(), "task": { "name": "t" },
                "output": { "uri": "s3://world/two" }, "memory_mb": memory_mb, "token": "two"
            });
            let Event::Submit(submit) = Event::recognise(&event).unwrap() else { panic!("{event}") };
            let request = Request::of_submit(*submit, &settings, "request").unwrap();
            let submitted = submit_with(&world, request, &settings).await;
            assert_eq!(submitted.is_ok(), is_right, "{memory_mb}");
            let told = submitted.err().map(|error| (error.code, error.to_string()));
            assert!(
                told.is_none_or(|(code, text)| code == Code::InvalidJob
                    && text.contains("memory_mb: must be at most 1769"))
            );
        }
    }

    #[tokio::test]
    async fn an_output_among_fanfolds_own_objects_is_refused_and_one_beside_them_is_not() {
        let world = World::with_job(1, None).await;
        let own = ["jobs/one/plan.json", "jobs/{job_id}/x", "active/one"];
        for output in own.map(|key| format!("s3://world/work/{key}")) {
            let refusal = submitted(&world, range(), &output, None).await.err().unwrap();
            assert_eq!(refusal.code, Code::InvalidJob);
            assert!(refusal.to_string().contains("output.uri: would be s3://world/work/"), "{refusal}");
        }
        submitted(&world, range(), "s3://world/work/local/two/output", None).await.map(drop).unwrap();
    }

    #[tokio::test]
    async fn a_source_that_reads_fanfolds_own_objects_is_refused_and_one_beside_them_is_not() {
        let world = World::with_job(1, None).await;
        let input = "s3://world/work/local/in.txt".parse().unwrap();
        world.deps.store.put(&input, Bytes::from_static(b"1\n"), PutOptions::default()).await.unwrap();
        for (source, path) in [
            (json!({ "objects": { "uri": "s3://world/work/jobs/one/" } }), "source.objects.uri"),
            (
                json!({ "objects": { "uri": ["s3://world/work/local/", "s3://world/*/*/one"] } }),
                "source.objects.uri",
            ),
            (json!({ "objects": { "uri": "s3://world/" } }), "source.objects.uri"),
            (
                json!({ "items": { "uri": "s3://world/work/jobs/one/job.json", "chunk": 1 } }),
                "source.items.uri",
            ),
        ] {
            let refusal = submitted(&world, source, "s3://world/two", None).await.err().unwrap();
            assert_eq!(refusal.code, Code::InvalidJob);
            assert!(
                refusal.to_string().contains(&format!("{path}: would read s3://world/work/")),
                "{refusal}"
            );
        }
        let source = json!({ "objects": { "uri": "s3://world/work/local/" } });
        submitted(&world, source, "s3://world/two", None).await.map(drop).unwrap();
    }

    #[tokio::test]
    async fn an_output_that_would_start_its_job_again_today_is_refused() {
        let world = World::with_job(1, None).await;
        world.pass(Duration::from_secs(2 * 86_400));
        let trigger = |prefix: &str| {
            let trigger = json!({ "bucket": "world", "prefix": prefix });
            Some(serde_json::from_value::<OnObjectCreated>(trigger).unwrap())
        };
        let output = "s3://world/{start_date}/out";
        let refusal = submitted(&world, range(), output, trigger("1970-01-03/")).await.err().unwrap();
        assert!(refusal.to_string().contains("without end"), "{refusal}");
        submitted(&world, range(), output, trigger("1970-01-01/")).await.map(drop).unwrap();
    }
}
