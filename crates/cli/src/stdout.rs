//! Our own words on standard output, for people and programs that may stop reading.

use std::io::{self, Write};
use std::os::fd::AsFd;

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::Serialize;

/// Prints a text, and is content when nobody reads on (`fanfold plan job.json | head`).
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    is_open()?;
    print_to(&mut io::stdout().lock(), text).map(drop)
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::caused(Code::Internal, "write the answer as JSON", error))?;
    print(&(text + "\n"))
}

/// Prints a text that may have colours, which only a terminal gets, and tells whether anybody reads on.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print_styled(text: &str) -> Result<bool, Error> {
    is_open()?;
    print_to(&mut anstream::stdout().lock(), text)
}

/// What standard output is called in messages.
pub(crate) const NAME: &str = "standard output";

/// That standard output could not be written.
pub(crate) fn unwritten(error: io::Error) -> Error {
    Error::caused(Code::Store, format!("write {NAME}"), error)
}

/// Whether an error is that nobody reads standard output any more.
pub(crate) fn has_lost_its_reader(error: &Error) -> bool {
    let cause = error.source.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        && error.message == format!("write {NAME}")
}

/// Whether whatever is at the other end of standard output will never read again. A write would say so too, but there may be
/// nothing to write for hours.
pub(crate) fn is_abandoned() -> bool {
    has_no_reader(&io::stdout())
}

fn has_no_reader(pipe: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}

/// That there is no standard output: what is printed would be lost.
///
/// # Errors
/// When the program was started without one.
pub(crate) fn is_open() -> Result<(), Error> {
    if fanfold_pool::stdout_was_closed() {
        return Err(Error::new(Code::InvalidJob, format!("write {NAME}: it is closed")));
    }
    Ok(())
}

fn print_to(out: &mut dyn Write, text: &str) -> Result<bool, Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritten(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_abandoned_once_its_reader_is_gone() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!has_no_reader(&writer));
        drop(reader);
        assert!(has_no_reader(&writer));
        assert!(!has_no_reader(&std::fs::File::open("/dev/null").unwrap()));
    }

    #[test]
    fn only_a_broken_pipe_at_standard_output_is_a_reader_gone() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(has_lost_its_reader(&unwritten(broken())));
        assert!(!has_lost_its_reader(&unwritten(io::Error::from(io::ErrorKind::StorageFull))));
        assert!(!has_lost_its_reader(&Error::caused(Code::Store, "write out", broken())));
    }

    #[test]
    fn a_reader_that_stops_is_no_error_and_a_full_disk_is_one() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!print_to(&mut writer, "text").unwrap());
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(print_to(&mut full, "text").unwrap_err().code, Code::Store);
    }
}
