//! Who may start, by memory.
//!
//! Owes the pool that a process starts only when what is expected of those that run, and of it, fits into the memory there is;
//! and that one always runs: where nothing does, the next starts, whatever is expected of it. And it owes each process that its
//! told limit is kept, by the pool: it is not the kernel's `RLIMIT_AS`, which counts addresses, of which runtimes such as Go's, the
//! JVM and V8 reserve gigabytes that they never touch.
//!
//! Nothing is known of the first processes, so they start as if there were no bound; unless a limit is told, which each is then
//! expected to reach until one has ended and is known not to. From then on, each is expected to take as much as the one of this
//! pool's processes that took the most. What is measured can be wrong by what a process takes between two looks, and
//! what nobody had seen before cannot be foreseen: whom the kernel kills is tried again by whoever uses the pool.
//!
//! Nobody looks at memory for its own sake: who asks for a turn does when the last look is too old, who waits for one does until
//! it fits, and who must keep a limit does. A pool that is told neither bound pays nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::sync::Notify;

use crate::memory::{Gauge, Kind, Root};
use crate::{procfs, usage};

/// How old a look may be where memory is plenty: less than half of it is spoken for. A look takes about 0.4 ms among a hundred
/// processes.
const LOOK_SELDOM: Duration = Duration::from_millis(500);

/// How old a look may be where it is not, and how often who waits looks.
const LOOK_OFTEN: Duration = Duration::from_millis(50);

/// How often a process with a limit is looked at. In this time it can take some hundred MiB more than it may.
const LOOK_AT_LIMIT: Duration = Duration::from_millis(100);

/// How much longer than a look took must pass until the next: at most a twentieth of one core goes into looking, also where
/// processes have many gigabytes, whose pages the kernel counts one by one.
const LOOK_REST: u32 = 20;

/// The bounds on memory that a pool is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// Of all processes together.
    pub(crate) memory_bytes: Option<u64>,
    /// Of each, with its descendants.
    pub(crate) process_bytes: Option<u64>,
}

/// What is known when one more process is to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// Turns that are given and not over.
    turns: usize,
    /// What each process takes, as far as it was looked at: those that run, and those that rest until they are called again.
    taken: Vec<u64>,
    /// What those take from which processes are forked.
    servers_bytes: u64,
    /// The most that one was seen to take so far.
    peak_bytes: u64,
    /// What none that has ended can have exceeded, once one has.
    ended_bytes: Option<u64>,
    /// What there is for all, beyond what is taken now.
    available_bytes: Option<u64>,
}

impl Known {
    /// What one process is expected to take.
    fn of_one(&self, bounds: Bounds) -> u64 {
        match (bounds.process_bytes, self.ended_bytes) {
            (None, _) => self.peak_bytes,
            (Some(limit), None) => limit,
            (Some(limit), Some(ended)) => self.peak_bytes.max(ended).min(limit),
        }
    }

    /// What all are expected to take, and one more with them: that may be one that rests.
    fn of_all_and_one(&self, bounds: Bounds) -> u64 {
        let of_one = self.of_one(bounds);
        let of_each = self.taken.iter().map(|&taken| taken.max(of_one));
        let unseen = (self.turns + 1).saturating_sub(self.taken.len());
        of_each.fold(
            of_one.saturating_mul(unseen as u64).saturating_add(self.servers_bytes),
            u64::saturating_add,
        )
    }

    /// Whether one more may start.
    fn admits(&self, bounds: Bounds) -> bool {
        let Some(memory_bytes) = bounds.memory_bytes else { return true };
        let total = self.of_all_and_one(bounds);
        let growth = total.saturating_sub(
            self.taken.iter().fold(self.servers_bytes, |sum, &taken| sum.saturating_add(taken)),
        );
        self.turns == 0
            || total <= memory_bytes && self.available_bytes.is_none_or(|available| growth <= available)
    }

    /// Whether so little is spoken for that an old look will do.
    fn is_plenty(&self, bounds: Bounds) -> bool {
        bounds.memory_bytes.is_none_or(|memory_bytes| self.of_all_and_one(bounds) <= memory_bytes / 2)
    }
}

/// Decides who may start, and knows what those take that have.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    gauge: Gauge,
    books: Mutex<Books>,
    /// Held by who waits for memory, the longest of all: the others queue for it, and look at nothing meanwhile.
    gate: tokio::sync::Mutex<()>,
    /// Told when a turn or a process is over.
    freed: Notify,
}

#[derive(Debug)]
struct Books {
    turns: usize,
    watched: BTreeMap<u64, Watch>,
    next: u64,
    peak_bytes: u64,
    ended_bytes: Option<u64>,
    /// The kernel's mark of the largest process that this one has waited for, when it was last looked at.
    largest_ended_bytes: u64,
    available_bytes: Option<u64>,
    look: Option<Look>,
    /// Whether it was told that memory is short.
    has_told: bool,
}

/// A process that is watched.
#[derive(Debug)]
struct Watch {
    root: Root,
    taken_bytes: u64,
}

/// When processes were last looked at, and how long that took.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    took: Duration,
}

impl Books {
    fn known(&self) -> Known {
        Known {
            turns: self.turns,
            taken: self.taken_by(|kind| kind != Kind::Server).collect(),
            servers_bytes: self.taken_by(|kind| kind == Kind::Server).sum(),
            peak_bytes: self.peak_bytes,
            ended_bytes: self.ended_bytes,
            available_bytes: self.available_bytes,
        }
    }

    fn taken_by(&self, which: impl Fn(Kind) -> bool) -> impl Iterator<Item = u64> {
        self.watched.values().filter(move |watch| which(watch.root.kind)).map(|watch| watch.taken_bytes)
    }

    /// Whether the last look is older than this.
    fn is_old(&self, most: Duration) -> bool {
        self.look.is_none_or(|Look { at, took }| at.elapsed() >= most.max(took * LOOK_REST))
    }

    /// Learns from the kernel what a process took that has ended and was waited for: exactly, if no other has ever taken as much.
    fn learn(&mut self) {
        let Ok(children) = usage() else { return };
        let largest = children.peak_memory_bytes;
        // Up to what this process itself had, a child's mark is this process's.
        if largest > self.largest_ended_bytes
            && procfs::own_peak_bytes().is_some_and(|own_bytes| largest > own_bytes)
        {
            self.peak_bytes = self.peak_bytes.max(largest);
        }
        self.largest_ended_bytes = largest;
        self.ended_bytes = self.ended_bytes.max(Some(largest));
    }
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Arc<Admission> {
        let books = Books {
            turns: 0,
            watched: BTreeMap::new(),
            next: 0,
            peak_bytes: 0,
            ended_bytes: None,
            largest_ended_bytes: usage().map_or(u64::MAX, |usage| usage.peak_memory_bytes),
            available_bytes: None,
            look: None,
            has_told: false,
        };
        let (gate, freed) = (tokio::sync::Mutex::new(()), Notify::new());
        Arc::new(Admission { bounds, gauge: Gauge::new(), books: Mutex::new(books), gate, freed })
    }

    /// Waits until one more process fits. Who waited longest is next.
    ///
    /// # Cancellation
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn enter(&self) -> Place<'_> {
        if self.bounds.memory_bytes.is_some() {
            let _longest = self.gate.lock().await;
            while !self.try_enter() {
                // Both are only occasions to look: whatever they miss, the other brings.
                tokio::select! {
                    () = self.freed.notified() => {}
                    () = tokio::time::sleep(LOOK_OFTEN) => {}
                }
            }
        }
        Place { admission: self }
    }

    /// Takes a turn, if what is known lets it.
    fn try_enter(&self) -> bool {
        let mut books = self.lock();
        if books.turns > 0 && books.is_old(LOOK_OFTEN) {
            let most = if books.known().is_plenty(self.bounds) { LOOK_SELDOM } else { LOOK_OFTEN };
            drop(books);
            self.look_if_older_than(most);
            books = self.lock();
        }
        let known = books.known();
        let admits = known.admits(self.bounds);
        if admits {
            books.turns += 1;
        } else if !std::mem::replace(&mut books.has_told, true) {
            tracing::info!(
                running = known.turns,
                taken_bytes = known.taken.iter().sum::<u64>(),
                expected_bytes = known.of_one(self.bounds),
                memory_bytes = self.bounds.memory_bytes,
                available_bytes = known.available_bytes,
                "fewer processes run at once than could, since memory is short: the next waits until what it is expected to take is there"
            );
        }
        admits
    }

    /// Counts a process, and what descends from it, as the pool's, until what this gives is dropped: for one that rests between
    /// calls, when it is gone.
    pub(crate) fn watch(self: &Arc<Admission>, pid: Pid) -> Watched {
        self.watch_as(pid, Kind::Command)
    }

    /// The same, for a process of a fork server.
    pub(crate) fn watch_forked(self: &Arc<Admission>, pid: Pid) -> Watched {
        self.watch_as(pid, Kind::Forked)
    }

    /// Counts what a fork server takes, until what this gives is dropped. It needs no turn.
    pub(crate) fn watch_server(self: &Arc<Admission>, pid: Pid) -> Watched {
        self.watch_as(pid, Kind::Server)
    }

    fn watch_as(self: &Arc<Admission>, pid: Pid, kind: Kind) -> Watched {
        let Bounds { memory_bytes, process_bytes } = self.bounds;
        let number = memory_bytes.or(process_bytes).map(|_| {
            let mut books = self.lock();
            books.next += 1;
            let (number, root) = (books.next, Root { pid, started_ticks: None, kind });
            books.watched.insert(number, Watch { root, taken_bytes: 0 });
            number
        });
        Watched { admission: Arc::clone(self), number }
    }

    /// Looks at what all take, unless somebody has since then, or does now.
    fn look_if_older_than(&self, most: Duration) {
        let books = self.lock();
        if !books.watched.is_empty() && books.is_old(most) {
            self.look(books);
        }
    }

    fn look(&self, mut books: MutexGuard<'_, Books>) {
        let at = Instant::now();
        // Whoever comes now will not look too.
        books.look = Some(Look { at, took: Duration::ZERO });
        let roots: Vec<(u64, Root)> =
            books.watched.iter().map(|(&number, watch)| (number, watch.root)).collect();
        let coarse_bytes = self.coarse_bytes(&books);
        drop(books);
        let only_roots: Vec<Root> = roots.iter().map(|&(_, root)| root).collect();
        let taken = self.gauge.taken(&only_roots, coarse_bytes);
        let available_bytes = self.bounds.memory_bytes.and_then(|_| self.gauge.available_bytes());
        let mut books = self.lock();
        for ((number, _), taken) in roots.into_iter().zip(taken) {
            if let Some(watch) = books.watched.get_mut(&number) {
                watch.taken_bytes = taken.map_or(0, |taken| taken.bytes);
                watch.root.started_ticks =
                    taken.map(|taken| taken.started_ticks).or(watch.root.started_ticks);
                if watch.root.kind != Kind::Server {
                    let taken_bytes = watch.taken_bytes;
                    books.peak_bytes = books.peak_bytes.max(taken_bytes);
                }
            }
        }
        books.available_bytes = available_bytes;
        books.look = Some(Look { at, took: at.elapsed() });
    }

    /// Up to how many bytes a process is not worth an exact look: it changes no peak, and keeps below the limit.
    fn coarse_bytes(&self, books: &Books) -> u64 {
        books.peak_bytes.min(self.bounds.process_bytes.unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn, as far as memory goes.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    admission: &'a Admission,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.admission.bounds.memory_bytes.is_some() {
            self.admission.lock().turns -= 1;
            self.admission.freed.notify_one();
        }
    }
}

/// A process that is watched. To be dropped when it is gone, and waited for.
#[derive(Debug)]
pub(crate) struct Watched {
    admission: Arc<Admission>,
    number: Option<u64>,
}

impl Watched {
    /// Waits until the process and its descendants take more than one may, and gives how much, in bytes. Never ready where no
    /// limit is told.
    ///
    /// # Cancellation
    /// Loses nothing: what was seen is seen at once the next time.
    pub(crate) async fn over_limit(&self) -> u64 {
        let (Some(limit_bytes), Some(number)) = (self.admission.bounds.process_bytes, self.number) else {
            return std::future::pending().await;
        };
        let seen = || self.admission.lock().watched.get(&number).map_or(0, |watch| watch.taken_bytes);
        loop {
            if seen() > limit_bytes {
                // That may have been in the call before, or for a moment only.
                self.admission.look(self.admission.lock());
                let taken_bytes = seen();
                if taken_bytes > limit_bytes {
                    return taken_bytes;
                }
            }
            tokio::time::sleep(LOOK_AT_LIMIT).await;
            self.admission.look_if_older_than(LOOK_AT_LIMIT);
        }
    }

    /// To be told when a call is over and its process rests: what it took was what a call takes.
    pub(crate) fn rests(&self) {
        let Some(number) = self.number else { return };
        let mut books = self.admission.lock();
        if books.watched.get(&number).is_some_and(|watch| watch.root.started_ticks.is_some()) {
            books.ended_bytes = books.ended_bytes.max(Some(books.peak_bytes));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut books = self.admission.lock();
        if let Some(watch) = books.watched.remove(&number) {
            // What it had is there again, without another look.
            books.available_bytes =
                books.available_bytes.map(|bytes| bytes.saturating_add(watch.taken_bytes));
            // Of what others have started, the kernel tells only when those have ended.
            if watch.root.kind == Kind::Command {
                books.learn();
            }
        }
        drop(books);
        self.admission.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
