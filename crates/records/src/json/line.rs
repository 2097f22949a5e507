//! A JSON value on one line.

use std::borrow::Cow;

/// A JSON value on one line: as it was written if it is on one already, else without the white space between its tokens. Strings,
/// numbers and the order of keys stay byte for byte.
///
/// `value` must be JSON: then no line break stands in a string.
pub fn one_line(value: &str) -> Cow<'_, str> {
    if !value.contains(['\n', '\r']) {
        return Cow::Borrowed(value);
    }
    let mut line = String::with_capacity(value.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for character in value.chars() {
        if in_text || !matches!(character, ' ' | '\t' | '\n' | '\r') {
            line.push(character);
        }
        let is_quote = character == '"' && !is_escaped;
        is_escaped = in_text && character == '\\' && !is_escaped;
        in_text ^= is_quote;
    }
    Cow::Owned(line)
}
