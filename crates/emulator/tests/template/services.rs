//! What answers besides Lambda: EventBridge, CloudWatch Logs, CloudFormation, and the emulator itself.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use fanfold_emulator::services::{self, ClientError};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::support::*;

fn credentials() -> Credentials {
    Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test")
}

/// Sends a request to Lambda's address.
async fn send(stack: &Stack, request: http::Request<String>) -> (u16, Value) {
    let address = stack.emulator.lambda_endpoint().strip_prefix("http://").unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let answer = async {
        let answer =
            sender.send_request(request.map(|body| Full::new(bytes::Bytes::from(body)))).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    tokio::join!(answer, connection).0
}

/// A request in the JSON protocol, signed for `service` by the SDKs' own signer.
async fn call(stack: &Stack, service: &str, target: &str, input: &Value) -> (u16, Value) {
    let body = input.to_string();
    let endpoint = stack.emulator.lambda_endpoint();
    let host = endpoint.strip_prefix("http://").unwrap();
    let headers = [("host", host), ("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
    let identity = credentials().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = format!("{endpoint}/");
    let signable =
        SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
            .unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut request = http::Request::post("/").body(body.clone()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    instructions.apply_to_request_http1x(&mut request);
    send(stack, request).await
}

#[tokio::test]
async fn events_of_ones_own_reach_the_rules_that_take_them_transformed_as_they_say() {
    let mut stack = Stack::deploy().await;
    let entry = |source: &str| json!({ "Source": source, "DetailType": "Order", "Detail": "{\"n\":1}" });
    let entries = json!({ "Entries": [entry("shop"), entry("other"), entry("aws.s3")] });
    let (status, answer) = call(&stack, "events", "AWSEvents.PutEvents", &entries).await;
    assert_eq!((status, &answer["FailedEntryCount"]), (200, &json!(1)), "{answer}");
    assert_eq!(answer["Entries"][2]["ErrorCode"], "NotAuthorizedForSourceException");
    let id = &answer["Entries"][0]["EventId"];
    let events = stack.events().await;
    let [event] = &events[..] else { panic!("{events:#?}") };
    assert_eq!((&event["run"], &event["trigger"]["event"]), (&json!("orders"), id));
    let messages = stack.emulator.queues().messages(&stack.template.queues[0]).unwrap();
    assert_eq!(messages.iter().map(|message| message.body.as_str()).collect::<Vec<_>>(), ["{\"n\":1}"]);
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_request_signed_for_another_service_or_not_at_all_is_refused() {
    let stack = Stack::deploy().await;
    let (status, answer) = call(&stack, "lambda", "AWSEvents.PutEvents", &json!({})).await;
    assert_eq!((status, &answer["__type"]), (403, &json!("InvalidSignatureException")));
    let unsigned =
        http::Request::post("/").header("x-amz-target", "AWSEvents.PutEvents").body("{}".into()).unwrap();
    let (status, answer) = send(&stack, unsigned).await;
    assert_eq!((status, &answer["__type"]), (403, &json!("MissingAuthenticationTokenException")));
    let (status, answer) = call(&stack, "events", "AWSEvents.PutRule", &json!({})).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("UnknownOperationException")));
    stack.emulator.stop().await;
}

fn logs_client(stack: &Stack) -> aws_sdk_cloudwatchlogs::Client {
    use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Config, Region};
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(stack.emulator.lambda_endpoint())
        .region(Region::new(REGION))
        .credentials_provider(credentials());
    aws_sdk_cloudwatchlogs::Client::from_conf(config.build())
}

#[tokio::test]
async fn what_functions_print_is_found_by_group_and_filter_and_page_by_page() {
    let mut stack = Stack::deploy().await;
    let logs = logs_client(&stack);
    let at = time::OffsetDateTime::UNIX_EPOCH;
    for _ in 0..5 {
        stack.emulator.fire("nightly", at).unwrap();
    }
    stack.events().await;
    let find = |token: Option<String>| {
        let find = logs.filter_log_events().log_group_name("/orders/dispatcher");
        find.filter_pattern("event \"nightly\"").limit(2).set_next_token(token)
    };
    // The lines pass through a channel on their way.
    let all = async {
        loop {
            let (mut found, mut pages, mut token) = (Vec::new(), 0, None);
            loop {
                let page = find(token).send().await.unwrap();
                pages += 1;
                found.extend(page.events().iter().map(|event| event.event_id().unwrap().to_owned()));
                token = page.next_token;
                if token.is_none() {
                    break;
                }
            }
            if found.len() == 5 {
                return (found, pages);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (found, pages) =
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("the lines did not come");
    assert_eq!(pages, 3);
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    let elsewhere = logs.filter_log_events().log_group_name("/orders/nobody").send().await.unwrap_err();
    assert!(elsewhere.into_service_error().is_resource_not_found_exception());
    let pattern = logs.filter_log_events().log_group_name("/orders/dispatcher").filter_pattern("[a, b]");
    let error = pattern.send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    stack.emulator.stop().await;
}

#[tokio::test]
async fn the_stacks_outputs_can_be_asked_for() {
    use aws_sdk_cloudformation::config::{BehaviorVersion, Config, Region};
    let stack = Stack::deploy().await;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(stack.emulator.lambda_endpoint())
        .region(Region::new(REGION))
        .credentials_provider(credentials());
    let client = aws_sdk_cloudformation::Client::from_conf(config.build());
    let described = client.describe_stacks().stack_name("Orders").send().await.unwrap();
    let [found] = described.stacks() else { panic!("{described:?}") };
    assert_eq!(found.stack_status().unwrap().as_str(), "CREATE_COMPLETE");
    let output = found.outputs().iter().find(|it| it.output_key() == Some("OrdersDispatcher")).unwrap();
    assert_eq!(output.output_value(), Some("orders-dispatcher"));
    assert_eq!(output.description(), Some("Fanfold dispatcher <of> & the pipeline orders"));
    assert_eq!(output.export_name(), Some("orders"));
    assert_eq!(found.outputs().len(), 2, "one has no value here");
    let id = found.stack_id().unwrap();
    assert_eq!(client.describe_stacks().stack_name(id).send().await.unwrap().stacks().len(), 1);
    assert_eq!(client.describe_stacks().send().await.unwrap().stacks().len(), 1);
    let error = client.describe_stacks().stack_name("Other").send().await.unwrap_err().into_service_error();
    assert_eq!(
        (error.code(), error.message()),
        (Some("ValidationError"), Some("Stack with id Other does not exist"))
    );
    stack.emulator.stop().await;
}

#[tokio::test]
async fn a_schedule_is_fired_by_whoever_knows_the_address_but_not_by_a_web_page() {
    let mut stack = Stack::deploy().await;
    let endpoint = stack.emulator.lambda_endpoint().to_owned();
    let fired = services::fire(&endpoint, "orders/nightly", Some("2026-11-22T04:00:00+01:00")).await.unwrap();
    assert_eq!((fired.schedule.as_str(), fired.at.as_str()), ("orders/nightly", "2026-11-22T03:00:00Z"));
    services::fire(&endpoint, "nightly", None).await.unwrap();
    assert_eq!(stack.events().await.len(), 2);
    let request = http::Request::post("/emulator/schedules/nightly/fire").header("host", "127.0.0.1");
    let request = request.header("origin", "http://page.example").body(String::new()).unwrap();
    assert_eq!(send(&stack, request).await.0, 403);
    let list =
        http::Request::get("/emulator/schedules").header("host", "localhost").body(String::new()).unwrap();
    let (status, listed) = send(&stack, list).await;
    assert_eq!(status, 200);
    assert_eq!(listed["schedules"][0]["name"], "nightly");
    assert_eq!(listed["schedules"][0]["tells"], json!([{ "function": "orders-dispatcher" }]));
    assert_eq!(listed["schedules"][1]["expression"], "rate(1 hour)");
    stack.emulator.stop().await;
}

#[tokio::test]
async fn who_fires_a_schedule_in_vain_is_told_why() {
    let stack = Stack::deploy().await;
    let endpoint = stack.emulator.lambda_endpoint().to_owned();
    let error = services::fire(&endpoint, "weekly", None).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no schedule `weekly`; there are: orders/nightly, every-hour");
    let error = services::fire(&endpoint, "nightly", Some("soon")).await.unwrap_err();
    assert_eq!(error.to_string(), "`soon` is no time such as 2026-11-22T03:00:00Z");
    let strange = services::fire(&stack.emulator.s3_endpoint(), "nightly", None).await.unwrap_err();
    assert!(matches!(strange, ClientError::Stranger { .. }), "{strange:?}");
    stack.emulator.stop().await;
    assert!(matches!(services::fire(&endpoint, "x", None).await, Err(ClientError::Unreachable { .. })));
    for wrong in ["", "127.0.0.1:1", "https://127.0.0.1:1"] {
        assert!(matches!(services::fire(wrong, "x", None).await, Err(ClientError::Address(_))), "{wrong}");
    }
}

#[tokio::test]
async fn the_environment_names_every_service() {
    let stack = Stack::deploy().await;
    let environment = stack.emulator.environment();
    for service in ["LAMBDA", "EVENTBRIDGE", "CLOUDWATCH_LOGS", "CLOUDFORMATION"] {
        let name = format!("AWS_ENDPOINT_URL_{service}");
        let value =
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.as_str());
        assert_eq!(value, Some(stack.emulator.lambda_endpoint()), "{name}");
    }
    stack.emulator.stop().await;
}
