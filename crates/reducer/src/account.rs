//! Whether the groups account for every index, and what follows from the failures among them. Pure.

use fanfold_flow::code::Code;
use fanfold_flow::cover::{cover, ends_its_object};
use fanfold_flow::done::Failure;
use fanfold_flow::job::Job;
use fanfold_flow::plan::{Plan, PlannedInput};
use fanfold_flow::report::{chunks, reason_of};
use fanfold_flow::result::ChunkResult;
use fanfold_gather::{Account, NoOutput};

/// What is wrong with an account, given its results in order: an index or a cut that is missing or there twice, input read
/// twice or not at all. Nothing of this can happen unless Fanfold has a fault or somebody changed its records.
pub(crate) fn defects(results: &[&ChunkResult], failures: &[Failure], plan: &Plan) -> Vec<String> {
    let mut defects = Vec::new();
    let mut outcomes: Vec<(u64, u32)> = results.iter().map(|result| (result.index, result.cut)).collect();
    outcomes.extend(failures.iter().map(|failure| (failure.index, 0)));
    outcomes.sort_unstable();
    let mut expected = (0, 0);
    for (index, cut) in outcomes {
        // What comes behind a cut is the next cut, or the next index.
        if (index, cut) != expected && (index, cut) != (expected.0 + u64::from(expected.1 > 0), 0) {
            let (index_expected, cut_expected) = expected;
            defects.push(format!(
                "index {index} stands at cut {cut} where index {index_expected} was expected at cut {cut_expected}"
            ));
        }
        expected = (index, cut + 1);
    }
    let end = expected.0 + u64::from(expected.1 > 0);
    if end != plan.chunks {
        defects.push(format!("the outcomes end at index {end}, the plan at {}", plan.chunks));
    }
    defects.extend(cover(plan, results, failures).defects);
    defects
}

/// Why there can be no output, if so.
pub(crate) fn verdict(account: &Account, job: &Job, plan: &Plan) -> Result<(), NoOutput> {
    if let Some(stopped) = account.stopped() {
        return Err(stopped);
    }
    let failed = account.failures.len() as u64;
    let Some(first) = account.failures.first() else { return Ok(()) };
    let tolerated = job.tolerated_failures;
    let is_tolerated = tolerated.allows(failed, plan.chunks);
    let misread = account.failures.iter().find(|failure| leaves_its_end_unproved(failure, plan));
    let (blamed, why) = match misread {
        None if is_tolerated => return Ok(()),
        Some(misread) if is_tolerated => (misread, UNPROVED),
        _ => (first, ""),
    };
    let Failure { index, partition, code, .. } = blamed;
    let message = format!(
        "{failed} of {} failed ({tolerated} tolerated), first index {index} in partition {partition}{}{why}; {}",
        chunks(plan.chunks),
        reason_of(blamed),
        code.advice()
    );
    Err(NoOutput { code: *code, message })
}

/// Why a failure that the job would tolerate is none to tolerate.
const UNPROVED: &str = " (not tolerated, since the chunk did not prove that its last record ends outside quotes, where the next one begins)";

/// Whether a chunk of a CSV failed before it proved where its last record ends. The chunk behind it begins there: if that
/// was within quotes, its records are not to be trusted, and it cannot know.
fn leaves_its_end_unproved(failure: &Failure, plan: &Plan) -> bool {
    let may_guess = matches!(&plan.input, PlannedInput::Objects { rule, .. } if rule.may_guess());
    // Behind a quote that is never closed, nothing is known.
    let is_proved = failure.input.is_some() && failure.code != Code::RecordCut;
    may_guess && !is_proved && !ends_its_object(plan, failure.index)
}

#[cfg(test)]
mod tests {
    use fanfold_flow::chunk::{Chunk, Input, ObjectVersion};
    use fanfold_flow::keys::JobId;
    use fanfold_flow::occasion::Occasion;
    use fanfold_flow::plan::{Listing, make};
    use fanfold_flow::result::Aligned;
    use fanfold_records::{Dialect, Rule};
    use serde_json::json;

    use super::*;

    fn plan(chunks: u64) -> Plan {
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "range": { "end": chunks, "chunk": 1 } },
            "task": { "name": "t" }, "output": { "uri": "s3://b/k" }
        }));
        make(&job.unwrap(), &JobId::from_token("run"), Listing::Nothing, 1, Occasion::at(0))
    }

    fn found(outcomes: &[(u64, u32)], failed: &[u64]) -> Vec<String> {
        let result = |(index, cut): &(u64, u32)| ChunkResult {
            index: *index,
            cut: *cut,
            hop: 0,
            attempt: 1,
            stored: None,
            header: None,
            records: 1,
            input: None,
            bytes_in: 1,
            bytes_out: 0,
            started_ms: 0,
            wall_ms: 1,
        };
        let results: Vec<ChunkResult> = outcomes.iter().map(result).collect();
        let failures = failed.iter().map(|index| {
            let chunk = Chunk::whole(*index, Input::Range { offset: *index, limit: 1 });
            Failure::of(&chunk, 0, 1, Code::ProgramFailed, "")
        });
        defects(&results.iter().collect::<Vec<_>>(), &failures.collect::<Vec<_>>(), &plan(4))
    }

    #[test]
    fn whatever_failed_is_told_with_its_place_its_last_words_and_what_to_do() {
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "range": { "end": 4, "chunk": 1 } },
            "task": { "name": "t" }, "output": { "uri": "s3://b/k" }
        }));
        let chunk = Chunk::whole(3, Input::Range { offset: 3, limit: 1 });
        for code in Code::ALL.iter().copied().filter(|code| *code != Code::Cancelled) {
            let failure = Failure::of(&chunk, 7, 2, code, "it did not go well");
            let failure = Failure { stderr_tail: "first\nno such gull\n".into(), ..failure };
            let account = Account { failures: vec![failure], ..Account::default() };
            let failed = verdict(&account, job.as_ref().unwrap(), &plan(4)).unwrap_err();
            let place = "index 3 in partition 7, at attempt 2";
            for part in [place, "it did not go well", "said last: no such gull", code.advice()] {
                assert!(failed.message.contains(part), "{code}: {part}: {}", failed.message);
            }
        }
    }

    #[test]
    fn a_failure_that_did_not_prove_its_end_is_not_tolerated_in_a_csv() {
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "objects": { "uri": "s3://b/in", "split": "csv", "chunk_bytes": 8 } },
            "task": { "name": "t" }, "output": { "uri": "s3://b/k" }, "tolerated_failures": "100%"
        }));
        let job = job.unwrap();
        let version = ObjectVersion { uri: "s3://b/in".parse().unwrap(), etag: "e".into(), bytes: 16 };
        let rule = Rule::Csv(Dialect::RFC_4180);
        let listing = Listing::Objects { objects: vec![version.into()], rule, head: None };
        let plan = make(&job, &JobId::from_token("run"), listing, 1, Occasion::at(0));
        let verdict = |index: u64, input| {
            let failure = Failure::of(&plan.chunk(index).unwrap(), 0, 1, Code::WorkerDied, "");
            let failures = vec![Failure { input, ..failure }];
            verdict(&Account { failures, ..Account::default() }, &job, &plan)
        };
        let unproved = verdict(0, None).unwrap_err();
        assert!(unproved.message.contains("not tolerated"), "{}", unproved.message);
        assert!(
            verdict(0, Some(Aligned { start: 0, end: 9 })).is_ok(),
            "the next chunk is known to begin at 9"
        );
        assert!(verdict(1, None).is_ok(), "nothing relies on the last chunk");
    }

    #[test]
    fn each_index_with_each_of_its_cuts_once_is_right() {
        let none = Vec::<String>::new();
        assert_eq!(found(&[(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0)], &[]), none);
        assert_eq!(found(&[(0, 0), (2, 0), (2, 1)], &[1, 3]), none);
        assert_eq!(found(&[], &[0, 1, 2, 3]), none);
    }

    #[test]
    fn what_is_missing_or_there_twice_is_found() {
        for (what, outcomes, failed) in [
            ("an index missing in front", &[(1, 0), (2, 0), (3, 0)][..], &[][..]),
            ("an index missing in the middle", &[(0, 0), (1, 0), (3, 0)], &[]),
            ("an index missing at the end", &[(0, 0), (1, 0), (2, 0)], &[]),
            ("an index too many", &[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], &[]),
            ("an index twice", &[(0, 0), (1, 0), (1, 0), (2, 0), (3, 0)], &[]),
            ("done and failed", &[(0, 0), (1, 0), (2, 0), (3, 0)], &[2]),
            ("a cut missing in front", &[(0, 0), (1, 1), (2, 0), (3, 0)], &[]),
            ("a cut missing in the middle", &[(0, 0), (1, 0), (1, 2), (2, 0), (3, 0)], &[]),
            ("a cut twice", &[(0, 0), (1, 0), (1, 1), (1, 1), (2, 0), (3, 0)], &[]),
            ("nothing", &[], &[]),
        ] {
            assert!(!found(outcomes, failed).is_empty(), "{what}");
        }
    }
}
