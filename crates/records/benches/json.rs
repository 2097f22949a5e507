//! How many bytes a second are checked, beside `serde_json` skipping the same text, which looks at no UTF-8.

use divan::Bencher;
use divan::counter::BytesCount;
use fanfold_records::json::{Array, Lines, Validator};
use serde::de::IgnoredAny;

/// As programs print: what a pipe gives at once.
const PIECE_BYTES: usize = 64 << 10;
const TEXT_BYTES: usize = 8 << 20;

/// What the elements are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Short keys, numbers and words.
    Records,
    /// Nothing but small numbers.
    Numbers,
    /// Long strings of ASCII.
    Prose,
    /// Strings of two and three bytes a character.
    Foreign,
    /// Records with an indent of two a level.
    Pretty,
}

const KINDS: [Kind; 5] = [Kind::Records, Kind::Numbers, Kind::Prose, Kind::Foreign, Kind::Pretty];

fn element(kind: Kind, number: usize) -> String {
    match kind {
        Kind::Records => {
            format!(
                "{{\"id\":{number},\"name\":\"item {number}\",\"price\":{}.25,\"tags\":[\"a\",\"bc\"],\"sold\":false}}",
                number % 100
            )
        }
        Kind::Numbers => (number % 10_000).to_string(),
        Kind::Prose => format!("\"{}\"", "it was a dark and stormy night; ".repeat(20)),
        Kind::Foreign => format!("\"{}\"", "съешь ещё этих мягких французских булок 你好世界 ".repeat(10)),
        Kind::Pretty => {
            format!(
                "{{\n    \"id\": {number},\n    \"name\": \"item {number}\",\n    \"sold\": [\n      true,\n      null\n    ]\n  }}"
            )
        }
    }
}

fn elements(kind: Kind) -> Vec<String> {
    let bytes = element(kind, 0).len();
    (0..TEXT_BYTES / bytes).map(|number| element(kind, number)).collect()
}

fn array(kind: Kind) -> String {
    format!("[{}]\n", elements(kind).join(","))
}

#[divan::bench(args = KINDS)]
fn validator(bencher: Bencher<'_, '_>, kind: Kind) {
    let text = array(kind);
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut validator = Validator::new();
        text.as_bytes().chunks(PIECE_BYTES).try_for_each(|piece| validator.push(piece))?;
        validator.end()
    });
}

#[divan::bench(args = KINDS)]
fn array_taken_off(bencher: Bencher<'_, '_>, kind: Kind) {
    let text = array(kind);
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut array = Array::new();
        text.as_bytes().chunks(PIECE_BYTES).try_for_each(|piece| array.take(piece).map(drop))?;
        array.end()
    });
}

#[divan::bench(args = [Kind::Records, Kind::Numbers, Kind::Prose])]
fn lines(bencher: Bencher<'_, '_>, kind: Kind) {
    let text = elements(kind).join("\n");
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut lines = Lines::new();
        text.as_bytes().chunks(PIECE_BYTES).try_for_each(|piece| lines.push(piece))?;
        lines.end()
    });
}

#[divan::bench(args = KINDS)]
fn serde_json_skips(bencher: Bencher<'_, '_>, kind: Kind) {
    let text = array(kind);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| serde_json::from_slice::<IgnoredAny>(text.as_bytes()));
}

fn main() {
    divan::main();
}
