//! The closing summary for people, and the report for programs. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use fanfold_flow::code::Code;
use fanfold_flow::done::Failure;
use fanfold_flow::report::{Report, Status, reason_of, redrive_advice};
use serde_json::{Value, json};

use crate::exit::FAILURE;
use crate::measures::{bytes, count, counted, rate, time};

/// What successes look like.
pub(crate) const SUCCESS: Style = AnsiColor::Green.on_default().bold();

/// What looks like a success and is not all of one.
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Most kinds of failures that are listed; more of the same would bury the advice.
const FAILURES_SHOWN: usize = 5;

/// Most ranges of indexes that are named for a kind of failure.
const RANGES_SHOWN: usize = 5;

/// Most lines of a program's standard error that are shown for a failure.
const STDERR_LINES_SHOWN: usize = 10;

/// What the report does not know.
pub(crate) struct Facts<'a> {
    /// Where the output is for the user.
    pub(crate) output: Option<&'a str>,
    /// Where the joblog is for the user, if it is anywhere.
    pub(crate) joblog: Option<&'a str>,
    /// How often a chunk was tried again, where that was seen.
    pub(crate) retried: Option<u64>,
    /// How long all took, copying included.
    pub(crate) elapsed: Duration,
    /// How what may be left of the run is done.
    pub(crate) again: Again,
}

/// How what is left of a run is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// By this command.
    By(String),
    /// It is not: nothing of the run was kept.
    Lost,
}

impl Again {
    /// The same for a person, if anything is left that may be done with the same input and the same chunks.
    fn told(&self, report: &Report) -> Option<String> {
        report.can_be_redriven().then(|| match self {
            Self::By(command) => format!("to do only what is left: {command}"),
            Self::Lost => {
                "with --data DIR, a run is kept, and only what failed need be done again".to_owned()
            }
        })
    }
}

/// The whole summary.
pub(crate) fn whole(report: &Report, facts: &Facts<'_>) -> String {
    let mut text = headline(report, facts);
    let chunks = report.chunks;
    let mut row = |name: &str, value: String| line(&mut text, &format!("  {name:<9} {value}"));
    if let Some(output) = &report.output {
        let place = facts.output.filter(|place| *place != "-").unwrap_or("standard output");
        row("output", format!("{place}, {}, CRC64NVME {}", bytes(output.bytes), output.crc64nvme));
        let copied = output.bytes.saturating_sub(output.streamed_bytes);
        row(
            "joined",
            format!("{} copied within S3, {} streamed", bytes(copied), bytes(output.streamed_bytes)),
        );
    }
    let cancelled =
        if chunks.cancelled > 0 { format!(", {} cancelled", count(chunks.cancelled)) } else { String::new() };
    let retries = facts.retried.map(|retried| format!(", {}", counted(retried, "retry", "retries")));
    let retries = retries.unwrap_or_default();
    row(
        "chunks",
        format!(
            "{} done, {} failed{cancelled}{retries} of {}",
            count(chunks.done),
            count(chunks.failed),
            counted(chunks.total, "chunk", "chunks"),
        ),
    );
    if report.cuts > 0 {
        let pieces = counted(report.cuts, "further piece", "further pieces");
        row(
            "cuts",
            format!(
                "{pieces} of chunks that met the time limit: right for programs that handle record by record, else set \"cut\": false"
            ),
        );
    }
    let partitions = counted(report.partitions, "partition", "partitions");
    row("workers", format!("{partitions} in {}", counted(report.attempts, "attempt", "attempts")));
    if !report.failures.is_empty() || report.status != Status::Succeeded {
        match (facts.joblog, &report.joblog) {
            (Some(place), _) => row("joblog", format!("{place}, a line for each try at a chunk")),
            (None, Some(_)) => row("joblog", "--joblog FILE has a line for each try at a chunk".to_owned()),
            (None, None) => {}
        }
    }
    text + &failures(report, facts)
}

fn headline(report: &Report, facts: &Facts<'_>) -> String {
    let Report { name, job_id, chunks, .. } = report;
    let (style, words) = match report.status {
        Status::Succeeded if chunks.done < chunks.total => {
            let missing = count(chunks.total - chunks.done);
            (WARNING, format!("done, without {missing} of {}", counted(chunks.total, "chunk", "chunks")))
        }
        Status::Succeeded => (SUCCESS, "done".to_owned()),
        Status::Failed => (FAILURE, "failed".to_owned()),
        Status::Cancelled => (FAILURE, "cancelled".to_owned()),
    };
    let records = counted(report.records, "record", "records");
    let mut text = format!("{style}{words}{style:#}: {name}, run {job_id}: {records}");
    if report.bytes_in > 0 {
        let _written = write!(text, ", {} in", bytes(report.bytes_in));
    }
    if let Some(output) = &report.output {
        let _written = write!(text, ", {} out", bytes(output.bytes));
    }
    let _written = write!(text, ", {}", time(facts.elapsed));
    if report.bytes_in > 0 {
        let _written = write!(text, " ({})", rate(report.bytes_in, facts.elapsed));
    }
    text.push('\n');
    text
}

/// What went wrong, and what to do; nothing where nothing did.
pub(crate) fn failures(report: &Report, facts: &Facts<'_>) -> String {
    let mut text = String::new();
    let kinds = kinds(&report.failures);
    let shown = &kinds[..kinds.len().min(FAILURES_SHOWN)];
    shown.iter().for_each(|kind| tell(&mut text, kind));
    let told: usize = shown.iter().map(|kind| kind.indexes.len()).sum();
    let more = report.chunks.failed.saturating_sub(told as u64);
    if more > 0 {
        line(&mut text, &format!("  and {} more{}", count(more), where_all_are(report, facts)));
    }
    if report.status == Status::Succeeded {
        let advice: BTreeSet<&str> = shown.iter().map(|kind| kind.like.code.advice()).collect();
        advice.into_iter().for_each(|advice| line(&mut text, &format!("  {advice}")));
    }
    if !report.message.is_empty() {
        let mut what = what_happened(report).to_owned();
        for kind in shown {
            // It stands above.
            what = what.replacen(&reason_of(kind.like), "", 1);
        }
        line(&mut text, &format!("{FAILURE}no output{FAILURE:#}: {what}"));
    }
    if let Some(again) = facts.again.told(report) {
        line(&mut text, &format!("  {again}"));
    }
    text
}

/// Chunks that failed in the same way.
struct Kind<'a> {
    /// Any of them.
    like: &'a Failure,
    indexes: Vec<u64>,
    partitions: BTreeSet<u64>,
}

/// The kinds of failures that there are, each by its first index.
fn kinds(failures: &[Failure]) -> Vec<Kind<'_>> {
    let alike = |one: &Failure, other: &Failure| {
        let of = |failure: &Failure| (failure.code, failure.attempts);
        of(one) == of(other) && one.message == other.message && one.stderr_tail == other.stderr_tail
    };
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for failure in failures {
        let position = kinds.iter().position(|kind| alike(kind.like, failure)).unwrap_or_else(|| {
            kinds.push(Kind { like: failure, indexes: Vec::new(), partitions: BTreeSet::new() });
            kinds.len() - 1
        });
        kinds[position].indexes.push(failure.index);
        kinds[position].partitions.insert(failure.partition);
    }
    kinds
}

/// Where there is a line for each chunk that failed, in words to stand behind how many there are.
fn where_all_are(report: &Report, facts: &Facts<'_>) -> String {
    match (facts.joblog, &report.joblog) {
        (Some(place), _) => format!("; each has its lines in {place}"),
        (None, Some(_)) => "; with --joblog FILE, each has its lines there".to_owned(),
        (None, None) => String::new(),
    }
}

/// The report's message without its last words, which are those of whoever does not know where the run is.
fn what_happened(report: &Report) -> &str {
    let advice = redrive_advice(&report.job_id);
    let message = report.message.strip_suffix(&advice).map(|rest| rest.trim_end_matches("; "));
    message.unwrap_or(&report.message)
}

fn tell(text: &mut String, kind: &Kind<'_>) {
    let Failure { code, message, stderr_tail, attempts, .. } = kind.like;
    let partitions: Vec<u64> = kind.partitions.iter().copied().collect();
    let place = in_words(&kind.indexes, INDEXES);
    let place = format!("{place} in {}", in_words(&partitions, PARTITIONS));
    let tries = counted(u64::from(*attempts), "attempt", "attempts");
    line(text, &format!("  {FAILURE}{place}{FAILURE:#} {code} after {tries}: {message}"));
    let lines: Vec<&str> = stderr_tail.lines().collect();
    for said in &lines[lines.len().saturating_sub(STDERR_LINES_SHOWN)..] {
        line(text, &format!("    | {said}"));
    }
}

/// What one such thing is called, and several.
type Noun = [&'static str; 2];

const INDEXES: Noun = ["index", "indexes"];
const PARTITIONS: Noun = ["partition", "partitions"];

/// Numbers that ascend, of one or of several such things: `index 3`, or `indexes 0 to 3, 7 and 12 more`.
fn in_words(numbers: &[u64], [one, several]: Noun) -> String {
    let ranges: Vec<&[u64]> = numbers.chunk_by(|one, next| *next == one + 1).collect();
    let shown = &ranges[..ranges.len().min(RANGES_SHOWN)];
    let words = shown.iter().map(|range| match range {
        [first, .., last] => format!("{first} to {last}"),
        rest => rest.iter().map(ToString::to_string).collect(),
    });
    let noun = if numbers.len() == 1 { one } else { several };
    let mut text = format!("{noun} {}", words.collect::<Vec<_>>().join(", "));
    let more = numbers.len() - shown.iter().map(|range| range.len()).sum::<usize>();
    if more > 0 {
        let _written = write!(text, " and {} more", count(more as u64));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The report as JSON, its output's address, its joblog's and what to do next as the user knows them.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn json(report: &Report, facts: &Facts<'_>) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(report)?;
    if let (Some(uri), Some(output)) = (value.pointer_mut("/output/uri"), facts.output) {
        *uri = json!(output);
    }
    if let (Some(message), Some(again)) = (value.get_mut("message"), facts.again.told(report)) {
        *message = json!(format!("{}; {again}", what_happened(report)));
    }
    match (facts.joblog, value.as_object_mut()) {
        (Some(joblog), Some(fields)) => _ = fields.insert("joblog".to_owned(), json!(joblog)),
        (None, Some(fields)) => _ = fields.remove("joblog"),
        (_, None) => {}
    }
    serde_json::to_string_pretty::<Value>(&value)
}

/// The code that a job without an output ends with.
pub(crate) fn code(report: &Report) -> Code {
    let stopped = report.status == Status::Cancelled;
    report.code.unwrap_or(if stopped { Code::Cancelled } else { Code::Internal })
}

#[cfg(test)]
mod tests {
    use fanfold_flow::crc::Crc64;
    use fanfold_flow::report::{Counts, Output};
    use fanfold_flow::version::Version;

    use super::*;

    fn report() -> Report {
        Report {
            version: Version,
            job_id: "run-1".parse().unwrap(),
            earlier: Vec::new(),
            name: "birdstrikes".into(),
            status: Status::Succeeded,
            output: Some(Output {
                uri: "s3://fanfold/work/local/run-1/output".parse().unwrap(),
                bytes: 7_340_032,
                crc64nvme: Crc64(0xae8b_1486_0a79_9888),
                etag: "e".into(),
                streamed_bytes: 2_097_152,
            }),
            chunks: Counts { total: 19, done: 19, failed: 0, cancelled: 0 },
            cuts: 0,
            partitions: 5,
            attempts: 6,
            records: 1_234_567,
            bytes_in: 10_485_760,
            failures: Vec::new(),
            joblog: None,
            code: None,
            message: String::new(),
            started_ms: 0,
            ended_ms: 2_000,
        }
    }

    fn failed() -> Report {
        let failure = |index| Failure {
            index,
            partition: 0,
            code: Code::ProgramFailed,
            message: "the program python3 exited with status 3".into(),
            stderr_tail: "Traceback\nValueError: x\n".into(),
            attempts: 3,
            input: None,
            rest: None,
        };
        Report {
            status: Status::Failed,
            output: None,
            chunks: Counts { total: 19, done: 12, failed: 7, cancelled: 0 },
            failures: (3..10).map(failure).collect(),
            code: Some(Code::ProgramFailed),
            message: format!(
                "7 of 19 chunks failed (0 tolerated), first index 3 in partition 0{}; mend it; {}",
                reason_of(&failure(3)),
                redrive_advice(&report().job_id)
            ),
            ..report()
        }
    }

    fn facts(output: Option<&str>) -> Facts<'_> {
        let again = Again::By("fanfold redrive run-1 --data kept".to_owned());
        Facts { output, joblog: Some("jobs.tsv"), retried: Some(1), elapsed: Duration::from_secs(2), again }
    }

    fn shown(report: &Report, output: Option<&str>) -> String {
        let text = whole(report, &facts(output));
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_job_that_succeeded_is_summed_up() {
        insta::assert_snapshot!(shown(&report(), Some("out.csv")));
    }

    #[test]
    fn a_job_that_failed_is_told_with_its_failures_and_what_to_do() {
        insta::assert_snapshot!(shown(&failed(), None));
    }

    #[test]
    fn chunks_left_out_of_an_output_are_listed_although_there_is_one() {
        let tolerated =
            Report { status: Status::Succeeded, message: String::new(), output: report().output, ..failed() };
        let text = shown(&tolerated, Some("-"));
        assert!(text.starts_with("done, without 7 of 19 chunks: birdstrikes, run run-1: "), "{text}");
        assert!(
            text.contains("standard output") && text.contains("indexes 3 to 9 in partition 0 program_failed"),
            "{text}"
        );
    }

    #[test]
    fn what_to_do_next_is_the_users_own_command_or_how_there_would_be_one() {
        let with = |report: &Report, again| failures(report, &Facts { again, ..facts(None) });
        let command = with(&failed(), Again::By("fanfold redrive run-1 --stack S".to_owned()));
        assert!(command.ends_with("left: fanfold redrive run-1 --stack S\n"), "{command}");
        assert_eq!(command.matches("fanfold redrive").count(), 1, "{command}");
        let lost = with(&failed(), Again::Lost);
        assert!(lost.contains("--data DIR") && !lost.contains("fanfold redrive"), "{lost}");
        // A chunk's border that cuts a record cuts it in a redrive as well.
        let hopeless = Report { code: Some(Code::RecordCut), message: "x".to_owned(), ..failed() };
        assert!(!with(&hopeless, Again::Lost).contains("--data"));
        assert!(!with(&report(), Again::Lost).contains("--data"), "nothing is left of a whole job");
    }

    #[test]
    fn failures_of_one_kind_are_told_once_and_all_are_counted() {
        let mut report = failed();
        for (failure, message) in report.failures.iter_mut().zip(["a", "b", "a", "c", "d", "e", "f"]) {
            failure.message = message.to_owned();
        }
        report.joblog = Some("s3://b/jobs.tsv".parse().unwrap());
        let with = |joblog| {
            let text = failures(&report, &Facts { joblog, ..facts(None) });
            anstream::adapter::strip_str(&text).to_string()
        };
        let text = with(None);
        assert!(
            text.contains("  indexes 3, 5 in partition 0 program_failed after 3 attempts: a\n"),
            "{text}"
        );
        assert!(text.contains("  and 1 more; with --joblog FILE, each has its lines there\n"), "{text}");
        assert!(with(Some("jobs.tsv")).contains("  and 1 more; each has its lines in jobs.tsv\n"));
    }

    #[test]
    fn indexes_are_told_by_their_ranges() {
        assert_eq!(in_words(&[3], INDEXES), "index 3");
        assert_eq!(in_words(&[0, 1, 2, 3, 7], INDEXES), "indexes 0 to 3, 7");
        assert_eq!(in_words(&[0, 2, 4, 6, 8, 10, 11, 12], INDEXES), "indexes 0, 2, 4, 6, 8 and 3 more");
    }

    #[test]
    fn what_was_cut_is_told_with_whom_it_is_right_for() {
        assert!(!shown(&report(), None).contains("cuts"));
        let text = shown(&Report { cuts: 3, ..report() }, None);
        assert!(text.contains("  cuts      3 further pieces of chunks"), "{text}");
    }

    #[test]
    fn a_job_without_an_output_ends_with_the_reports_code() {
        assert_eq!(code(&failed()), Code::ProgramFailed);
        assert_eq!(code(&Report { status: Status::Cancelled, ..report() }), Code::Cancelled);
    }

    #[test]
    fn the_json_report_names_output_and_joblog_as_the_user_knows_them() {
        let joblog = Some("s3://fanfold/work/jobs/run-1/joblog.tsv".parse().unwrap());
        let report = Report { joblog, ..report() };
        let value =
            |facts: &Facts<'_>| -> Value { serde_json::from_str(&json(&report, facts).unwrap()).unwrap() };
        assert_eq!(
            value(&Facts { joblog: None, ..facts(None) }).get("joblog"),
            None,
            "it is nowhere any more"
        );
        let value = value(&facts(Some("out.csv")));
        assert_eq!((&value["output"]["uri"], &value["joblog"]), (&json!("out.csv"), &json!("jobs.tsv")));
        assert_eq!(value["chunks"]["total"], 19);
    }
}
