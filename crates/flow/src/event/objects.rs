//! What S3 says of its objects, by either of its two ways: events of EventBridge, and notifications of its own.
//!
//! The two spell the same differently: a notification's keys are percent-encoded with `+` for space, an event's are not.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::crc::Crc64;
use crate::keys::JobId;
use crate::problem::{Problem, Problems};
use crate::time::Moment;
use crate::uri::ObjectUri;

/// An object that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// Where it is.
    pub object: ObjectUri,
    /// Which of the writes to this key it was: another one for each.
    pub sequencer: String,
    /// When it was created, in milliseconds since 1970 (UTC).
    pub time_ms: i64,
}

impl ObjectCreated {
    /// The id of the run of the job `name` for this object: the same however often, and on whichever way, S3 tells of it.
    pub fn job_id(&self, name: &str) -> JobId {
        let ObjectUri { bucket, key } = &self.object;
        let mark = format!("{bucket}\n{key}\n{}", self.sequencer);
        JobId::from_token(&format!("{name}-{}", Crc64::of(mark.as_bytes())))
    }
}

/// What an EventBridge rule must be given as its target's input to start a job by any other event.
const INPUT_OF_RULE: &str =
    "{\"run\": \"<name of a deployed job>\", \"trigger\": {\"event\": <id>, \"time\": <time>}}";

/// What a schedule of EventBridge must be given as its input.
const INPUT_OF_SCHEDULE: &str = "{\"run\": \"<name of a deployed job>\", \"trigger\": {\"schedule\": \"<aws.scheduler.schedule-arn>\", \
                                 \"time\": \"<aws.scheduler.scheduled-time>\"}}";

/// An event as EventBridge sends it where a rule's target has no input of its own.
pub(super) fn of_rule(event: &Value) -> Result<ObjectCreated, Problems> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("source"), text("detail-type")) {
        ("aws.s3", "Object Created") => {}
        ("aws.scheduler", _) => {
            let message = format!(
                "is what a schedule sends that was given no input, and names no job; give the schedule the input {INPUT_OF_SCHEDULE}"
            );
            return Err(super::refused("", message));
        }
        (source, kind) => {
            let message = format!(
                "is the EventBridge event '{kind}' of {source}, which names no job; give the rule's target an input transformer \
                 that makes of it {INPUT_OF_RULE}, with <id> from $.id and <time> from $.time"
            );
            return Err(super::refused("", message));
        }
    }
    let mut fields = Fields { event, problems: Vec::new() };
    let created = (
        fields.text("detail.bucket.name"),
        fields.text("detail.object.key").map(str::to_owned),
        fields.text("detail.object.sequencer"),
        fields.moment("time"),
    );
    fields.object(created)
}

/// A notification as S3 sends it to a function, of one object or more.
pub(super) fn of_notification(event: &Value) -> Result<Vec<ObjectCreated>, Problems> {
    let Some(records) = event["Records"].as_array().filter(|records| !records.is_empty()) else {
        return Err(super::refused(
            "Records",
            "must be a list of one record or more, as S3 sends it".to_owned(),
        ));
    };
    let (mut created, mut problems) = (Vec::new(), Vec::new());
    for (position, record) in records.iter().enumerate() {
        match of_record(record) {
            Ok(object) => created.push(object),
            Err(Problems(found)) => problems.extend(found.into_iter().map(|problem| {
                let path = format!("Records[{position}].{}", problem.path);
                Problem { path: path.trim_end_matches('.').to_owned(), ..problem }
            })),
        }
    }
    super::none_or(problems).map(|()| created)
}

fn of_record(record: &Value) -> Result<ObjectCreated, Problems> {
    let source = record.get("eventSource").and_then(Value::as_str).unwrap_or_default();
    if source != "aws:s3" {
        let message =
            format!("must be \"aws:s3\", not \"{source}\": of records, only those of S3 start jobs");
        return Err(super::refused("eventSource", message));
    }
    let mut fields = Fields { event: record, problems: Vec::new() };
    if let Some(name) = fields.text("eventName").filter(|name| !name.starts_with("ObjectCreated:")) {
        let message = format!(
            "is {name}; only ObjectCreated starts jobs: leave the others out of the bucket's notifications"
        );
        fields.problems.push(Problem::new("eventName", message));
    }
    let key = fields.text("s3.object.key").map(decoded);
    if let Some(Err(refusal)) = &key {
        fields.problems.push(Problem::new("s3.object.key", refusal.clone()));
    }
    let created = (
        fields.text("s3.bucket.name"),
        key.and_then(Result::ok),
        fields.text("s3.object.sequencer"),
        fields.moment("eventTime"),
    );
    fields.object(created)
}

/// A key as it is, from a key as a notification spells it.
fn decoded(key: &str) -> Result<String, String> {
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
    key.map_err(|_| format!("'{spaced}' is not UTF-8 once its percent signs are decoded"))
}

/// The fields of an event, and what is wrong with those that were asked for.
struct Fields<'e> {
    event: &'e Value,
    problems: Vec<Problem>,
}

impl<'e> Fields<'e> {
    fn text(&mut self, path: &str) -> Option<&'e str> {
        let text = self.event.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str);
        if text.is_none_or(str::is_empty) {
            self.problems.push(Problem::new(path, "is missing, or no text"));
        }
        text
    }

    fn moment(&mut self, path: &str) -> Option<Moment> {
        match self.text(path)?.parse() {
            Ok(moment) => Some(moment),
            Err(error) => {
                self.problems.push(Problem::new(path, error.to_string()));
                None
            }
        }
    }

    /// What was created, unless anything was wrong.
    fn object(
        self,
        (bucket, key, sequencer, time): (Option<&str>, Option<String>, Option<&str>, Option<Moment>),
    ) -> Result<ObjectCreated, Problems> {
        super::none_or(self.problems)?;
        let (Some(bucket), Some(key), Some(sequencer), Some(Moment(time_ms))) =
            (bucket, key, sequencer, time)
        else {
            return Err(super::refused("", "is no event of S3".to_owned()));
        };
        Ok(ObjectCreated { object: ObjectUri::new(bucket, key), sequencer: sequencer.to_owned(), time_ms })
    }
}
