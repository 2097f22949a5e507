//! Many objects into one: Fanfold's planner and executor beside what others do, over two S3 servers, in one run.
//!
//! ```text
//! infra/python-environment target/python/peers tests/benches/peers/requirements.txt
//! cargo bench -p e2e --bench concat [-- --percent 100 --rounds 3 --stores emulator,localstack]
//! cargo bench -p e2e --bench concat -- --copies 8,16,32,64
//! ```
//! LocalStack's Python environment is made by `tests/run`, or like that of the peers. Every way makes one object of the same
//! objects, and what it made is read and compared. Printed, as Markdown, are medians of wall time, the bytes that went through
//! the client both ways, and requests; the ways take turns, so that a busy machine is busy for all of them alike.
//! `--percent` is for a quick look with fewer objects. With `--copies`, only our own executor runs, with so many part copies
//! at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on fails")]

mod servers;
mod table;
mod ways;
mod workload;

use std::str::FromStr;
use std::sync::Arc;

use fanfold_flow::uri::ObjectUri;
use fanfold_store::concat::Bounds;
use fanfold_store::{Store, StoreExt};

use crate::servers::Server;
use crate::table::Row;
use crate::ways::{Outcome, Way};
use crate::workload::{Seeded, Workload};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(measure());
}

async fn measure() {
    let percent = argument("--percent").unwrap_or(100_usize);
    let rounds = argument("--rounds").unwrap_or(3_usize);
    let stores: String = argument("--stores").unwrap_or_else(|| "emulator,localstack".to_owned());
    let copies: Option<String> = argument("--copies");
    for name in stores.split(',') {
        let scratch = tempfile::tempdir().expect("a scratch folder can be made");
        let server = Server::start(name, scratch.path());
        let store: Arc<dyn Store> = Arc::new(server.store().await);
        for workload in Workload::all(percent) {
            let bucket = server.bucket();
            let seeded = Seeded::in_bucket(&store, bucket, &workload).await;
            let ways = match &copies {
                Some(copies) => copies_at_once(copies, &seeded),
                None => Way::all(&seeded),
            };
            let rows = compare(&server, &store, &seeded, &ways, rounds).await;
            println!("\n{name}: {}\n", workload.name);
            print!("{}", table::markdown(&rows));
            store.delete_prefix(bucket, "").await.expect("the bucket can be emptied");
        }
    }
}

/// Our own way with each of these numbers of part copies at once.
fn copies_at_once(numbers: &str, seeded: &Seeded) -> Vec<Way> {
    let numbers = numbers.split(',').map(|number| number.parse().expect("--copies has numbers"));
    let bounds = numbers.map(|copies_in_flight| Bounds { copies_in_flight, ..Bounds::default() });
    bounds.flat_map(|bounds| Way::ours(seeded, bounds)).collect()
}

/// Has each way run in each round, and compares what it made.
async fn compare(
    server: &Server,
    store: &Arc<dyn Store>,
    seeded: &Seeded,
    ways: &[Way],
    rounds: usize,
) -> Vec<Row> {
    let mut rows: Vec<Row> = ways.iter().map(|way| Row::new(way.name())).collect();
    for _ in 0..rounds {
        for (way, row) in ways.iter().zip(&mut rows) {
            let at = ObjectUri::new(server.bucket(), "output");
            let ran = way.run(server, store, seeded, &at).await;
            let outcome = match &ran {
                Ok(_) => way.check(store, seeded, &at).await,
                Err(refusal) => Outcome::Failed(refusal.clone()),
            };
            row.add(ran.ok(), outcome);
            store.delete_prefix(server.bucket(), "output").await.expect("the output can be deleted");
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
