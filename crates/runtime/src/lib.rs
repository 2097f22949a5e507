//! The shell that the three functions share: configuration, budget, errors, logs, the Lambda runtime.
