//! Our own words on standard error. Nobody may be listening, or its disk may be full: the job matters more.

use std::fmt;
use std::io::Write;

/// Prints a line, with colours where it is a terminal.
macro_rules! say {
    ($($words:tt)*) => { $crate::stderr::line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Prints a line; one that cannot be printed is lost.
pub(crate) fn line(words: fmt::Arguments<'_>) {
    let _lost = writeln!(anstream::stderr().lock(), "{words}");
}

/// Prints a text as it is; one that cannot be printed is lost.
pub(crate) fn text(text: &str) {
    let _lost = write!(anstream::stderr().lock(), "{text}");
}
