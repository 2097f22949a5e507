//! What `Ref` and `Fn::GetAtt` give: the names that CloudFormation would give to what a template leaves unnamed, and ARNs.

use sha2::{Digest, Sha256};

use super::document::Resource;
use super::resolve::{Resolver, text};
use crate::account::{ACCOUNT, bucket_arn, function_arn, queue_arn};

/// The property that names a resource of this type, for the types that are named or referred to in templates of functions.
const NAME_PROPERTIES: [(&str, &str); 14] = [
    ("AWS::CloudWatch::Alarm", "AlarmName"),
    ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ("AWS::EC2::SecurityGroup", "GroupName"),
    ("AWS::Events::EventBus", "Name"),
    ("AWS::Events::Rule", "Name"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::SNS::Topic", "TopicName"),
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::SSM::Parameter", "Name"),
    ("AWS::Scheduler::Schedule", "Name"),
    ("AWS::Scheduler::ScheduleGroup", "Name"),
];

/// How many characters of a logical id and how many of chance CloudFormation takes into a name.
const ID_LENGTH: usize = 24;
const CHANCE_LENGTH: usize = 12;

/// What `Ref` gives for a resource.
pub(super) fn reference(resolver: &Resolver<'_>, id: &str, depth: u32) -> Result<String, String> {
    let resource = find(resolver, id, depth)?;
    let name = name_at(resolver, id, resource, depth)?;
    Ok(match resource.kind.as_str() {
        "AWS::SQS::Queue" => queue_url(resolver, &name),
        "AWS::SNS::Topic" => format!("arn:aws:sns:{}:{ACCOUNT}:{name}", resolver.region),
        _ => name,
    })
}

/// What `Fn::GetAtt` gives for a resource.
pub(super) fn attribute(
    resolver: &Resolver<'_>,
    id: &str,
    attribute: &str,
    depth: u32,
) -> Result<String, String> {
    let resource = find(resolver, id, depth)?;
    let name = name_at(resolver, id, resource, depth)?;
    let region = resolver.region;
    let value = match (resource.kind.as_str(), attribute) {
        ("AWS::Lambda::Function", "Arn") => function_arn(region, &name),
        ("AWS::S3::Bucket", "Arn") => bucket_arn(&name),
        ("AWS::S3::Bucket", "DomainName") => format!("{name}.s3.amazonaws.com"),
        ("AWS::S3::Bucket", "RegionalDomainName") => format!("{name}.s3.{region}.amazonaws.com"),
        ("AWS::SQS::Queue", "Arn") => queue_arn(region, &name),
        ("AWS::SQS::Queue", "QueueName") | ("AWS::Events::EventBus", "Name") => name,
        ("AWS::SQS::Queue", "QueueUrl") => queue_url(resolver, &name),
        ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
        ("AWS::Logs::LogGroup", "Arn") => format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:{name}:*"),
        ("AWS::CloudWatch::Alarm", "Arn") => format!("arn:aws:cloudwatch:{region}:{ACCOUNT}:alarm:{name}"),
        ("AWS::Events::Rule", "Arn") => format!("arn:aws:events:{region}:{ACCOUNT}:rule/{name}"),
        ("AWS::Events::EventBus", "Arn") => format!("arn:aws:events:{region}:{ACCOUNT}:event-bus/{name}"),
        ("AWS::Scheduler::ScheduleGroup", "Arn") => {
            format!("arn:aws:scheduler:{region}:{ACCOUNT}:schedule-group/{name}")
        }
        ("AWS::Scheduler::Schedule", "Arn") => {
            let group = resource
                .properties
                .get("GroupName")
                .map(|group| resolver.value_at(group, depth))
                .transpose()?;
            let group = group.flatten().as_ref().and_then(text).unwrap_or_else(|| "default".into());
            format!("arn:aws:scheduler:{region}:{ACCOUNT}:schedule/{group}/{name}")
        }
        (kind, attribute) => {
            return Err(format!("the emulator does not know the attribute {attribute} of `{id}` ({kind})"));
        }
    };
    Ok(value)
}

/// The name of a resource: its own, or the one that CloudFormation would make up.
pub(super) fn name(resolver: &Resolver<'_>, id: &str, resource: &Resource) -> Result<String, String> {
    name_at(resolver, id, resource, 0)
}

fn name_at(resolver: &Resolver<'_>, id: &str, resource: &Resource, depth: u32) -> Result<String, String> {
    let property =
        NAME_PROPERTIES.iter().find(|(kind, _)| *kind == resource.kind).map(|(_, property)| *property);
    let given = match property.and_then(|property| resource.properties.get(property)) {
        Some(given) => resolver.value_at(given, depth)?,
        None => None,
    };
    match given {
        Some(given) => text(&given).ok_or_else(|| format!("the name of `{id}` is no text")),
        None => Ok(made_up(resolver.stack, id, &resource.kind)),
    }
}

/// A name of the form that CloudFormation gives: stack, logical id, chance. Here the chance is a digest, so that a template
/// means the same names each time.
fn made_up(stack: &str, id: &str, kind: &str) -> String {
    let chance = digest(&format!("{stack}/{id}"));
    let chance = &chance[..CHANCE_LENGTH];
    let longest = if kind == "AWS::S3::Bucket" { 63 } else { 64 };
    let id: String = id.chars().take(ID_LENGTH).collect();
    let room = longest - CHANCE_LENGTH - id.len() - 2;
    let stack: String = stack.chars().take(room).collect();
    if kind == "AWS::S3::Bucket" {
        return format!("{stack}-{id}-{chance}").to_lowercase();
    }
    format!("{stack}-{id}-{}", chance.to_uppercase())
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of the stack, with a UUID made of its name.
pub(crate) fn stack_id(stack: &str, region: &str) -> String {
    let digest = digest(stack);
    let uuid = [&digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..32]].join("-");
    format!("arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{stack}/{uuid}")
}

fn queue_url(resolver: &Resolver<'_>, name: &str) -> String {
    format!("https://sqs.{}.amazonaws.com/{ACCOUNT}/{name}", resolver.region)
}

fn find<'a>(resolver: &Resolver<'a>, id: &str, depth: u32) -> Result<&'a Resource, String> {
    let resource =
        resolver.document.resources.get(id).ok_or_else(|| format!("there is no resource `{id}`"))?;
    if !resolver.holds_at(resource.condition.as_deref(), depth)? {
        let condition = resource.condition.as_deref().unwrap_or_default();
        return Err(format!("`{id}` is not made: its condition `{condition}` does not hold"));
    }
    Ok(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_long_enough_to_be_unique_short_enough_to_be_valid_and_the_same_each_time() {
        let long = "x".repeat(200);
        for kind in ["AWS::Lambda::Function", "AWS::S3::Bucket"] {
            let name = made_up(&long, &long, kind);
            assert!(name.len() <= 64, "{name}");
            assert_eq!(name, made_up(&long, &long, kind));
            assert_ne!(made_up("Stack", "One", kind), made_up("Stack", "Two", kind));
        }
        let bucket = made_up("Stack", "Work", "AWS::S3::Bucket");
        assert!(bucket.starts_with("stack-work-") && bucket == bucket.to_lowercase(), "{bucket}");
        assert!(made_up("Stack", "Work", "AWS::Lambda::Function").starts_with("Stack-Work-"));
    }
}
