//! What a task reads and writes: bytes, lines, or values with serde.

use std::io::{self, BufRead, Read, Write};
use std::marker::PhantomData;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The records of a chunk, to be read as a file is: nothing for a `range`; for a CSV, its header first.
///
/// In a test, any bytes can be one: `Input::new(&mut &b"one\ntwo\n"[..])`.
pub struct Input<'a> {
    records: &'a mut dyn BufRead,
}

impl<'a> Input<'a> {
    /// What gives these bytes.
    pub fn new(records: &'a mut dyn BufRead) -> Self {
        Self { records }
    }

    /// The lines, without their ends.
    pub fn lines(&mut self) -> io::Lines<&mut Self> {
        BufRead::lines(self)
    }

    /// The lines as JSON, each a value. Lines of nothing but white space are passed over.
    pub fn json<T: DeserializeOwned>(&mut self) -> JsonLines<'_, T> {
        JsonLines { records: self.records, number: 0, line: Vec::new(), values: PhantomData }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.records.read(buffer)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.records.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.records.consume(length);
    }
}

/// Values, a line each. An error names the line, counted from 1 within the chunk.
pub struct JsonLines<'a, T> {
    records: &'a mut dyn BufRead,
    number: u64,
    /// The line at hand; one allocation for all of them.
    line: Vec<u8>,
    values: PhantomData<T>,
}

impl<T: DeserializeOwned> Iterator for JsonLines<'_, T> {
    type Item = anyhow::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line.clear();
            self.number += 1;
            match self.records.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let value = serde_json::from_slice(&self.line);
                    return Some(value.with_context(|| format!("line {} of the chunk", self.number)));
                }
                Err(error) => {
                    return Some(
                        Err(error).with_context(|| format!("read line {} of the chunk", self.number)),
                    );
                }
            }
        }
    }
}

/// The result of a chunk, to be written as a file is. What is written is gathered; nothing need be flushed.
///
/// In a test, any writer can be one: `Output::new(&mut Vec::new())`.
pub struct Output<'a> {
    result: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    /// What goes to this writer.
    pub fn new(result: &'a mut dyn Write) -> Self {
        Self { result }
    }

    /// Writes a value as a line of JSON.
    ///
    /// # Errors
    /// When the value has no JSON (a map whose keys are no strings), or cannot be written.
    pub fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut *self, value).context("write a value as JSON")?;
        self.write_all(b"\n").context("write a value as JSON")
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.result.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.result.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: u64,
    }

    #[test]
    fn values_come_and_go_as_lines_and_what_is_none_is_named_by_its_line() {
        let mut text = b"{\"id\":1}\n\n  {\"id\":2}\r\n{\"id\":\"3\"}\n{\"id\":4}".as_slice();
        let mut input = Input::new(&mut text);
        let orders: Vec<anyhow::Result<Order>> = input.json().collect();
        let refusal = format!("{:#}", orders[2].as_ref().unwrap_err());
        assert!(refusal.starts_with("line 4 of the chunk: invalid type"), "{refusal}");
        let good: Vec<&Order> = orders.iter().flatten().collect();
        assert_eq!(good, [&Order { id: 1 }, &Order { id: 2 }, &Order { id: 4 }]);
        let mut result = Vec::new();
        let mut output = Output::new(&mut result);
        good.into_iter().try_for_each(|order| output.json(order)).unwrap();
        assert_eq!(result, b"{\"id\":1}\n{\"id\":2}\n{\"id\":4}\n");
    }
}
