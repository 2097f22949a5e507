//! The worker: a partition becomes processes and their chunk results.
