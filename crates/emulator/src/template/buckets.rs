//! Buckets, and who is told of their new objects: by S3 itself, or through EventBridge.

use super::kinds;
use super::properties::Properties;
use super::{Problem, Reading, Warning};
use crate::events::{DEFAULT_BUS, Receiver};

/// A bucket, and who is told of its new objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Whether its events go to EventBridge.
    pub tells_eventbridge: bool,
    /// Whom S3 itself tells.
    pub notifications: Vec<Notification>,
}

/// Whom S3 itself tells of which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The configuration's id, which the event carries.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// Which events, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What the key must begin with.
    pub prefix: String,
    /// What it must end with.
    pub suffix: String,
}

/// What a bucket does here without anything being said of it: it keeps objects.
const KNOWN: [&str; 15] = [
    "AbacStatus",
    "BucketEncryption",
    "BucketName",
    "CorsConfiguration",
    "IntelligentTieringConfigurations",
    "InventoryConfigurations",
    "LifecycleConfiguration",
    "LoggingConfiguration",
    "MetricsConfigurations",
    "NotificationConfiguration",
    "OwnershipControls",
    "PublicAccessBlockConfiguration",
    "Tags",
    "AccessControl",
    "AnalyticsConfigurations",
];

/// How CloudFormation and the S3 API, which a custom resource of CDK's calls, name the same things.
struct Names {
    functions: &'static str,
    function: &'static str,
    filter: &'static str,
    rules: &'static str,
    others: [&'static str; 2],
}

const CLOUDFORMATION: Names = Names {
    functions: "LambdaConfigurations",
    function: "Function",
    filter: "S3Key",
    rules: "Rules",
    others: ["QueueConfigurations", "TopicConfigurations"],
};
const API: Names = Names {
    functions: "LambdaFunctionConfigurations",
    function: "LambdaFunctionArn",
    filter: "Key",
    rules: "FilterRules",
    others: ["QueueConfigurations", "TopicConfigurations"],
};

impl<'a> Reading<'a> {
    pub(super) fn read_buckets(&mut self) {
        self.each(kinds::BUCKET, |reading, properties| {
            let name = reading.name(&properties)?;
            if !s3s::path::check_bucket_name(&name) {
                let rule = "a bucket's name has 3 to 63 lower-case letters, digits, '.' and '-'";
                return Err(properties.problem("BucketName", format!("`{name}`: {rule}")));
            }
            let id = properties.id();
            for property in properties.names().filter(|name| !KNOWN.contains(name)) {
                let why = match property {
                    "VersioningConfiguration" => "versions are not kept",
                    _ => "the emulator's S3 does not do this",
                };
                reading.warn(kinds::BUCKET, id, format!("{property}: {why}"));
            }
            let mut bucket = Bucket { name, ..Bucket::default() };
            if let Some(configuration) = properties.object("NotificationConfiguration")? {
                // On by default once it is named at all.
                let eventbridge = configuration.object("EventBridgeConfiguration")?;
                bucket.tells_eventbridge = match eventbridge {
                    Some(eventbridge) => eventbridge.text("EventBridgeEnabled")?.as_deref() != Some("false"),
                    None => false,
                };
                bucket.notifications =
                    reading.notifications(kinds::BUCKET, &configuration, &CLOUDFORMATION)?;
            }
            reading.template.buckets.push(bucket);
            Ok(())
        });
    }

    /// CDK sets notifications by a custom resource where a bucket and its function are in one template.
    pub(super) fn read_notifications(&mut self) {
        self.each(kinds::BUCKET_NOTIFICATIONS, |reading, properties| {
            let name = properties.required_text("BucketName")?;
            let Some(configuration) = properties.object("NotificationConfiguration")? else { return Ok(()) };
            let tells_eventbridge = configuration.has("EventBridgeConfiguration");
            let notifications = reading.notifications(kinds::BUCKET_NOTIFICATIONS, &configuration, &API)?;
            let bucket = reading.bucket(&name);
            bucket.tells_eventbridge |= tells_eventbridge;
            bucket.notifications.extend(notifications);
            Ok(())
        });
    }

    /// The bucket of this name, which is taken in if it is not of this stack.
    fn bucket(&mut self, name: &str) -> &mut Bucket {
        let buckets = &mut self.template.buckets;
        let at = buckets.iter().position(|bucket| bucket.name == name).unwrap_or_else(|| {
            buckets.push(Bucket { name: name.to_owned(), ..Bucket::default() });
            buckets.len() - 1
        });
        &mut buckets[at]
    }

    fn notifications(
        &mut self,
        kind: &str,
        configuration: &Properties<'a>,
        names: &Names,
    ) -> Result<Vec<Notification>, Problem> {
        for other in names.others.iter().filter(|other| configuration.has(other)) {
            self.warn(kind, configuration.id(), format!("{other}: S3 tells functions alone here"));
        }
        let mut notifications = Vec::new();
        for (entry, number) in configuration.objects(names.functions)?.iter().zip(1..) {
            let arn = entry.required_text(names.function)?;
            let Some(Receiver::Function(function)) = self.receiver(&arn) else {
                let why = format!("{arn} is no function of this stack; it is not told");
                self.warn(kind, configuration.id(), why);
                continue;
            };
            let mut events = entry.texts("Events")?;
            events.extend(entry.text("Event")?);
            let (made, others): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| event.starts_with("s3:ObjectCreated:"));
            if !others.is_empty() {
                let why = format!("{}: only new objects are told of here", others.join(", "));
                self.warn(kind, configuration.id(), why);
            }
            let (prefix, suffix) = filter(entry, names)?;
            let id = entry.text("Id")?.unwrap_or_else(|| format!("{}-{number}", configuration.id()));
            notifications.push(Notification { id, function, events: made, prefix, suffix });
        }
        Ok(notifications)
    }

    /// Buckets of others, which rules listen to by name, so that the rules can be tried.
    pub(super) fn take_in_buckets_of_rules(&mut self) {
        let named: Vec<String> = self
            .template
            .rules
            .iter()
            .filter(|rule| rule.bus == DEFAULT_BUS)
            .filter_map(|rule| rule.pattern.as_ref())
            .filter(|pattern| pattern.exact_texts(&["source"]) == ["aws.s3"])
            .flat_map(|pattern| pattern.exact_texts(&["detail", "bucket", "name"]))
            .map(str::to_owned)
            .collect();
        for name in named {
            let known = self.template.buckets.iter().any(|bucket| bucket.name == name);
            if known || !s3s::path::check_bucket_name(&name) {
                continue;
            }
            self.bucket(&name).tells_eventbridge = true;
            let why = "a rule listens to it and it is not of this stack: it is made here, and tells EventBridge, which \
                       its owner must have switched on in AWS";
            let warning = Warning { kind: kinds::BUCKET.to_owned(), logical_id: name, why: why.to_owned() };
            self.template.warnings.push(warning);
        }
    }
}

/// The prefix and suffix of a notification.
fn filter(entry: &Properties<'_>, names: &Names) -> Result<(String, String), Problem> {
    let (mut prefix, mut suffix) = (String::new(), String::new());
    let Some(filter) = entry.object("Filter")? else { return Ok((prefix, suffix)) };
    let Some(filter) = filter.object(names.filter)? else { return Ok((prefix, suffix)) };
    for rule in filter.objects(names.rules)? {
        let value = rule.text("Value")?.unwrap_or_default();
        match rule.required_text("Name")?.to_ascii_lowercase().as_str() {
            "prefix" => prefix = value,
            "suffix" => suffix = value,
            other => return Err(rule.problem("Name", format!("`{other}` is neither prefix nor suffix"))),
        }
    }
    Ok((prefix, suffix))
}
