//! Our pool, in the parent's process: its processes started, forked, or kept.

use std::convert::Infallible;
use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfold_pool::{ForkServer, ForkedTask, Input, Output, Pool, Program, Settings};
use tokio::task::JoinSet;

use crate::floor::tell;
use crate::work::{CHUNKS, Work};

/// As many as a worker lets be under way.
const BYTES_IN_FLIGHT: usize = 4 << 20;

struct Nothing;

impl Input for Nothing {
    type Error = Infallible;

    async fn next(&mut self, _: usize) -> Option<Result<Bytes, Infallible>> {
        None
    }
}

/// What one process gave, and when its first byte came.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    first: Option<Instant>,
}

impl Output for Collected {
    type Error = Infallible;

    async fn write(&mut self, piece: Bytes) -> Result<(), Infallible> {
        self.first.get_or_insert_with(Instant::now);
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }
}

/// How processes come to be.
#[derive(Clone)]
enum Start {
    Spawned(Program),
    Forked(Arc<ForkedTask>),
}

impl Start {
    fn of(name: &str, work: Work) -> Self {
        let this = std::env::current_exe().expect("this program has a path").into_os_string();
        let program = |words: Vec<OsString>| Program {
            argv: [vec![this.clone()], words].concat(),
            environment: Vec::new(),
            directory: None,
        };
        let words = work.words().map(OsString::from);
        let calls = match name {
            "spawn" => return Self::Spawned(program([vec!["chunk".into()], words.to_vec()].concat())),
            "fork" => NonZeroU32::MIN,
            "long-lived" => NonZeroU32::MAX,
            other => panic!("{other} is no way of ours"),
        };
        let server = ForkServer::new(program(Vec::new()), work.words().join(" "));
        let task = ForkedTask::new(Arc::new(server), &program(Vec::new()), calls);
        Self::Forked(Arc::new(task.expect("a task")))
    }

    async fn run(&self, pool: &Pool, index: usize) -> Collected {
        let mut collected = Collected::default();
        let mut log = |line: &[u8]| eprintln!("{}", String::from_utf8_lossy(line));
        let ended = match self {
            Self::Spawned(program) => {
                let argv = [program.argv.clone(), vec![index.to_string().into()]].concat();
                let program = Program { argv, ..program.clone() };
                pool.run(&program, &mut Nothing, &mut collected, &mut log).await
            }
            Self::Forked(task) => {
                let message = index.to_string();
                pool.call(task, message.as_bytes(), &mut Nothing, &mut collected, &mut log).await
            }
        };
        assert!(ended.expect("a process").exit.success());
        collected
    }
}

/// Does the work, and tells what it took.
pub(crate) fn run(name: &str, work: Work) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let pool = Arc::new(Pool::new(Settings {
            processes: NonZeroUsize::new(CHUNKS).expect("six is not zero"),
            bytes_in_flight: BYTES_IN_FLIGHT,
            grace: Duration::from_secs(1),
            memory_bytes: None,
            process_memory_bytes: None,
        }));
        let start = Start::of(name, work);
        if let (Work::Table(_), Start::Forked(_)) = (work, &start) {
            // What was loaded is there before anybody asks.
            start.run(&pool, 0).await;
        }
        let began = Instant::now();
        let mut running = JoinSet::new();
        for index in 0..work.chunks() {
            let (pool, start) = (Arc::clone(&pool), start.clone());
            running.spawn(async move { (index, start.run(&pool, index).await) });
        }
        let mut all = running.join_all().await;
        all.sort_unstable_by_key(|(index, _)| *index);
        let first = all.iter().filter_map(|(_, collected)| collected.first).max();
        let whole = all.into_iter().map(|(_, collected)| collected.bytes).collect::<Vec<_>>().concat();
        let ended = if let Work::Table(_) = work { first } else { None };
        tell(work, ended.map_or_else(|| began.elapsed(), |first| first - began), &whole);
    });
}
