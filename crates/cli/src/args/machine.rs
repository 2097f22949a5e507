//! The machine that jobs run on, as typed: where its objects are, and how much of it there is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fanfold_flow::joblog::quoted;
use fanfold_flow::uri::ObjectUri;
use jiff::SignedDuration;

/// The shortest that an invocation may take, on Lambda and here: no function starts in less.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The longest that an invocation may take, on Lambda and here.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

/// How many workers run at once on this machine, unless it is said.
const WORKERS_DEFAULT: u32 = 2;

/// The memory size that a worker is configured with on this machine, in MB, unless `--worker-memory` says otherwise.
const WORKER_MEMORY_DEFAULT: u32 = 2048;

/// Where the objects of a job are kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    /// Where the embedded S3 keeps its data, so that a run that fails can be redriven [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR", help_heading = "This machine")]
    pub(crate) data: Option<PathBuf>,
    /// Which S3 the s3:// addresses mean: the embedded one, or that of your AWS environment.
    #[arg(long, value_enum, default_value_t = S3Choice::Embedded, help_heading = "This machine")]
    pub(crate) s3: S3Choice,
    /// With --s3 environment: where Fanfold keeps its own objects, such as s3://bucket/prefix/.
    #[arg(long, value_name = "S3-URI", required_if_eq("s3", "environment"), help_heading = "This machine")]
    pub(crate) work: Option<ObjectUri>,
}

/// The machine that a job runs on.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How many workers run at once.
    #[arg(long, default_value_t = WORKERS_DEFAULT, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=500), help_heading = "This machine")]
    pub(crate) workers: u32,
    /// The memory size of a worker, in MB: what its processes may take together, as on Lambda [default: the workers share the
    /// machine's memory]
    #[arg(long, value_name = "MB", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(128..=10_240), help_heading = "This machine")]
    worker_memory: Option<u32>,
    /// The program that is the worker, where it is one of your own with tasks in Rust [default: this program]
    #[arg(long, value_name = "FILE", value_parser = worker_program, help_heading = "This machine")]
    pub(crate) worker_program: Option<PathBuf>,
    /// How long an invocation of a function may take, from 1s to 15m.
    #[arg(long, default_value = "15m", value_name = "TIME", allow_negative_numbers = true, value_parser = timeout, help_heading = "This machine")]
    pub(crate) timeout: Duration,
}

/// Which S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum S3Choice {
    /// The one in this program.
    Embedded,
    /// That of AWS_ENDPOINT_URL_S3, AWS_REGION and the keys in the environment.
    Environment,
}

impl PlaceArgs {
    /// Whether the objects of a job outlive the program.
    pub(crate) fn keeps_objects(&self) -> bool {
        self.data.is_some() || self.s3 == S3Choice::Environment
    }

    /// The options by which another command finds the same objects, as a shell reads them, each with a blank before it.
    pub(crate) fn options(&self) -> String {
        let data = self.data.as_ref().map(|data| data.display().to_string());
        let work = self.work.as_ref().map(ToString::to_string);
        let s3 = (self.s3 == S3Choice::Environment).then(|| "environment".to_owned());
        as_typed([("data", data), ("work", work), ("s3", s3)])
    }
}

impl MachineArgs {
    /// One with these objects, and all else as by default.
    pub(crate) fn of(place: PlaceArgs) -> Self {
        Self {
            place,
            workers: WORKERS_DEFAULT,
            worker_memory: None,
            worker_program: None,
            timeout: TIMEOUT_MAX,
        }
    }

    /// Whether it was not said how much memory a worker has, so that it is the machine's.
    pub(crate) fn has_the_machines_memory(&self) -> bool {
        self.worker_memory.is_none()
    }

    /// The memory size that a worker is configured with, in MB.
    pub(crate) fn worker_memory_mb(&self) -> u32 {
        self.worker_memory.unwrap_or(WORKER_MEMORY_DEFAULT)
    }

    /// The options by which another command has the same machine: its objects, and what else is not as by default.
    pub(crate) fn options(&self) -> String {
        let workers = (self.workers != WORKERS_DEFAULT).then(|| self.workers.to_string());
        let memory = self.worker_memory.map(|memory| memory.to_string());
        let timeout = (self.timeout != TIMEOUT_MAX).then(|| time_as_typed(self.timeout));
        let program = self.worker_program.as_ref().map(|program| program.display().to_string());
        let others = [
            ("workers", workers),
            ("worker-memory", memory),
            ("worker-program", program),
            ("timeout", timeout),
        ];
        self.place.options() + &as_typed(others)
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

/// A file that can be started, by its full path: functions run in folders of their own.
fn worker_program(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text).canonicalize().map_err(|error| format!("{error}; build it first"))?;
    let is_program =
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if is_program { Ok(path) } else { Err("it is not an executable file".to_owned()) }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let advice = "write a time such as 90s or 15m";
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}; {advice}"))?;
    match Duration::try_from(time) {
        Ok(time) if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&time) => Ok(time),
        _ => Err(format!("it must be from 1s to 15m; {advice}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

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
    fn a_memory_size_that_is_typed_bounds_workers_even_if_it_is_the_default() {
        let typed = MachineArgs { worker_memory: Some(WORKER_MEMORY_DEFAULT), ..MachineArgs::of(place()) };
        assert!(!typed.has_the_machines_memory() && typed.options().contains("--worker-memory 2048"));
        assert!(MachineArgs::of(place()).has_the_machines_memory());
    }

    fn place() -> PlaceArgs {
        PlaceArgs { data: None, s3: S3Choice::Embedded, work: None }
    }

    #[test]
    fn a_worker_of_ones_own_is_a_program_that_is_there() {
        assert!(worker_program("/bin/sh").unwrap().is_absolute());
        assert!(worker_program("/nowhere/worker").unwrap_err().contains("build it first"));
        assert_eq!(worker_program("/etc/passwd").unwrap_err(), "it is not an executable file");
    }

    #[test]
    fn a_timeout_is_read_as_people_write_it_and_bounded_as_lambda_bounds_it() {
        assert_eq!(timeout("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout("15m").unwrap(), TIMEOUT_MAX);
        for text in ["0s", "1ms", "999ms", "16m", "-1s", "soon", "15"] {
            assert!(timeout(text).unwrap_err().contains("15m"), "{text}");
        }
    }
}
