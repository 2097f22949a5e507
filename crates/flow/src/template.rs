//! Placeholders: what a job's addresses and its task's texts may leave to the run.
//!
//! They are filled in two steps, and no text is ever filled twice by one of them: `{deployment.NAME}` when the job
//! arrives ([`Deployment`]), all others when the text is used ([`fill`], [`UriTemplate`]), from what the plan says of the
//! run. So what an object's key holds (braces, stars) is never read as a placeholder or a glob.
//!
//! In addresses an unknown placeholder is refused. In a task's texts only the known ones are placeholders: programs have
//! braces of their own.
//!
//! A backslash before a placeholder takes it for itself: `\{name}` gives `{name}`. Backslashes are special only there, and
//! then two stand for one, so every text can be written ([`escape`]).

use std::fmt;

use crate::job::Task;
use crate::keys::JobId;
use crate::occasion::Occasion;
use crate::problem::{Problem, nearest};
use crate::time::Moment;
use crate::uri::ObjectUri;

mod address;
mod deployment;
mod document;

pub use address::{Selection, UriTemplate};
pub use deployment::{Deployment, DeploymentError};
pub(crate) use document::{needs_object, problems};

/// The placeholders that every job may have.
pub const PLACEHOLDERS: [&str; 6] =
    ["job_id", "name", "start_date", "start_time", "scheduled_date", "scheduled_time"];

/// The placeholders of jobs with `on_object_created`: the object that started the run.
pub const OBJECT_PLACEHOLDERS: [&str; 4] = ["object_uri", "object_bucket", "object_key", "object_name"];

/// What a placeholder for a value of the deployment begins with, as in `{deployment.bucket}`.
pub const DEPLOYMENT: &str = "deployment.";

/// What the placeholders stand for in one run.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The run's id.
    pub job_id: &'a JobId,
    /// The job's name.
    pub name: &'a str,
    /// What started it, and when.
    pub occasion: &'a Occasion,
}

impl Values<'_> {
    /// What a placeholder stands for; none for one that is unknown, and for those of an object where there is none. Dates
    /// are `2026-11-22`, times `2026-11-22T17-30-00Z`, both in UTC; the times have no colons, so that they are as good in
    /// a file's name as in a key. Where nobody said when the run was meant to start, the start counts.
    fn get(&self, name: &str) -> Option<String> {
        let started = Moment(self.occasion.started_ms);
        let scheduled = self.occasion.scheduled_ms.map_or(started, Moment);
        let date = |moment: Moment| moment.formatted("%Y-%m-%d");
        let time = |moment: Moment| moment.formatted("%Y-%m-%dT%H-%M-%SZ");
        let object = self.occasion.object.as_ref();
        match name {
            "job_id" => Some(self.job_id.to_string()),
            "name" => Some(self.name.to_owned()),
            "start_date" => Some(date(started)),
            "start_time" => Some(time(started)),
            "scheduled_date" => Some(date(scheduled)),
            "scheduled_time" => Some(time(scheduled)),
            "object_uri" => object.map(ObjectUri::to_string),
            "object_bucket" => object.map(|object| object.bucket.clone()),
            "object_key" => object.map(|object| object.key.clone()),
            "object_name" => object.map(|object| last_name(&object.key).to_owned()),
            _ => None,
        }
    }
}

fn last_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// `text` with its placeholders filled in. An unknown one stays as it stands.
pub fn fill(text: &str, values: &Values<'_>) -> String {
    let filled = pieces(text).into_iter().map(|piece| match piece {
        Piece::Braced(braced) if is_known(braced.name) => braced.filled(values),
        other => other.to_string(),
    });
    filled.collect()
}

/// An address with its placeholders filled in. There, whatever stands in braces is a placeholder, but for those of a glob.
pub fn fill_address(text: &str, values: &Values<'_>) -> String {
    let filled = pieces(text).into_iter().map(|piece| match piece {
        Piece::Braced(braced) if braced.is_escaped() || !address::is_of_a_glob(braced.name) => {
            braced.filled(values)
        }
        other => other.to_string(),
    });
    filled.collect()
}

/// The text that [`fill`] makes `text` of: it stands for itself, letter by letter.
pub fn escape(text: &str) -> String {
    escape_those(text, is_known)
}

/// The address that stands for these objects letter by letter: all its braces are its own, but for those of a glob.
pub fn escape_address(text: &str) -> String {
    escape_those(text, |name| !address::is_of_a_glob(name))
}

fn escape_those(text: &str, is_placeholder: impl Fn(&str) -> bool) -> String {
    let escaped = pieces(text).into_iter().map(|piece| match piece {
        Piece::Braced(Braced { backslashes, name }) if is_placeholder(name) => {
            Braced { backslashes: 2 * backslashes + 1, name }.to_string()
        }
        other => other.to_string(),
    });
    escaped.collect()
}

/// The task with the placeholders in its command, its arguments and its variables filled in.
pub fn fill_task(task: &Task, values: &Values<'_>) -> Task {
    let filled = |text: &String| fill(text, values);
    Task {
        command: task.command.as_ref().map(|argv| argv.iter().map(filled).collect()),
        args: task.args.iter().map(filled).collect(),
        environment: task.environment.iter().map(|(name, text)| (name.clone(), filled(text))).collect(),
        ..task.clone()
    }
}

/// What is wrong with the placeholders of an output's local address, which is no part of a job document.
pub fn problems_of_output(text: &str, with_object: bool) -> Vec<Problem> {
    let names = names(text).filter(|name| !is_deployment(name));
    names.filter_map(|name| refusal(name, with_object)).collect()
}

/// Whether one of the text's placeholders stands for the object that starts the run.
pub fn mentions_object(text: &str) -> bool {
    names(text).any(|name| OBJECT_PLACEHOLDERS.contains(&name))
}

/// What is wrong with a placeholder in an address.
fn refusal(name: &str, with_object: bool) -> Option<Problem> {
    if OBJECT_PLACEHOLDERS.contains(&name) {
        return (!with_object).then(|| without_object(name));
    }
    if PLACEHOLDERS.contains(&name) {
        return None;
    }
    let known: &[&str] = if with_object { &OBJECT_PLACEHOLDERS } else { &[] };
    let known: Vec<&str> = PLACEHOLDERS.iter().chain(known).copied().collect();
    let message = format!(
        "placeholder '{{{name}}}' is unknown; the placeholders are {}, and deployment.NAME",
        known.join(", ")
    );
    let known = known.into_iter().chain(["deployment.bucket"]);
    Some(Problem::new("", message).meaning(nearest(name, known)))
}

fn without_object(name: &str) -> Problem {
    let message =
        format!("placeholder '{{{name}}}' goes with on_object_created, which this job does not have");
    Problem::new("", message)
}

fn is_deployment(name: &str) -> bool {
    name.starts_with(DEPLOYMENT)
}

/// Whether `{name}` is a placeholder wherever it stands, and not some program's own text.
fn is_known(name: &str) -> bool {
    PLACEHOLDERS.contains(&name) || OBJECT_PLACEHOLDERS.contains(&name) || is_deployment(name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Braced(Braced<'t>),
}

/// Two braces that have no brace between them, and the backslashes right before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Braced<'t> {
    backslashes: usize,
    /// What stands between the braces.
    name: &'t str,
}

impl Braced<'_> {
    /// Whether the braces stand for themselves, being written `\{name}` or, as in globs, `\{name\}`.
    fn is_escaped(&self) -> bool {
        !self.backslashes.is_multiple_of(2)
    }

    /// What a placeholder written so stands for.
    fn filled(&self, values: &Values<'_>) -> String {
        let name = self.name;
        let text = if self.is_escaped() {
            format!("{{{}}}", name.strip_suffix('\\').unwrap_or(name))
        } else {
            values.get(name).unwrap_or_else(|| format!("{{{name}}}"))
        };
        "\\".repeat(self.backslashes / 2) + &text
    }
}

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{{}}}", "\\".repeat(self.backslashes), self.name)
    }
}

impl fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Braced(braced) => braced.fmt(f),
        }
    }
}

/// A text taken apart; the pieces put together are the text.
fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some(end) = text.find('}') {
        let (before, after) = (&text[..end], &text[end + 1..]);
        match before.rfind('{') {
            Some(start) => {
                let plain = text[..start].trim_end_matches('\\');
                let braced = Braced { backslashes: start - plain.len(), name: &before[start + 1..] };
                pieces.extend([Piece::Text(plain), Piece::Braced(braced)]);
            }
            None => pieces.push(Piece::Text(&text[..=end])),
        }
        text = after;
    }
    pieces.push(Piece::Text(text));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// The names of the placeholders in a text; those that a backslash takes for themselves are none.
fn names(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Braced(braced) if !braced.is_escaped() => Some(braced.name),
        Piece::Braced(_) | Piece::Text(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STARTED_MS: i64 = 1_795_368_600_000;

    #[test]
    fn every_placeholder_is_filled_and_the_schedule_falls_back_to_the_start() {
        let job_id: JobId = "run-1".parse().unwrap();
        let mut occasion = Occasion::at(STARTED_MS);
        let text = "{name}/{job_id}/{start_date}/{start_time}/{scheduled_date}/{scheduled_time}.csv";
        assert_eq!(
            fill(text, &Values { job_id: &job_id, name: "orders", occasion: &occasion }),
            "orders/run-1/2026-11-22/2026-11-22T17-30-00Z/2026-11-22/2026-11-22T17-30-00Z.csv"
        );
        occasion.scheduled_ms = Some(STARTED_MS - 86_400_000);
        occasion.object = Some(ObjectUri::new("in", "a/b/c.csv"));
        let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
        assert_eq!(fill("{scheduled_date}", &values), "2026-11-21");
        let text = "{object_uri}|{object_bucket}|{object_key}|{object_name}";
        assert_eq!(fill(text, &values), "s3://in/a/b/c.csv|in|a/b/c.csv|c.csv");
        assert!(problems_of_output(text, true).is_empty());
    }

    #[test]
    fn a_misspelt_placeholder_is_named_with_the_nearest_right_one() {
        let found = problems_of_output("{schedule_date}.csv", false);
        assert_eq!(found[0].suggestion.as_deref(), Some("scheduled_date"));
        let found = problems_of_output("{deploymnt.bucket}.csv", false);
        assert_eq!(found[0].suggestion.as_deref(), Some("deployment.bucket"));
        assert!(problems_of_output("{object_key}", false)[0].message.contains("on_object_created"));
        assert!(problems_of_output("{unclosed", false).is_empty());
    }

    #[test]
    fn a_programs_own_braces_stay() {
        let job_id: JobId = "run-1".parse().unwrap();
        let occasion = Occasion::at(STARTED_MS);
        let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
        for text in ["NR==1 { print; { next } }", "{print $1}", "${x}", "{}", "}{", "{{a}}", "{object_key}"] {
            assert_eq!(fill(text, &values), text);
        }
        assert_eq!(fill("{ print \"{name}\" }", &values), "{ print \"orders\" }");
    }

    #[test]
    fn a_backslash_takes_a_placeholder_for_itself() {
        let (job_id, occasion) = ("run-1".parse().unwrap(), Occasion::at(STARTED_MS));
        let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
        for (text, filled) in [
            ("s/\\{name}/Bob/", "s/{name}/Bob/"),
            ("\\\\{name}", "\\orders"),
            ("\\\\\\{name}", "\\{name}"),
            ("\\{object_key} \\{deployment.bucket}", "{object_key} {deployment.bucket}"),
            // A program's own: what stands in the braces is no placeholder.
            ("a\\{3\\} \\{x} \\n", "a\\{3\\} \\{x} \\n"),
        ] {
            assert_eq!(fill(text, &values), filled, "{text}");
        }
        assert_eq!(fill_address("\\{x}/\\{name\\}/{name}", &values), "{x}/{name}/orders");
        assert!(problems_of_output("\\{x}.csv", false).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "[{}a,\\\\]{0,12}") {
            let whole: String = pieces(&text).iter().map(ToString::to_string).collect();
            prop_assert_eq!(whole, text);
        }

        /// So `map` can give a program any argument, and a job file can write it.
        #[test]
        fn escaped_text_is_filled_to_itself(text in "([{}a,]|\\\\|\\{name\\}|\\{deployment.b\\}|\\{object_key\\}){0,9}") {
            let (job_id, occasion) = ("run-1".parse().unwrap(), Occasion::at(STARTED_MS));
            let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
            let escaped = escape(&text);
            prop_assert_eq!(fill(&escaped, &values), text);
            prop_assert!(!names(&escaped).any(is_known), "{}", escaped);
        }

        #[test]
        fn escaped_address_is_filled_to_itself(text in "([{}a]|\\\\\\\\|\\{name\\}|\\{x\\}){0,9}") {
            let (job_id, occasion) = ("run-1".parse().unwrap(), Occasion::at(STARTED_MS));
            let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
            prop_assert_eq!(fill_address(&escape_address(&text), &values), text);
        }

        /// A key may look like placeholders: what it says is taken for itself.
        #[test]
        fn what_an_objects_key_holds_is_never_filled(key in "[{}a-z_*?]{0,8}(\\{job_id\\})?") {
            let job_id: JobId = "run-1".parse().unwrap();
            let mut occasion = Occasion::at(STARTED_MS);
            occasion.object = Some(ObjectUri::new("in", key.clone()));
            let values = Values { job_id: &job_id, name: "orders", occasion: &occasion };
            prop_assert_eq!(fill("<{object_key}>", &values), format!("<{key}>"));
        }
    }
}
