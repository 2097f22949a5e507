//! What a run is expected to cost.
//!
//! Prices are those of us-east-1 as published in November 2026, before any free tier; other regions differ by some percent.
//! What nobody knows before the run is how long the programs take: that is a price for each second of a worker.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// A gigabyte of a function's memory for a second, in USD (AWS Lambda pricing: x86_64).
const GB_SECOND_X86_64_USD: f64 = 0.000_016_666_7;

/// The same on arm64.
const GB_SECOND_ARM64_USD: f64 = 0.000_013_333_4;

/// An invocation, in USD (AWS Lambda pricing: $0.20 a million).
const INVOCATION_USD: f64 = 0.20 / 1e6;

/// A PUT, COPY, POST or LIST request, in USD (Amazon S3 pricing, standard storage: $0.005 a thousand).
const WRITE_USD: f64 = 0.005 / 1e3;

/// A GET or HEAD request, in USD (same source: $0.0004 a thousand).
const READ_USD: f64 = 0.000_4 / 1e3;

/// Requests of a run besides those of its partitions and chunks, roughly: job, plan, marker, lease, report, the output's upload.
const WRITES_A_RUN: u64 = 12;
const READS_A_RUN: u64 = 12;

/// Requests of a partition, roughly: its attempt, its outcome, two lists, its share of a group; the job and a look whether it is done.
const WRITES_A_PARTITION: u64 = 5;
const READS_A_PARTITION: u64 = 4;

/// Requests of a chunk, roughly: its result and that result's place in the output; the beginning of its input.
const WRITES_A_CHUNK: u64 = 2;
const READS_A_CHUNK: u64 = 2;

/// How many bytes of input a request reads, roughly.
const BYTES_A_READ: u64 = 8 << 20;

/// How long a chunk takes in the example, in seconds.
const EXAMPLE_SECONDS: u64 = 60;

/// What workers are, as far as they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers<'a> {
    /// Their memory, in MB.
    pub memory_mb: u32,
    /// Their architecture, by the name that Rust has for it: `x86_64` or `aarch64`.
    pub architecture: &'a str,
    /// How many chunks one has at once.
    pub processes: u32,
}

/// What a run is expected to cost, in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Its requests to Lambda and S3, roughly.
    pub requests_usd: f64,
    /// A second of one worker.
    pub worker_second_usd: f64,
    /// The whole, if each chunk took a minute: an example, no forecast.
    pub at_one_minute_a_chunk_usd: f64,
    /// The same for a person.
    pub message: String,
}

/// What the run of this plan is expected to cost.
pub fn expected(plan: &Plan, workers: Workers<'_>) -> Expected {
    let partitions = plan.partitions.len() as u64;
    let chunks = plan.chunks_to_do();
    let writes = WRITES_A_RUN + WRITES_A_PARTITION * partitions + WRITES_A_CHUNK * chunks;
    let reads = READS_A_RUN
        + READS_A_PARTITION * partitions
        + READS_A_CHUNK * chunks
        + plan.input_bytes() / BYTES_A_READ;
    // The dispatcher, the workers, the reducer.
    let invocations = partitions + 2;
    let requests_usd =
        writes as f64 * WRITE_USD + reads as f64 * READ_USD + invocations as f64 * INVOCATION_USD;
    let gb_second_usd =
        if workers.architecture == "aarch64" { GB_SECOND_ARM64_USD } else { GB_SECOND_X86_64_USD };
    let worker_second_usd = f64::from(workers.memory_mb) / 1024.0 * gb_second_usd;
    let rounds = |chunks: u64| chunks.div_ceil(u64::from(workers.processes.max(1)));
    let worker_seconds: u64 = plan.partitions.iter().map(|span| rounds(span.chunks) * EXAMPLE_SECONDS).sum();
    let at_one_minute_a_chunk_usd = requests_usd + worker_seconds as f64 * worker_second_usd;
    let message = format!(
        "about ${requests_usd:.4} for requests, and ${worker_second_usd:.7} for each second of a worker with {} MB; if each chunk \
         took a minute, ${at_one_minute_a_chunk_usd:.4} in all (prices of us-east-1, before any free tier)",
        workers.memory_mb
    );
    Expected { requests_usd, worker_second_usd, at_one_minute_a_chunk_usd, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::Job;
    use crate::occasion::Occasion;
    use crate::plan::{Listing, make};

    fn cost(chunks: u64, workers: Workers<'_>) -> Expected {
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "range": { "end": chunks, "chunk": 1 } },
            "task": { "name": "t" }, "output": { "uri": "s3://b/k" }
        }));
        let plan = make(
            &job.unwrap(),
            &"run".parse().unwrap(),
            Listing::Nothing,
            workers.processes,
            Occasion::at(0),
        );
        expected(&plan, workers)
    }

    const WORKERS: Workers<'_> = Workers { memory_mb: 2048, architecture: "x86_64", processes: 2 };

    #[test]
    fn workers_cost_what_their_memory_costs_and_arm_a_fifth_less() {
        let cost_on = |workers| cost(8, workers).worker_second_usd;
        assert!((cost_on(WORKERS) - 2.0 * GB_SECOND_X86_64_USD).abs() < 1e-12);
        assert!(
            (cost_on(Workers { architecture: "aarch64", ..WORKERS }) / cost_on(WORKERS) - 0.8).abs() < 1e-4
        );
    }

    #[test]
    fn the_example_counts_each_worker_for_as_many_minutes_as_it_has_rounds() {
        let cost = cost(9, WORKERS);
        let workers_usd = cost.at_one_minute_a_chunk_usd - cost.requests_usd;
        assert!(
            (workers_usd / cost.worker_second_usd - 5.0 * 60.0).abs() < 1e-6,
            "four pairs and a single one"
        );
        assert!(cost.message.contains("2048 MB"), "{}", cost.message);
    }

    #[test]
    fn a_run_over_nothing_costs_its_requests_alone() {
        let cost = cost(0, WORKERS);
        assert!(cost.requests_usd > 0.0 && cost.at_one_minute_a_chunk_usd == cost.requests_usd);
    }
}
