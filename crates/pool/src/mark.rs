//! The mark by which the pool knows its own processes again.
//!
//! Owes `leftovers` a test that is true for the descendants of one run (or of one pool) and for nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that carries the mark. A program must leave it as it is; one of this name in
/// [`Program::environment`](crate::Program) is overwritten.
pub const MARK_VARIABLE: &str = "FANFOLD_PROCESS";

/// One pool's mark, unique over pools, processes and machines, from which those of its runs are made.
#[derive(Debug)]
pub(crate) struct PoolMark {
    token: String,
    runs: AtomicU64,
}

impl PoolMark {
    pub(crate) fn new() -> PoolMark {
        PoolMark { token: uuid::Uuid::new_v4().simple().to_string(), runs: AtomicU64::new(0) }
    }

    /// The mark of the next run.
    pub(crate) fn next_run(&self) -> Mark {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        Mark { value: format!("{}.{number}", self.token).into(), all_runs: false }
    }

    /// What all runs of this pool carry.
    pub(crate) fn all_runs(&self) -> Mark {
        Mark { value: format!("{}.", self.token).into(), all_runs: true }
    }
}

/// What an environment is searched for.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    value: Arc<str>,
    /// Whether `value` is only the beginning of the variable's value.
    all_runs: bool,
}

impl Mark {
    /// The value that [`MARK_VARIABLE`] has in a process of the run.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// Whether an environment, in the form of `/proc/<pid>/environ`, carries this mark.
    pub(crate) fn is_in(&self, environment: &[u8]) -> bool {
        environment.split(|&byte| byte == 0).any(|entry| {
            let value = entry.strip_prefix(MARK_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            match value {
                Some(value) if self.all_runs => value.starts_with(self.value.as_bytes()),
                Some(value) => value == self.value.as_bytes(),
                None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_whole_and_only_as_the_value_of_its_variable() {
        let pool = PoolMark::new();
        let marks: Vec<Mark> = (0..12).map(|_| pool.next_run()).collect();
        let environment = format!("A=1\0FANFOLD_PROCESS={}\0B=2\0", marks[1].value());
        assert!(marks[1].is_in(environment.as_bytes()));
        assert!(pool.all_runs().is_in(environment.as_bytes()));
        // Run 1 is a prefix of runs 10 and 11.
        for other in [0, 10, 11] {
            assert!(!marks[other].is_in(environment.as_bytes()));
        }
        assert!(!PoolMark::new().all_runs().is_in(environment.as_bytes()));
        let elsewhere = format!("X=FANFOLD_PROCESS={0}\0FANFOLD_PROCESS_={0}\0", marks[1].value());
        assert!(!marks[1].is_in(elsewhere.as_bytes()));
    }
}
