//! The two shapes in which S3 tells of a new object. Sources: "EventBridge event message structure" and "Event message
//! structure" in the S3 user guide.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::account::{ACCOUNT, bucket_arn};
use crate::events::timestamp;
use crate::s3::{CreatedBy, ObjectCreated};
use crate::template::Notification;

/// What a notification does not encode in a key; a space becomes a plus.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b' ');
const MILLISECONDS: &[FormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// Who asks, as far as S3 can tell: everybody is on this machine.
const SOURCE_ADDRESS: &str = "127.0.0.1";

/// The event as it goes through EventBridge; the key is as it is.
pub(super) fn for_eventbridge(created: &ObjectCreated, region: &str) -> Value {
    let reason = match created.by {
        CreatedBy::Put => "PutObject",
        CreatedBy::Copy => "CopyObject",
        CreatedBy::CompleteMultipartUpload => "CompleteMultipartUpload",
    };
    json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": timestamp(time_of(created)),
        "region": region,
        "resources": [bucket_arn(&created.bucket)],
        "detail": {
            "version": "0",
            "bucket": { "name": created.bucket },
            "object": {
                "key": created.key,
                "size": created.size,
                "etag": created.etag,
                "sequencer": created.sequencer,
            },
            "request-id": request_id(),
            "requester": ACCOUNT,
            "source-ip-address": SOURCE_ADDRESS,
            "reason": reason,
        },
    })
}

/// What happened, as notifications name it.
pub(super) fn event_name(by: CreatedBy) -> &'static str {
    match by {
        CreatedBy::Put => "ObjectCreated:Put",
        CreatedBy::Copy => "ObjectCreated:Copy",
        CreatedBy::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
    }
}

/// The notification that S3 sends itself; the key is URL-encoded.
pub(super) fn notification(created: &ObjectCreated, notification: &Notification, region: &str) -> Value {
    let key = utf8_percent_encode(&created.key, ESCAPED).to_string().replace(' ', "+");
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": time_of(created).format(MILLISECONDS).unwrap_or_default(),
        "eventName": event_name(created.by),
        "userIdentity": { "principalId": ACCOUNT },
        "requestParameters": { "sourceIPAddress": SOURCE_ADDRESS },
        "responseElements": { "x-amz-request-id": request_id(), "x-amz-id-2": request_id() },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification.id,
            "bucket": {
                "name": created.bucket,
                "ownerIdentity": { "principalId": ACCOUNT },
                "arn": bucket_arn(&created.bucket),
            },
            "object": {
                "key": key,
                "size": created.size,
                "eTag": created.etag,
                "sequencer": created.sequencer,
            },
        },
    }] })
}

fn time_of(created: &ObjectCreated) -> OffsetDateTime {
    let since = time::Duration::milliseconds(created.at);
    OffsetDateTime::UNIX_EPOCH.checked_add(since).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Of S3's form: 16 digits and letters.
fn request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..16].to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created() -> ObjectCreated {
        ObjectCreated {
            bucket: "in".into(),
            key: "orders/red flower+ü(1).csv".into(),
            size: 5,
            etag: "b1946ac92492d2347c6235b4d2611184".into(),
            sequencer: "00617F08299329D189".into(),
            by: CreatedBy::Copy,
            at: 1_636_675_200_123,
        }
    }

    #[test]
    fn through_eventbridge_an_event_has_the_documented_shape_and_the_key_as_it_is() {
        let mut event = for_eventbridge(&created(), "ca-central-1");
        assert!(uuid::Uuid::parse_str(event["id"].take().as_str().unwrap()).is_ok());
        assert_eq!(event["detail"]["request-id"].take().as_str().unwrap().len(), 16);
        assert_eq!(
            event,
            json!({
                "version": "0",
                "id": null,
                "detail-type": "Object Created",
                "source": "aws.s3",
                "account": "000000000000",
                "time": "2021-11-12T00:00:00Z",
                "region": "ca-central-1",
                "resources": ["arn:aws:s3:::in"],
                "detail": {
                    "version": "0",
                    "bucket": { "name": "in" },
                    "object": {
                        "key": "orders/red flower+ü(1).csv",
                        "size": 5,
                        "etag": "b1946ac92492d2347c6235b4d2611184",
                        "sequencer": "00617F08299329D189",
                    },
                    "request-id": null,
                    "requester": "000000000000",
                    "source-ip-address": "127.0.0.1",
                    "reason": "CopyObject",
                },
            })
        );
    }

    #[test]
    fn a_notification_has_the_documented_shape_and_its_key_is_encoded() {
        let to = Notification {
            id: "new".into(),
            function: "f".into(),
            events: Vec::new(),
            prefix: String::new(),
            suffix: String::new(),
        };
        let event = notification(&created(), &to, "ca-central-1");
        let record = &event["Records"][0];
        assert_eq!(record["s3"]["object"]["key"], "orders/red+flower%2B%C3%BC%281%29.csv");
        assert_eq!(record["eventName"], "ObjectCreated:Copy");
        assert_eq!(record["eventTime"], "2021-11-12T00:00:00.123Z");
        assert_eq!(record["s3"]["configurationId"], "new");
        assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::in");
    }
}
