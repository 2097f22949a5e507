//! The command line, as typed. What its values mean is decided elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::size::{ByteCount, Tolerance};
use jiff::Timestamp;

mod advice;
mod job;
mod machine;
mod records;
pub(crate) mod stack;

pub(crate) use job::JobArgs;
pub(crate) use machine::{MachineArgs, PlaceArgs, S3Choice};
pub(crate) use records::RecordArgs;

use self::stack::{StackArgs, StackCommand};
use crate::exit;
use crate::functions::Role;

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
        /// The user's own program for it.
        #[arg(long)]
        program: Option<PathBuf>,
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
  fanfold map logs/2026-*.jsonl -o - -- python3 score.py | gzip > scores.gz

  # the lines with an error, of a file in which a chunk may have none
  fanfold map big.log -o errors.log --ok-status 0,1 -- grep ERROR

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
    /// Files, folders, globs or s3:// addresses, in the order in which they are read; - is standard input. Of a folder, hidden
    /// files are left out.
    #[arg(long, short, num_args = 1.., value_name = "PATH")]
    input: Vec<String>,
    /// The same, without an option before it.
    #[arg(value_name = "INPUT", required_unless_present = "input")]
    inputs: Vec<String>,
    /// The file that the output becomes, an s3:// address, or - for standard output. May hold placeholders: {name}, {job_id},
    /// {start_date}, {start_time}; \{name} is the text {name}. In inputs and in the program's words, braces are only braces.
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: String,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// How many bytes a process is given, give or take a record [default: 64MiB]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) chunk_bytes: Option<ByteCount>,
    /// Never end a chunk early and go on in a new process: for programs that need their whole chunk, such as sort or wc.
    #[arg(long)]
    pub(crate) no_cut: bool,
    /// How many processes a worker runs at once [default: the machine's cores, shared among the workers]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) processes: Option<u32>,
    /// How much memory a process may take, with all that it starts, in MB: one that takes more is killed, and so many run at once as
    /// fit into a worker's memory [default: as much as there is]
    #[arg(long, value_name = "MB", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) memory_mb: Option<u32>,
    /// How results become one output [default: csv with --header, else bytes]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<FormatName>,
    /// Compress the output: the workers do it, each result for itself.
    #[arg(long, value_name = "HOW")]
    pub(crate) compress: Option<CompressName>,
    /// How often a chunk that failed, or a partition whose worker died, is tried again.
    #[arg(long, default_value_t = 2, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(..=10))]
    pub(crate) retries: u32,
    /// The exit statuses of the program that count as success, such as 0,1 for grep, which exits 1 where nothing matches
    /// [default: 0]
    #[arg(long, value_name = "N,N", value_delimiter = ',', allow_negative_numbers = true)]
    pub(crate) ok_status: Vec<u8>,
    /// How many chunks may fail without the job failing: a number, or a share such as 1%.
    #[arg(long, default_value = "0", value_name = "N|N%", allow_negative_numbers = true)]
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
    /// The inputs, in order.
    pub(crate) fn inputs(&self) -> &[String] {
        if self.input.is_empty() { &self.inputs } else { &self.input }
    }

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

/// The output formats, by the names that job files have for them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatName {
    /// The results' bytes, one after the other.
    Bytes,
    /// The same, with a line feed where a result lacks its last one.
    Lines,
    /// Each result begins with the same header line; the output has it once.
    Csv,
    /// The same as lines, and each line must be one JSON value.
    #[value(name = "jsonl")]
    JsonLines,
    /// Each result is a JSON array; the output is one array of all elements.
    JsonArray,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Bytes => Self::Bytes,
            FormatName::Lines => Self::Lines,
            FormatName::Csv => Self::Csv,
            FormatName::JsonLines => Self::JsonLines,
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

/// The command line's grammar, with the table of exit statuses under its help.
pub(crate) fn grammar() -> clap::Command {
    Cli::command().after_help(format!("{EXAMPLE}\n\n{}", exit::table()))
}

/// Reads the command line. Ends the program where it asks for help or is not right (status 2).
pub(crate) fn parse() -> Command {
    let words: Vec<OsString> = std::env::args_os().collect();
    parse_words(&words).unwrap_or_else(|error| error.exit())
}

fn parse_words(words: &[OsString]) -> Result<Command, clap::Error> {
    advice::is_utf8(words)?;
    let matches = grammar().try_get_matches_from(words);
    let matches = matches.map_err(|error| advice::fit(error, words))?;
    Cli::from_arg_matches(&matches).and_then(Cli::command_of_stack)
}

impl Cli {
    /// The command, with what stood before it.
    fn command_of_stack(self) -> Result<Command, clap::Error> {
        match self.command {
            Command::Stack(command) => Ok(Command::Stack(command.with(&self.stack))),
            Command::Map(args) if !args.input.is_empty() && !args.inputs.is_empty() => Err(advice::mixed(&args.inputs)),
            other if self.stack == StackArgs::default() => Ok(other),
            _ => Err(grammar().error(
                ErrorKind::ArgumentConflict,
                "--stack, --pipeline, --profile and --region go with submit, watch, status, logs, cancel, redrive, verify and jobs only",
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
            "verify", "jobs", "config",
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
}
