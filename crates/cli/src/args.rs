//! The command line, as typed. What its values mean is decided elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::joblog::quoted;
use fanfold_flow::size::{ByteCount, Tolerance};
use fanfold_flow::uri::ObjectUri;
use jiff::{SignedDuration, Timestamp};

mod job;
pub(crate) mod stack;

pub(crate) use job::JobArgs;

use self::stack::{StackArgs, StackCommand};
use crate::exit;
use crate::functions::Role;

/// The longest that an invocation may take, on Lambda and here.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

/// How many workers run at once on this machine, unless it is said.
const WORKERS_DEFAULT: u32 = 2;

/// The memory size of a worker on this machine, in MB, unless it is said.
const WORKER_MEMORY_DEFAULT: u32 = 2048;

/// Runs a program over a batch too big for one process, in parallel, and puts the results together in order.
///
/// The input is cut into chunks at the borders of its records. Each chunk goes to a process of its own: the records on
/// standard input, the result on standard output. The output is the results in the order of the input, byte for byte
/// what one process would have written over the whole. Here it runs on this machine; the same job runs on AWS Lambda.
#[derive(Debug, Parser)]
#[command(name = "fanfold", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    stack: StackArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program over files: the one-liner.
    #[command(after_help = MAP_EXAMPLES)]
    Map(Box<MapArgs>),
    /// Run a job file.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunJobArgs>),
    /// Show what a job file would do: partitions, chunks, the program. Runs nothing.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<PlanArgs>),
    /// Keep Lambda and S3 up on this machine, with the three functions deployed, for `aws`, SDKs and other terminals.
    #[command(after_help = LOCAL_EXAMPLES)]
    Local(Box<LocalArgs>),
    /// Fire a schedule of a stack that `fanfold local --template` keeps up, as if its time had come.
    #[command(after_help = FIRE_EXAMPLES)]
    Fire(FireArgs),
    #[command(flatten)]
    Stack(StackCommand),
    /// List what the three functions read of their environment.
    Config(ConfigArgs),
    /// What the functions of the embedded Lambda are started with.
    #[command(hide = true)]
    Bootstrap {
        /// Which function.
        role: Role,
    },
}

const EXAMPLE: &str = "\
Example:
  fanfold map --input birdstrikes.csv --output minor.csv --split csv --header -- awk -F, 'NR==1 || $0 ~ /Minor/'";

const MAP_EXAMPLES: &str = "\
Examples:
  # the rows that say Minor, with the header once, by several processes
  fanfold map --input birdstrikes.csv --output minor.csv --split csv --header --chunk-bytes 64KiB \\
      -- awk -F, 'NR==1 || $0 ~ /Minor/'

  # each line through a script; the result to the next program
  fanfold map --input 'logs/2026-*.jsonl' --output - -- python3 score.py | gzip > scores.gz

  # one process for each file of a folder
  fanfold map --input photos/ --split none --output sizes.txt -- wc -c";

const RUN_EXAMPLES: &str = "\
Examples:
  fanfold run orders.json
  fanfold run orders.json --set source.objects.chunk_bytes=8MiB --set output.uri=/tmp/out.csv
  fanfold run orders.json --json > report.json

  # a job of a deployment, with what the deployment would give it
  fanfold run jobs/squares.json --task-directory tasks --scheduled-time 2026-11-22T03:00:00Z
  fanfold run jobs/orders.json --task redact='python3 redact.py' --value team=sales
  fanfold run jobs/arrivals.json --object s3://in/orders/1.csv --set source.objects.uri=1.csv

Addresses in the job that do not begin with s3:// are files, folders or globs here, relative to the current folder.";

const PLAN_EXAMPLES: &str = "\
Examples:
  fanfold plan orders.json
  fanfold plan orders.json --set source.objects.chunk_bytes=1MiB --json";

const LOCAL_EXAMPLES: &str = "\
Examples:
  fanfold local --data /tmp/fanfold > env.sh &    # then: . ./env.sh
  aws s3 ls s3://fanfold/
  aws lambda invoke --function-name $FANFOLD_DISPATCHER --payload fileb://job.json /dev/stdout

  # a whole stack as it would be deployed: functions, buckets, rules, schedules
  fanfold local --template infra/cdk.out/Fanfold.template.json > env.sh &
  . ./env.sh && fanfold fire orders-nightly";

const FIRE_EXAMPLES: &str = "\
Examples:
  fanfold fire orders-nightly
  fanfold fire orders-nightly --at 2026-11-22T03:00:00Z";

#[derive(Args, Debug)]
pub(crate) struct MapArgs {
    /// A file, folder or glob, or an s3:// address. May be given several times; the order counts.
    #[arg(long, short, required = true, value_name = "PATH")]
    pub(crate) input: Vec<String>,
    /// The file that the output becomes, an s3:// address, or - for standard output.
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: String,
    /// What ends a record: `lines`, `csv` (a line feed outside quotes), `none` (a file is never split), or a text such
    /// as ';' or '\t' (with \n, \r, \t, \0 and \\).
    #[arg(long, default_value = "lines", value_name = "lines|csv|none|SEP")]
    pub(crate) split: String,
    /// The first record of each file is a header, which every process gets. Needs --split csv.
    #[arg(long)]
    pub(crate) header: bool,
    /// How many bytes a process is given, give or take a record [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_bytes: Option<ByteCount>,
    /// Never end a chunk early and go on in a new process: for programs that need their whole chunk, such as sort or wc.
    #[arg(long)]
    pub(crate) no_cut: bool,
    /// How many processes a worker runs at once [default: the machine's cores, shared among the workers]
    #[arg(long, value_name = "N")]
    pub(crate) processes: Option<u32>,
    /// How results become one output [default: csv with --header, else bytes]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<FormatName>,
    /// Compress the output: the workers do it, each result for itself.
    #[arg(long, value_name = "HOW")]
    pub(crate) compress: Option<CompressName>,
    /// How often a chunk that failed, or a partition whose worker died, is tried again.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) retries: u32,
    /// How many chunks may fail without the job failing: a number, or a share such as 1%.
    #[arg(long, default_value = "0", value_name = "N|N%")]
    pub(crate) tolerated_failures: Tolerance,
    /// Leave an output that is there already alone, and fail.
    #[arg(long)]
    pub(crate) no_overwrite: bool,
    /// The job's name [default: the first input's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    run: ProgramRun,
    /// The program and its arguments. No shell reads them.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<String>,
}

impl MapArgs {
    pub(crate) fn program_run(self) -> ProgramRun {
        self.run
    }
}

#[derive(Args, Debug)]
pub(crate) struct RunJobArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// The command of a task that a deployment would have registered, so that jobs may name it: words between spaces, or a
    /// JSON list. May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = job::task)]
    pub(crate) task: Vec<(String, Vec<String>)>,
    /// The folder in which programs run, such as a deployment's bundle of tasks [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) task_directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: ProgramRun,
}

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// The plan as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// How a job is run and told of.
#[derive(Args, Debug)]
pub(crate) struct ProgramRun {
    /// The report as JSON on standard output.
    #[arg(long, help_heading = "Output of fanfold itself")]
    pub(crate) json: bool,
    /// Neither progress nor a summary, nor what the program says; only failures.
    #[arg(long, short, help_heading = "Output of fanfold itself")]
    pub(crate) quiet: bool,
    /// A line for each try at a chunk, written to this file when the job has ended: the columns of GNU parallel's --joblog,
    /// and more.
    #[arg(long, value_name = "FILE", help_heading = "Output of fanfold itself")]
    pub(crate) joblog: Option<String>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

impl MachineArgs {
    /// Whether the objects of a job outlive the program.
    pub(crate) fn keeps_objects(&self) -> bool {
        self.data.is_some() || self.s3 == S3Choice::Environment
    }

    /// The options by which another command finds the same objects, as a shell reads them, each with a blank before it.
    pub(crate) fn place(&self) -> String {
        let data = self.data.as_ref().map(|data| data.display().to_string());
        let work = self.work.as_ref().map(ToString::to_string);
        let s3 = (self.s3 == S3Choice::Environment).then(|| "environment".to_owned());
        as_typed([("data", data), ("work", work), ("s3", s3)])
    }

    /// The options by which another command has the same machine: its objects, and what else is not as by default.
    pub(crate) fn options(&self) -> String {
        let workers = (self.workers != WORKERS_DEFAULT).then(|| self.workers.to_string());
        let memory = (self.worker_memory != WORKER_MEMORY_DEFAULT).then(|| self.worker_memory.to_string());
        let timeout = (self.timeout != TIMEOUT_MAX).then(|| time_as_typed(self.timeout));
        let others = [("workers", workers), ("worker-memory", memory), ("timeout", timeout)];
        self.place() + &as_typed(others)
    }
}

/// Those options that have a value, as a shell reads them, each with a blank before it.
fn as_typed<const N: usize>(options: [(&str, Option<String>); N]) -> String {
    let given = options.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    given.map(|(name, value)| format!(" --{name} {}", quoted(&value))).collect()
}

/// A time as [`timeout`] reads it.
fn time_as_typed(time: Duration) -> String {
    SignedDuration::try_from(time)
        .map_or_else(|_| format!("{}s", time.as_secs()), |time| format!("{time:#}").replace(' ', ""))
}

/// The machine that a job runs on.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineArgs {
    /// Where the embedded S3 keeps its data, so that a run that fails can be redriven [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR", help_heading = "This machine")]
    pub(crate) data: Option<PathBuf>,
    /// How many workers run at once.
    #[arg(long, default_value_t = WORKERS_DEFAULT, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500), help_heading = "This machine")]
    pub(crate) workers: u32,
    /// The memory size that workers are told they have, in MB.
    #[arg(long, default_value_t = WORKER_MEMORY_DEFAULT, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10_240), help_heading = "This machine")]
    pub(crate) worker_memory: u32,
    /// How long an invocation of a function may take, at most 15m.
    #[arg(long, default_value = "15m", value_name = "TIME", value_parser = timeout, help_heading = "This machine")]
    pub(crate) timeout: Duration,
    /// Which S3 the s3:// addresses mean: the embedded one, or that of your AWS environment.
    #[arg(long, value_enum, default_value_t = S3Choice::Embedded, help_heading = "This machine")]
    pub(crate) s3: S3Choice,
    /// With --s3 environment: where Fanfold keeps its own objects, such as s3://bucket/prefix/.
    #[arg(long, value_name = "S3-URI", required_if_eq("s3", "environment"), help_heading = "This machine")]
    pub(crate) work: Option<ObjectUri>,
}

#[derive(Args, Debug)]
pub(crate) struct LocalArgs {
    /// Where S3 listens; 0 takes a free port.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) s3_port: u16,
    /// Where Lambda listens; 0 takes a free port.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) lambda_port: u16,
    /// A stack that CDK synthesized, in place of the three functions: its template, with the assets beside it.
    #[arg(long, value_name = "STACK.template.json", conflicts_with_all = ["workers", "worker_memory", "timeout", "s3", "work"])]
    pub(crate) template: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FireArgs {
    /// The schedule's name; where several groups have one of that name, GROUP/NAME.
    pub(crate) schedule: String,
    /// The time that it is to take for its own, such as 2026-11-22T03:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Who was told what, as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the stack is, as `fanfold local` prints it.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_LAMBDA", hide_env_values = true)]
    pub(crate) endpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// Only this function.
    pub(crate) role: Option<Role>,
    /// As JSON Schema: for each function an object of its variables.
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Which S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum S3Choice {
    /// The one in this program.
    Embedded,
    /// That of AWS_ENDPOINT_URL_S3, AWS_REGION and the keys in the environment.
    Environment,
}

/// The output formats, by the names that job files have for them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatName {
    /// The results' bytes, one after the other.
    Bytes,
    /// The same, with a line feed where a result lacks its last one.
    Lines,
    /// Each result begins with the same header line; the output has it once.
    Csv,
    /// Each result is a JSON array; the output is one array of all elements.
    JsonArray,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Bytes => Self::Bytes,
            FormatName::Lines => Self::Lines,
            FormatName::Csv => Self::Csv,
            FormatName::JsonArray => Self::JsonArray,
        }
    }
}

/// The compressions, by the names that job files have for them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompressName {
    /// As gzip, which gunzip and zcat read.
    Gzip,
    /// As Zstandard, which zstd -d reads.
    Zstd,
}

impl From<CompressName> for Compress {
    fn from(name: CompressName) -> Self {
        match name {
            CompressName::Gzip => Self::Gzip,
            CompressName::Zstd => Self::Zstd,
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let advice = "write a time such as 90s or 15m";
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}; {advice}"))?;
    match Duration::try_from(time) {
        Ok(time) if !time.is_zero() && time <= TIMEOUT_MAX => Ok(time),
        _ => Err(format!("it must be more than 0 and at most 15m; {advice}")),
    }
}

/// The command line's grammar, with the table of exit statuses under its help.
pub(crate) fn grammar() -> clap::Command {
    Cli::command().after_help(format!("{EXAMPLE}\n\n{}", exit::table()))
}

/// Reads the command line. Ends the program where it asks for help or is not right (status 2).
pub(crate) fn parse() -> Command {
    let parsed = Cli::from_arg_matches(&grammar().get_matches()).and_then(Cli::command_of_stack);
    parsed.unwrap_or_else(|error| error.exit())
}

impl Cli {
    /// The command, with what stood before it.
    fn command_of_stack(self) -> Result<Command, clap::Error> {
        match self.command {
            Command::Stack(command) => Ok(Command::Stack(command.with(&self.stack))),
            other if self.stack == StackArgs::default() => Ok(other),
            _ => Err(grammar().error(
                ErrorKind::ArgumentConflict,
                "--stack, --pipeline, --profile and --region go with submit, watch, status, logs, cancel, redrive and jobs only",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound_and_its_help_is_what_was_reviewed() {
        let mut grammar = grammar().term_width(110);
        grammar.build();
        grammar.clone().debug_assert();
        insta::assert_snapshot!("help", grammar.render_long_help());
        for name in [
            "map", "run", "plan", "local", "fire", "submit", "watch", "status", "logs", "cancel", "redrive",
            "jobs", "config",
        ] {
            let command = grammar.find_subcommand_mut(name).unwrap();
            insta::assert_snapshot!(format!("help_{name}"), command.render_long_help());
        }
    }

    #[test]
    fn a_template_is_not_overruled_by_options_that_it_answers_itself() {
        let line = |more: &[&str]| {
            let line = ["fanfold", "local", "--template", "S.template.json"].iter().chain(more).copied();
            Cli::try_parse_from(line.collect::<Vec<_>>()).map(drop)
        };
        assert!(line(&["--data", "/tmp/x", "--s3-port", "9000"]).is_ok());
        for more in
            [["--workers", "3"], ["--worker-memory", "512"], ["--timeout", "1m"], ["--s3", "embedded"]]
        {
            assert_eq!(line(&more).unwrap_err().kind(), ErrorKind::ArgumentConflict, "{more:?}");
        }
    }

    #[test]
    fn a_machine_is_typed_again_as_it_was_and_its_defaults_are_left_out() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            machine: MachineArgs,
        }
        let options =
            |line: &[&str]| Line::try_parse_from([&["x"], line].concat()).unwrap().machine.options();
        assert_eq!(options(&["--data", "kept", "--timeout", "900s", "--workers", "2"]), " --data kept");
        assert_eq!(options(&["--data", "my runs' $1"]), r" --data 'my runs'\'' $1'");
        for timeout in ["20s", "90s", "1500ms", "14m", "1m30s"] {
            let typed = options(&["--timeout", timeout, "--workers", "3", "--worker-memory", "512"]);
            let words: Vec<&str> = typed.split_whitespace().collect();
            assert_eq!(words[..4], ["--workers", "3", "--worker-memory", "512"]);
            let again = Line::try_parse_from([&["x"], words.as_slice()].concat()).unwrap();
            assert_eq!(again.machine.timeout, super::timeout(timeout).unwrap(), "{typed}");
        }
    }

    #[test]
    fn a_timeout_is_read_as_people_write_it_and_bounded_as_lambda_bounds_it() {
        assert_eq!(timeout("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout("15m").unwrap(), TIMEOUT_MAX);
        for text in ["0s", "16m", "-1s", "soon", "15"] {
            assert!(timeout(text).unwrap_err().contains("15m"), "{text}");
        }
    }
}
