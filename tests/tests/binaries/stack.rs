//! A deployed stack from a terminal: the real program against the embedded Lambda, and against recorded answers of
//! CloudFormation and CloudWatch Logs.

use std::fs::File;
use std::process::Command;

use fanfold_flow::crc::Crc64;
use fanfold_flow::report::{Report, Status};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox;
use e2e::cloud::{Answer, Asked, Cloud};
use e2e::deployment::synthesized_template;
use e2e::program::{Ended, Running, Sandbox};

/// `fanfold local`, kept up for a test.
pub(crate) struct Local<'s> {
    sandbox: &'s Sandbox,
    running: Running<'s>,
    environment: Vec<(String, String)>,
}

impl<'s> Local<'s> {
    pub(crate) fn start(sandbox: &'s Sandbox) -> Self {
        Self::start_with(sandbox, &[], "FANFOLD_REDUCER=")
    }

    /// With these options; `last` begins the last line of what it prints, and whoever reads that has all.
    fn start_with(sandbox: &'s Sandbox, options: &[&str], last: &str) -> Self {
        let mut command = sandbox.command([&["local"], options].concat());
        command.stdout(File::create(sandbox.path("env.sh")).unwrap());
        let mut running = sandbox.start_with_its_stdout(&mut command);
        running.until("the environment", |sandbox| {
            let text = String::from_utf8(sandbox.read("env.sh")).unwrap();
            text.split_once(last).is_some_and(|(_, rest)| rest.ends_with('\n'))
        });
        let text = String::from_utf8(sandbox.read("env.sh")).unwrap();
        let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let environment = exports.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { sandbox, running, environment }
    }

    /// `fanfold` in another terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command.envs(self.environment.clone());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.sandbox.start(&mut self.command(args)).ended()
    }

    /// The variables that lead here.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(crate) fn stop(self) {
        self.running.signal(Signal::TERM);
        self.running.ended().succeeded();
    }
}

/// A job of a few chunks.
fn job(command: &[&str]) -> Value {
    json!({
        "version": 1,
        "name": "squares",
        "source": { "range": { "end": 40, "chunk": 7 } },
        "task": { "command": command },
        "output": { "uri": "s3://fanfold/out/{name}", "format": "lines", "overwrite": true }
    })
}

/// Prints the numbers of its chunk.
const COUNT: [&str; 3] = ["sh", "-c", "seq $FANFOLD_OFFSET $((FANFOLD_OFFSET + FANFOLD_LIMIT - 1))"];

fn report(ended: &Ended) -> Report {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}\n{}", ended.stderr))
}

fn json_of(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}\n{}", ended.stderr))
}

#[test]
fn a_job_file_is_submitted_and_followed_to_its_end_and_the_same_token_is_the_same_run() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    sandbox.write("job.json", job(&COUNT).to_string());
    let submit = ["submit", "job.json", "--token", "run-1", "--wait", "--json"];
    let ended = local.run(&submit).succeeded();
    ended.says(&["done: ", "s3://fanfold/out/squares"]);
    let first = report(&ended);
    let numbers: String = (0..40).map(|number| format!("{number}\n")).collect();
    assert_eq!(first.output.as_ref().unwrap().crc64nvme, Crc64::of(numbers.as_bytes()));
    assert_eq!(report(&local.run(&submit).succeeded()), first, "it did not run again");

    let status = local.run(&["status", "run-1", "--json"]).succeeded();
    assert_eq!(json_of(&status)["status"], "succeeded");
    let shown = local.run(&["status", "run-1"]).succeeded();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("6 done, 0 failed"), "{shown:?}");
    local.stop();
    sandbox.assert_clean(&["env.sh", "job.json"]);
}

#[test]
fn submit_without_wait_names_the_run_and_how_to_follow_it() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    sandbox.write("job.json", job(&COUNT).to_string());
    let ended = local.run(&["submit", "job.json"]).succeeded();
    let said = String::from_utf8(ended.stdout).unwrap();
    let follow = said.lines().find_map(|line| line.trim().strip_prefix("fanfold watch ")).unwrap();
    assert!(follow.starts_with("squares-"), "a run of its own is named after its job: {said}");
    local.run(&["watch", follow]).succeeded().says(&["done: "]);
    let jobs = local.run(&["jobs"]).succeeded();
    assert!(!jobs.stdout.is_empty());
    local.stop();
}

#[test]
fn a_job_that_fails_gives_its_code_as_the_exit_status() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let mut failing = job(&["sh", "-c", "echo broken >&2; exit 3"]);
    failing["retries"] = json!(0);
    sandbox.write("job.json", failing.to_string());
    let ended = local.run(&["submit", "job.json", "--wait"]).failed_with(4);
    ended.says(&["failed: ", "program_failed", "| broken"]);
    local.stop();
}

#[test]
fn a_wrong_job_and_an_unknown_run_are_refused_in_sentences() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let mut wrong = job(&COUNT);
    wrong["task"]["comand"] = wrong["task"]["command"].take();
    sandbox.write("job.json", wrong.to_string());
    local.run(&["submit", "job.json"]).failed_with(2).says(&["task.comand", "did you mean 'command'?"]);
    let unknown = local.run(&["watch", "no-such-run"]);
    assert!(!unknown.status.success());
    unknown.says(&["no-such-run"]);
    local.stop();
}

#[test]
fn ctrl_c_stops_the_watching_and_not_the_job() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let waiting =
        job(&["sh", "-c", "touch begun; while [ ! -e go ]; do sleep 0.02; done; echo $FANFOLD_INDEX"]);
    sandbox.write("job.json", waiting.to_string());
    let mut watching =
        sandbox.start(&mut local.command(&["submit", "job.json", "--token", "run-2", "--wait"]));
    watching.until("a program", |sandbox| sandbox.path("begun").exists());
    watching.signal(Signal::INT);
    let ended = watching.ended().failed_with(130);
    ended.says(&["the job goes on", "fanfold watch run-2"]);

    let status = json_of(&local.run(&["status", "run-2", "--json"]).succeeded());
    assert_eq!(status["status"], "running", "{status}");
    sandbox.write("go", "");
    let ended = local.run(&["watch", "run-2", "--json"]).succeeded();
    assert_eq!(report(&ended).status, Status::Succeeded);
    local.stop();
}

/// The outputs of a stack with two pipelines, of which one runs here.
fn two_pipelines() -> Answer {
    let description = "Fanfold dispatcher of a pipeline";
    Answer::stack(&[
        ("NightlyDispatcher", "fanfold-dispatcher", description),
        ("NightlyLogs", "/l/dispatcher,/l/worker,/l/reducer", "log groups"),
        ("HourlyDispatcher", "hourly-dispatcher", description),
        ("WebDispatcher", "web", "sends pages"),
    ])
}

/// A stack with one pipeline.
fn one_pipeline() -> Answer {
    Answer::stack(&[
        ("FanfoldDispatcher", "fanfold-dispatcher", "Fanfold dispatcher"),
        ("FanfoldLogs", "/l/dispatcher,/l/worker,/l/reducer", "log groups"),
    ])
}

#[test]
fn a_stacks_outputs_lead_to_its_dispatcher() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let cloud = Cloud::start(|_| two_pipelines());
    sandbox.write("job.json", job(&COUNT).to_string());
    let run = |args: &[&str]| {
        let mut command = local.command(args);
        // Its own dispatcher must not be what is found.
        command.env_remove("FANFOLD_DISPATCHER");
        let [cloudformation, logs, ..] = cloud.environment();
        sandbox.start(command.envs([cloudformation, logs])).ended()
    };
    run(&["submit", "job.json", "--stack", "S", "--pipeline", "Nightly", "--wait"])
        .succeeded()
        .says(&["done: "]);
    // Before the command too, and by the name of the functions.
    run(&["--stack", "S", "--pipeline", "fanfold", "submit", "job.json", "--wait"]).succeeded();
    run(&["submit", "job.json", "--stack", "S"]).failed_with(7).says(&[
        "error (stack)",
        "Hourly, Nightly",
        "--pipeline",
    ]);
    run(&["submit", "job.json", "--stack", "S", "--pipeline", "Hourly"])
        .failed_with(7)
        .says(&["error (invoke)", "hourly-dispatcher"]);
    let names: Vec<String> = cloud.asked().into_iter().map(|asked| asked.operation).collect();
    assert_eq!(names, ["DescribeStacks"; 4]);
    local.stop();
}

/// What `fanfold status` says of a stack when CloudFormation answers so.
fn refused(answer: impl Fn(&[Asked]) -> Answer + Send + 'static) -> (Ended, usize) {
    let sandbox = sandbox();
    let cloud = Cloud::start(answer);
    let mut command = sandbox.command(["status", "run-1", "--stack", "Sales"]);
    let ended = sandbox.start(command.envs(cloud.environment())).ended().failed_with(7);
    assert_eq!(ended.stdout, b"");
    (ended, cloud.asked().len())
}

#[test]
fn what_keeps_a_stack_from_being_read_is_said_with_what_to_do() {
    for (status, code, message, says) in [
        (
            400,
            "ValidationError",
            "Stack with id Sales does not exist",
            ["none of this name in us-east-1", "--region"],
        ),
        (
            403,
            "AccessDenied",
            "User: arn:aws:iam::1:user/u is not authorized to perform: cloudformation:DescribeStacks",
            ["cloudformation:DescribeStacks", "--profile"],
        ),
        (
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
            ["expired", "sign in again"],
        ),
    ] {
        let (ended, asked) = refused(move |_| Answer::refusal(status, code, message));
        ended.says(&says);
        assert_eq!(asked, 1, "{code} does not get better");
    }
    let (ended, _) = refused(|_| Answer::stack(&[("WebUrl", "https://x", "")]));
    ended.says(&["Sales (CREATE_COMPLETE) has no output", "FanfoldPipeline"]);
}

#[test]
fn a_throttled_question_is_asked_again() {
    let (ended, asked) = refused(|asked| match asked.len() {
        1 | 2 => Answer::refusal(400, "Throttling", "Rate exceeded"),
        _ => Answer::refusal(400, "ValidationError", "Stack with id Sales does not exist"),
    });
    ended.says(&["none of this name"]);
    assert_eq!(asked, 3);
}

#[test]
fn without_a_stack_and_without_credentials_one_is_told_what_to_do() {
    let sandbox = sandbox();
    let mut command = sandbox.command(["jobs"]);
    command.env_remove("FANFOLD_STACK").env_remove("FANFOLD_DISPATCHER");
    sandbox.start(&mut command).ended().failed_with(7).says(&["--stack", "fanfold local"]);
    sandbox.run(["map", "-i", "x", "-o", "y", "--", "cat"]).failed_with(3);
    sandbox.run(["--stack", "S", "plan", "job.json"]).failed_with(2).says(&["go with submit, watch"]);

    let cloud = Cloud::start(|_| one_pipeline());
    let mut command = sandbox.command(["jobs", "--stack", "S", "--profile", "gone"]);
    command.envs(cloud.environment()).env("AWS_CONFIG_FILE", sandbox.path("config"));
    sandbox.start(&mut command).ended().failed_with(7).says(&[
        "credentials",
        "the profile 'gone'",
        "--profile",
    ]);
    assert_eq!(cloud.asked(), [], "nothing is asked with other credentials than those of the profile");
}

#[test]
fn a_profile_that_is_named_goes_before_keys_in_the_environment() {
    let sandbox = sandbox();
    sandbox.write(
        "config",
        "[profile sales]\naws_access_key_id = of-the-profile\naws_secret_access_key = s\nregion = eu-central-1\n",
    );
    let cloud = Cloud::start(|_| Answer::refusal(403, "AccessDenied", "no"));
    let mut command = sandbox.command(["jobs", "--stack", "S", "--profile", "sales"]);
    command.envs(cloud.environment()).env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION");
    command.env("AWS_CONFIG_FILE", sandbox.path("config"));
    sandbox.start(&mut command).ended().failed_with(7);
    let [asked] = &cloud.asked()[..] else { panic!("{:?}", cloud.asked()) };
    assert!(asked.authorization.contains("Credential=of-the-profile/"), "{}", asked.authorization);
    assert!(asked.authorization.contains("/eu-central-1/cloudformation/"), "{}", asked.authorization);
}

/// The log groups' answers: two pages of the worker, an empty one between them.
fn logged(asked: &[Asked]) -> Answer {
    let Some(last) = asked.last() else { panic!("nothing was asked") };
    if last.operation == "DescribeStacks" {
        return one_pipeline();
    }
    let query = last.json();
    let says = |index: u64, text: &str| {
        json!({ "level": "INFO", "message": "the program says", "job": "run-1", "index": index, "stderr": text })
            .to_string()
    };
    let planned = json!({ "level": "INFO", "message": "the job is planned", "job": "run-1", "chunks": 6 });
    let ended = json!({ "level": "INFO", "message": "the job has ended", "job": "run-1" });
    match (query["logGroupName"].as_str().unwrap(), query["nextToken"].as_str()) {
        ("/l/dispatcher", _) => Answer::log_events(&[("1", 1_000, &planned.to_string())], None),
        ("/l/worker", None) => Answer::log_events(&[("2", 2_000, &says(0, "early"))], Some("two")),
        ("/l/worker", Some("two")) => Answer::log_events(&[], Some("three")),
        ("/l/worker", Some("three")) => Answer::log_events(&[("4", 3_500, &says(5, "late"))], None),
        ("/l/reducer", _) => Answer::log_events(&[("3", 3_000, &ended.to_string())], None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lines_of_all_three_functions_come_in_the_order_of_time() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let cloud = Cloud::start(logged);
    sandbox.write("job.json", job(&COUNT).to_string());
    local.run(&["submit", "job.json", "--token", "run-1", "--wait"]).succeeded();
    let [cloudformation, logs, ..] = cloud.environment();
    for options in [&[][..], &["--follow"]] {
        let mut command = local.command(
            &[&["logs", "run-1", "--stack", "S", "--since", "1970-01-01T00:00:00Z"], options].concat(),
        );
        command.envs([cloudformation.clone(), logs.clone()]);
        let ended = sandbox.start(&mut command).ended().succeeded();
        let expected = "\
            00:00:01.000 dispatcher the job is planned chunks=6\n\
            00:00:02.000 worker     [index 0] early\n\
            00:00:03.000 reducer    the job has ended\n\
            00:00:03.500 worker     [index 5] late\n";
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), expected, "each line once, {options:?}");
    }
    let filter = cloud.asked()[1].json();
    assert_eq!(filter["filterPattern"], "{ $.job = \"run-1\" }");
    local.stop();
}

#[test]
fn a_log_group_that_is_gone_is_named() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let cloud = Cloud::start(|asked| match asked.last() {
        Some(asked) if asked.operation == "DescribeStacks" => one_pipeline(),
        _ => Answer::log_refusal(400, "ResourceNotFoundException", "The specified log group does not exist."),
    });
    sandbox.write("job.json", job(&COUNT).to_string());
    local.run(&["submit", "job.json", "--token", "run-1", "--wait"]).succeeded();
    let [cloudformation, logs, ..] = cloud.environment();
    let mut command = local.command(&["logs", "run-1", "--stack", "S"]);
    let ended = sandbox.start(command.envs([cloudformation, logs])).ended().failed_with(7);
    ended.says(&["/l/dispatcher", "there is none of this name"]);
    local.run(&["logs", "run-1"]).failed_with(7).says(&["find the logs", "--stack"]);
    local.stop();
}

#[test]
fn a_synthesized_stack_is_found_by_its_name_and_tells_what_it_logged() {
    let Some(template) = synthesized_template() else { return };
    let sandbox = sandbox();
    let local = Local::start_with(&sandbox, &["--template", template.to_str().unwrap()], "FANFOLD_WORK_URI=");
    let run = ["submit", "squares-nightly", "--stack", "Fanfold", "--token", "run-1"];
    let submitted = String::from_utf8(local.run(&run).succeeded().stdout).unwrap();
    for part in ["run-1", "cost ", "logs ", "https://", "fanfold watch run-1 --stack Fanfold"] {
        assert!(submitted.contains(part), "{part}: {submitted}");
    }
    local.run(&["watch", "run-1", "--stack", "Fanfold"]).succeeded().says(&["done: "]);
    // The stack is also that of the environment, as it was printed.
    for args in [&["logs", "run-1", "--stack", "Fanfold"][..], &["logs", "run-1", "--follow"]] {
        let logs = String::from_utf8(local.run(args).succeeded().stdout).unwrap();
        let at = |part: &str| logs.find(part).unwrap_or_else(|| panic!("{part}: {logs}"));
        let (planned, done, ended) =
            (at("the job is planned"), at("a chunk is done"), at("the job has ended"));
        assert!(planned < done && done < ended, "{logs}");
        let lines = logs.matches("the job has ended").count();
        assert_eq!(lines, 1, "{logs}");
    }
    local.run(&["jobs", "--stack", "Nightly"]).failed_with(7).says(&["Nightly", "none of this name"]);
    local.stop();
    sandbox.assert_clean(&["env.sh"]);
}

#[test]
fn what_the_functions_read_is_printed_as_json_schema() {
    let sandbox = sandbox();
    let schema = json_of(&sandbox.run(["config", "--schema"]).succeeded());
    let functions = schema["functions"].as_object().unwrap();
    assert_eq!(functions.keys().map(String::as_str).collect::<Vec<_>>(), ["dispatcher", "reducer", "worker"]);
    for function in functions.values() {
        let required = function["required"].as_array().unwrap();
        assert!(required.contains(&json!("FANFOLD_WORK_URI")));
        for name in required {
            assert!(function["properties"][name.as_str().unwrap()]["description"].is_string(), "{name}");
        }
    }
    let one = json_of(&sandbox.run(["config", "worker", "--schema"]).succeeded());
    assert_eq!(one["functions"], json!({ "worker": functions["worker"] }));
    let table = sandbox.run(["config"]).succeeded();
    assert!(String::from_utf8_lossy(&table.stdout).contains("FANFOLD_TASKS"));
}
