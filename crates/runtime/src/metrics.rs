//! Numbers for dashboards and alarms: log lines in CloudWatch's embedded metric format.
//!
//! A metric is a line on standard output, which CloudWatch turns into numbers: no request, no permission, nothing to wait
//! for. What a line must hold follows the "Specification: Embedded metric format" of the CloudWatch user guide; it is so
//! little that the crate for it, with thirty-five others below it, is not worth its weight. The price: Lambda's own filter
//! takes a line without a level for one of level INFO, so a function whose application log level lies above that has no
//! metrics; and CloudWatch bills each name with each job's name by the month. So a job's name is a dimension and its id is
//! not: that is a field of the line, for a query over the logs.
//!
//! Each number is told once, by whoever made it so: what a partition came to by who committed it, how a job ended by who put
//! its report. One that is killed between the two tells nothing, so sums may be short by what died, and never too high.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use fanfold_flow::keys::JobId;
use serde_json::{Map, Value, json};

use crate::variables::Variables;

/// Where metrics go: nowhere, unless the environment names a namespace.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Emitter>>);

struct Emitter {
    namespace: Namespace,
    pipeline: Option<Dimension>,
    sink: Box<dyn Fn(&str) + Send + Sync>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Jobs that were accepted; a trigger that came twice counts once.
    JobsStarted,
    /// Jobs that have their output.
    JobsSucceeded,
    /// Jobs that ended without one.
    JobsFailed,
    /// Jobs in which nothing runs and nothing moves: one for each time that the sweep found one so.
    JobsStuck,
    /// From a job's acceptance to its end.
    JobSeconds,
    /// Partitions of the jobs that were accepted.
    Partitions,
    /// Chunks that were done.
    Chunks,
    /// Chunks that failed for good.
    ChunksFailed,
    /// What the processes of chunks that were done were given, headers included.
    BytesIn,
    /// What those left.
    BytesOut,
    /// Records that those were given.
    Records,
    /// Tries at partitions, until their outcome.
    Attempts,
    /// Environments that started.
    ColdStarts,
    /// Processor time of the processes of a partition, in user and in kernel mode.
    ProcessCpuSeconds,
    /// The most memory that one process has held since its worker's environment started: an upper bound for the partition
    /// that tells of it. Never less than the worker held itself, since a process starts as its copy.
    ProcessPeakMemoryBytes,
}

impl Metric {
    /// All of them, in the order of this file.
    pub const ALL: [Self; 15] = [
        Self::JobsStarted,
        Self::JobsSucceeded,
        Self::JobsFailed,
        Self::JobsStuck,
        Self::JobSeconds,
        Self::Partitions,
        Self::Chunks,
        Self::ChunksFailed,
        Self::BytesIn,
        Self::BytesOut,
        Self::Records,
        Self::Attempts,
        Self::ColdStarts,
        Self::ProcessCpuSeconds,
        Self::ProcessPeakMemoryBytes,
    ];

    /// Its name in CloudWatch.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its unit, by CloudWatch's word for it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::JobsStarted
            | Self::JobsSucceeded
            | Self::JobsFailed
            | Self::JobsStuck
            | Self::Partitions
            | Self::Chunks
            | Self::ChunksFailed
            | Self::Records
            | Self::Attempts
            | Self::ColdStarts => "Count",
            Self::JobSeconds | Self::ProcessCpuSeconds => "Seconds",
            Self::BytesIn | Self::BytesOut | Self::ProcessPeakMemoryBytes => "Bytes",
        }
    }
}

/// What a number tells of.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// The deployment.
    Pipeline,
    /// A job, by its name; and one run of it.
    Job(&'a str, &'a JobId),
}

impl Metrics {
    /// Metrics that go nowhere.
    pub fn off() -> Self {
        Self::default()
    }

    /// Metrics as lines that are handed to `sink`, without their line ends.
    ///
    /// # Errors
    /// When CloudWatch would not take the namespace or the pipeline's name.
    pub fn new(
        namespace: &str,
        pipeline: Option<&str>,
        sink: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, InvalidName> {
        let (namespace, pipeline) = (namespace.parse()?, pipeline.map(str::parse).transpose()?);
        Ok(Self(Some(Arc::new(Emitter { namespace, pipeline, sink: Box::new(sink) }))))
    }

    /// Reads where metrics go: to standard output, or nowhere.
    pub(crate) fn read(variables: &mut Variables<'_>) -> Self {
        let namespace = variables.optional(
            "FANFOLD_METRICS_NAMESPACE",
            "the CloudWatch namespace of the metrics; without it none are printed",
        );
        let pipeline =
            variables.optional("FANFOLD_PIPELINE", "the pipeline's name, a dimension of its metrics");
        let emitter = |namespace| Arc::new(Emitter { namespace, pipeline, sink: Box::new(print_line) });
        Self(namespace.map(emitter))
    }

    pub(crate) fn emit(&self, of: Of<'_>, numbers: &[(Metric, f64)], now_ms: i64) {
        if let Some(emitter) = &self.0 {
            (emitter.sink)(&emitter.line(of, numbers, now_ms).to_string());
        }
    }
}

impl Emitter {
    fn line(&self, of: Of<'_>, numbers: &[(Metric, f64)], now_ms: i64) -> Value {
        let mut fields = Map::new();
        let mut dimensions: Vec<&str> = Vec::new();
        if let Some(pipeline) = &self.pipeline {
            dimensions.push("Pipeline");
            fields.insert("Pipeline".to_owned(), json!(pipeline.0));
        }
        let mut sets = vec![dimensions.clone()];
        if let Of::Job(name, job_id) = of {
            dimensions.push("Job");
            fields.insert("Job".to_owned(), json!(name));
            fields.insert("job_id".to_owned(), json!(job_id));
            sets.push(dimensions);
        }
        let named = numbers.iter().map(|(metric, number)| (metric.name(), json!(number)));
        fields.extend(named);
        let metrics =
            numbers.iter().map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() }));
        let directive = json!({
            "Namespace": self.namespace.0,
            "Dimensions": sets,
            "Metrics": metrics.collect::<Vec<_>>(),
        });
        fields.insert("_aws".to_owned(), json!({ "Timestamp": now_ms, "CloudWatchMetrics": [directive] }));
        Value::Object(fields)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.as_ref().map(|emitter| &emitter.namespace.0)).finish()
    }
}

/// One write a line, so that lines of others do not come between.
fn print_line(line: &str) {
    if let Err(error) = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()) {
        tracing::warn!("failed to print metrics: {error}");
    }
}

/// A name that CloudWatch would not take, and would not say so: it drops the whole line in silence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not {what}")]
pub struct InvalidName {
    name: String,
    what: &'static str,
}

/// A namespace of metrics (PutMetricData API reference, parameter Namespace; `AWS/` is the services' own).
struct Namespace(String);

impl FromStr for Namespace {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/#:".contains(&byte));
        if plain && (1..=255).contains(&text.len()) && !text.starts_with("AWS/") {
            return Ok(Self(text.to_owned()));
        }
        let what = "a namespace: 1 to 255 letters, digits or any of . _ - / # : and no beginning with AWS/";
        Err(InvalidName { name: text.to_owned(), what })
    }
}

/// A dimension's value (PutMetricData API reference, type Dimension).
struct Dimension(String);

impl FromStr for Dimension {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if plain && text.len() <= 1024 && !text.trim().is_empty() && !text.starts_with(':') {
            return Ok(Self(text.to_owned()));
        }
        let what = "a dimension: 1 to 1,024 printable ASCII characters, not all blank, the first not ':'";
        Err(InvalidName { name: text.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;

    fn lines(pipeline: Option<&str>, emit: impl Fn(&Metrics)) -> Vec<Value> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let keep = move |line: &str| kept.lock().unwrap().push(serde_json::from_str(line).unwrap());
        emit(&Metrics::new("Fanfold", pipeline, keep).unwrap());
        lines.lock().unwrap().clone()
    }

    #[test]
    fn a_jobs_numbers_are_one_line_as_the_specification_has_it() {
        let job_id = "run-1".parse().unwrap();
        let numbers = [(Metric::Chunks, 3.0), (Metric::JobSeconds, 1.5)];
        let [line] =
            &lines(Some("orders"), |metrics| metrics.emit(Of::Job("nightly", &job_id), &numbers, 17))[..]
        else {
            panic!("one line")
        };
        let expected = json!({
            "_aws": { "Timestamp": 17, "CloudWatchMetrics": [{
                "Namespace": "Fanfold",
                "Dimensions": [["Pipeline"], ["Pipeline", "Job"]],
                "Metrics": [{ "Name": "Chunks", "Unit": "Count" }, { "Name": "JobSeconds", "Unit": "Seconds" }],
            }] },
            "Pipeline": "orders", "Job": "nightly", "job_id": "run-1", "Chunks": 3.0, "JobSeconds": 1.5,
        });
        assert_eq!(line, &expected);
    }

    #[test]
    fn every_dimension_and_metric_that_is_announced_has_a_member_of_its_kind() {
        let job_id = "run-1".parse().unwrap();
        let numbers = Metric::ALL.map(|metric| (metric, 1.0));
        for pipeline in [None, Some("orders")] {
            for of in [Of::Pipeline, Of::Job("nightly", &job_id)] {
                let line = &lines(pipeline, |metrics| metrics.emit(of, &numbers, 0))[0];
                let directive = &line["_aws"]["CloudWatchMetrics"][0];
                for dimension in
                    directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap())
                {
                    assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
                }
                for metric in directive["Metrics"].as_array().unwrap() {
                    assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
                }
            }
        }
    }

    #[test]
    fn metrics_have_names_of_their_own() {
        assert_eq!(
            Metric::ALL.map(Metric::name).into_iter().collect::<BTreeSet<_>>().len(),
            Metric::ALL.len()
        );
    }

    #[test]
    fn what_cloudwatch_would_drop_in_silence_is_refused_by_name() {
        for (namespace, pipeline) in
            [("AWS/Mine", "p"), ("", "p"), ("a b", "p"), ("Mine", " "), ("Mine", "é"), ("Mine", ":p")]
        {
            let refusal = Metrics::new(namespace, Some(pipeline), |_| ()).unwrap_err().to_string();
            assert!(refusal.contains(" is not a "), "{refusal}");
        }
    }

    #[test]
    fn without_a_namespace_there_are_no_metrics() {
        let mut variables = Variables::new(|name| (name == "FANFOLD_PIPELINE").then(|| "orders".to_owned()));
        assert!(Metrics::read(&mut variables).0.is_none());
        assert!(variables.finish(Some(())).is_ok());
    }
}
