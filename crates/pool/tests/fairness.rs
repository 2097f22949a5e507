//! A process without end takes nothing from the others: neither their turn, nor the log's, nor the bytes that they may have in
//! flight, nor the moment at which it is to stop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{ForkServer, ForkedTask, Output, Pool, Program, Settings};
use futures::future::join_all;
use harness::{input, no_input, pattern, processes_with, program, run_with, settings, shell, tag};
use tokio::sync::oneshot;
use tokio::task::yield_now;

/// More than all pipes and buffers of a process hold.
const FINITE_BYTES: usize = 3 << 20;

/// Lines that a program logs while others flood their pipes.
const LOG_LINES: usize = 1_000;

/// What each of the two kinds of runtimes that the pool must work on does with a test.
fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let current_thread = tokio::runtime::Builder::new_current_thread().enable_all().build();
    current_thread.unwrap().block_on(test());
    let multi_thread = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    multi_thread.unwrap().block_on(test());
}

/// Takes everything, and says when the first piece has come.
struct Devouring(Option<oneshot::Sender<()>>);

impl Output for Devouring {
    type Error = Infallible;

    async fn write(&mut self, _: Bytes) -> Result<(), Infallible> {
        if let Some(began) = self.0.take() {
            began.send(()).ok();
        }
        Ok(())
    }
}

/// A task in forked processes, and a call of it that has no end.
fn forked() -> ForkedTask {
    let server = ForkServer::new(program([env!("CARGO_BIN_EXE_fanfold-pool-forking")]), "steps");
    ForkedTask::new(Arc::new(server), &program(["task"]), NonZeroU32::MAX).unwrap()
}
const ENDLESS_CALL: &[u8] = b"write=1000000000000";

/// Runs a program that has no end until it is told to stop; never by itself.
async fn endless(pool: &Pool, program: &Program, began: oneshot::Sender<()>, stop: oneshot::Receiver<()>) {
    let (mut input, mut output, mut log) = (no_input(), Devouring(Some(began)), |_: &[u8]| ());
    tokio::select! {
        // The stop is to be seen in good time without being looked for first.
        biased;
        ended = pool.run(program, &mut input, &mut output, &mut log) => panic!("it has no end: {ended:?}"),
        stop = stop => stop.unwrap(),
    }
}

/// Runs programs that come to their end.
async fn finite(pool: &Pool) {
    let cat = program(["cat"]);
    let copy = async {
        let (ended, output, _) = run_with(pool, &cat, input(pattern(FINITE_BYTES), 10_000)).await;
        assert!(ended.unwrap().exit.success() && output == pattern(FINITE_BYTES));
    };
    let script = format!("i=0; while [ $i -lt {LOG_LINES} ]; do echo $i >&2; i=$((i+1)); done; cat");
    let talking = shell(&script);
    let talk = async {
        let (ended, output, lines) = run_with(pool, &talking, input(pattern(1000), 1000)).await;
        assert!(ended.unwrap().exit.success() && output == pattern(1000));
        let expected: Vec<_> = (0..LOG_LINES).map(|line| line.to_string().into_bytes()).collect();
        assert_eq!(lines, expected);
    };
    tokio::join!(copy, talk);
}

#[test]
fn beside_endless_output_the_others_end_their_log_flows_and_each_stops_when_told() {
    on_each_runtime(async || {
        let (pool, task) = (Pool::new(settings(5)), forked());
        let (mut input, mut output, mut log) = (no_input(), Devouring(None), |_: &[u8]| ());
        let call = pool.call(&task, ENDLESS_CALL, &mut input, &mut output, &mut log);
        let floods = ["yes", "exec yes >&2 & exec cat /dev/zero"];
        let mut programs = floods.map(shell);
        let tags = [0, 1].map(|flood| tag(&mut programs[flood], &format!("flood-{flood}")));
        let (mut began, mut stops, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for program in &programs {
            let (tell, told) = oneshot::channel();
            let (stop, stopped) = oneshot::channel();
            began.push(told);
            stops.push(stop);
            runs.push(endless(&pool, program, tell, stopped));
        }
        let others = async {
            join_all(began).await;
            finite(&pool).await;
            for (stop, tag) in stops.into_iter().zip(&tags) {
                stop.send(()).unwrap();
                // Nothing but turns of this task is needed: whoever stops has stopped when it next has its own.
                for _ in 0..1_000_000 {
                    if processes_with(tag).is_empty() {
                        break;
                    }
                    yield_now().await;
                }
                assert_eq!(processes_with(tag), Vec::<u32>::new());
                // The others flood on, and leave room for more.
                finite(&pool).await;
            }
        };
        tokio::select! {
            ended = call => panic!("it has no end: {ended:?}"),
            _ = async { tokio::join!(join_all(runs), others) } => {}
        }
    });
}

#[test]
fn a_flood_of_lines_leaves_others_their_turn_after_some_hundred() {
    const LINES: usize = 300_000;
    on_each_runtime(async || {
        let pool = Pool::new(settings(1));
        let (in_a_row, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (mut lines, mut most_in_a_row) = (0, 0);
        let mut log = |_: &[u8]| {
            lines += 1;
            most_in_a_row = (in_a_row.fetch_add(1, Ordering::SeqCst) + 1).max(most_in_a_row);
        };
        let flood = shell(&format!("yes | head -n {LINES} >&2"));
        let (mut input, mut output) = (no_input(), Vec::new());
        let run = async {
            pool.run(&flood, &mut input, &mut output, &mut log).await.unwrap();
            ended.store(1, Ordering::SeqCst);
        };
        let others = async {
            while ended.load(Ordering::SeqCst) == 0 {
                in_a_row.store(0, Ordering::SeqCst);
                yield_now().await;
            }
        };
        tokio::join!(run, others);
        assert_eq!(lines, LINES);
        assert!(most_in_a_row < 1_000, "{most_in_a_row} lines, and nobody else had a turn");
    });
}

/// What all outputs of a pool hold that they were given and have not taken yet, and the most that it was.
#[derive(Debug, Default)]
struct InFlight {
    now_bytes: AtomicUsize,
    most_bytes: AtomicUsize,
    pieces: AtomicUsize,
}

/// Holds each piece for a while before it is taken; after so many, it holds the last one for ever.
struct Slow {
    in_flight: Arc<InFlight>,
    turns: usize,
    pieces_left: usize,
}

impl Output for Slow {
    type Error = Infallible;

    async fn write(&mut self, piece: Bytes) -> Result<(), Infallible> {
        let now = self.in_flight.now_bytes.fetch_add(piece.len(), Ordering::SeqCst) + piece.len();
        self.in_flight.most_bytes.fetch_max(now, Ordering::SeqCst);
        self.in_flight.pieces.fetch_add(1, Ordering::SeqCst);
        for _ in 0..self.turns {
            yield_now().await;
        }
        if self.pieces_left == 0 {
            // The others go on. What is held counts until the run is dropped.
            std::future::pending::<()>().await;
        }
        self.pieces_left -= 1;
        self.in_flight.now_bytes.fetch_sub(piece.len(), Ordering::SeqCst);
        drop(piece);
        Ok(())
    }
}

#[test]
fn what_is_read_and_not_taken_never_exceeds_the_pools_one_number() {
    const BYTES_IN_FLIGHT: usize = 300 << 10;
    const PIECES: usize = 40;
    on_each_runtime(async || {
        for processes in [1, 3, 7] {
            let pool = Pool::new(Settings { bytes_in_flight: BYTES_IN_FLIGHT, ..settings(processes) });
            let in_flight = Arc::new(InFlight::default());
            let (endless, task) = (program(["yes"]), forked());
            let runs = (0..processes).map(|number| {
                let (pool, endless, task, in_flight) = (&pool, &endless, &task, Arc::clone(&in_flight));
                async move {
                    let mut output = Slow { in_flight, turns: number * 3, pieces_left: PIECES };
                    let (mut input, mut log) = (no_input(), |_: &[u8]| ());
                    if number % 2 == 0 {
                        pool.run(endless, &mut input, &mut output, &mut log).await
                    } else {
                        pool.call(task, ENDLESS_CALL, &mut input, &mut output, &mut log).await
                    }
                }
            });
            let all_are_held = async {
                while in_flight.pieces.load(Ordering::SeqCst) < processes * (PIECES + 1) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                ended = join_all(runs) => panic!("they have no end: {ended:?}"),
                () = all_are_held => {}
            }
            let most = in_flight.most_bytes.load(Ordering::SeqCst);
            assert!(most <= BYTES_IN_FLIGHT, "{processes} processes had {most} bytes in flight");
            // One that had everything to itself would have more than a pipe gives at once.
            assert!(most > 4 << 10, "{most}");
        }
    });
}
