//! The elements of an output give the bytes that its format promises, whatever the programs printed.
//!
//! The model here builds real bytes: what programs print, what a worker keeps of it and packs into objects, and what the
//! elements read back out of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Element, ElementsError, elements};
use fanfold_flow::crc::Crc64;
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::literal::Literal;
use fanfold_flow::member::member;
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_flow::uri::ObjectUri;
use proptest::prelude::*;
use serde_json::Value;

/// What a worker keeps of a result: a header, the bytes that count, and what stands behind them.
struct Kept {
    header: Option<Vec<u8>>,
    bytes: Vec<u8>,
    separator: &'static [u8],
}

fn kept(format: Format, printed: &[u8]) -> Kept {
    let newline = |bytes: &[u8]| -> &'static [u8] {
        if bytes.is_empty() || bytes.ends_with(b"\n") { b"" } else { b"\n" }
    };
    match format {
        Format::Bytes => Kept { header: None, bytes: printed.to_vec(), separator: b"" },
        Format::Lines | Format::JsonLines => {
            Kept { header: None, bytes: printed.to_vec(), separator: newline(printed) }
        }
        Format::Csv => {
            let end =
                printed.iter().position(|byte| *byte == b'\n').map_or(printed.len(), |newline| newline + 1);
            let (header, rows) = printed.split_at(end);
            let header = (!header.is_empty()).then(|| header.to_vec());
            Kept { header, bytes: rows.to_vec(), separator: newline(rows) }
        }
        Format::JsonArray => {
            let within = printed.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
            Kept { header: None, bytes: within.unwrap_or_default().trim_ascii().to_vec(), separator: b"," }
        }
    }
}

/// What workers make of results.
#[derive(Clone, Copy, Debug)]
struct How {
    compress: Compress,
    /// So many results share an object.
    per_object: usize,
    /// Whether an object begins with what the output begins with, and the last result ends with what it ends with.
    leads: bool,
}

const PLAIN: How = How { compress: Compress::None, per_object: 2, leads: true };

fn how() -> impl Strategy<Value = How> {
    let compress = prop::sample::select(vec![Compress::None, Compress::Gzip, Compress::Zstd]);
    (compress, 1_usize..5, any::<bool>()).prop_map(|(compress, per_object, leads)| How {
        compress,
        per_object,
        leads,
    })
}

/// The objects of a job's workers, and the results that point into them.
struct Stage {
    objects: BTreeMap<String, Vec<u8>>,
    results: Vec<ChunkResult>,
}

impl Stage {
    fn of(format: Format, printed: &[Vec<u8>], how: How) -> Self {
        let mut stage = Self { objects: BTreeMap::new(), results: Vec::new() };
        for (index, text) in printed.iter().enumerate() {
            let Kept { header, bytes, separator } = kept(format, text);
            let is_last = index + 1 == printed.len();
            let separator = if how.leads && is_last { format.suffix() } else { separator };
            let key = format!("{:03}", index / how.per_object);
            let stored = (!bytes.is_empty()).then(|| {
                let lead = header.as_deref().unwrap_or(format.prefix());
                stage.store(&key, how, lead, &bytes, separator)
            });
            stage.results.push(ChunkResult {
                index: index as u64,
                cut: 0,
                hop: 0,
                attempt: 1,
                stored,
                header: header.map(|header| Arc::new(Literal(header))),
                records: 0,
                input: None,
                bytes_in: 0,
                bytes_out: text.len() as u64,
                started_ms: 0,
                wall_ms: 0,
            });
        }
        for stored in stage.results.iter_mut().filter_map(|result| result.stored.as_mut()) {
            Arc::make_mut(&mut stored.object).bytes = stage.objects[&stored.object.uri.key].len() as u64;
        }
        stage
    }

    /// Adds a result to an object.
    fn store(&mut self, key: &str, how: How, lead: &[u8], bytes: &[u8], separator: &[u8]) -> Stored {
        let wrapped = |bytes: &[u8]| if bytes.is_empty() { Vec::new() } else { member(how.compress, bytes) };
        let object = self.objects.entry(key.to_owned()).or_default();
        let lead = if object.is_empty() && how.leads { wrapped(lead) } else { Vec::new() };
        object.extend_from_slice(&lead);
        let offset = object.len() as u64;
        let content = wrapped(bytes);
        object.extend_from_slice(&content);
        object.extend_from_slice(&wrapped(separator));
        Stored {
            object: Arc::new(ObjectVersion {
                uri: ObjectUri::new("work", key),
                etag: format!("\"{key}\""),
                bytes: 0,
            }),
            lead_bytes: lead.len() as u64,
            offset,
            bytes: content.len() as u64,
            crc: Crc64::of(&content),
            separator: separator.into(),
        }
    }

    /// The bytes of these elements; each element's CRC and bounds are checked on the way.
    fn read(&self, elements: &[Element]) -> Vec<u8> {
        let mut output = Vec::new();
        for element in elements {
            let bytes = match element {
                Element::Literal(literal) => literal.0.as_slice(),
                Element::Piece(range, _) => {
                    let object = &self.objects[&range.object.uri.key];
                    assert_eq!(range.object.bytes, object.len() as u64);
                    &object[range.start as usize..range.end as usize]
                }
            };
            assert_eq!(element.crc(), Crc64::of(bytes), "{element:?}");
            assert_eq!(element.bytes(), bytes.len() as u64);
            output.extend_from_slice(bytes);
        }
        output
    }
}

fn output(format: Format, printed: &[Vec<u8>], how: How) -> Result<Vec<u8>, ElementsError> {
    let stage = Stage::of(format, printed, how);
    elements(format, how.compress, &stage.results)
        .map(|elements| decompressed(how.compress, &stage.read(&elements)))
}

/// What the usual decoders make of an output.
fn decompressed(compress: Compress, output: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match compress {
        Compress::None => return output.to_vec(),
        Compress::Gzip => flate2::read::MultiGzDecoder::new(output).read_to_end(&mut bytes).unwrap(),
        Compress::Zstd => zstd::stream::read::Decoder::new(output).unwrap().read_to_end(&mut bytes).unwrap(),
    };
    // There is no such thing as a compressed file of no bytes.
    assert!(!output.is_empty());
    bytes
}

/// What a program prints that prints lines: some, none, empty ones, the last perhaps without its line feed.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec("[a-c]{0,3}", 0..4), any::<bool>()).prop_map(|(lines, ends)| {
        let mut text = lines.join("\n");
        if ends && !lines.is_empty() {
            text.push('\n');
        }
        text.into_bytes()
    })
}

/// A header and rows, either line end, the last row perhaps without one; or nothing at all.
fn csv() -> impl Strategy<Value = Vec<u8>> {
    let table =
        (prop::collection::vec("[0-9],[0-9]", 0..4), prop::sample::select(vec!["\n", "\r\n"]), any::<bool>());
    let printed = table.prop_map(|(rows, line_end, ends)| {
        let mut text = std::iter::once("a,b".to_owned()).chain(rows).collect::<Vec<_>>().join(line_end);
        if ends {
            text.push_str(line_end);
        }
        text.into_bytes()
    });
    prop_oneof![4 => printed, 1 => Just(Vec::new())]
}

/// A JSON array as programs print it: compact or pretty, with white space around it or not.
fn json_array() -> impl Strategy<Value = (Vec<Value>, Vec<u8>)> {
    let value = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[\\[\\], \"]{0,3}".prop_map(Value::from),
        Just(Value::Null)
    ];
    (prop::collection::vec(value, 0..4), any::<bool>()).prop_map(|(values, pretty)| {
        let compact = Value::from(values.clone()).to_string();
        let text = if pretty { format!(" {:#}\n", Value::from(values.clone())) } else { compact };
        (values, text.into_bytes())
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

proptest! {
    #[test]
    fn bytes_are_the_results_one_after_the_other(printed in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12), how in how()) {
        prop_assert_eq!(output(Format::Bytes, &printed, how).unwrap(), printed.concat());
    }

    #[test]
    fn lines_of_two_results_never_run_together(printed in prop::collection::vec(lines(), 0..12), how in how()) {
        let mut expected = Vec::new();
        for printed in printed.iter().filter(|printed| !printed.is_empty()) {
            if expected.last().is_some_and(|byte| *byte != b'\n') {
                expected.push(b'\n');
            }
            expected.extend_from_slice(printed);
        }
        let output = output(Format::Lines, &printed, how).unwrap();
        prop_assert_eq!(text(&output), text(&expected));
    }

    #[test]
    fn csv_has_one_header_and_every_row_in_order(printed in prop::collection::vec(csv(), 0..12), how in how()) {
        let output = text(&output(Format::Csv, &printed, how).unwrap());
        let lines_of = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let rows = printed.iter().flat_map(|printed| lines_of(&text(printed)).into_iter().skip(1));
        let header = printed.iter().any(|printed| !printed.is_empty()).then(|| "a,b".to_owned());
        prop_assert_eq!(lines_of(&output), header.into_iter().chain(rows).collect::<Vec<_>>());
    }

    #[test]
    fn arrays_become_one_array_of_all_their_elements(printed in prop::collection::vec(json_array(), 0..12), how in how()) {
        let (values, printed): (Vec<Vec<Value>>, Vec<Vec<u8>>) = printed.into_iter().unzip();
        let output = output(Format::JsonArray, &printed, how).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Vec<Value>>(&output).unwrap(), values.concat());
        prop_assert!(output.ends_with(b"]\n"));
    }

    #[test]
    fn one_result_comes_out_as_it_was_printed(lines in lines(), csv in csv(), how in how()) {
        prop_assert_eq!(&output(Format::Lines, std::slice::from_ref(&lines), how).unwrap(), &lines);
        prop_assert_eq!(&output(Format::Csv, std::slice::from_ref(&csv), how).unwrap(), &csv);
    }

    #[test]
    fn nothing_need_be_read_for_what_an_output_begins_and_ends_with(
        printed in prop::collection::vec("[0-9]{0,3}", 1..9), per_object in 1_usize..9, compress in prop::sample::select(vec![Compress::None, Compress::Gzip, Compress::Zstd]),
    ) {
        let how = How { compress, per_object, leads: true };
        for (format, head, tail) in [(Format::JsonArray, "[", "]"), (Format::Csv, "a\n", "\n")] {
            // The first result and the last one are not empty.
            let printed: Vec<Vec<u8>> = (0..).zip(&printed).map(|(index, text)| {
                let text = if index == 0 || index + 1 == printed.len() { format!("1{text}") } else { text.clone() };
                format!("{head}{text}{tail}").into_bytes()
            }).collect();
            let stage = Stage::of(format, &printed, how);
            let elements = elements(format, compress, &stage.results).unwrap();
            let literals = elements.iter().filter(|element| matches!(element, Element::Literal(_))).count();
            prop_assert_eq!(literals, 0, "{:?}", elements);
        }
    }
}

fn csv_of(printed: &[&str]) -> Result<String, ElementsError> {
    let printed: Vec<Vec<u8>> = printed.iter().map(|printed| printed.as_bytes().to_vec()).collect();
    output(Format::Csv, &printed, PLAIN).map(|output| text(&output))
}

#[test]
fn a_header_alone_without_its_line_end_gets_the_one_that_others_have() {
    assert_eq!(csv_of(&["", "a,b", "a,b\r\n1,2\r\n"]).unwrap(), "a,b\r\n1,2\r\n");
    assert_eq!(csv_of(&["a,b", "", "a,b"]).unwrap(), "a,b");
    assert_eq!(csv_of(&["a,b\n", "a,b\n1,2", "a,b\n", "a,b\n3,4"]).unwrap(), "a,b\n1,2\n3,4");
    assert_eq!(csv_of(&[]).unwrap(), "");
}

#[test]
fn a_header_that_is_not_the_chosen_one_byte_for_byte_is_not_taken_from_an_object() {
    assert_eq!(csv_of(&["a,b\r\n", "a,b\n1,2\n"]).unwrap(), "a,b\r\n1,2\n");
}

#[test]
fn results_with_different_headers_are_refused_by_index() {
    let error = csv_of(&["", "a,b\n1,2\n", "a,b\n", "a,c\n3,4\n"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the results of index 1 and index 3 begin with different header lines, \"a,b\\n\" and \"a,c\\n\"; \
         the program must print the same header for every chunk, or the output's format must be \"lines\""
    );
}
