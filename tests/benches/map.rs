//! `fanfold map` beside the bare program and beside what people do by hand, in one run over the same file.
//!
//! ```text
//! cargo bench -p e2e --bench map [-- --mebibytes 512 --rounds 5]
//! ```
//! Every way reads the same file and must leave the same bytes. Printed are medians of wall time and what they are of the
//! bare program's; the ways take turns, so that a busy machine is busy for all of them alike.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The programs: one that does next to nothing for a byte, so that moving bytes is all there is, and one that works.
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("tr a-z A-Z (moves bytes)", &["tr", "a-z", "A-Z"]),
    (
        "awk, a sum over the letters of each line (works)",
        &[
            "awk",
            "{ s = 0; n = length($0); for (i = 1; i <= n; i++) s += index(\"etaoinshrdlu\", substr($0, i, 1)); print s, $1 }",
        ],
    ),
];

/// Into how many chunks every way cuts the file.
const CHUNKS: u64 = 16;

struct Settings {
    bytes: u64,
    rounds: usize,
    /// Set for each program.
    chunk_bytes: u64,
    cores: usize,
    folder: PathBuf,
}

fn main() {
    let scratch = tempfile::tempdir().unwrap_or_else(|error| panic!("a scratch folder: {error}"));
    let mut settings = Settings {
        bytes: argument("--mebibytes", 512) << 20,
        rounds: usize::try_from(argument("--rounds", 5)).unwrap_or(5),
        chunk_bytes: 0,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        folder: scratch.path().to_owned(),
    };
    for (name, argv) in PROGRAMS {
        // The working program is some hundred times slower; less of the file tells as much.
        let bytes = if argv[0] == "awk" { settings.bytes / 8 } else { settings.bytes };
        let input = settings.folder.join("input.txt");
        write_text(&input, bytes);
        settings.chunk_bytes = bytes / CHUNKS;
        println!(
            "\n{name}: {} MiB in chunks of {} MiB, {} cores",
            bytes >> 20,
            settings.chunk_bytes >> 20,
            settings.cores
        );
        compare(&settings, argv, &input);
    }
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

type Way = (&'static str, fn(&Settings, &[&str], &Path, &Path));

fn compare(settings: &Settings, argv: &[&str], input: &Path) {
    let mut ways: Vec<Way> =
        vec![("the bare program, one process", bare), ("split, xargs -P, cat", split_and_xargs)];
    if Command::new("parallel").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    {
        ways.push(("parallel --pipepart --keep-order", gnu_parallel));
    }
    ways.push(("fanfold map", fanfold));
    let mut times = vec![Vec::new(); ways.len()];
    for round in 0..settings.rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            let output = settings.folder.join(format!("output-{round}"));
            let began = Instant::now();
            way.1(settings, argv, input, &output);
            times.push(began.elapsed());
            same_bytes(&output, &settings.folder.join("expected"), way.0);
        }
        let _ = fs::remove_file(settings.folder.join("expected"));
    }
    let bare = median(&mut times[0]);
    for ((name, _), times) in ways.iter().zip(&mut times) {
        let median = median(times);
        println!(
            "{name:<36} {:>8.2} s {:>8.2} x bare",
            median.as_secs_f64(),
            median.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The first way's output is what the others must leave too.
fn same_bytes(output: &Path, expected: &Path, way: &str) {
    if !expected.exists() {
        fs::rename(output, expected).unwrap_or_else(|error| panic!("keep {}: {error}", output.display()));
        return;
    }
    let same = Command::new("cmp").arg(output).arg(expected).status().is_ok_and(|status| status.success());
    assert!(same, "{way} left other bytes than the bare program");
    let _ = fs::remove_file(output);
}

fn bare(_: &Settings, argv: &[&str], input: &Path, output: &Path) {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(open(input)).stdout(create(output));
    succeed(&mut command);
}

/// What people write by hand: chunks on disk, a process for each, the results one after the other.
fn split_and_xargs(settings: &Settings, argv: &[&str], input: &Path, output: &Path) {
    let script = r#"
        set -eu
        mkdir parts results
        split -C "$1" "$2" parts/
        ls parts | PROGRAM_INPUT=parts PROGRAM_OUTPUT=results xargs -P "$3" -I{} sh -c 'shift; "$@" < parts/{} > results/{}' sh {} "${@:5}"
        cat results/* > "$4"
    "#;
    let folder =
        tempfile::tempdir_in(&settings.folder).unwrap_or_else(|error| panic!("a scratch folder: {error}"));
    let mut command = Command::new("bash");
    command.current_dir(&folder).args(["-c", script, "bash", &settings.chunk_bytes.to_string()]);
    command.arg(input).arg(settings.cores.to_string()).arg(output).args(argv);
    succeed(&mut command);
}

fn gnu_parallel(settings: &Settings, argv: &[&str], input: &Path, output: &Path) {
    let mut command = Command::new("parallel");
    command.args(["--will-cite", "--keep-order", "--quote", "--pipepart", "--arg-file"]).arg(input);
    command.args(["--block", &settings.chunk_bytes.to_string(), "--jobs", &settings.cores.to_string()]);
    command.args(argv).stdout(create(output));
    succeed(&mut command);
}

fn fanfold(settings: &Settings, argv: &[&str], input: &Path, output: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e-fanfold"));
    command.arg("map").arg("--input").arg(input).arg("--output").arg(output);
    command.args(["--split", "lines", "--chunk-bytes", &settings.chunk_bytes.to_string()]);
    command.args(["--quiet", "--"]).args(argv).env("TMPDIR", &settings.folder);
    succeed(&mut command);
}

fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn create(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of words, the same at every run.
fn write_text(path: &Path, bytes: u64) {
    const WORDS: [&str; 8] = ["wing", "flight", "engine", "gull", "approach", "climb", "a", "substantial"];
    let mut file = BufWriter::with_capacity(1 << 20, create(path));
    let (mut state, mut written) = (0x2545_F491_4F6C_DD1D_u64, 0);
    while written < bytes {
        let mut line = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            line.push_str(WORDS[(state % 8) as usize]);
            line.push(' ');
        }
        line.push('\n');
        file.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        written += line.len() as u64;
    }
}
