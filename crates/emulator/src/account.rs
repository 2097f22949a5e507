//! The one account that everything here belongs to, and the names of its things.

/// The account's number. Callers never see another one.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The ARN of the function `name`, without a qualifier.
pub(crate) fn function_arn(region: &str, name: &str) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{name}")
}

/// The ARN of the queue `name`.
pub(crate) fn queue_arn(region: &str, name: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT}:{name}")
}

/// The ARN of a bucket.
pub(crate) fn bucket_arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

/// The name in an ARN of a queue of ours.
pub(crate) fn queue_of(arn: &str, region: &str) -> Option<String> {
    let place = format!("arn:aws:sqs:{region}:{ACCOUNT}:");
    arn.strip_prefix(&place).map(str::to_owned)
}
