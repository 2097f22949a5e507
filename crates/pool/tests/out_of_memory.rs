//! A death for lack of memory is told from other deaths. Alone in its test binary, because the kernel counts such deaths for
//! the whole machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fanfold_pool::{Exit, Program};
use harness::{Telling, line, no_input, pool, run, shell};
use tokio::sync::mpsc;

/// Far less than what a greedy program takes, far more than a shell does.
const LIMIT_BYTES: usize = 24 << 20;

/// A cgroup with little memory, where one can be made.
struct Cramped(PathBuf);

impl Cramped {
    /// By either version of cgroups.
    fn new() -> Option<Cramped> {
        let versions = [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];
        versions.into_iter().find_map(|(root, limit)| {
            let group = Cramped(Path::new(root).join(format!("fanfold-test-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            // In a folder that is no cgroup that governs memory there is no such file.
            let limited = group.0.join(limit).is_file()
                && fs::write(group.0.join(limit), LIMIT_BYTES.to_string()).is_ok();
            limited.then_some(group)
        })
    }

    /// A shell that enters the group and goes on as `script` says.
    fn shell(&self, script: &str) -> Program {
        shell(&format!("echo $$ > {}/cgroup.procs || exit 9; {script}", self.0.display()))
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        // A process that has just ended may keep it for a moment; then an empty group is left to the machine.
        fs::remove_dir(&self.0).ok();
    }
}

#[tokio::test]
async fn a_death_for_lack_of_memory_is_told_from_others() {
    let pool = pool();
    let (ended, ..) = run(&pool, &shell("kill -9 $$")).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.out_of_memory), (Exit::Signal(9), false));

    let Some(group) = Cramped::new() else {
        eprintln!("skipped: no cgroup with a limit on memory can be made here, so memory cannot run out");
        return;
    };
    // A line that never ends, which `tail` keeps.
    let (ended, _, lines) = run(&pool, &group.shell("exec tail </dev/zero")).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.out_of_memory), (Exit::Signal(9), true), "{lines:?}");

    // A shell outlives its command, and says what became of it.
    let (ended, _, lines) = run(&pool, &group.shell("tail </dev/zero; exit $?")).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.out_of_memory), (Exit::Code(137), true), "{lines:?}");

    // The count stands higher now, but did not rise while these ran.
    for (script, exit) in [("kill -9 $$", Exit::Signal(9)), ("exit 137", Exit::Code(137))] {
        let (ended, ..) = run(&pool, &group.shell(script)).await;
        let ended = ended.unwrap();
        assert_eq!((ended.exit, ended.out_of_memory), (exit, false), "{script}");
    }
    // It did while these ran, but they did not die of it.
    for script in ["tail </dev/zero; exit 3", "tail </dev/zero; exit 0"] {
        let (ended, ..) = run(&pool, &group.shell(script)).await;
        assert!(!ended.unwrap().out_of_memory, "{script}");
    }
    a_killing_by_the_pool_is_its_own(&group).await;
}

/// Even if memory runs out meanwhile.
async fn a_killing_by_the_pool_is_its_own(group: &Cramped) {
    let pool = pool();
    let (told, mut said) = mpsc::unbounded_channel();
    let program = group.shell("tail </dev/zero; echo poor; exec sleep 1000");
    let (mut input, mut output, mut log) = (no_input(), Telling(told), |_: &[u8]| ());
    let run =
        tokio::time::timeout(Duration::from_secs(100), pool.run(&program, &mut input, &mut output, &mut log));
    let killed = async {
        assert_eq!(line(&mut said).await, "poor");
        pool.kill_leftovers().unwrap()
    };
    let (ended, killed) = tokio::join!(run, killed);
    let ended = ended.unwrap().unwrap();
    assert_eq!((ended.exit, ended.out_of_memory, killed.len()), (Exit::Signal(9), false, 1));
}
