//! A redrive does what failed, and only that; and the checker sees it when it does not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use fanfold_flow::chunk::Prior;
use fanfold_flow::code::Code;
use fanfold_flow::done::Failure;
use fanfold_flow::plan::Series;

use super::*;

/// Where a chunk that failed had been cut before, as a share of it; none where it had not.
type CutAt = Option<f64>;

/// What failed of the plan's run: each of its chunks by its draw, from the outer `None` for one that was done.
fn failures(plan: &Plan, draws: &[Option<CutAt>]) -> Vec<Failure> {
    let numbers = 0..plan.partitions.len() as u64;
    let to_do = numbers.flat_map(|number| plan.partition(number, 1).unwrap().chunks);
    let drawn = to_do.zip(draws.iter().cycle());
    drawn.filter_map(|(chunk, draw)| draw.map(|cut_at| failure(&chunk, cut_at))).collect()
}

fn failure(chunk: &Chunk, cut_at: CutAt) -> Failure {
    let share = |whole: u64, at: f64| (whole as f64 * at) as u64;
    let rest = cut_at.and_then(|at| match chunk.input.clone() {
        Input::Bytes(mut bytes) => {
            bytes.start += share(bytes.end - bytes.start, at);
            Some(chunk.rest(Input::Bytes(bytes), None))
        }
        Input::Items { first, count } => {
            let done = share(count, at);
            Some(chunk.rest(Input::Items { first: first + done, count: count - done }, None))
        }
        Input::Range { .. } => None,
    });
    let failure = Failure::of(chunk, 0, 1, Code::ProgramFailed, "it failed");
    Failure { rest: rest.or(failure.rest), ..failure }
}

fn redriven(plan: &Plan, id: &str, failures: &[Failure]) -> Plan {
    plan.redriven(&JobId::from_token(id), failures, None, 7)
}

/// What each partition of a plan does, in order.
fn payloads(plan: &Plan) -> Vec<Partition> {
    (0..plan.partitions.len() as u64).map(|number| plan.partition(number, 1).unwrap()).collect()
}

/// Holds a redrive against the plan whose failures it does over.
fn check(base: &Plan, failed: &[Failure], redrive: &Plan) -> Result<(), TestCaseError> {
    prop_assert_eq!(defects(redrive), Vec::<String>::new());
    let payloads = payloads(redrive);
    let done: Vec<Chunk> = payloads.iter().flat_map(|payload| payload.chunks.clone()).collect();
    let expected: Vec<Chunk> = failed
        .iter()
        .map(|failure| failure.rest.clone().unwrap_or_else(|| base.chunk(failure.index).unwrap()))
        .collect();
    prop_assert_eq!(&done, &expected);
    prop_assert_eq!(redrive.chunks_to_do(), expected.len() as u64);
    prop_assert_eq!(redrive.input_bytes(), expected.iter().map(|chunk| chunk.input.bytes()).sum::<u64>());

    let mut taken_from: Vec<Option<u64>> = Vec::new();
    for payload in &payloads {
        prop_assert_eq!((payload.total_chunks, &payload.job_id), (base.chunks, &redrive.job_id));
        prop_assert_eq!(&payload.occasion, &base.occasion);
        let mut of: Vec<_> = payload.chunks.iter().map(|chunk| base.partition_of(chunk.index)).collect();
        of.dedup();
        prop_assert_eq!(of.len(), 1, "a partition has chunks of one partition");
        taken_from.extend(of);
        for chunk in &payload.chunks {
            prop_assert_eq!(redrive.partition_of(chunk.index), Some(payload.number));
        }
    }
    let count = taken_from.len();
    taken_from.dedup();
    prop_assert_eq!(taken_from.len(), count, "no partition is taken apart");
    for index in (0..=base.chunks).filter(|index| !done.iter().any(|chunk| chunk.index == *index)) {
        prop_assert_eq!(redrive.partition_of(index), None);
    }
    for index in 0..base.chunks {
        prop_assert_eq!(redrive.chunk(index), base.chunk(index), "the job's chunks stay what they are");
    }
    let json = serde_json::to_string(redrive).unwrap();
    prop_assert_eq!(&serde_json::from_str::<Plan>(&json).unwrap(), redrive);
    Ok(())
}

fn draws() -> impl Strategy<Value = Vec<Option<CutAt>>> {
    let cut_at = prop_oneof![Just(None), (0.0..1.0).prop_map(Some)];
    prop::collection::vec(prop::option::weighted(0.4, cut_at), 1..60)
}

proptest! {
    #[test]
    fn a_redrive_does_what_failed_and_only_that_and_so_does_the_redrive_of_that(plan in any_plan(), first in draws(), second in draws()) {
        let failed = failures(&plan, &first);
        let one = redriven(&plan, "run-1-r1", &failed);
        check(&plan, &failed, &one)?;
        prop_assert_eq!(one.earlier(), [plan.job_id.clone()]);
        let failed = failures(&one, &second);
        let two = redriven(&one, "run-1-r2", &failed);
        check(&one, &failed, &two)?;
        prop_assert_eq!(two.earlier(), [plan.job_id.clone(), one.job_id.clone()]);
        prop_assert_eq!((two.started_ms(), plan.started_ms()), (7, plan.occasion.started_ms));
    }

    #[test]
    fn whatever_is_tampered_with_in_a_redrive_is_found(plan in any_plan(), draws in draws(), at: prop::sample::Index) {
        let failed = failures(&plan, &draws);
        let redrive = redriven(&plan, "run-1-r1", &failed);
        if failed.is_empty() {
            return Ok(());
        }
        for (what, tampered) in tampered_redrives(&redrive, at) {
            if tampered != redrive {
                prop_assert!(!defects(&tampered).is_empty(), "{what}: {tampered:?}");
            }
        }
    }

    #[test]
    fn no_redrive_makes_the_checker_or_its_readers_panic(plan in any_plan(), draws in draws(), numbers in prop::collection::vec(prop_oneof![0_u64..4, Just(u64::MAX), any::<u64>()], 5)) {
        let failed = failures(&plan, &draws);
        let wild = changed_redrive(&redriven(&plan, "run-1-r1", &failed), |redrive| {
            if let Some(series) = redrive.chunks.first_mut() {
                *series = Series { place: numbers[0], first: numbers[1], chunks: numbers[2] };
            }
            if let Some(rest) = redrive.rests.last_mut() {
                (rest.index, rest.input) = (numbers[3], Input::Items { first: numbers[4], count: numbers[0] });
            }
        });
        let _ = (defects(&wild), wild.partition(0, 1), wild.partition_of(numbers[4]), wild.chunks_to_do());
    }
}

fn changed_redrive(plan: &Plan, change: impl FnOnce(&mut fanfold_flow::plan::Redrive)) -> Plan {
    changed(plan, |plan| change(plan.redrive.as_mut().unwrap()))
}

/// The ways in which a redrive's own part can be wrong, each applied at one place.
fn tampered_redrives(plan: &Plan, at: prop::sample::Index) -> Vec<(&'static str, Plan)> {
    let redrive = plan.redrive.as_ref().unwrap();
    let place = at.index(redrive.chunks.len());
    let dropped = redrive.chunks[place];
    let mut tampered = vec![
        (
            "a series dropped",
            changed_redrive(plan, |redrive| redrive.chunks.retain(|series| *series != dropped)),
        ),
        ("series swapped", changed_redrive(plan, |redrive| redrive.chunks.swap(0, place))),
        ("a series longer", changed_redrive(plan, |redrive| redrive.chunks[place].chunks += 1)),
        ("a series shorter", changed_redrive(plan, |redrive| redrive.chunks[place].chunks -= 1)),
        ("a series at another place", changed_redrive(plan, |redrive| redrive.chunks[place].place += 1)),
        (
            "the last series past the end",
            changed_redrive(plan, |redrive| {
                redrive.chunks.last_mut().unwrap().first = plan.chunks;
            }),
        ),
        ("a partition more", changed(plan, |plan| plan.partitions.push(Span { first: 0, chunks: 1 }))),
        ("a redrive of nothing", changed_redrive(plan, |redrive| redrive.earlier.clear())),
        ("a redrive of itself", changed_redrive(plan, |redrive| redrive.earlier.push(plan.job_id.clone()))),
    ];
    if !redrive.rests.is_empty() {
        let place = at.index(redrive.rests.len());
        let resting =
            |change: fn(&mut Chunk)| changed_redrive(plan, |redrive| change(&mut redrive.rests[place]));
        tampered.extend([
            ("a rest of a whole chunk", resting(|rest| rest.cut = 0)),
            ("a rest of another chunk", resting(|rest| rest.index = u64::MAX)),
            (
                "a rest with another end",
                resting(|rest| match &mut rest.input {
                    Input::Bytes(bytes) => bytes.end += 1,
                    Input::Items { count, .. } => *count += 1,
                    Input::Range { limit, .. } => *limit += 1,
                }),
            ),
            (
                "a rest twice",
                changed_redrive(plan, |redrive| {
                    redrive.rests.insert(place, redrive.rests[place].clone());
                }),
            ),
        ]);
    }
    tampered
}

#[test]
fn three_failures_among_a_thousand_partitions_are_three_partitions() {
    let source = json!({ "range": { "start": 0, "end": 4_000, "chunk": 1 } });
    let plan = planned(source, Listing::Nothing);
    assert_eq!(plan.partitions.len(), 1_000);
    let failed: Vec<Failure> =
        [5, 2_006, 3_999].map(|index| failure(&plan.chunk(index).unwrap(), None)).to_vec();
    let redrive = redriven(&plan, "run-1-r1", &failed);
    let indexes: Vec<Vec<u64>> = payloads(&redrive)
        .iter()
        .map(|payload| payload.chunks.iter().map(|chunk| chunk.index).collect())
        .collect();
    assert_eq!(indexes, [[5], [2_006], [3_999]]);
    assert!(serde_json::to_string(&redrive).unwrap().len() < 2_000);
}

#[test]
fn a_run_whose_chunks_were_all_done_is_redriven_without_partitions() {
    let plan = range_plan(0, 10, 1);
    let redrive = redriven(&plan, "run-1-r1", &[]);
    assert_eq!(defects(&redrive), Vec::<String>::new());
    assert_eq!((redrive.partitions.len(), redrive.grouping().groups(), redrive.chunks), (0, 0, 10));
}

#[test]
fn a_rest_that_ran_out_of_time_is_begun_afresh() {
    let plan = items_plan(40, 10);
    let mut failed = failure(&plan.chunk(1).unwrap(), Some(0.5));
    let late = failed.rest.as_mut().unwrap();
    (late.prior.late, late.prior.at_most) = (2, Some(1));
    let payloads = payloads(&redriven(&plan, "run-1-r1", &[failed]));
    let rest = &payloads[0].chunks[0];
    assert_eq!((rest.cut, rest.prior), (1, Prior::default()));
    assert_eq!(rest.input, Input::Items { first: 15, count: 5 });
}
