//! `fanfold local --template`: a stack that CDK synthesized, kept up on this machine. What was synthesized is what runs:
//! its functions with their memory, timeouts, variables and nets, its buckets, rules and schedules.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use fanfold_emulator::events::{Receiver, Rule, Schedule};
use fanfold_emulator::lambda::{self, Function};
use fanfold_emulator::template::{Bucket, Template};
use fanfold_emulator::{Config, Emulator};
use fanfold_flow::code::Code;
use fanfold_runtime::Error;

use crate::args::LocalArgs;
use crate::exit::Stop;
use crate::machine::{Account, Folder, RETRY_CLOCK};
use crate::signals::Signals;
use crate::stderr::{self, say};
use crate::stdout;

/// How many invocations may run at once besides those that functions have reserved. An account on AWS has 1,000, which
/// no laptop bears; what does not find its place waits.
const CONCURRENCY: u32 = 50;

/// How the description of a dispatcher's output begins, by which it is told from other functions.
const DISPATCHER: &str = "Fanfold dispatcher";

/// Starts the stack, says what it has and how to reach it, and keeps it up until a signal comes.
///
/// # Errors
/// `invalid_job` when the template has what cannot be emulated; else when it does not start.
pub(crate) async fn serve(args: &LocalArgs, path: &Path) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    let account = Account::embedded();
    let template = read(path, &account.region).await?;
    let folder = Folder::open(args.machine.place.data.as_deref())?;
    let reserved: u32 = template.functions.iter().filter_map(|it| it.reserved_concurrency).sum();
    let config = Config {
        data: folder.path().to_owned(),
        region: account.region,
        access_key_id: account.access_key_id,
        secret_access_key: account.secret_access_key,
        s3_address: (Ipv4Addr::LOCALHOST, args.s3_port).into(),
        lambda_address: (Ipv4Addr::LOCALHOST, args.lambda_port).into(),
        lambda: lambda::Settings {
            account_concurrency: reserved.saturating_add(CONCURRENCY),
            retry_clock: RETRY_CLOCK,
            ..lambda::Settings::default()
        },
    };
    let started = Emulator::deploy(config, template.clone()).await;
    let emulator = started.map_err(|error| Error::caused(Code::Internal, "start the stack", error))?;
    let mut variables = emulator.environment();
    variables.extend(variables_of(&template));
    let exports: String = variables.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    stdout::print(&exports)?;
    stderr::text(&described(&template, folder.path()));
    let signal = signals.next().await;
    say!("stopping after {}", signal.name());
    emulator.stop().await;
    folder.close();
    Ok(())
}

async fn read(path: &Path, region: &str) -> Result<Template, Error> {
    let (path, region) = (path.to_owned(), region.to_owned());
    let read = tokio::task::spawn_blocking(move || Template::read(&path, &region)).await;
    let read = read.map_err(|error| Error::caused(Code::Internal, "read the template", error))?;
    read.map_err(|error| Error::caused(Code::InvalidJob, "take over the template", error))
}

/// What our own commands, and the examples of `fanfold local`, find the stack by.
fn variables_of(template: &Template) -> Vec<(String, String)> {
    let mut variables = vec![("FANFOLD_STACK".to_owned(), template.stack.clone())];
    let is_dispatcher = |description: &Option<String>| {
        description.as_deref().is_some_and(|description| description.starts_with(DISPATCHER))
    };
    let mut dispatchers = template.outputs.iter().filter(|output| is_dispatcher(&output.description));
    if let (Some(dispatcher), None) = (dispatchers.next(), dispatchers.next()) {
        variables.push(("FANFOLD_DISPATCHER".to_owned(), dispatcher.value.clone()));
        let work = dispatcher.key.strip_suffix("Dispatcher").map(|pipeline| format!("{pipeline}WorkUri"));
        let work = template.outputs.iter().find(|output| Some(&output.key) == work.as_ref());
        variables.extend(work.map(|work| ("FANFOLD_WORK_URI".to_owned(), work.value.clone())));
    }
    variables
}

/// What the stack has, as tables.
fn described(template: &Template, folder: &Path) -> String {
    let mut text = format!(
        "The stack {} is up, with its data in {} and what its functions log in {}.\n",
        template.stack,
        folder.display(),
        folder.join("logs").display()
    );
    table(&mut text, "functions", template.functions.iter().map(function_row));
    table(&mut text, "buckets", template.buckets.iter().map(bucket_row));
    table(&mut text, "schedules, which fire when you say so", template.schedules.iter().map(schedule_row));
    table(&mut text, "rules", template.rules.iter().map(rule_row));
    let queues = template.queues.iter().map(|queue| {
        [queue.clone(), folder.join("queues").join(format!("{queue}.jsonl")).display().to_string()]
    });
    table(&mut text, "queues, and where their messages are", queues);
    table(
        &mut text,
        "not here",
        template.warnings.iter().map(|it| [format!("{}  {}", it.logical_id, it.why)]),
    );
    text.push_str("With the lines above in another shell's environment, aws, fanfold and the SDKs reach it. Ctrl-C stops it.\n");
    text
}

fn function_row(function: &Function) -> [String; 5] {
    let at_once = function.reserved_concurrency.map_or_else(String::new, |count| format!("{count} at once"));
    let told = function.on_failure.as_ref().map(|arn| arn.rsplit(':').next().unwrap_or(arn));
    let failure = match (function.maximum_retry_attempts, told) {
        (retries, Some(told)) => format!("{retries} retries, then tells {told}"),
        (retries, None) => format!("{retries} retries"),
    };
    let (memory, timeout) =
        (format!("{} MB", function.memory_mb), format!("{} s", function.timeout.as_secs()));
    [function.name.clone(), memory, timeout, at_once, failure]
}

fn bucket_row(bucket: &Bucket) -> [String; 2] {
    let eventbridge = bucket.tells_eventbridge.then_some("EventBridge");
    let functions = bucket.notifications.iter().map(|notification| notification.function.as_str());
    let told: Vec<&str> = eventbridge.into_iter().chain(functions).collect();
    let told = if told.is_empty() { String::new() } else { format!("tells {}", told.join(", ")) };
    [bucket.name.clone(), told]
}

fn schedule_row(schedule: &Schedule) -> [String; 4] {
    let when = format!("{} {}", schedule.expression, schedule.time_zone);
    let state = if schedule.enabled { "" } else { "disabled" };
    let fire = format!("fanfold fire {}", schedule.name);
    [fire, when, format!("tells {}", receiver(&schedule.receiver)), state.to_owned()]
}

fn rule_row(rule: &Rule) -> [String; 4] {
    let what = match &rule.expression {
        Some(expression) => format!("fanfold fire {}  {expression}", rule.name),
        None => format!("events on {}", rule.bus),
    };
    let told = rule.targets.iter().map(|target| receiver(&target.receiver)).collect::<Vec<_>>().join(", ");
    let state = if rule.enabled { "" } else { "disabled" };
    [rule.name.clone(), what, format!("tells {told}"), state.to_owned()]
}

fn receiver(receiver: &Receiver) -> &str {
    match receiver {
        Receiver::Function(name) | Receiver::Queue(name) => name,
    }
}

/// Adds a table with a headline, its columns as wide as they need to be; nothing without rows.
fn table<const COLUMNS: usize>(
    text: &mut String,
    headline: &str,
    rows: impl Iterator<Item = [String; COLUMNS]>,
) {
    let rows: Vec<[String; COLUMNS]> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{headline}");
    for row in &rows {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let line: String = cells.map(|(cell, width)| format!("  {cell:width$}")).collect();
        let _written = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fanfold_emulator::events::{Input, Target};
    use fanfold_emulator::template::{Output, Warning};

    use super::*;

    fn output(key: &str, value: &str, description: &str) -> Output {
        let (key, value) = (key.to_owned(), value.to_owned());
        Output { key, value, description: Some(description.to_owned()), export: None }
    }

    fn template() -> Template {
        let mut dispatcher = Function::new("orders-dispatcher", Vec::new());
        dispatcher.on_failure = Some("arn:aws:sqs:us-east-1:000000000000:orders-dead".into());
        let mut worker = Function::new("orders-worker", Vec::new());
        worker.memory_mb = 3_008;
        worker.timeout = Duration::from_secs(900);
        worker.reserved_concurrency = Some(20);
        worker.maximum_retry_attempts = 0;
        let receiver = Receiver::Function("orders-dispatcher".into());
        Template {
            stack: "Orders".into(),
            functions: vec![dispatcher, worker],
            buckets: vec![Bucket {
                name: "orders-work".into(),
                tells_eventbridge: true,
                ..Bucket::default()
            }],
            queues: vec!["orders-dead".into()],
            rules: vec![Rule {
                name: "arrivals".into(),
                bus: "default".into(),
                pattern: None,
                expression: None,
                enabled: true,
                targets: vec![Target {
                    id: "Target0".into(),
                    receiver: receiver.clone(),
                    input: Input::Event,
                }],
            }],
            schedules: vec![Schedule {
                name: "nightly".into(),
                group: "orders".into(),
                expression: "cron(0 3 * * ? *)".into(),
                time_zone: "Europe/Berlin".into(),
                enabled: false,
                receiver,
                input: None,
            }],
            outputs: vec![
                output("OrdersDispatcher", "orders-dispatcher", "Fanfold dispatcher of the pipeline orders"),
                output("MailDispatcher", "mail", "another function"),
                output("OrdersWorkUri", "s3://orders-work/work/", ""),
            ],
            warnings: vec![Warning {
                kind: "AWS::Lambda::Url".into(),
                logical_id: "Url".into(),
                why: "functions have no URLs here".into(),
            }],
            description: None,
        }
    }

    #[test]
    fn a_stack_is_described_in_tables() {
        insta::assert_snapshot!(described(&template(), Path::new("/data")));
    }

    #[test]
    fn the_environment_names_the_stack_and_its_only_pipeline() {
        let names = |template: &Template| {
            let variables = variables_of(template).into_iter();
            variables.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let mut template = template();
        assert_eq!(
            names(&template),
            [
                "FANFOLD_STACK=Orders",
                "FANFOLD_DISPATCHER=orders-dispatcher",
                "FANFOLD_WORK_URI=s3://orders-work/work/"
            ]
        );
        template.outputs.push(output("EtlDispatcher", "etl-dispatcher", "Fanfold dispatcher"));
        assert_eq!(names(&template), ["FANFOLD_STACK=Orders"], "of two pipelines none is the one");
    }
}
