//! A worker whose tasks misbehave: at the first attempt of each third chunk, in the way that its first argument says.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::Write;
use std::num::NonZeroU32;
use std::process::ExitCode;

use fanfold_worker::{Chunk, Input, Output, Task, Tasks};

fn main() -> ExitCode {
    fanfold_worker::main(Tasks::none().with::<Capitals>().with::<LongLived>())
}

/// Writes its lines in capitals, a process for each chunk.
struct Capitals;

impl Task for Capitals {
    const NAME: &'static str = "capitals";

    fn load() -> anyhow::Result<Self> {
        Ok(Self)
    }

    fn run(&self, chunk: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
        capitals(chunk, input, output)
    }
}

/// The same, many chunks for each process.
struct LongLived;

impl Task for LongLived {
    const NAME: &'static str = "long-lived";
    const CHUNKS_PER_PROCESS: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");

    fn load() -> anyhow::Result<Self> {
        Ok(Self)
    }

    fn run(&self, chunk: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
        capitals(chunk, input, output)
    }
}

fn capitals(chunk: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
    let is_bad = chunk.index % 3 == 1 && (chunk.attempt == 1 || chunk.args.get(1).is_some());
    for (number, line) in input.lines().enumerate() {
        writeln!(output, "{}", line?.to_ascii_uppercase())?;
        if is_bad && number == 10 {
            misbehave(&chunk.args[0])?;
        }
    }
    println!("chunk {} is done", chunk.index);
    Ok(())
}

fn misbehave(how: &str) -> anyhow::Result<()> {
    match how {
        "well" => {}
        "fail" => anyhow::bail!("there is no such order"),
        "panic" => panic!("this cannot be"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "overflow" => println!("{}", depth(0)),
        "leak" => std::mem::forget(vec![1_u8; 64 << 20]),
        "thread" => drop(std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(1_000)))),
        _ => anyhow::bail!("{how}: no way to misbehave"),
    }
    Ok(())
}

/// Ends in the guard page behind the stack, and so in a segmentation fault.
fn depth(frames: u64) -> u64 {
    if black_box(frames) == u64::MAX { 0 } else { black_box([frames; 64])[0] + depth(frames + 1) }
}
