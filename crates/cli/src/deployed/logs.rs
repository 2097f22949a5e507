//! `fanfold logs`: what a deployed stack logged of a job.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use fanfold_dispatcher::State;
use fanfold_flow::code::Code;
use fanfold_flow::keys::JobId;
use fanfold_runtime::Error;
use fanfold_stack::{Cloud, LogLine, LogQuery};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Deployed, failed, standing};
use crate::args::stack::LogsArgs;
use crate::exit::{FAILURE, Stop};
use crate::stdout;

/// The pause between two looks for new lines. CloudWatch bears some five looks a second in an account, and each look is
/// three.
const PAUSE: Duration = Duration::from_secs(2);

/// How much later than its time a line may appear.
const LATE_MS: i64 = 30_000;

/// How often nothing new is seen after the job's end before no more is expected.
const QUIET_LOOKS: u32 = 3;

/// What warnings look like.
const WARNING: Style = AnsiColor::Yellow.on_default();

/// What is less important.
const ASIDE: Style = Style::new().dimmed();

/// The functions by the order of their log groups.
const FUNCTIONS: [&str; 3] = ["dispatcher", "worker", "reducer"];

/// Fields that say nothing to a person who asked for one job.
const LEFT_OUT: [&str; 7] = ["timestamp", "level", "target", "message", "job", "span", "spans"];

/// Prints what was logged of a job; with `--follow` until it has ended.
///
/// # Errors
/// When there is no such job, and when its logs cannot be read.
pub(crate) async fn show(args: &LogsArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let Some(logs) = &deployed.logs else {
        let message = "find the logs: neither an output of a stack (--stack) nor FANFOLD_WORKER and FANFOLD_REDUCER say where the functions log; those of `fanfold local` are in the folder that it names when it starts";
        return Err(Error::new(Code::Stack, message).into());
    };
    let cloud = Cloud::new(&deployed.cloud).await.map_err(failed)?;
    let groups = [&logs.dispatcher, &logs.worker, &logs.reducer].map(Clone::clone);
    let (_, standing) = standing::ask(&deployed, &args.job_id).await?;
    let from_ms = args.since.map_or(standing.started_ms - LATE_MS, |since| since.in_ms(Timestamp::now()));
    let mut printer = Printer { cloud, groups, seen: HashMap::new(), json: args.json };
    let mut query = LogQuery { pattern: pattern(&args.job_id), from_ms };
    let (mut ended, mut quiet_looks) = (standing.status != State::Running, 0);
    loop {
        let newest = printer.print(&query).await?;
        match newest {
            Look::Unread => return Ok(()),
            _ if !args.follow => return Ok(()),
            Look::Until(newest_ms) => {
                query.from_ms = query.from_ms.max(newest_ms - LATE_MS);
                printer.forget_before(query.from_ms);
                quiet_looks = 0;
            }
            Look::Nothing if ended && quiet_looks >= QUIET_LOOKS => return Ok(()),
            Look::Nothing if ended => quiet_looks += 1,
            Look::Nothing => {
                let (_, standing) = standing::ask(&deployed, &args.job_id).await?;
                ended = standing.status != State::Running;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The lines that are about this job. An id has no quotes in it.
fn pattern(job_id: &JobId) -> String {
    format!("{{ $.job = \"{job_id}\" }}")
}

struct Printer {
    cloud: Cloud,
    groups: [String; 3],
    /// The lines that were printed and may come again, by group and id, and when they were logged.
    seen: HashMap<(usize, String), i64>,
    json: bool,
}

/// What a look for new lines gave.
enum Look {
    /// Nothing new.
    Nothing,
    /// New lines up to this time.
    Until(i64),
    /// Nobody reads what is printed any more.
    Unread,
}

impl Printer {
    /// Prints the lines that were not printed before.
    async fn print(&mut self, query: &LogQuery) -> Result<Look, Error> {
        let mut lines = self.cloud.log_lines(&self.groups, query.clone());
        let mut look = Look::Nothing;
        while let Some(line) = lines.next().await.map_err(failed)? {
            if self.seen.insert((line.group, line.id.clone()), line.at_ms).is_some() {
                continue;
            }
            let text = if self.json { line.text.clone() } else { told(&line) };
            if !stdout::print_styled(&(text + "\n"))? {
                return Ok(Look::Unread);
            }
            look = Look::Until(line.at_ms);
        }
        Ok(look)
    }

    fn forget_before(&mut self, from_ms: i64) {
        self.seen.retain(|_, at_ms| *at_ms >= from_ms);
    }
}

/// A line for a person: when, who, what.
fn told(line: &LogLine) -> String {
    let time = Timestamp::from_millisecond(line.at_ms);
    let time = time.map(|time| time.strftime("%T%.3f").to_string()).unwrap_or_default();
    let function = FUNCTIONS.get(line.group).copied().unwrap_or_default();
    let said = match serde_json::from_str::<Map<String, Value>>(&line.text) {
        Ok(fields) => said(&fields),
        Err(_) => line.text.clone(),
    };
    format!("{ASIDE}{time} {function:<10}{ASIDE:#} {said}")
}

fn said(fields: &Map<String, Value>) -> String {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if let (Some(index), Some(said)) = (fields.get("index"), fields.get("stderr").and_then(Value::as_str)) {
        return format!("[index {index}] {said}");
    }
    let message = text("message");
    let mut said = match text("level") {
        "ERROR" => format!("{FAILURE}error{FAILURE:#} {message}"),
        "WARN" => format!("{WARNING}warning{WARNING:#} {message}"),
        _ => message.to_owned(),
    };
    let says_something = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let told =
        fields.iter().filter(|(name, value)| !LEFT_OUT.contains(&name.as_str()) && says_something(value));
    for (name, value) in told {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a string cannot fail.
        let _written = write!(said, " {ASIDE}{name}={ASIDE:#}{value}");
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(text: &str) -> String {
        let line = LogLine { at_ms: 1_000, group: 1, id: "1".into(), text: text.into() };
        anstream::adapter::strip_str(&told(&line)).to_string()
    }

    #[test]
    fn a_line_says_when_and_who_and_what_the_program_says_stands_alone() {
        let program = json!({
            "timestamp": "x", "level": "INFO", "message": "the program says", "job": "j", "index": 3, "attempt": 1,
            "stderr": "hello", "target": "fanfold_worker"
        });
        assert_eq!(shown(&program.to_string()), "00:00:01.000 worker     [index 3] hello");
        let again = json!({ "level": "WARN", "message": "trying a chunk again", "job": "j", "index": 3, "code": "program_failed", "reason": "" });
        assert_eq!(
            shown(&again.to_string()),
            "00:00:01.000 worker     warning trying a chunk again code=program_failed index=3"
        );
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        assert_eq!(shown("Segmentation fault"), "00:00:01.000 worker     Segmentation fault");
    }
}
