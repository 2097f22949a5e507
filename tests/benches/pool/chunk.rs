//! What a chunk's process does: a program of its own, which is this one, or a task that was loaded before.

use std::io::{self, Write};
use std::time::Duration;

use fanfold_pool::{Task, TaskInput, TaskOutput};

use crate::work::Work;

/// Most bytes that are written at once.
const BLOCK_BYTES: usize = 256 << 10;

/// How far apart what is read of a table lies: a page, as the kernel counts it.
const PAGE_BYTES: usize = 4 << 10;

/// How long a process stays that was asked for its first byte, so that all six are there at once, and are seen.
const STAYS: Duration = Duration::from_millis(500);

/// Prints what a chunk gives, as a program whose table, if there is one, has to be loaded first.
pub(crate) fn print(work: Work, index: usize) {
    let mut stdout = io::stdout().lock();
    write(work, index, &table(work), &mut stdout).expect("somebody reads");
}

/// Loads the table, if there is one, for tasks that are named as work is.
///
/// # Errors
/// Never.
pub(crate) fn load(name: &str) -> Result<Box<dyn Task>, String> {
    let work = Work::of(&name.split(' ').collect::<Vec<_>>());
    Ok(Box::new(Loaded { work, table: table(work) }))
}

struct Loaded {
    work: Work,
    table: Vec<u8>,
}

impl Task for Loaded {
    fn run(&self, message: &[u8], _: &mut TaskInput, output: &mut TaskOutput) -> Result<(), String> {
        let index = std::str::from_utf8(message).ok().and_then(|index| index.parse().ok());
        let index = index.ok_or_else(|| "the message is no index".to_owned())?;
        write(self.work, index, &self.table, output).map_err(|error| error.to_string())
    }
}

fn table(work: Work) -> Vec<u8> {
    let Work::Table(mebibytes) = work else { return Vec::new() };
    (0..mebibytes << 20).map(|place| (place % 251) as u8).collect()
}

/// Writes what a chunk gives.
fn write(work: Work, index: usize, table: &[u8], output: &mut impl Write) -> io::Result<()> {
    match work {
        Work::Bytes(bytes) => write_alike(letter(index), bytes, output)?,
        Work::Rows(_) => write_rows(work, index, output)?,
        Work::Tiny(_) => writeln!(output, "{index}")?,
        Work::Table(_) => {
            let sum: u64 = table.iter().step_by(PAGE_BYTES).map(|byte| u64::from(*byte)).sum();
            output.write_all(&[u8::from(sum > 0)])?;
            output.flush()?;
            std::thread::sleep(STAYS);
        }
    }
    output.flush()
}

/// The byte that all of a chunk's bytes are.
pub(crate) fn letter(index: usize) -> u8 {
    b'A' + (index % 26) as u8
}

fn write_alike(letter: u8, bytes: usize, output: &mut impl Write) -> io::Result<()> {
    let block = vec![letter; BLOCK_BYTES.min(bytes)];
    let mut left = bytes;
    while left > 0 {
        let written = left.min(block.len());
        output.write_all(&block[..written])?;
        left -= written;
    }
    Ok(())
}

fn write_rows(work: Work, index: usize, output: &mut impl Write) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for row in work.rows(index) {
        let amount = row as f64 * 1.25;
        writeln!(
            block,
            r#"{{"id": {row}, "name": "user-{row:07}", "amount": {amount:?}, "part": {index}}}"#
        )?;
        if block.len() > BLOCK_BYTES - 256 {
            output.write_all(&block)?;
            block.clear();
        }
    }
    output.write_all(&block)
}
