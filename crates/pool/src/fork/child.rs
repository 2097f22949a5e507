//! A forked process: takes calls from its pipe until there are none, or one has failed.
//!
//! Owes the pool a last word on every call that it lives to end, and that what the task prints goes to the log, never into
//! the result.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};

use crate::fork::frame::{FAILED, Outcome};
use crate::fork::task::{Asked, Input, Output, Task};
use crate::mark::MARK_VARIABLE;

/// The process's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) log: OwnedFd,
}

/// Serves calls, and gives the process's exit code.
pub(crate) fn serve(task: &dyn Task, ends: Ends) -> i32 {
    match try_serve(task, ends) {
        Ok(code) => code,
        Err(error) => {
            let _nobody_listens = writeln!(io::stderr(), "error: the pool cannot be understood: {error}");
            FAILED
        }
    }
}

fn try_serve(task: &dyn Task, ends: Ends) -> io::Result<i32> {
    redirect(ends.log)?;
    let mut input = Input::new(File::from(ends.input));
    let mut output = Output::new(File::from(ends.output));
    loop {
        let (message, is_last) = match input.next_asked()? {
            Asked::Nothing => return Ok(0),
            Asked::Setup(surroundings) => {
                take(&surroundings)?;
                continue;
            }
            Asked::Call { message, is_last } => (message, is_last),
        };
        let called = panic::catch_unwind(AssertUnwindSafe(|| task.run(&message, &mut input, &mut output)));
        let outcome = match called {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(reason)) => Outcome::Failed(reason),
            Err(payload) => Outcome::Panicked(said(payload.as_ref())),
        };
        // What was printed belongs to this call's log.
        io::stdout().flush()?;
        output.end(&outcome)?;
        if is_last || outcome != Outcome::Done {
            return Ok(outcome.exit_code());
        }
    }
}

/// Standard output and standard error go to the log; standard input has nothing.
fn redirect(log: OwnedFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(&log)?;
    rustix::stdio::dup2_stderr(&log)?;
    Ok(())
}

/// The words of a panic, as far as there are any.
pub(crate) fn said(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without words").to_owned()
}

/// What a process is given before its first call: the working directory, or nothing for the server's, and the whole
/// environment; each entry ends with a NUL byte.
pub(crate) fn surroundings<'a>(
    directory: Option<&OsStr>,
    environment: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
) -> Vec<u8> {
    let mut bytes = directory.unwrap_or_default().as_bytes().to_owned();
    bytes.push(0);
    for (name, value) in environment {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Makes these surroundings the process's own.
fn take(surroundings: &[u8]) -> io::Result<()> {
    let mut entries = surroundings.split(|&byte| byte == 0);
    if let Some(directory) = entries.next().filter(|directory| !directory.is_empty()) {
        std::env::set_current_dir(OsStr::from_bytes(directory))?;
    }
    let environment = entries.filter_map(|entry| {
        let equals = entry.iter().position(|&byte| byte == b'=')?;
        Some((OsStr::from_bytes(&entry[..equals]), OsStr::from_bytes(&entry[equals + 1..])))
    });
    set_environment(environment);
    Ok(())
}

/// Exchanges the environment, but for the mark that this process's descendants must carry.
#[allow(unsafe_code, reason = "the environment can be changed only where no other thread looks at it")]
fn set_environment<'a>(environment: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) {
    let before: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in before.iter().filter(|name| *name != MARK_VARIABLE) {
        // SAFETY: this process was forked by one with a single thread, and nothing of the task has run in it yet, so there is
        // no other thread that could read the environment.
        unsafe { std::env::remove_var(name) };
    }
    for (name, value) in environment.filter(|(name, _)| *name != MARK_VARIABLE) {
        // SAFETY: as above. Names and values were checked by the pool: no NUL byte, and no empty name.
        unsafe { std::env::set_var(name, value) };
    }
}
