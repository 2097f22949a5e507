//! The command line of what talks to a deployed stack, as typed.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use fanfold_flow::joblog::quoted;
use fanfold_flow::keys::JobId;
use fanfold_flow::uri::ObjectUri;
use jiff::{SignedDuration, Timestamp};

use super::{PlaceArgs, ProgramRun};

/// What is asked of a deployed stack.
#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Have a deployed stack run a job: a deployed one by its name, or a job file.
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(Box<SubmitArgs>),
    /// Follow a deployed stack's job until it ends, and tell how. Ctrl-C stops the following, not the job.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Box<WatchArgs>),
    /// Say how far a deployed stack's job is.
    Status(Box<OfRunArgs>),
    /// Print what the functions of a deployed stack, and the programs in them, logged of a job.
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(Box<LogsArgs>),
    /// Stop a deployed stack's job within seconds. What was done is kept, and a redrive does the rest.
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(Box<OfRunArgs>),
    /// Do what failed in a run, or was cancelled, and only that, into the same output.
    #[command(after_help = REDRIVE_EXAMPLES)]
    Redrive(Box<RedriveArgs>),
    /// Hold a run's output against the records of its workers, at any later time.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Box<VerifyArgs>),
    /// List the jobs that are deployed with a stack.
    Jobs(Box<JobsArgs>),
}

const SUBMIT_EXAMPLES: &str = "\
Examples:
  # a deployed job, with one field changed; follow it to its end
  fanfold submit orders-nightly --stack Fanfold --with source.objects.uri=s3://in/2026-11-22/ --wait

  # a job file; the same token again is the same run
  fanfold submit orders.json --stack Fanfold --token orders-2026-11-22

  # against `fanfold local`, whose environment names the dispatcher
  fanfold submit orders.json --wait";

const WATCH_EXAMPLES: &str = "\
Examples:
  fanfold watch orders-nightly-20261122T030000Z-1a2b3c4d --stack Fanfold
  fanfold watch orders-2026-11-22 --stack Fanfold --profile prod --json > report.json";

const LOGS_EXAMPLES: &str = "\
Examples:
  fanfold logs orders-2026-11-22 --stack Fanfold
  fanfold logs orders-2026-11-22 --stack Fanfold --follow --since 10m";

const CANCEL_EXAMPLES: &str = "\
Examples:
  fanfold cancel orders-2026-11-22 --stack Fanfold
  fanfold redrive orders-2026-11-22 --stack Fanfold --wait    # and it goes on";

const REDRIVE_EXAMPLES: &str = "\
Examples:
  # a run of a deployed stack; follow the run that does what is left of it
  fanfold redrive orders-2026-11-22 --stack Fanfold --wait

  # a run on this machine, whose objects were kept with --data
  fanfold run orders.json --data ./kept
  fanfold redrive orders-nightly-20261122-030000-1a2b3c4d --data ./kept

What is left of RUN is done by a run of its own, of the job as it was, with the programs as they are now.
The first redrive of RUN is RUN-r1, the next RUN-r2; redrive the last one. Where RUN was redriven before,
nothing is started: how that ended is told, and is the exit status.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  # a run of a deployed stack: what S3 keeps of the output, and no byte is read
  fanfold verify orders-2026-11-22 --stack Fanfold

  # every byte is read, from S3 to this machine
  fanfold verify orders-2026-11-22 --stack Fanfold --read

  # a copy of it
  fanfold verify orders-2026-11-22 --stack Fanfold --file orders.csv

  # a run on this machine, whose objects were kept with --data: the file that its job named
  fanfold verify orders-nightly-20261122-030000-1a2b3c4d --data ./kept

What the output must be is combined anew from the CRC64NVMEs that the workers took of their results, while the run's records
are kept. Where the store keeps no CRC64NVME of the output, it is read in any case. Of a run that has no output, how it ended
is told, and is the exit status.";

/// Which stack, and who asks. May stand before the command as well as behind it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackArgs {
    /// The deployed stack [env: FANFOLD_STACK] [default: the dispatcher of FANFOLD_DISPATCHER, as `fanfold local` prints it]
    #[arg(long, value_name = "NAME", help_heading = "A deployed stack")]
    pub(crate) stack: Option<String>,
    /// Which pipeline of the stack, where it has several.
    #[arg(long, value_name = "NAME", help_heading = "A deployed stack")]
    pub(crate) pipeline: Option<String>,
    /// The profile of your AWS configuration. It goes before keys in the environment.
    #[arg(long, value_name = "NAME", help_heading = "A deployed stack")]
    pub(crate) profile: Option<String>,
    /// The AWS region [default: the environment's, or the profile's]
    #[arg(long, value_name = "REGION", help_heading = "A deployed stack")]
    pub(crate) region: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SubmitArgs {
    /// The name of a deployed job; or a job file: what ends in .json, has a / in it, or is - for standard input.
    #[arg(value_name = "JOB|FILE.json")]
    pub(crate) job: String,
    /// Sets a field of the job for this run: JSON where the value is JSON, else text. May be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) with: Vec<String>,
    /// Your own name for this run: the same again is the same run [default: a new one]
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// The time that the job takes as scheduled, such as 2026-11-22T03:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled_time: Option<Timestamp>,
    /// The object that the job takes as newly created, where it is one that runs for new objects.
    #[arg(long, value_name = "S3-URI")]
    pub(crate) object: Option<ObjectUri>,
    /// Follow the job to its end, as `fanfold watch` does.
    #[arg(long)]
    pub(crate) wait: bool,
    /// The dispatcher's answer as JSON on standard output; with --wait the report.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// The run, as `fanfold submit` named it.
    #[arg(value_name = "RUN")]
    pub(crate) job_id: JobId,
    /// The report as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

/// A run, of which one thing is asked.
#[derive(Args, Debug)]
pub(crate) struct OfRunArgs {
    /// The run, as `fanfold submit` named it.
    #[arg(value_name = "RUN")]
    pub(crate) job_id: JobId,
    /// The dispatcher's answer as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RedriveArgs {
    /// The run that has failed or was cancelled.
    #[arg(value_name = "RUN")]
    pub(crate) job_id: JobId,
    /// Follow the run that does what is left, as `fanfold watch` does. On this machine it is followed in any case.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) run: ProgramRun,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The run whose output it is.
    #[arg(value_name = "RUN")]
    pub(crate) job_id: JobId,
    /// Read every byte of the output, rather than believe what the store keeps of it. A file is read in any case.
    #[arg(long)]
    pub(crate) read: bool,
    /// Look at this file in place of the output: a copy of it.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What was expected and what was found, as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The run, as `fanfold submit` named it.
    #[arg(value_name = "RUN")]
    pub(crate) job_id: JobId,
    /// Go on until the job has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// From when on: a time ago such as 10m, or a moment such as 2026-11-22T03:00:00Z [default: the job's start]
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// The lines as they were logged.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JobsArgs {
    /// The dispatcher's answer as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(SignedDuration),
    /// At this moment.
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    match text.parse::<SignedDuration>() {
        Ok(ago) if !ago.is_negative() => Ok(Since::Ago(ago)),
        _ => Err("write a time ago such as 10m or 2h, or a moment such as 2026-11-22T03:00:00Z".to_owned()),
    }
}

impl Since {
    /// In milliseconds since 1970.
    pub(crate) fn in_ms(self, now: Timestamp) -> i64 {
        match self {
            Self::At(at) => at.as_millisecond(),
            Self::Ago(ago) => {
                now.as_millisecond().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}

impl StackArgs {
    /// What stands behind the command, and for the rest what stands before it.
    pub(crate) fn or(&self, before: &Self) -> Self {
        let or = |one: &Option<String>, other: &Option<String>| one.clone().or_else(|| other.clone());
        Self {
            stack: or(&self.stack, &before.stack),
            pipeline: or(&self.pipeline, &before.pipeline),
            profile: or(&self.profile, &before.profile),
            region: or(&self.region, &before.region),
        }
    }
}

/// As a shell reads them, each with a blank before it.
impl fmt::Display for StackArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, pipeline, profile, region } = self;
        let options = [("stack", stack), ("pipeline", pipeline), ("profile", profile), ("region", region)];
        for (name, value) in options {
            if let Some(value) = value {
                write!(f, " --{name} {}", quoted(value))?;
            }
        }
        Ok(())
    }
}

impl StackCommand {
    /// Takes over what stood before the command.
    pub(crate) fn with(mut self, before: &StackArgs) -> Self {
        let stack = match &mut self {
            Self::Submit(args) => &mut args.stack,
            Self::Watch(args) => &mut args.stack,
            Self::Status(args) => &mut args.stack,
            Self::Logs(args) => &mut args.stack,
            Self::Cancel(args) => &mut args.stack,
            Self::Redrive(args) => &mut args.stack,
            Self::Verify(args) => &mut args.stack,
            Self::Jobs(args) => &mut args.stack,
        };
        *stack = stack.or(before);
        self
    }
}

impl SubmitArgs {
    /// The job file, where the job is not meant by its name.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let is_file = self.job == "-" || self.job.ends_with(".json") || self.job.contains('/');
        is_file.then(|| PathBuf::from(&self.job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_command_counts_more_than_what_stands_before_it() {
        let args = |stack: Option<&str>, region: Option<&str>| StackArgs {
            stack: stack.map(str::to_owned),
            region: region.map(str::to_owned),
            ..StackArgs::default()
        };
        let both = args(Some("behind"), None).or(&args(Some("before"), Some("eu-central-1")));
        assert_eq!(both, args(Some("behind"), Some("eu-central-1")));
    }

    #[test]
    fn a_time_ago_and_a_moment_are_told_apart() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        assert_eq!(since("10m").unwrap().in_ms(now), now.as_millisecond() - 600_000);
        assert_eq!(since("2026-11-22T02:00:00Z").unwrap().in_ms(now), now.as_millisecond() - 3_600_000);
        for text in ["-1h", "yesterday", "10"] {
            assert!(since(text).unwrap_err().contains("10m"), "{text}");
        }
    }
}
