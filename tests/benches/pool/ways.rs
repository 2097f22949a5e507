//! The ways: ours, the floor, and the peers', which `peers/pool_peers.py` and GNU parallel run.

use std::process::{Command, Stdio};

use e2e::python;

use crate::measure::{self, Took};
use crate::ours::TO_FILES;
use crate::work::Work;

/// Most tiny chunks for a way that starts a process for each, which takes less than a millisecond, or some. It is told then by what
/// it does in a second.
const TINY_MAX: usize = 20_000;
const TINY_MAX_OF_SLOW: usize = 2_000;

/// A way to have several processes' results in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Its name among the arguments, and for the script.
    name: &'static str,
    /// Its name for people.
    pub(crate) title: &'static str,
    kind: Kind,
    /// Most tiny chunks that it is given.
    tiny_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// This program.
    This,
    /// This program, if GNU parallel is there.
    Parallel,
    /// The script.
    Python,
}

const WAYS: [Way; 10] = [
    Way { name: SPAWN, title: "Fanfold's pool, a program", kind: Kind::This, tiny_max: TINY_MAX },
    Way { name: "fork", title: "Fanfold's pool, a task, forked", kind: Kind::This, tiny_max: TINY_MAX },
    Way { name: "long-lived", title: "Fanfold's pool, a task, kept", kind: Kind::This, tiny_max: usize::MAX },
    Way {
        name: "fork-to-files",
        title: "Fanfold's pool, a task, forked; each result streamed on to a file, none collected",
        kind: Kind::This,
        tiny_max: 0,
    },
    Way {
        name: "long-lived-to-files",
        title: "Fanfold's pool, a task, kept; each result streamed on to a file, none collected",
        kind: Kind::This,
        tiny_max: 0,
    },
    Way {
        name: FLOOR,
        title: "the floor: a program, six pipes, `poll`",
        kind: Kind::This,
        tiny_max: TINY_MAX,
    },
    Way {
        name: "manager",
        title: "Python: `Process`, `Manager().list()`",
        kind: Kind::Python,
        tiny_max: TINY_MAX_OF_SLOW,
    },
    Way {
        name: "pipe",
        title: "Python: `Process`, `Pipe`, read before `join`",
        kind: Kind::Python,
        tiny_max: TINY_MAX_OF_SLOW,
    },
    Way {
        name: "lambda-multiprocessing",
        title: "`lambda-multiprocessing`: `Pool.map`",
        kind: Kind::Python,
        tiny_max: usize::MAX,
    },
    Way {
        name: "parallel",
        title: "GNU `parallel --keep-order`",
        kind: Kind::Parallel,
        tiny_max: TINY_MAX_OF_SLOW,
    },
];

const FLOOR: &str = "floor";
const SPAWN: &str = "spawn";

impl Way {
    /// Those with these names, or all; of them those that are installed here.
    pub(crate) fn those(names: Option<&str>) -> Vec<Self> {
        let is_named = |way: &Self| names.is_none_or(|names| names.split(',').any(|name| name == way.name));
        let ways = WAYS.into_iter().filter(is_named);
        ways.filter(Self::is_there).collect()
    }

    fn is_there(&self) -> bool {
        let Kind::Parallel = self.kind else { return true };
        let mut version = Command::new("parallel");
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        let is_there = version.status().is_ok_and(|status| status.success());
        if !is_there {
            println!("GNU parallel is missing; it is not measured (apt-get install parallel)");
        }
        is_there
    }

    pub(crate) fn is_floor(self) -> bool {
        self.name == FLOOR
    }

    /// Whether it does this work: where it was not asked for by name, not if that takes minutes.
    pub(crate) fn does(self, work: Work, is_named: bool) -> bool {
        match work {
            Work::Bytes(_) | Work::Rows(_) => true,
            Work::Tiny(_) => !self.name.ends_with(TO_FILES) && (is_named || self.name != SPAWN),
            Work::Table(_) => !self.name.ends_with(TO_FILES) && self.kind != Kind::Parallel,
        }
    }

    /// The part of the work that it is given.
    pub(crate) fn part_of(self, work: Work) -> Work {
        match work {
            Work::Tiny(count) => Work::Tiny(count.min(self.tiny_max)),
            work => work,
        }
    }

    /// Does its part of the work in a process of its own, and looks at its memory, and at what it made, if that is wanted.
    ///
    /// # Errors
    /// That it failed, or made something else.
    pub(crate) fn run(self, work: Work, looks: bool) -> Result<Took, String> {
        let mut command = match self.kind {
            Kind::This | Kind::Parallel => {
                let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
                command.arg("way");
                command
            }
            Kind::Python => {
                let mut command = Command::new(python::peers());
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/pool_peers.py"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        };
        command.arg(self.name).args(self.part_of(work).words());
        if looks {
            command.arg("--check");
        }
        measure::run(&mut command, looks)
    }
}
