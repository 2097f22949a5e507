//! A pool without processes keeps what one with processes promises.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{
    Ended, Exit, InputEnd, Last, Output, Pool, Program, RunError, Settings, SimulatedProcess, Simulation,
    StartError, Step,
};
use futures::future::join_all;
use futures::stream;
use harness::{input, no_input, pattern, program};
use proptest::prelude::*;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// How many simulated processes there are, and were.
#[derive(Debug, Default)]
struct Counts {
    running: AtomicUsize,
    most: AtomicUsize,
    ever: AtomicUsize,
}

/// Programs that take a second for each piece and one for the end, and give back what they read. The first argument says how they
/// end: `code=N` or `signal=N` at the end of the input, `stop=N` after N pieces.
#[derive(Debug, Default)]
struct Echoes {
    counts: Arc<Counts>,
}

struct Echo {
    counts: Arc<Counts>,
    exit: Exit,
    pieces_left: Option<u64>,
}

impl Simulation for Echoes {
    fn start(&self, program: &Program) -> Result<Box<dyn SimulatedProcess>, StartError> {
        let text = program.argv.get(1).map_or("code=0".into(), |text| text.to_string_lossy().into_owned());
        let (what, number) = text.split_once('=').unwrap();
        let number: u64 = number.parse().unwrap();
        let (exit, pieces_left) = match what {
            "code" => (Exit::Code(number as i32), None),
            "signal" => (Exit::Signal(number as i32), None),
            "stop" => (Exit::Code(0), Some(number)),
            _ => return Err(StartError::NoSuchFile { program: text.into() }),
        };
        let running = self.counts.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.most.fetch_max(running, Ordering::SeqCst);
        self.counts.ever.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Echo { counts: Arc::clone(&self.counts), exit, pieces_left }))
    }
}

impl SimulatedProcess for Echo {
    fn take(&mut self, input: &[u8]) -> Step {
        self.pieces_left = self.pieces_left.map(|left| left - 1);
        let exit = (self.pieces_left == Some(0)).then_some(self.exit);
        Step { takes: SECOND, stdout: input.to_vec(), exit }
    }

    fn end(&mut self) -> Last {
        Last { takes: SECOND, stdout: b"end".to_vec(), stderr: "one\ntwo".into(), exit: self.exit }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A pool of two, and its counts.
fn echoes() -> (Pool, Arc<Counts>) {
    let echoes = Echoes::default();
    let counts = Arc::clone(&echoes.counts);
    let processes = NonZeroUsize::new(2).unwrap();
    let settings = Settings {
        processes,
        bytes_in_flight: 8 << 10,
        grace: SECOND,
        memory_bytes: None,
        process_memory_bytes: None,
    };
    (Pool::simulated(settings, Arc::new(echoes)), counts)
}

async fn run(pool: &Pool, argument: &str, pieces: Vec<u8>) -> (Ended, Vec<u8>, Vec<Vec<u8>>) {
    let (ended, output, lines) =
        harness::run_with(pool, &program(["echo", argument]), input(pieces, 10)).await;
    (ended.unwrap(), output, lines)
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_the_time_gives_the_output_and_ends_as_the_simulation_says() {
    let (pool, counts) = echoes();
    let (ended, output, lines) = run(&pool, "code=3", pattern(35)).await;
    assert_eq!((ended.exit, ended.input, ended.wall), (Exit::Code(3), InputEnd::AllFed, 5 * SECOND));
    assert_eq!(output, [pattern(35).as_slice(), b"end"].concat());
    assert_eq!((ended.bytes_in, ended.bytes_out, ended.bytes_err), (35, 38, 7));
    assert_eq!(lines, [b"one", b"two"]);
    assert_eq!((counts.running.load(Ordering::SeqCst), counts.ever.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_in_the_middle_is_asked_and_given_nothing_more() {
    let (pool, _) = echoes();
    let (ended, output, lines) = run(&pool, "stop=2", pattern(35)).await;
    assert_eq!((ended.exit, ended.wall), (Exit::Code(0), 2 * SECOND));
    assert_eq!(ended.input, InputEnd::StoppedReading { fed_bytes: 20 });
    assert!(output == pattern(20) && lines.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_by_sigkill_is_one_for_lack_of_memory() {
    let (pool, _) = echoes();
    for (argument, exit, out_of_memory) in
        [("signal=9", Exit::Signal(9), true), ("signal=11", Exit::Signal(11), false)]
    {
        let (ended, ..) = run(&pool, argument, pattern(5)).await;
        assert_eq!((ended.exit, ended.out_of_memory), (exit, out_of_memory));
    }
}

#[tokio::test(start_paused = true)]
async fn two_run_at_once_and_the_others_wait_for_their_turn() {
    let (pool, counts) = echoes();
    let began = Instant::now();
    join_all((0..6).map(|_| run(&pool, "code=0", pattern(10)))).await;
    assert_eq!(began.elapsed(), 3 * 2 * SECOND);
    assert_eq!((counts.most.load(Ordering::SeqCst), counts.ever.load(Ordering::SeqCst)), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_held_until_it_is_used_or_dropped() {
    let (pool, counts) = echoes();
    let (first, second) = (pool.turn().await, pool.turn().await);
    assert!(tokio::time::timeout(SECOND, pool.turn()).await.is_err());
    drop(first);
    let third = tokio::time::timeout(SECOND, pool.turn()).await.unwrap();
    let (mut output, mut log) = (Vec::new(), |_: &[u8]| ());
    second.run(&program(["echo"]), &mut no_input(), &mut output, &mut log).await.unwrap();
    let fourth = tokio::time::timeout(SECOND, pool.turn()).await;
    assert!(fourth.is_ok());
    drop(third);
    assert_eq!(counts.ever.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_leaves_no_process() {
    let (pool, counts) = echoes();
    let dropped = run(&pool, "code=0", pattern(1000));
    assert!(tokio::time::timeout(SECOND / 2, dropped).await.is_err());
    assert_eq!((counts.running.load(Ordering::SeqCst), counts.ever.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(pool.kill_leftovers().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn killing_the_leftovers_ends_the_runs_under_way_and_their_processes_at_once() {
    let (pool, counts) = echoes();
    let runs = join_all([run(&pool, "code=0", pattern(1000)), run(&pool, "code=0", pattern(1000))]);
    let killed = async {
        tokio::time::sleep(SECOND * 5 / 2).await;
        let killed = pool.kill_leftovers().unwrap();
        (killed, counts.running.load(Ordering::SeqCst))
    };
    let (ended, (killed, still_running)) = tokio::join!(runs, killed);
    assert_eq!((killed.len(), still_running), (2, 0));
    for (ended, output, _) in ended {
        assert_eq!((ended.exit, ended.out_of_memory), (Exit::Signal(9), false));
        // Two pieces were done, and the third was taken.
        assert_eq!((ended.wall, output), (SECOND * 5 / 2, pattern(20)));
        assert_eq!(ended.input, InputEnd::StoppedReading { fed_bytes: 30 });
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_outside_the_program_ends_the_run_and_the_process() {
    let (pool, counts) = echoes();
    let mut failing = stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("cut off"))]);
    let (mut output, mut log) = (Vec::new(), |_: &[u8]| ());
    let ended = pool.run(&program(["echo"]), &mut failing, &mut output, &mut log).await;
    assert!(matches!(ended, Err(RunError::Input(_))), "{ended:?}");

    struct Refusing;
    impl Output for Refusing {
        type Error = &'static str;

        async fn write(&mut self, _: Bytes) -> Result<(), &'static str> {
            Err("full")
        }
    }
    let ended = pool.run(&program(["echo"]), &mut no_input(), &mut Refusing, &mut log).await;
    assert!(matches!(ended, Err(RunError::Output("full"))), "{ended:?}");

    for (program, expected) in [
        (program(["echo", "unknown=1"]), "the program \"unknown=1\" does not exist"),
        (program(Vec::<&str>::new()), "no program is named"),
    ] {
        let ended = pool.run(&program, &mut no_input(), &mut output, &mut log).await;
        let message = ended.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(counts.running.load(Ordering::SeqCst), 0);
}

/// Keeps the lengths of what it is given.
struct Measuring(Vec<usize>);

impl Output for Measuring {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        self.0.push(bytes.len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn output_of_any_size_comes_in_pieces_of_the_processs_part(bytes in 1..40_000_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (pool, _) = echoes();
        let (mut output, mut log) = (Measuring(Vec::new()), |_: &[u8]| ());
        let (program, mut input) = (program(["echo"]), input(pattern(bytes), bytes));
        let run = pool.run(&program, &mut input, &mut output, &mut log);
        let ended = runtime.block_on(run).unwrap();
        prop_assert_eq!(output.0.iter().sum::<usize>(), bytes + "end".len());
        prop_assert_eq!(ended.bytes_out as usize, bytes + "end".len());
        prop_assert!(output.0.iter().all(|length| (1..=4 << 10).contains(length)), "{:?}", output.0);
    }
}
