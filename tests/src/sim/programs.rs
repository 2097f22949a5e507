//! The job's program, as the pool of a simulated worker runs it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::chunk::{Chunk, Input};
use fanfold_pool::{Exit, Last, Program, SimulatedProcess, Simulation, StartError, Step};

use super::artefact::Try;
use super::life::Life;
use super::scenario::{Failing, Format, How, translated};

/// The processes that a worker starts.
pub(crate) struct Programs {
    life: Arc<Life>,
}

impl Programs {
    pub(crate) fn new(life: &Arc<Life>) -> Self {
        Self { life: Arc::clone(life) }
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").field("life", &self.life).finish()
    }
}

impl Simulation for Programs {
    fn start(&self, program: &Program) -> Result<Box<dyn SimulatedProcess>, StartError> {
        let chunk = chunk_of(program)?;
        let world = &self.life.world;
        let Some(at) = self.life.at() else { return Err(StartError::NoProgram) };
        let is_for_header = program.environment.iter().any(|(name, _)| name == "FANFOLD_HEADER");
        if is_for_header {
            world.judge.runs(&self.life, at);
            return Ok(Box::new(Process::new(&self.life, at, chunk, None, true)));
        }
        let tries = world.judge.starts(chunk.index, chunk.cut);
        let failing = world.scenario.program.failing.get(&chunk.index).copied();
        let failing = failing.filter(|_| at.run == 0 || !world.scenario.mended);
        let failing = failing.filter(|failing| failing.tries.is_none_or(|most| tries <= most));
        if failing.is_some_and(|failing| failing.how == How::NotStarted) {
            return Err(StartError::NoSuchFile { program: "translate".into() });
        }
        world.judge.runs(&self.life, at);
        self.life.note(&format_args!("starts a process for {}.{}", chunk.index, chunk.cut));
        Ok(Box::new(Process::new(&self.life, at, chunk, failing, false)))
    }
}

/// The chunk of which a program is told.
fn chunk_of(program: &Program) -> Result<Chunk, StartError> {
    let told = program.environment.iter().find(|(name, _)| name == "FANFOLD_CHUNK");
    let text = told.and_then(|(_, value)| value.to_str()).unwrap_or_default();
    // No start can fail like this in the world outside, so whoever sees it looks here.
    serde_json::from_str(text)
        .map_err(|error| StartError::NulByte { what: format!("FANFOLD_CHUNK={text}: {error}") })
}

/// A process, which is one until this is dropped.
struct Process {
    life: Arc<Life>,
    at: Try,
    chunk: Chunk,
    failing: Option<Failing>,
    /// Whether it is given the header alone.
    is_for_header: bool,
    /// Whether it has yet to start.
    is_new: bool,
    /// How many lines will come that are no records.
    header_lines: u64,
    /// What it will print at the end.
    gathered: Vec<u8>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.life.world.judge.stops(self.at);
    }
}

impl Process {
    fn new(life: &Arc<Life>, at: Try, chunk: Chunk, failing: Option<Failing>, is_for_header: bool) -> Self {
        let header_lines = life.world.scenario.input.header_lines();
        Self {
            life: Arc::clone(life),
            at,
            chunk,
            failing,
            is_for_header,
            is_new: true,
            header_lines,
            gathered: Vec::new(),
        }
    }

    fn takes(&mut self, records: u64) -> Duration {
        let program = &self.life.world.scenario.program;
        let start = if std::mem::take(&mut self.is_new) { program.start } else { Duration::ZERO };
        (start + program.record * u32::try_from(records).unwrap_or(u32::MAX)) * self.life.slowness()
    }

    /// The numbers of a range, which no input has.
    fn numbers(&self) -> (Vec<u8>, u64) {
        let Input::Range { offset, limit } = self.chunk.input else { return (Vec::new(), 0) };
        let numbers: String = (offset..offset + limit).map(|number| format!("{number}\n")).collect();
        (numbers.into_bytes(), limit)
    }

    /// What is printed at the end.
    fn result(&mut self) -> Vec<u8> {
        let mut result = std::mem::take(&mut self.gathered);
        if self.life.world.scenario.format == Format::JsonArray {
            let lines: Vec<&[u8]> =
                result.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            return [b"[", lines.join(&b","[..]).as_slice(), b"]"].concat();
        }
        result.iter_mut().for_each(|byte| *byte = translated(*byte));
        if !self.is_for_header {
            result.extend(self.life.world.scenario.program.tail(self.chunk.index));
        }
        result
    }
}

impl SimulatedProcess for Process {
    fn take(&mut self, input: &[u8]) -> Step {
        let lines = input.iter().filter(|byte| **byte == b'\n').count() as u64;
        let takes = self.takes(lines.saturating_sub(self.header_lines));
        self.header_lines = self.header_lines.saturating_sub(lines);
        if let Some(failing) = self.failing.filter(|failing| failing.early) {
            // Not what any format would refuse before the exit is seen.
            return Step { takes, stdout: b"[".to_vec(), exit: Some(exit(failing.how)) };
        }
        if self.life.world.scenario.program.gathers {
            self.gathered.extend(input);
            return Step { takes, ..Step::default() };
        }
        Step { takes, stdout: input.iter().map(|byte| translated(*byte)).collect(), exit: None }
    }

    fn end(&mut self) -> Last {
        let (numbers, count) = self.numbers();
        self.gathered.extend(numbers);
        let (takes, stdout) = (self.takes(count), self.result());
        match self.failing {
            Some(failing) => {
                let stderr = "translate: it is said to fail here\n".to_owned();
                Last { takes, stdout, stderr, exit: exit(failing.how) }
            }
            None => Last { takes, stdout, stderr: String::new(), exit: Exit::Code(0) },
        }
    }
}

fn exit(how: How) -> Exit {
    match how {
        How::Exits(status) => Exit::Code(status),
        How::Killed => Exit::Signal(9),
        // It is not, or it would not run.
        How::NotStarted => Exit::Code(127),
    }
}
