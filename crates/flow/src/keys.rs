//! Every key that Fanfold writes, made in one place.
//!
//! ```text
//! <prefix>active/<job>                                 a marker while the job runs
//! <prefix>jobs/<job>/job.json                          what was asked for
//! <prefix>jobs/<job>/plan.json                         what will be done
//! <prefix>jobs/<job>/attempts/<partition>/<hop>/<attempt>.json
//! <prefix>jobs/<job>/hops/<partition>/<hop>.json       what was left when an invocation's time was up
//! <prefix>jobs/<job>/chunks/<index>.<cut>.<hop>.<attempt>   chunk results, gone when the output is complete
//! <prefix>jobs/<job>/done/<group>/<partition>.json
//! <prefix>jobs/<job>/groups/<group>.json
//! <prefix>jobs/<job>/lease.json                        who is reducing
//! <prefix>jobs/<job>/concat.json                       how the output is put together
//! <prefix>jobs/<job>/concat/<node>.json                how a node of it is, where it is made of nodes
//! <prefix>jobs/<job>/concat/leases/<node>.json         who is making that
//! <prefix>jobs/<job>/concat/made/<node>.json           that it is made
//! <prefix>jobs/<job>/nodes/<node>                      the node itself, gone when the output is complete
//! <prefix>jobs/<job>/cancel.json                       that it is to stop
//! <prefix>jobs/<job>/joblog.tsv                        a line for each try at a chunk
//! <prefix>jobs/<job>/result.json                       how it ended
//! <prefix>jobs/<job>/redrive.json                      the run that does what failed in this one
//! ```
//! Numbers are padded, so that a list comes in their order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::crc::Crc64;
use crate::uri::ObjectUri;

/// The name of one run of a job: letters, digits, `.`, `_` and `-`, at most 128.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// Why a text is not a job id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a job id; it has 1 to 128 letters, digits, '.', '_' or '-', and is neither '.' nor '..'"
)]
pub struct JobIdError(String);

/// Longest job id, so that the longest key made from it stays well below S3's 1,024 bytes.
const JOB_ID_BYTES_MAX: usize = 128;

impl JobId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id from any text: the text itself where it is one; else its beginning with `-` for what may not stand in an id,
    /// and the CRC64NVME of the whole text, so that texts that differ only there, or further on, stay different runs.
    pub fn from_token(token: &str) -> Self {
        if let Ok(id) = token.parse() {
            return id;
        }
        let suffix = format!("-{}", Crc64::of(token.as_bytes()));
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let beginning = token.chars().map(plain).take(JOB_ID_BYTES_MAX - suffix.len());
        Self(beginning.chain(suffix.chars()).collect())
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // "." and ".." in a key would lead clients that tidy paths to another object.
        let dots = text == "." || text == "..";
        if text.is_empty() || text.len() > JOB_ID_BYTES_MAX || !plain || dots {
            return Err(JobIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for JobId {
    type Error = JobIdError;

    fn try_from(text: String) -> Result<Self, JobIdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefix of the markers of all jobs that run below `work`, an address as for [`JobKeys::new`]. What follows it in a
/// marker's key is the job's id.
pub fn active_jobs(work: &ObjectUri) -> ObjectUri {
    folder_of(work, "active")
}

/// Whether this object is one that Fanfold keeps for itself below `work`: an artefact of any job, or a marker.
pub fn is_kept(object: &ObjectUri, work: &ObjectUri) -> bool {
    let is_below = |folder: ObjectUri| object.bucket == folder.bucket && object.key.starts_with(&folder.key);
    is_below(folder_of(work, "jobs")) || is_below(active_jobs(work))
}

fn folder_of(work: &ObjectUri, name: &str) -> ObjectUri {
    let slash = if work.key.is_empty() || work.key.ends_with('/') { "" } else { "/" };
    ObjectUri::new(&work.bucket, format!("{}{slash}{name}/", work.key))
}

/// The job whose marker below `work` this object is.
pub fn job_of_marker(object: &ObjectUri, work: &ObjectUri) -> Option<JobId> {
    let markers = active_jobs(work);
    let of_bucket = Some(object).filter(|object| object.bucket == markers.bucket)?;
    of_bucket.key.strip_prefix(markers.key.as_str())?.parse().ok()
}

/// The names of those artefacts that a job has once.
const DOCUMENTS: [&str; 8] = [
    "job.json",
    "plan.json",
    "lease.json",
    "concat.json",
    "cancel.json",
    "joblog.tsv",
    "result.json",
    "redrive.json",
];

/// Whether a key that is made here may end in `suffix`: as a document, by its name or its number, as a chunk result or a node,
/// or as the marker of a job whose id has no `.`. An id with one comes from a caller's token, and may end in anything;
/// [`job_of_marker`] tells such a marker. No is certain, yes is not. Infra's check of jobs has the same rule.
pub fn may_end_in(suffix: &str) -> bool {
    let last = suffix.rsplit('/').next().unwrap_or_default();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let of_document = last.strip_suffix(".json").is_some_and(is_number)
        || DOCUMENTS.iter().any(|document| document.ends_with(last));
    let of_chunk_result = last.split('.').all(is_number);
    let of_marker = last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    of_document || of_chunk_result || of_marker
}

/// The keys of one job's artefacts, all in one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobKeys {
    work: ObjectUri,
    job_id: JobId,
}

impl JobKeys {
    /// The keys of `job_id` below `work`, an address whose key is empty or ends with `/`.
    pub fn new(work: &ObjectUri, job_id: &JobId) -> Self {
        let mut work = work.clone();
        if !work.key.is_empty() && !work.key.ends_with('/') {
            work.key.push('/');
        }
        Self { work, job_id: job_id.clone() }
    }

    /// The job that these keys belong to.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    fn below(&self, rest: fmt::Arguments<'_>) -> ObjectUri {
        ObjectUri::new(&self.work.bucket, format!("{}jobs/{}/{rest}", self.work.key, self.job_id))
    }

    /// The prefix of all the job's artefacts, but for the marker.
    pub fn folder(&self) -> ObjectUri {
        self.below(format_args!(""))
    }

    /// The marker that says that the job runs.
    pub fn active(&self) -> ObjectUri {
        let mut at = active_jobs(&self.work);
        at.key.push_str(self.job_id.as_str());
        at
    }

    /// What was asked for.
    pub fn job(&self) -> ObjectUri {
        self.below(format_args!("job.json"))
    }

    /// What will be done.
    pub fn plan(&self) -> ObjectUri {
        self.below(format_args!("plan.json"))
    }

    /// The start of one attempt at a partition's hop.
    pub fn attempt(&self, partition: u64, hop: u32, attempt: u32) -> ObjectUri {
        self.below(format_args!("attempts/{partition:06}/{hop:04}/{attempt:03}.json"))
    }

    /// The prefix of all attempts at one partition.
    pub fn attempts_at(&self, partition: u64) -> ObjectUri {
        self.below(format_args!("attempts/{partition:06}/"))
    }

    /// The prefix of all attempts.
    pub fn all_attempts(&self) -> ObjectUri {
        self.below(format_args!("attempts/"))
    }

    /// What was left when the time of a partition's hop was up.
    pub fn hop(&self, partition: u64, hop: u32) -> ObjectUri {
        self.below(format_args!("hops/{partition:06}/{hop:04}.json"))
    }

    /// The prefix of what the hops of a partition left.
    pub fn hops_of(&self, partition: u64) -> ObjectUri {
        self.below(format_args!("hops/{partition:06}/"))
    }

    /// The prefix of what the hops of all partitions left.
    pub fn all_hops(&self) -> ObjectUri {
        self.below(format_args!("hops/"))
    }

    /// What one attempt's process printed; small results of several chunks together, under what would be the first one's key.
    pub fn chunk_result(&self, index: u64, cut: u32, hop: u32, attempt: u32) -> ObjectUri {
        self.below(format_args!("chunks/{index:09}.{cut:04}.{hop:04}.{attempt:03}"))
    }

    /// The prefix of all chunk results.
    pub fn chunk_results(&self) -> ObjectUri {
        self.below(format_args!("chunks/"))
    }

    /// A partition's outcome.
    pub fn done(&self, group: u64, partition: u64) -> ObjectUri {
        self.below(format_args!("done/{group:06}/{partition:06}.json"))
    }

    /// The prefix of a group's outcomes.
    pub fn done_of(&self, group: u64) -> ObjectUri {
        self.below(format_args!("done/{group:06}/"))
    }

    /// The prefix of all outcomes.
    pub fn all_done(&self) -> ObjectUri {
        self.below(format_args!("done/"))
    }

    /// A group's outcomes in one object.
    pub fn group(&self, group: u64) -> ObjectUri {
        self.below(format_args!("groups/{group:06}.json"))
    }

    /// The prefix of all groups.
    pub fn groups(&self) -> ObjectUri {
        self.below(format_args!("groups/"))
    }

    /// Who is reducing, and until when.
    pub fn lease(&self) -> ObjectUri {
        self.below(format_args!("lease.json"))
    }

    /// How the output is put together.
    pub fn concat(&self) -> ObjectUri {
        self.below(format_args!("concat.json"))
    }

    /// How a node of the output is put together.
    pub fn node_plan(&self, node: u32) -> ObjectUri {
        self.below(format_args!("concat/{node:06}.json"))
    }

    /// Who is making a node of the output, and until when.
    pub fn node_lease(&self, node: u32) -> ObjectUri {
        self.below(format_args!("concat/leases/{node:06}.json"))
    }

    /// That a node of the output is made.
    pub fn node_made(&self, node: u32) -> ObjectUri {
        self.below(format_args!("concat/made/{node:06}.json"))
    }

    /// The prefix of the records of nodes that are made.
    pub fn nodes_made(&self) -> ObjectUri {
        self.below(format_args!("concat/made/"))
    }

    /// A node of the output.
    pub fn node(&self, node: u32) -> ObjectUri {
        self.below(format_args!("nodes/{node:06}"))
    }

    /// The prefix of the nodes of the output.
    pub fn nodes(&self) -> ObjectUri {
        self.below(format_args!("nodes/"))
    }

    /// That the job is to stop.
    pub fn cancel(&self) -> ObjectUri {
        self.below(format_args!("cancel.json"))
    }

    /// A line for each try at a chunk.
    pub fn joblog(&self) -> ObjectUri {
        self.below(format_args!("joblog.tsv"))
    }

    /// Which run does what failed in this one.
    pub fn redrive(&self) -> ObjectUri {
        self.below(format_args!("redrive.json"))
    }

    /// How the job ended.
    pub fn result(&self) -> ObjectUri {
        self.below(format_args!("result.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_list_in_the_order_of_their_numbers() {
        let keys = JobKeys::new(&"s3://store/fan".parse().unwrap(), &"run-1".parse().unwrap());
        assert_eq!(keys.plan().to_string(), "s3://store/fan/jobs/run-1/plan.json");
        assert_eq!(keys.active().to_string(), "s3://store/fan/active/run-1");
        assert!(keys.attempts_at(98).key < keys.attempt(98, 9, 999).key);
        assert!(keys.attempt(98, 9, 999).key < keys.attempts_at(99).key);
        assert!(keys.done(2, 99).key < keys.done(2, 100).key);
        assert!(keys.chunk_result(9, 0, 0, 1).key < keys.chunk_result(10, 0, 0, 1).key);
        assert!(keys.done(1, 5).key.starts_with(&keys.done_of(1).key));
    }

    #[test]
    fn whatever_a_key_ends_in_is_known_and_other_endings_are_not_taken_for_one() {
        let work = "s3://store/fan/".parse().unwrap();
        let keys = JobKeys::new(&work, &"run_1-Ab".parse().unwrap());
        let all = [
            (keys.job(), keys.plan(), keys.attempt(98, 0, 1)),
            (keys.done(3, 45), keys.group(1_234_567), keys.lease()),
            (keys.concat(), keys.result(), keys.chunk_result(9, 0, 0, 1)),
            (keys.hop(98, 3), keys.cancel(), keys.joblog()),
            (keys.redrive(), keys.node_plan(3), keys.node(4)),
            (keys.node_lease(5), keys.node_made(6), keys.nodes()),
            (keys.active(), keys.active(), keys.active()),
        ];
        for ObjectUri { key, .. } in all.into_iter().flat_map(|(one, other, third)| [one, other, third]) {
            for from in 0..=key.len() {
                assert!(may_end_in(&key[from..]), "{}", &key[from..]);
            }
        }
        for suffix in
            [".csv", ".json.gz", "orders.json", "/orders.json", "data.jsonl", ".7z", "한글", ".1.csv"]
        {
            assert!(!may_end_in(suffix), "{suffix}");
        }
        assert_eq!(job_of_marker(&keys.active(), &work).as_ref(), Some(keys.job_id()));
        for other in
            ["s3://store/fan/active/", "s3://store/fan/active/a/b", "s3://other/fan/active/a", "s3://store/a"]
        {
            assert_eq!(job_of_marker(&other.parse().unwrap(), &work), None, "{other}");
        }
    }

    #[test]
    fn what_fanfold_keeps_is_told_from_what_lies_beside_it() {
        for work in ["s3://store/fan", "s3://store/fan/", "s3://store"] {
            let work = work.parse().unwrap();
            let keys = JobKeys::new(&work, &"run-1".parse().unwrap());
            for kept in [keys.active(), keys.plan(), keys.chunk_result(1, 0, 0, 1)] {
                assert!(is_kept(&kept, &work), "{kept}");
                assert!(!is_kept(&ObjectUri::new("other", kept.key), &work));
            }
            for beside in ["fan/local/jobs/x", "fan/jobs.csv", "fan/jobs", "fan/activity/x", "out/jobs/x"] {
                assert!(!is_kept(&ObjectUri::new("store", beside), &work), "{beside}");
            }
        }
    }

    #[test]
    fn a_token_that_is_an_id_is_kept_and_two_tokens_are_never_one_run() {
        assert_eq!(JobId::from_token("run_1.a-B").as_str(), "run_1.a-B");
        assert!(JobId::from_token("arn:aws/x 1").as_str().starts_with("arn-aws-x-1-"));
        let long = "x".repeat(500);
        let tokens = [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a-b",
            "주문",
            "주소",
            &long,
            &format!("{long}1"),
            &format!("{long}2"),
        ];
        let ids: std::collections::BTreeSet<JobId> =
            tokens.iter().map(|token| JobId::from_token(token)).collect();
        assert_eq!(ids.len(), tokens.len());
        for id in &ids {
            assert_eq!(id.as_str().parse::<JobId>().as_ref(), Ok(id));
        }
    }

    #[test]
    fn what_would_change_a_keys_folder_is_no_id() {
        for text in ["", ".", "..", "a/b", "a b", "ü", &"x".repeat(129)] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_key_made_from_a_job_id_fits_into_s3() {
        let longest = JobId::from_token(&"x".repeat(500));
        let keys = JobKeys::new(&"s3://work".parse().unwrap(), &longest);
        let key = keys.chunk_result(u64::MAX, u32::MAX, u32::MAX, u32::MAX).key;
        assert!(
            key.len() + 512 <= crate::limits::KEY_BYTES,
            "no room for a prefix beside {} bytes",
            key.len()
        );
    }
}
