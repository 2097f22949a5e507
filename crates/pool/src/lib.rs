//! Processes: spawn, feed, drain, kill, reap. Knows neither S3 nor Lambda.
