//! Processes that each give a result, which one parent collects in order: Fanfold's pool beside Python's ways, GNU parallel, and
//! bare pipes, in one run.
//!
//! ```text
//! infra/python-environment target/python/peers tests/benches/peers/requirements.txt
//! cargo bench -p e2e --bench pool [-- --rounds 5 --sizes 1024,65536,1048576,16777216,134217728 --rows 100000 --tiny 100000 --table 256 --ways spawn,pipe]
//! ```
//! A size, or a number, of 0 leaves that out. Every way runs as a process of its own, once for its times and once more for its
//! memory, so that neither disturbs the other; the ways take turns, so that a busy machine is busy for all of them alike.
//! Printed, as Markdown, are medians:
//!
//! - time, from before the first process is started until all results are one, in order, in the parent's memory: without the
//!   start of the parent, which a Lambda that is warm has behind it;
//! - processor time of the whole tree of processes, the parent's start included;
//! - the highest sum of memory over that tree, in which what processes share counts once (PSS), and the most that the parent
//!   alone has held.
//!
//! The second run checks what was collected. What is collected are bytes, or rows: lines of JSON, and in Python dictionaries.
//! `--rows` is for each process. Of tiny chunks a way that starts something for each is given a part, and told by what it does in
//! a second; programs are left out there unless they are named.
//!
//! **Two of our ways collect nothing**: each result is streamed on as it comes, as a Fanfold worker does it on its way to S3, here
//! to a file of its own in a temporary folder. They do less than the others, and are there for the parent's memory, which does not
//! grow with the results.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on fails")]

mod chunk;
mod floor;
mod measure;
mod ours;
mod table;
mod ways;
mod work;

use std::process::ExitCode;
use std::str::FromStr;

use fanfold_pool::serve_forks;

use crate::measure::Took;
use crate::table::Row;
use crate::ways::Way;
use crate::work::Work;

/// What one parent's processes each do.
const SIZES: &str = "1024,65536,1048576,16777216,134217728";

fn main() -> ExitCode {
    if let Some(code) = serve_forks(chunk::load) {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["chunk", work @ .., index] => chunk::print(Work::of(work), index.parse().expect("an index")),
        ["way", "floor", work @ ..] => floor::run(Work::of(work)),
        ["way", "parallel", work @ ..] => floor::run_parallel(Work::of(work)),
        ["way", name, work @ ..] => ours::run(name, Work::of(work)),
        _ => compare_all(),
    }
    ExitCode::SUCCESS
}

fn compare_all() {
    measure::adopt_orphans();
    let rounds = argument("--rounds").unwrap_or(5);
    let named: Option<String> = argument("--ways");
    let ways = Way::those(named.as_deref());
    let sizes: String = argument("--sizes").unwrap_or_else(|| SIZES.to_owned());
    let sizes = sizes.split(',').map(|size| Work::Bytes(size.parse().expect("--sizes has numbers")));
    let rows = argument("--rows").unwrap_or(100_000);
    let others = [
        Work::Rows(rows),
        Work::Tiny(argument("--tiny").unwrap_or(100_000)),
        Work::Table(argument("--table").unwrap_or(256)),
    ];
    for work in sizes.chain(others).filter(|work| !work.is_nothing()) {
        println!("\n{work}\n");
        let ways = ways.iter().copied().filter(|way| way.does(work, named.is_some()));
        print!("{}", table::markdown(work, &compare(work, ways, rounds)));
    }
}

/// Has each way do its work twice in each round.
fn compare(work: Work, ways: impl Iterator<Item = Way>, rounds: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = ways.map(Row::new).collect();
    for _ in 0..rounds {
        for row in &mut rows {
            let took = row.way.run(work, false).and_then(|times| {
                let memory = row.way.run(work, true)?;
                Ok(Took { tree_bytes: memory.tree_bytes, parent_bytes: memory.parent_bytes, ..times })
            });
            row.add(took);
        }
    }
    rows
}

/// The value of an option, if it is given.
fn argument<T: FromStr>(name: &str) -> Option<T> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    let value = arguments.nth(1)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} {value}: not of the kind that is meant")))
}
