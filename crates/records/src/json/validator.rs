//! The machine that all readers of JSON share.

use super::error::{Found, JsonError};
use super::text::{self, CutCharacter, NotUtf8};

/// Deepest nesting, which bounds the memory: a byte for each open bracket.
pub const DEPTH_MAX: usize = 1 << 20;

/// A place in the outermost array, if the text is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The first byte of an element.
    Element,
    /// The comma behind an element.
    Comma,
    /// The bracket that closes the array.
    End,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The bracket of an array, which is the whole text.
    Array,
    /// A value.
    Value,
    /// A value, or the end of an array that has none yet.
    FirstValue,
    /// A key.
    Key,
    /// A key, or the end of an object that has none yet.
    FirstKey,
    /// The colon behind a key.
    Colon,
    /// Behind a value: a comma or a closing bracket; the end, if no bracket is open.
    Behind,
    /// More of a string.
    Text(Role),
    /// The character behind a backslash.
    Escape(Role),
    /// So many hexadecimal digits.
    Hex(Role, u8),
    /// More of a number.
    Number(Number),
    /// The rest of a name, of which so many bytes have come.
    Word(Word, u8),
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

/// A literal name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    True,
    False,
    Null,
}

impl Word {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }
}

/// The part of a number that the last byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    Power,
}

/// A byte of a piece that does not fit, or a character that ends there and began in the piece before.
struct Unfit {
    at: usize,
    expected: &'static str,
}

type Step = Result<usize, Unfit>;

/// Checks that a text is one JSON value, white space around it allowed.
///
/// After an error it accepts nothing more: drop it.
#[derive(Clone, Debug)]
pub struct Validator {
    state: State,
    /// The open brackets, as the bytes that close them.
    closers: Vec<u8>,
    /// The last character of the string, if the last piece ended within it.
    cut: CutCharacter,
    position: u64,
}

impl Default for Validator {
    fn default() -> Self {
        Self::new()
    }
}

impl Validator {
    /// Of any value.
    pub fn new() -> Self {
        Self::in_state(State::Value)
    }

    /// Of a text that must be an array.
    pub(super) fn of_array() -> Self {
        Self::in_state(State::Array)
    }

    /// Of the rest of an array, which begins at `position` with an element.
    pub(super) fn of_elements(position: u64) -> Self {
        Self { closers: vec![b']'], position, ..Self::in_state(State::Value) }
    }

    fn in_state(state: State) -> Self {
        Self { state, closers: Vec::new(), cut: CutCharacter::default(), position: 0 }
    }

    /// Begins afresh with the next value, which begins where the last one ended.
    pub(super) fn restart(&mut self) {
        self.state = State::Value;
    }

    /// How many bytes have passed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// True if nothing but white space has passed since the value could begin.
    pub(super) fn is_blank(&self) -> bool {
        self.closers.is_empty() && matches!(self.state, State::Value | State::Array)
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The first byte that does not fit.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), JsonError> {
        self.push_marked(piece, |_, _| {})
    }

    /// As [`push`](Self::push), and reports the places in the outermost array with their offsets in the piece.
    pub(super) fn push_marked(
        &mut self,
        piece: &[u8],
        mut mark: impl FnMut(Mark, usize),
    ) -> Result<(), JsonError> {
        let mut at = 0;
        while at < piece.len() {
            at = self.step(piece, at, &mut mark).map_err(|unfit| self.error(piece, &unfit))?;
        }
        self.position += piece.len() as u64;
        Ok(())
    }

    /// The end of the text.
    ///
    /// # Errors
    /// What is missing.
    pub fn end(&self) -> Result<(), JsonError> {
        use Number::{Fraction, Integer, Power, Zero};
        let is_behind =
            matches!(self.state, State::Behind | State::Number(Zero | Integer | Fraction | Power));
        if is_behind && self.closers.is_empty() {
            return Ok(());
        }
        Err(JsonError { position: self.position, found: Found::End, expected: self.expected() })
    }

    /// What would fit next.
    fn expected(&self) -> &'static str {
        use Number::{Exponent, ExponentSign, Minus, Point};
        match self.state {
            State::Array => "'['",
            State::Value => "a value",
            State::FirstValue => "a value or ']'",
            State::Key => "a key in double quotes",
            State::FirstKey => "a key in double quotes or '}'",
            State::Colon => "':'",
            State::Text(_) => "more of a string, or '\"'",
            State::Escape(_) => "one of \" \\ / b f n r t u behind a backslash",
            State::Hex(..) => "four hexadecimal digits behind \\u",
            State::Number(Minus | Point | Exponent | ExponentSign) => "a digit",
            State::Word(..) => "true, false or null",
            State::Behind | State::Number(_) => match self.closers.last() {
                None => "nothing more",
                Some(b']') => "',' or ']'",
                Some(_) => "',' or '}'",
            },
        }
    }

    /// That the byte at this offset does not fit.
    fn unfit(&self, at: usize) -> Step {
        Err(Unfit { at, expected: self.expected() })
    }

    fn error(&self, piece: &[u8], unfit: &Unfit) -> JsonError {
        let cut = self.cut.begin();
        let position = self.position + unfit.at as u64 - cut.len() as u64;
        let found = match *cut.first().unwrap_or(&piece[unfit.at]) {
            0xEF if self.is_blank() => Found::ByteOrderMark,
            byte => Found::Byte(byte),
        };
        JsonError { position, found, expected: unfit.expected }
    }

    /// Takes one byte or more, from `at` on, and returns where the rest begins.
    fn step(&mut self, piece: &[u8], at: usize, mark: &mut impl FnMut(Mark, usize)) -> Step {
        match self.state {
            State::Text(role) => self.text(piece, at, role),
            State::Escape(role) => self.escape(piece, at, role),
            State::Hex(role, left) => self.hex(piece, at, role, left),
            State::Number(part) => self.number(piece, at, part),
            State::Word(word, known) => self.word(piece, at, word, known),
            _ if matches!(piece[at], b' ' | b'\t' | b'\n' | b'\r') => {
                let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
                Ok(at + piece[at..].iter().take_while(space).count())
            }
            State::Value | State::FirstValue => self.value(piece[at], at, mark),
            State::Behind => self.behind(piece[at], at, mark),
            State::Key | State::FirstKey => self.key(piece[at], at),
            State::Colon => match piece[at] {
                b':' => self.goes_on(State::Value, at),
                _ => self.unfit(at),
            },
            State::Array => match piece[at] {
                b'[' => self.open(b']', State::FirstValue, at),
                _ => self.unfit(at),
            },
        }
    }

    /// Past this byte.
    fn goes_on(&mut self, state: State, at: usize) -> Step {
        self.state = state;
        Ok(at + 1)
    }

    fn value(&mut self, byte: u8, at: usize, mark: &mut impl FnMut(Mark, usize)) -> Step {
        if byte == b']' && self.state == State::FirstValue {
            return self.close(at, mark);
        }
        let is_element = self.is_in_outermost_array();
        let next = match byte {
            b'"' => self.goes_on(State::Text(Role::Value), at),
            b'-' => self.goes_on(State::Number(Number::Minus), at),
            b'0' => self.goes_on(State::Number(Number::Zero), at),
            b'1'..=b'9' => self.goes_on(State::Number(Number::Integer), at),
            b'[' => self.open(b']', State::FirstValue, at),
            b'{' => self.open(b'}', State::FirstKey, at),
            b't' => self.goes_on(State::Word(Word::True, 1), at),
            b'f' => self.goes_on(State::Word(Word::False, 1), at),
            b'n' => self.goes_on(State::Word(Word::Null, 1), at),
            _ => self.unfit(at),
        }?;
        if is_element {
            mark(Mark::Element, at);
        }
        Ok(next)
    }

    fn key(&mut self, byte: u8, at: usize) -> Step {
        match (byte, self.state == State::FirstKey) {
            (b'"', _) => self.goes_on(State::Text(Role::Key), at),
            (b'}', true) => {
                self.closers.pop();
                self.goes_on(State::Behind, at)
            }
            _ => self.unfit(at),
        }
    }

    fn behind(&mut self, byte: u8, at: usize, mark: &mut impl FnMut(Mark, usize)) -> Step {
        match (self.closers.last(), byte) {
            (Some(b']'), b',') => {
                if self.closers.len() == 1 {
                    mark(Mark::Comma, at);
                }
                self.goes_on(State::Value, at)
            }
            (Some(_), b',') => self.goes_on(State::Key, at),
            (Some(closer), _) if *closer == byte => self.close(at, mark),
            _ => self.unfit(at),
        }
    }

    fn open(&mut self, closer: u8, state: State, at: usize) -> Step {
        if self.closers.len() == DEPTH_MAX {
            return Err(Unfit { at, expected: "less nesting: at most 1048576 brackets may be open" });
        }
        self.closers.push(closer);
        self.goes_on(state, at)
    }

    fn close(&mut self, at: usize, mark: &mut impl FnMut(Mark, usize)) -> Step {
        if self.is_in_outermost_array() {
            mark(Mark::End, at);
        }
        self.closers.pop();
        self.goes_on(State::Behind, at)
    }

    fn is_in_outermost_array(&self) -> bool {
        self.closers.len() == 1 && self.closers[0] == b']'
    }

    fn text(&mut self, piece: &[u8], mut at: usize, role: Role) -> Step {
        const UTF_8: &str = "UTF-8";
        while !self.cut.is_whole() {
            let Some(byte) = piece.get(at) else { return Ok(at) };
            self.cut.add(*byte).map_err(|NotUtf8(_)| Unfit { at, expected: UTF_8 })?;
            at += 1;
        }
        let run = text::run(&piece[at..]);
        let end = at + run.bytes;
        if !run.is_ascii {
            let checked = self.cut.check(&piece[at..end], end == piece.len());
            checked.map_err(|NotUtf8(offset)| Unfit { at: at + offset, expected: UTF_8 })?;
        }
        match (piece.get(end), role) {
            (None, _) => Ok(end),
            (Some(b'"'), Role::Key) => self.goes_on(State::Colon, end),
            (Some(b'"'), Role::Value) => self.goes_on(State::Behind, end),
            (Some(b'\\'), _) => self.goes_on(State::Escape(role), end),
            (Some(_), _) => Err(Unfit { at: end, expected: "an escape, such as \\n or \\u0000, or '\"'" }),
        }
    }

    fn escape(&mut self, piece: &[u8], at: usize, role: Role) -> Step {
        match piece[at] {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.goes_on(State::Text(role), at),
            b'u' => self.goes_on(State::Hex(role, 4), at),
            _ => self.unfit(at),
        }
    }

    fn hex(&mut self, piece: &[u8], at: usize, role: Role, left: u8) -> Step {
        match (piece[at].is_ascii_hexdigit(), left) {
            (true, 1) => self.goes_on(State::Text(role), at),
            (true, _) => self.goes_on(State::Hex(role, left - 1), at),
            (false, _) => self.unfit(at),
        }
    }

    /// Up to the first byte that is no part of the number, which is left to what stands behind a value.
    fn number(&mut self, piece: &[u8], mut at: usize, mut part: Number) -> Step {
        use Number::{Exponent, ExponentSign, Fraction, Integer, Minus, Point, Power, Zero};
        while let Some(byte) = piece.get(at) {
            part = match (part, byte) {
                (Integer | Fraction | Power, b'0'..=b'9') => part,
                (Minus, b'0') => Zero,
                (Minus, b'1'..=b'9') => Integer,
                (Zero | Integer, b'.') => Point,
                (Point, b'0'..=b'9') => Fraction,
                (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
                (Exponent, b'+' | b'-') => ExponentSign,
                (Exponent | ExponentSign, b'0'..=b'9') => Power,
                (Minus | Point | Exponent | ExponentSign, _) => {
                    return Err(Unfit { at, expected: "a digit" });
                }
                (Zero | Integer | Fraction | Power, _) => {
                    self.state = State::Behind;
                    return Ok(at);
                }
            };
            at += 1;
        }
        self.state = State::Number(part);
        Ok(at)
    }

    fn word(&mut self, piece: &[u8], at: usize, word: Word, known: u8) -> Step {
        let rest = &word.bytes()[usize::from(known)..];
        let came = &piece[at..piece.len().min(at + rest.len())];
        if let Some(offset) = came.iter().zip(rest).position(|(came, wanted)| came != wanted) {
            return self.unfit(at + offset);
        }
        let is_whole = came.len() == rest.len();
        self.state = if is_whole { State::Behind } else { State::Word(word, known + came.len() as u8) };
        Ok(at + came.len())
    }
}
