//! Soak: a long, random, seeded mix of runs and calls that end well, badly, or never, and are dropped at any moment. Afterwards
//! there is no descriptor, process or byte of memory more than before, and nothing has hung.
//!
//! ```text
//! SOAK_ITERATIONS=1000000 SOAK_SEED=7 cargo test --release -p fanfold-pool --test soak -- --nocapture
//! ```
//! A target of its own, since descriptors and children are counted for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfold_pool::{ForkServer, ForkedTask, Pool, Program, Settings};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use harness::{no_input, program, scripted};

/// Unless `SOAK_ITERATIONS` says otherwise: some seconds.
const ITERATIONS: u64 = 5_000;

/// So many run at once: more than the pool's turns, so that some wait for theirs.
const AT_ONCE: usize = 16;

/// The watchdog's patience: far longer than anything here takes, on any machine.
const HANG: Duration = Duration::from_secs(120);

/// After so many iterations, what is left is counted.
const LOOK_EVERY: u64 = 100_000;

/// How much more memory this process may have after the first look, in bytes: what allocators keep.
const GROWTH_MAX: u64 = 24 << 20;

#[test]
fn after_any_number_of_kills_early_closes_stalls_and_floods_nothing_is_left_and_nothing_hangs() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let iterations = number("SOAK_ITERATIONS").unwrap_or(ITERATIONS);
    let seed = number("SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SOAK_ITERATIONS={iterations} SOAK_SEED={seed}");
    let progress = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&progress), seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(soak(iterations, seed, &progress));
}

/// Ends the whole process where nothing has come to its end for so long.
fn watch(progress: Arc<AtomicU64>, seed: u64) {
    std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = progress.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > HANG {
                eprintln!("hung after {now} iterations, with SOAK_SEED={seed}");
                std::process::abort();
            }
        }
    });
}

async fn soak(iterations: u64, seed: u64, progress: &AtomicU64) {
    let soaked = Arc::new(Soaked::new());
    let mut random = Random::new(seed);
    // Once each, so that what is made once is there before it is counted.
    for kind in [Kind::Command, Kind::Fork, Kind::LongLived] {
        soaked.one(Chosen { kind, message: "write=1".into(), ..Chosen::plain() }).await;
    }
    soaked.end().await;
    let before = Left::here();
    let mut settled = None;
    let mut done = 0;
    while done < iterations {
        let batch = (iterations - done).min(LOOK_EVERY);
        let chosen: Vec<Chosen> = (0..batch).map(|_| random.choose()).collect();
        let running = chosen.into_iter().map(|chosen| {
            let soaked = Arc::clone(&soaked);
            async move { tokio::spawn(async move { soaked.one(chosen).await }).await.unwrap() }
        });
        let mut running = stream::iter(running).buffer_unordered(AT_ONCE);
        while running.next().await.is_some() {
            progress.fetch_add(1, Ordering::Relaxed);
        }
        done += batch;
        soaked.end().await;
        let left = Left::here();
        println!("{done}: {left:?}");
        assert_eq!((left.descriptors, left.processes), (before.descriptors, before.processes));
        let settled = *settled.get_or_insert(left.memory_bytes);
        assert!(
            left.memory_bytes <= settled + GROWTH_MAX,
            "{} bytes, and {settled} before",
            left.memory_bytes
        );
    }
}

/// What is soaked.
struct Soaked {
    pool: Pool,
    fork: ForkedTask,
    long_lived: ForkedTask,
}

impl Soaked {
    fn new() -> Soaked {
        let server =
            Arc::new(ForkServer::new(program([env!("CARGO_BIN_EXE_fanfold-pool-forking")]), "steps"));
        let task = |calls| {
            let calls = NonZeroU32::new(calls).unwrap();
            ForkedTask::new(Arc::clone(&server), &program(["steps"]), calls).unwrap()
        };
        let settings = Settings {
            processes: NonZeroUsize::new(6).unwrap(),
            bytes_in_flight: 1 << 20,
            grace: Duration::from_secs(60),
            memory_bytes: None,
            process_memory_bytes: None,
        };
        Soaked { pool: Pool::new(settings), fork: task(1), long_lived: task(1_000) }
    }

    /// One iteration: whatever comes of it, it ends.
    async fn one(&self, chosen: Chosen) {
        let Chosen { kind, message, input, dropped_after } = chosen;
        let mut input = input.stream();
        let (mut taken, mut log) = (Vec::new(), |_: &[u8]| ());
        let running = async {
            match kind {
                Kind::Command => {
                    let program: Program = scripted(message.lines());
                    self.pool.run(&program, &mut input, &mut taken, &mut log).await
                }
                Kind::Fork => {
                    self.pool.call(&self.fork, message.as_bytes(), &mut input, &mut taken, &mut log).await
                }
                Kind::LongLived => {
                    self.pool
                        .call(&self.long_lived, message.as_bytes(), &mut input, &mut taken, &mut log)
                        .await
                }
            }
        };
        let ended = match dropped_after {
            None => running.await,
            Some(time) => match tokio::time::timeout(time, running).await {
                Ok(ended) => ended,
                Err(_) => return,
            },
        };
        match ended {
            Ok(_) => {}
            Err(error) => panic!("{kind:?} {message:?}: {error:?}"),
        }
    }

    async fn end(&self) {
        let grace = Duration::from_secs(60);
        self.fork.end_processes(grace).await.unwrap();
        self.long_lived.end_processes(grace).await.unwrap();
        self.pool.kill_leftovers().unwrap();
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Command,
    Fork,
    LongLived,
}

/// One iteration, as it was drawn.
struct Chosen {
    kind: Kind,
    /// The steps, a line each.
    message: String,
    input: Given,
    dropped_after: Option<Duration>,
}

impl Chosen {
    fn plain() -> Chosen {
        Chosen { kind: Kind::LongLived, message: String::new(), input: Given::Nothing, dropped_after: None }
    }
}

/// An input.
#[derive(Clone, Copy)]
enum Given {
    Nothing,
    Bytes(usize),
    /// So many, and then it never goes on.
    Stalled(usize),
    Endless,
}

impl Given {
    fn stream(self) -> BoxStream<'static, Result<Bytes, Infallible>> {
        const PIECE: &[u8] = &[7; 10_000];
        let pieces = |bytes: usize| {
            stream::repeat(Ok(Bytes::from_static(PIECE)))
                .take(bytes / PIECE.len())
                .chain(stream::iter([Ok(Bytes::from_static(&PIECE[..bytes % PIECE.len()]))]))
        };
        match self {
            Given::Nothing => no_input().boxed(),
            Given::Bytes(bytes) => pieces(bytes).boxed(),
            Given::Stalled(bytes) => pieces(bytes).chain(stream::pending()).boxed(),
            Given::Endless => stream::repeat(Ok(Bytes::from_static(PIECE))).boxed(),
        }
    }
}

/// Draws iterations: most are as short as can be, and the others do what programs do.
struct Random(fastrand::Rng);

impl Random {
    fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    /// Mostly small, at times more than any pipe holds.
    fn bytes(&mut self) -> usize {
        let bound = match self.below(100) {
            0 => 3_000_000,
            1..=5 => 200_000,
            _ => 500,
        };
        usize::try_from(self.below(bound)).unwrap()
    }

    fn choose(&mut self) -> Chosen {
        let kind = match self.below(1_000) {
            0..4 => Kind::Command,
            4..60 => Kind::Fork,
            _ => Kind::LongLived,
        };
        let mut steps: Vec<String> = (0..=self.below(3)).map(|_| self.step()).collect();
        let mut input = match self.below(10) {
            0..6 => Given::Nothing,
            _ => Given::Bytes(self.bytes()),
        };
        let mut dropped_after = None;
        match self.below(1_000) {
            // An end that nobody has planned.
            0..10 => {
                let end = self.0.choice(["signal=9", "signal=15", "signal=6", "exit=3"]);
                steps.extend(end.map(str::to_owned));
            }
            // Reads less than it is given, of what has no end.
            10..20 => {
                input = Given::Endless;
                steps = vec![format!("read={}", self.bytes()), "write=100".into()];
            }
            // Waits for what never comes, until the run is dropped.
            20..24 => {
                input = Given::Stalled(self.bytes());
                steps.push("read-all".into());
                dropped_after = Some(Duration::from_micros(self.below(5_000)));
            }
            // The fork server is killed, and all of its processes with it.
            34 if self.below(4) == 0 && !matches!(kind, Kind::Command) => steps.push("kill-server".into()),
            // Is dropped at whatever moment.
            24..34 => dropped_after = Some(Duration::from_micros(self.below(3_000))),
            _ => {}
        }
        Chosen { kind, message: steps.join("\n"), input, dropped_after }
    }

    fn step(&mut self) -> String {
        match self.below(100) {
            0..60 => format!("write={}", self.bytes()),
            60..70 => format!("read={}", self.bytes()),
            70..80 => format!("echo={}", self.bytes()),
            80..90 => "read-all".to_owned(),
            90..95 => format!("error={}", self.bytes()),
            95..99 => "error-line=words".to_owned(),
            _ => "sleep-ms=1".to_owned(),
        }
    }
}

/// What this process has.
#[derive(Debug)]
struct Left {
    descriptors: usize,
    /// Its children, and theirs: the fork server stays.
    processes: usize,
    memory_bytes: u64,
}

impl Left {
    fn here() -> Left {
        let me = std::process::id();
        let children = harness::children_of(me);
        let grandchildren = children.iter().flat_map(|&pid| harness::children_of(pid)).count();
        Left {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            processes: children.len() + grandchildren,
            memory_bytes: harness::pss_bytes(me),
        }
    }
}
