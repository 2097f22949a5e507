//! The structure of JSON text, exact to RFC 8259, in one pass and in pieces of any size.
//!
//! [`Validator`] accepts one JSON text and nothing else. [`Array`] adds where the elements of one outermost array begin and end,
//! [`Lines`] applies it line by line. All three look at each byte once, copy nothing, and keep a byte for each open bracket.
//!
//! Guarantees: what passes is JSON by the grammar of RFC 8259, and valid UTF-8 as its section 8.1 asks. The first byte that does
//! not fit is named, with what would have fitted. The answer never depends on where the pieces end.
//!
//! Limits and readings, where the RFC leaves them open:
//! - Nesting is at most [`DEPTH_MAX`] deep (section 9 allows a limit).
//! - Numbers may have any size and precision; doubled keys are accepted (sections 4 and 6).
//! - An escape of a lone surrogate, such as `"\ud800"`, is accepted, for the grammar has it (section 8.2).
//! - A byte order mark is refused (section 8.1 lets a parser choose).
//!
//! Nothing is decoded: it makes no values.

mod array;
mod error;
mod line;
mod lines;
mod text;
mod validator;

pub use array::Array;
pub use error::{Found, JsonError};
pub use line::one_line;
pub use lines::{LineError, Lines};
pub use validator::{DEPTH_MAX, Mark, Validator};
