//! The dispatcher: an event becomes a job, a plan, and partitions under way.
