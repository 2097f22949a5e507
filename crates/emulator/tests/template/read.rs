//! What a template says, as it is read.

use std::time::Duration;

use fanfold_emulator::events::Receiver;
use fanfold_emulator::lambda::Function;
use fanfold_emulator::template::{Template, TemplateError};
use serde_json::{Value, json};

use super::support::*;

fn read(change: impl FnOnce(&mut Value)) -> Result<Template, TemplateError> {
    let folder = tempfile::tempdir().unwrap();
    Template::read(&synthesized(folder.path(), change), REGION)
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    match read(change) {
        Err(error) => error.to_string(),
        Ok(template) => panic!("it was read: {template:?}"),
    }
}

fn function(template: &Template, name: &str) -> Function {
    template.functions.iter().find(|function| function.name == name).unwrap().clone()
}

#[test]
fn functions_are_deployed_with_what_the_template_says_of_them() {
    let template = read(|_| {}).unwrap();
    let dispatcher = function(&template, "orders-dispatcher");
    assert_eq!((dispatcher.memory_mb, dispatcher.timeout), (512, Duration::from_secs(60)));
    assert_eq!(dispatcher.maximum_retry_attempts, 1);
    assert_eq!(dispatcher.maximum_event_age, Duration::from_secs(3_600));
    assert_eq!(dispatcher.log_group_name(), "/orders/dispatcher");
    assert!(dispatcher.logs_json);
    let queue = &template.queues[0];
    assert_eq!(dispatcher.on_failure.unwrap(), format!("arn:aws:sqs:us-east-1:000000000000:{queue}"));
    let directory = dispatcher.directory.unwrap();
    assert!(directory.ends_with("cdk.out/asset.00d1") && directory.is_absolute(), "{directory:?}");
    assert_eq!(dispatcher.command, [directory.join("bootstrap").into_os_string()]);
    let bucket = &template.buckets.iter().find(|bucket| bucket.name.starts_with("orders-")).unwrap().name;
    let variables: Vec<String> =
        dispatcher.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        variables,
        [
            "COUNT=3",
            "STAGE=test",
            "TEST_SHOW_EVENT=1",
            "WORKER=orders-worker",
            &format!("WORK_URI=s3://{bucket}/work/")
        ]
    );
    let worker = function(&template, "orders-worker");
    assert_eq!((worker.memory_mb, worker.reserved_concurrency), (128, Some(5)));
    assert_eq!(worker.maximum_retry_attempts, 0);
    assert_eq!(
        worker.on_failure.unwrap(),
        "arn:aws:lambda:us-east-1:000000000000:function:orders-dispatcher"
    );
    assert_eq!(template.functions.len(), 2, "who serves custom resources is left out");
}

#[test]
fn a_schedule_keeps_what_it_is_shown_and_fired_by() {
    let template = read(|_| {}).unwrap();
    let [schedule] = &template.schedules[..] else { panic!("{:?}", template.schedules) };
    assert_eq!((schedule.group.as_str(), schedule.name.as_str()), ("orders", "nightly"));
    assert_eq!(schedule.expression, "cron(0 3 * * ? *)");
    assert_eq!(schedule.time_zone, "Europe/Berlin");
    assert!(!schedule.enabled);
    assert_eq!(schedule.receiver, Receiver::Function("orders-dispatcher".into()));
}

#[test]
fn what_is_left_out_is_listed_with_its_reason_and_what_is_harmless_is_not() {
    let template = read(|_| {}).unwrap();
    let warnings: Vec<String> = template.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "Output): it has no value here: the emulator does not know the attribute FunctionUrl",
        "OrdersUrl11AA22BB (AWS::Lambda::Url): functions have no URLs",
        "OrdersWorkerA8B9E743 (AWS::Lambda::Function): Layers: layers are not laid under it",
        "BucketNotificationsHandler050A0587 (AWS::Lambda::Function): it serves custom resources",
        "OrdersOwn5D6E7F80 (AWS::Events::Rule): its target arn:aws:sns:us-east-1:000000000000:topic",
        "elsewhere (AWS::S3::Bucket): a rule listens to it",
    ];
    for part in expected {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part} in {warnings:#?}");
    }
    let of_this_machine = warnings.iter().filter(|warning| warning.contains("this machine is")).count();
    assert_eq!(warnings.len() - of_this_machine, expected.len(), "{warnings:#?}");
}

#[test]
fn every_problem_is_told_at_once_with_its_resource_and_property() {
    let refusal = refusal(|template| {
        let resources = &mut template["Resources"];
        resources["OrdersDispatcherE5F0B9F7"]["Properties"]["Code"] = json!({ "ImageUri": "image" });
        resources["OrdersWorkerA8B9E743"]["Properties"]["Runtime"] = "nodejs22.x".into();
        resources["OrdersArrivals1F2E3D4C"]["Properties"]["EventPattern"]["detail"]["object"]["size"] =
            json!([{ "numeric": [">", 0] }]);
        resources["OrdersQuietCC0B77E1"]["Properties"]["BucketName"] = "Not_A_Bucket".into();
        resources["OrdersDeadB1909A3A"]["Properties"]["QueueName"] = json!({ "Fn::ImportValue": "x" });
    });
    for part in [
        "OrdersDispatcherE5F0B9F7, Code.ImageUri: it is a container image",
        "OrdersWorkerA8B9E743, Runtime: it is `nodejs22.x`",
        "OrdersArrivals1F2E3D4C, EventPattern: at `detail.object.size`: the operator `numeric`",
        "OrdersQuietCC0B77E1, BucketName: `Not_A_Bucket`: a bucket's name has",
        "OrdersDeadB1909A3A, name: the emulator does not know Fn::ImportValue",
    ] {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
}

#[test]
fn inputs_that_no_function_could_read_are_refused() {
    let targets = |input: Value| {
        move |template: &mut Value| {
            let target = &mut template["Resources"]["OrdersArrivals1F2E3D4C"]["Properties"]["Targets"][0];
            for (name, value) in input.as_object().unwrap() {
                target[name] = value.clone();
            }
        }
    };
    for (input, part) in [
        (json!({ "Input": "{" }), "Targets[0].Input: it is no JSON"),
        (json!({ "InputPath": "$.a[*]" }), "Targets[0].InputPath: `$.a[*]` is no path"),
        (json!({ "Input": "{}", "InputPath": "$" }), "Targets[0].InputPath: a target has only one of"),
        (
            json!({ "InputTransformer": { "InputTemplate": "{\"a\":<b>}" } }),
            "Targets[0].InputTransformer.InputTemplate: the template names <b>",
        ),
    ] {
        let refusal = refusal(targets(input));
        assert!(refusal.contains(&format!("OrdersArrivals1F2E3D4C, {part}")), "{part} in {refusal}");
    }
}

#[test]
fn code_that_cannot_be_started_is_refused_with_what_to_do() {
    for (key, part) in [
        (
            "00f2.zip",
            "asset.00f2.zip; the emulator runs code from a folder: give the folder to Code.fromAsset",
        ),
        ("00f3.zip", "there is no program"),
        ("beef.zip", "no asset beside the template would be uploaded as beef.zip"),
    ] {
        let refusal = refusal(|template| {
            template["Resources"]["OrdersWorkerA8B9E743"]["Properties"]["Code"]["S3Key"] = key.into();
        });
        assert!(
            refusal.contains("OrdersWorkerA8B9E743, Code.S3Key: ") && refusal.contains(part),
            "{refusal}"
        );
    }
}

#[test]
fn a_program_that_is_not_executable_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = synthesized(folder.path(), |_| {});
    let bootstrap = path.with_file_name("asset.00d1").join("bootstrap");
    std::fs::set_permissions(bootstrap, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Template::read(&path, REGION).unwrap_err().to_string();
    assert!(error.contains("is not executable"), "{error}");
}

#[test]
fn a_file_that_is_no_template_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("Stack.json");
    let error = Template::read(&template, REGION).unwrap_err().to_string();
    assert!(error.contains("is not called <Stack>.template.json"), "{error}");
    let template = folder.path().join("Stack.template.json");
    assert!(matches!(Template::read(&template, REGION), Err(TemplateError::Read { .. })));
    std::fs::write(&template, "{").unwrap();
    assert!(matches!(Template::read(&template, REGION), Err(TemplateError::Read { .. })));
}

#[test]
fn what_a_condition_switches_off_is_not_there() {
    let template = read(|template| {
        template["Resources"]["OrdersNightlyF5E3C482"]["Condition"] = "IsArm".into();
        template["Outputs"]["OrdersWorkUri"]["Condition"] = "IsArm".into();
    })
    .unwrap();
    assert!(template.schedules.is_empty());
    assert_eq!(
        template.outputs.iter().map(|output| output.key.as_str()).collect::<Vec<_>>(),
        ["OrdersDispatcher"]
    );
}
