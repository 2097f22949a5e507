//! Our pool, in the parent's process: its processes started, forked, or kept.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfold_pool::{ForkServer, ForkedTask, Input, Output, Pool, Program, Settings};
use tokio::task::JoinSet;

use crate::chunk::letter;
use crate::floor::{tell, tell_that};
use crate::work::{CHUNKS, Work};

/// What the names of those ways end with by which each result goes to a file as it comes.
pub(crate) const TO_FILES: &str = "-to-files";

/// As many as a worker lets be under way.
const BYTES_IN_FLIGHT: usize = 4 << 20;

struct Nothing;

impl Input for Nothing {
    type Error = Infallible;

    async fn next(&mut self, _: usize) -> Option<Result<Bytes, Infallible>> {
        None
    }
}

/// What one process gave, or the file that it went to as it came; and when its first byte came.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    file: Option<File>,
    first: Option<Instant>,
}

impl Output for Collected {
    type Error = io::Error;

    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.first.get_or_insert_with(Instant::now);
        match &mut self.file {
            Some(file) => file.write_all(&piece)?,
            None => self.bytes.extend_from_slice(&piece),
        }
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
        let calls = match name.trim_end_matches(TO_FILES) {
            "spawn" => return Self::Spawned(program([vec!["chunk".into()], words.to_vec()].concat())),
            "fork" => NonZeroU32::MIN,
            "long-lived" => NonZeroU32::MAX,
            other => panic!("{other} is no way of ours"),
        };
        let server = ForkServer::new(program(Vec::new()), work.words().join(" "));
        let task = ForkedTask::new(Arc::new(server), &program(Vec::new()), calls);
        Self::Forked(Arc::new(task.expect("a task")))
    }

    async fn run(&self, pool: &Pool, index: usize, file: Option<File>) -> Collected {
        let mut collected = Collected { file, ..Collected::default() };
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
            start.run(&pool, 0, None).await;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = |index: usize| folder.path().join(index.to_string());
        let began = Instant::now();
        let mut running = JoinSet::new();
        for index in 0..work.chunks() {
            let (pool, start) = (Arc::clone(&pool), start.clone());
            let file = name.ends_with(TO_FILES).then(|| File::create(file(index)).expect("a file"));
            running.spawn(async move { (index, start.run(&pool, index, file).await) });
        }
        let mut all = running.join_all().await;
        all.sort_unstable_by_key(|(index, _)| *index);
        if name.ends_with(TO_FILES) {
            return tell_that(began.elapsed(), || {
                (0..CHUNKS).all(|index| is_right(work, index, &file(index)))
            });
        }
        let first = all.iter().filter_map(|(_, collected)| collected.first).max();
        let whole = all.into_iter().map(|(_, collected)| collected.bytes).collect::<Vec<_>>().concat();
        let ended = if let Work::Table(_) = work { first } else { None };
        tell(work, ended.map_or_else(|| began.elapsed(), |first| first - began), &whole);
    });
}

/// Whether a chunk's file has what it should, found without the whole in memory: its lines are counted, or each byte is seen.
fn is_right(work: Work, index: usize, file: &Path) -> bool {
    let mut file = BufReader::new(File::open(file).expect("a file"));
    if let Work::Rows(count) = work {
        return file.split(b'\n').count() == count;
    }
    let (mut bytes, mut is_right) = (0, true);
    while let Some(block) = file.fill_buf().ok().filter(|block| !block.is_empty()) {
        is_right &= block.iter().all(|byte| *byte == letter(index));
        let length = block.len();
        bytes += length;
        file.consume(length);
    }
    is_right && work == Work::Bytes(bytes)
}
