//! Takes the brackets off a JSON array that streams by.
//!
//! Only the structure is followed: strings, and which bracket closes which. So an array of any size passes at the price of
//! a look at each byte and a byte of memory for each level of nesting; whether the elements are right JSON is left to the
//! program that printed them.

use bytes::Bytes;

use super::OutputError;

/// Deepest nesting that is followed: a bound on memory that no honest document meets.
const DEPTH_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// In the array, before its first element.
    Opened,
    /// In the array, outside strings.
    Inside,
    /// In a string.
    Text,
    /// In a string, behind a backslash.
    Escape,
    /// Behind the array.
    Behind,
}

/// One array, followed from its first byte to its last.
#[derive(Debug)]
pub(super) struct JsonArray {
    place: Place,
    /// The brackets that are open, as the bytes that will close them; the array's own is the first.
    closers: Vec<u8>,
    position: u64,
}

impl JsonArray {
    pub(super) fn new() -> Self {
        Self { place: Place::Before, closers: Vec::new(), position: 0 }
    }

    /// Takes the next piece, and gives back what of it stands between the brackets, white space before the first element
    /// left out: so an array without elements has no bytes.
    pub(super) fn take(&mut self, piece: &Bytes) -> Result<Bytes, OutputError> {
        let (mut from, mut until) = (None, piece.len());
        for (position, byte) in piece.iter().copied().enumerate() {
            let was_inside = self.is_inside();
            self.step(byte).map_err(|expected| self.refused(byte, expected))?;
            self.position += 1;
            if !was_inside && self.is_inside() {
                from = Some(position);
            }
            if was_inside {
                from = from.or(Some(0));
            }
            if self.place == Place::Behind && was_inside {
                until = position;
            }
        }
        Ok(from.filter(|from| *from < until).map_or_else(Bytes::new, |from| piece.slice(from..until)))
    }

    /// The end of the result.
    pub(super) fn end(&self) -> Result<(), OutputError> {
        match self.place {
            Place::Behind => Ok(()),
            Place::Before => Err(OutputError::Malformed(
                "it is empty; a program must print a JSON array, at least []".to_owned(),
            )),
            _ => Err(OutputError::Malformed(format!(
                "its JSON array does not end; after {} bytes a ']' is missing",
                self.position
            ))),
        }
    }

    /// Whether elements are being passed on.
    fn is_inside(&self) -> bool {
        matches!(self.place, Place::Inside | Place::Text | Place::Escape)
    }

    fn refused(&self, byte: u8, expected: &str) -> OutputError {
        let found = char::from(byte).escape_default();
        OutputError::Malformed(format!(
            "it is not one JSON array: at byte {} is '{found}', expected {expected}",
            self.position
        ))
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        self.place = match (self.place, byte) {
            (Place::Before | Place::Opened | Place::Behind, b' ' | b'\t' | b'\n' | b'\r') => self.place,
            (Place::Before, b'[') => {
                self.closers.push(b']');
                Place::Opened
            }
            (Place::Before, _) => return Err("'['"),
            (Place::Behind, _) => return Err("nothing more"),
            (Place::Text, b'"') => Place::Inside,
            (Place::Text, b'\\') => Place::Escape,
            (Place::Text | Place::Escape, _) => Place::Text,
            (Place::Opened | Place::Inside, b'"') => Place::Text,
            (Place::Opened | Place::Inside, b'[' | b'{') => self.open(byte)?,
            (Place::Opened | Place::Inside, b']' | b'}') => self.close(byte)?,
            (Place::Opened | Place::Inside, _) => Place::Inside,
        };
        Ok(())
    }

    fn open(&mut self, byte: u8) -> Result<Place, &'static str> {
        if self.closers.len() == DEPTH_MAX {
            return Err("less nesting");
        }
        self.closers.push(if byte == b'[' { b']' } else { b'}' });
        Ok(Place::Inside)
    }

    fn close(&mut self, byte: u8) -> Result<Place, &'static str> {
        match self.closers.pop() {
            Some(closer) if closer == byte && self.closers.is_empty() => Ok(Place::Behind),
            Some(closer) if closer == byte => Ok(Place::Inside),
            Some(b']') => Err("']'"),
            _ => Err("'}'"),
        }
    }
}
