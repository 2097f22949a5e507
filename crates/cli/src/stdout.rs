//! Our own words on standard output, for people and programs that may stop reading.

use std::io::{self, Write};

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use serde::Serialize;

/// Prints a text, and is content when nobody reads on (`fanfold plan job.json | head`).
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Error> {
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
    print_to(&mut anstream::stdout().lock(), text)
}

fn print_to(out: &mut dyn Write, text: &str) -> Result<bool, Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::caused(Code::Store, "write standard output", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_is_no_error_and_a_full_disk_is_one() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!print_to(&mut writer, "text").unwrap());
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(print_to(&mut full, "text").unwrap_err().code, Code::Store);
    }
}
