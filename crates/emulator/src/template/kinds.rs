//! Which types of resources a template may hold without anything being lost here.

/// Types that are read elsewhere in this module.
pub(super) const FUNCTION: &str = "AWS::Lambda::Function";
pub(super) const EVENT_INVOKE_CONFIG: &str = "AWS::Lambda::EventInvokeConfig";
pub(super) const BUCKET: &str = "AWS::S3::Bucket";
pub(super) const BUCKET_NOTIFICATIONS: &str = "Custom::S3BucketNotifications";
pub(super) const QUEUE: &str = "AWS::SQS::Queue";
pub(super) const RULE: &str = "AWS::Events::Rule";
pub(super) const SCHEDULE: &str = "AWS::Scheduler::Schedule";

const EMULATED: [&str; 7] =
    [FUNCTION, EVENT_INVOKE_CONFIG, BUCKET, BUCKET_NOTIFICATIONS, QUEUE, RULE, SCHEDULE];

/// What needs no doing here: who may do what (everybody may here), what is watched, how long things are kept, and names.
const HARMLESS: [&str; 16] = [
    "AWS::CDK::Metadata",
    "AWS::CloudWatch::",
    "AWS::EC2::",
    "AWS::EventSchemas::",
    "AWS::Events::EventBus",
    "AWS::Events::EventBusPolicy",
    "AWS::IAM::",
    "AWS::KMS::",
    "AWS::Lambda::Permission",
    "AWS::Logs::",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::ScheduleGroup",
    "Custom::LogRetention",
    "Custom::S3AutoDeleteObjects",
];

/// Why a resource of this type is not there in the emulator; nothing where nothing is lost.
pub(super) fn why_left_out(kind: &str) -> Option<&'static str> {
    let is_harmless =
        |harmless: &&str| kind == *harmless || (harmless.ends_with("::") && kind.starts_with(*harmless));
    if EMULATED.contains(&kind) || HARMLESS.iter().any(is_harmless) {
        return None;
    }
    Some(match kind {
        "AWS::Lambda::EventSourceMapping" => "nothing polls queues, streams or topics here",
        "AWS::Lambda::Url" => "functions have no URLs here; use the Invoke API",
        "AWS::Lambda::Version" | "AWS::Lambda::Alias" => "functions have no versions here, only $LATEST",
        "AWS::Lambda::LayerVersion" => "layers are not laid under functions here",
        "Custom::CDKBucketDeployment" => {
            "its files are not put into the bucket; put them there with `aws s3 cp`"
        }
        kind if kind.starts_with("Custom::") || kind == "AWS::CloudFormation::CustomResource" => {
            "custom resources do not run here"
        }
        _ => "the emulator does not have this service",
    })
}
