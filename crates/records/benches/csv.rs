//! How many bytes a second are walked over as records of a table, beside lines, and beside csv-core, which takes the fields apart too.

use divan::Bencher;
use divan::counter::BytesCount;
use fanfold_records::{Dialect, Rule};

/// What a body of the store gives at once.
const PIECE_BYTES: usize = 256 << 10;
const TEXT_BYTES: usize = 16 << 20;

/// What the fields are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Numbers and words, none quoted.
    Plain,
    /// Short fields, each quoted.
    Quoted,
    /// Texts of some hundred bytes, of which a third have line breaks.
    Texts,
}

const KINDS: [Kind; 3] = [Kind::Plain, Kind::Quoted, Kind::Texts];

fn table(kind: Kind) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES + 1_024);
    for row in 0.. {
        if text.len() >= TEXT_BYTES {
            break;
        }
        let record = match kind {
            Kind::Plain => format!("{row},ORD,2026-11-02,minor,{}\n", row * 7 % 1_000),
            Kind::Quoted => format!("\"{row}\",\"ORD\",\"2026-11-02\",\"minor\",\"{}\"\n", row * 7 % 1_000),
            Kind::Texts => {
                let text = "a text that goes on and on ".repeat(10);
                let text = if row % 3 == 0 { text.replace(" on", "\non") } else { text };
                format!("{row},\"{text}\"\n")
            }
        };
        text.extend_from_slice(record.as_bytes());
    }
    text
}

fn walk(bencher: Bencher<'_, '_>, kind: Kind, rule: &Rule) {
    let text = table(kind);
    bencher.counter(BytesCount::of_slice(&text)).bench_local(|| {
        let mut walker = rule.walker(true);
        text.chunks(PIECE_BYTES).for_each(|piece| walker.walk(piece));
        walker.records()
    });
}

#[divan::bench(args = KINDS)]
fn lines(bencher: Bencher<'_, '_>, kind: Kind) {
    walk(bencher, kind, &Rule::default());
}

#[divan::bench(args = KINDS)]
fn csv(bencher: Bencher<'_, '_>, kind: Kind) {
    walk(bencher, kind, &Rule::Csv(Dialect::RFC_4180));
}

#[divan::bench(args = KINDS)]
fn csv_with_escape(bencher: Bencher<'_, '_>, kind: Kind) {
    walk(bencher, kind, &Rule::Csv(Dialect { escape: Some(b'\\'), ..Dialect::RFC_4180 }));
}

#[divan::bench(args = KINDS)]
fn csv_core_reads(bencher: Bencher<'_, '_>, kind: Kind) {
    let text = table(kind);
    let (mut fields, mut ends) = (vec![0; 64 << 10], vec![0; 64]);
    bencher.counter(BytesCount::of_slice(&text)).bench_local(|| {
        let (mut reader, mut position, mut records) = (csv_core::Reader::new(), 0, 0_u64);
        while position < text.len() {
            let (result, taken, _, _) = reader.read_record(&text[position..], &mut fields, &mut ends);
            position += taken;
            records += u64::from(result == csv_core::ReadRecordResult::Record);
        }
        records
    });
}

fn main() {
    divan::main();
}
