//! Our own words on standard output, for people and programs that may stop reading.

use std::io::{self, Write};

use fanfold_flow::code::Code;
use fanfold_runtime::Error;

/// Prints a text, and is content when nobody reads on (`fanfold plan job.json | head`).
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::caused(Code::Store, "write standard output", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_is_no_error_and_a_full_disk_is_one() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        print_to(&mut writer, "text").unwrap();
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(print_to(&mut full, "text").unwrap_err().code, Code::Store);
    }
}
