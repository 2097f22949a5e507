//! What starts functions: objects, schedules, rules; and where goes what they could not do.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use serde_json::json;
use time::macros::datetime;

use super::support::*;

#[tokio::test]
async fn a_new_object_is_told_once_to_the_rules_that_match_with_its_key_as_it_is() {
    let mut stack = Stack::deploy().await;
    let bucket = stack.work_bucket().to_owned();
    stack.put(&bucket, "orders/red flower+ü.csv").await;
    stack.put(&bucket, "orders/no.txt").await;
    stack.put("quiet", "orders/unheard.csv").await;
    let events = stack.events().await;
    let [event] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(event["source"], "aws.s3");
    assert_eq!(event["detail-type"], "Object Created");
    assert_eq!(event["detail"]["bucket"]["name"], bucket);
    assert_eq!(event["detail"]["object"]["key"], "orders/red flower+ü.csv");
    assert_eq!(event["detail"]["object"]["size"], 5);
    assert_eq!(event["detail"]["object"]["etag"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(event["detail"]["reason"], "PutObject");
    stack.emulator.stop().await;
}

#[tokio::test]
async fn copies_and_multipart_uploads_are_told_too_and_the_later_has_the_greater_sequencer() {
    let mut stack = Stack::deploy().await;
    let bucket = stack.work_bucket().to_owned();
    let key = "orders/a.csv";
    let upload = stack.s3.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"part");
    let part = stack.s3.upload_part().bucket(&bucket).key(key).upload_id(id).part_number(1).body(body);
    let part = part.send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let complete = stack.s3.complete_multipart_upload().bucket(&bucket).key(key).upload_id(id);
    let complete = complete.multipart_upload(CompletedMultipartUpload::builder().parts(part).build());
    complete.send().await.unwrap();
    let copy =
        stack.s3.copy_object().bucket(&bucket).key("orders/b.csv").copy_source(format!("{bucket}/{key}"));
    copy.send().await.unwrap();
    let refused = stack.s3.put_object().bucket(&bucket).key(key).if_none_match("*").send().await;
    assert!(refused.is_err());
    let mut objects: Vec<_> = stack.events().await.into_iter().map(|event| event["detail"].clone()).collect();
    objects.sort_by_key(|detail| detail["object"]["sequencer"].to_string());
    let told: Vec<_> = objects.iter().map(|detail| (&detail["reason"], &detail["object"]["key"])).collect();
    assert_eq!(
        told,
        [(&json!("CompleteMultipartUpload"), &json!(key)), (&json!("CopyObject"), &json!("orders/b.csv"))],
        "what was refused is not told"
    );
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_file_that_is_imported_is_told_of_as_if_it_had_been_put() {
    let mut stack = Stack::deploy().await;
    let file = stack.folder.path().join("file");
    std::fs::write(&file, "hello").unwrap();
    let bucket = stack.work_bucket().to_owned();
    stack.emulator.s3().import(&bucket, "orders/file.csv", &file, |_| {}).await.unwrap();
    let events = stack.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["detail"]["reason"], "PutObject");
    assert_eq!(events[0]["detail"]["object"]["size"], 5);
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_bucket_of_others_that_a_rule_names_is_there_and_told_of() {
    let mut stack = Stack::deploy().await;
    stack.put("elsewhere", "orders/a.csv").await;
    let events = stack.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["detail"]["bucket"]["name"], "elsewhere");
    stack.emulator.stop().await;
}

#[tokio::test]
async fn s3_tells_functions_itself_where_it_is_set_so_either_way_of_setting_it() {
    let mut stack = Stack::deploy().await;
    for key in ["in/a b.csv", "in/a.txt", "out/a.csv"] {
        stack.put("direct", key).await;
    }
    let copy = stack.s3.copy_object().bucket("direct").key("in/copy.csv").copy_source("direct/out/a.csv");
    copy.send().await.unwrap();
    stack.put("managed", "ü.json").await;
    let events = stack.events().await;
    let mut told: Vec<String> = events
        .iter()
        .map(|event| {
            let record = &event["Records"][0];
            format!(
                "{} {} {}",
                record["eventName"], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "\"ObjectCreated:Put\" \"direct\" \"in/a+b.csv\"",
            "\"ObjectCreated:Put\" \"managed\" \"%C3%BC.json\""
        ]
    );
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_fired_schedule_tells_its_function_with_every_attribute_filled_in() {
    let mut stack = Stack::deploy().await;
    let at = datetime!(2026-11-22 04:00 +1);
    for name in ["nightly", "orders/nightly"] {
        let fired = stack.emulator.fire(name, at).unwrap();
        assert_eq!((fired.schedule.as_str(), fired.at.as_str()), ("orders/nightly", "2026-11-22T03:00:00Z"));
    }
    let expected = json!({
        "run": "nightly",
        "trigger": {
            "schedule": "arn:aws:scheduler:us-east-1:000000000000:schedule/orders/nightly",
            "time": "2026-11-22T03:00:00Z",
        },
    });
    assert_eq!(stack.events().await, [expected.clone(), expected]);
    let fired = stack.emulator.fire("every-hour", at).unwrap();
    let event: serde_json::Value = serde_json::from_str(&fired.told[0].payload).unwrap();
    assert_eq!(event["source"], "aws.events");
    assert_eq!(event["time"], "2026-11-22T03:00:00Z");
    assert_eq!(event["resources"], json!(["arn:aws:events:us-east-1:000000000000:rule/every-hour"]));
    let error = stack.emulator.fire("nightlx", at).unwrap_err().to_string();
    assert_eq!(error, "there is no schedule `nightlx`; there are: orders/nightly, every-hour");
    stack.emulator.stop().await;
}

#[tokio::test]
async fn an_event_that_keeps_failing_is_in_the_dead_letter_queue_with_its_record() {
    let stack = Stack::deploy().await;
    let queue = stack.template.queues[0].clone();
    stack.put("direct", "in/a.csv").await;
    assert!(stack.emulator.queues().messages(&queue).unwrap().is_empty());
    let lambda = lambda_client(&stack);
    let event = json!({ "do": "error", "document": { "errorType": "E", "errorMessage": "m" } });
    let invoke =
        lambda.invoke().function_name("orders-dispatcher").payload(event.to_string().into_bytes().into());
    invoke.invocation_type(aws_sdk_lambda::types::InvocationType::Event).send().await.unwrap();
    stack.emulator.lambda().drain().await;
    let messages = stack.emulator.queues().messages(&queue).unwrap();
    let [message] = &messages[..] else { panic!("{messages:?}") };
    let record: serde_json::Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2, "one try and one retry");
    assert_eq!(record["requestPayload"], event);
    let file = stack.folder.path().join("data/queues").join(format!("{queue}.jsonl"));
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 1);
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_function_finds_what_its_template_says_of_it() {
    let stack = Stack::deploy().await;
    let invoked = lambda_client(&stack).invoke().function_name("orders-dispatcher").send().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(invoked.payload().unwrap().as_ref()).unwrap();
    let code = stack.template.functions.iter().find(|it| it.name == "orders-dispatcher").unwrap();
    assert_eq!(answer["directory"].as_str(), code.directory.as_ref().unwrap().to_str());
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/orders/dispatcher"),
        ("LAMBDA_TASK_ROOT", answer["directory"].as_str().unwrap()),
        ("STAGE", "test"),
        ("WORK_URI", &format!("s3://{}/work/", stack.work_bucket())),
    ] {
        assert_eq!(answer["environment"][name], value, "{name}");
    }
    stack.emulator.stop().await;
}

fn lambda_client(stack: &Stack) -> aws_sdk_lambda::Client {
    use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(stack.emulator.lambda_endpoint())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test"));
    aws_sdk_lambda::Client::from_conf(config.build())
}
