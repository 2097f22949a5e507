//! The aligner against a model that has the whole object before it.

use bytes::Bytes;
use fanfold_flow::chunk::{self, ObjectVersion};
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;
use memchr::memmem;
use proptest::prelude::*;

use super::{AlignError, Aligner};
use crate::input::Tally;

/// What a chunk's reader gives for `start..end` of `object`, fed in pieces of `piece_bytes`.
fn read(
    object: &[u8],
    (start, end): (u64, u64),
    split: &Split,
    header: Option<&Literal>,
    piece_bytes: usize,
) -> Result<(Vec<u8>, Tally), AlignError> {
    let version =
        ObjectVersion { uri: "s3://b/k".parse().unwrap(), etag: "e".to_owned(), bytes: object.len() as u64 };
    let mut aligner = Aligner::new(&chunk::Bytes { object: version, start, end }, split, header);
    let first = usize::try_from(aligner.first_byte()).unwrap();
    let mut records = Vec::new();
    for piece in object[first..].chunks(piece_bytes) {
        let fed = aligner.feed(&Bytes::copy_from_slice(piece))?;
        records.extend_from_slice(&fed.records);
        if fed.complete {
            break;
        }
    }
    Ok((records, aligner.tally()))
}

fn borders(bytes: usize, chunk_bytes: usize) -> Vec<(u64, u64)> {
    let starts = (0..bytes.max(1)).step_by(chunk_bytes);
    starts.map(|start| (start as u64, (start + chunk_bytes).min(bytes) as u64)).collect()
}

/// The records of an object with their places, cut after each separator.
fn records<'o>(object: &'o [u8], separator: &[u8]) -> Vec<(usize, &'o [u8])> {
    let ends = memmem::find_iter(object, separator).map(|place| place + separator.len());
    let mut records = Vec::new();
    let mut begin = 0;
    for end in ends.chain([object.len()]).filter(|end| *end > 0) {
        if begin < end {
            records.push((begin, &object[begin..end]));
        }
        begin = end;
    }
    records
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::sample::select(b"ab;;\n\n\r,".to_vec());
    prop::collection::vec(letters, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_is_whole_and_in_the_one_chunk_that_it_begins_in(
        object in text(), chunk_bytes in 1..20_usize, piece_bytes in 1..20_usize,
        separator in prop::sample::select(vec!["\n", ";\n", "ab", "\r\n;"]),
    ) {
        let split = if separator == "\n" { Split::Lines } else { Split::Separator(separator.to_owned()) };
        let all = records(&object, separator.as_bytes());
        let mut aligned_end = 0;
        for (start, end) in borders(object.len(), chunk_bytes) {
            let (found, tally) = read(&object, (start, end), &split, None, piece_bytes).unwrap();
            let own: Vec<_> = all.iter().filter(|(begin, _)| (start..end).contains(&(*begin as u64))).collect();
            prop_assert_eq!(found, own.iter().flat_map(|(_, record)| record.iter().copied()).collect::<Vec<u8>>());
            prop_assert_eq!(tally.records, own.len() as u64);
            let Aligned { start: from, end: to } = tally.aligned.unwrap();
            prop_assert_eq!(from, aligned_end, "chunks must join");
            aligned_end = to;
        }
        prop_assert_eq!(aligned_end, object.len() as u64);
    }
}

/// Records of a CSV with quotes, line breaks within them, and lone quotes where a lenient reader takes them for letters.
fn csv(lone_quotes: bool) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let mut fields = vec!["1", "x y", "\"q\"", "\"a\nb\"", "\"\"\"\n\"\"\"", "\"\n\n\"", ""];
    if lone_quotes {
        fields.push("5\" pipe");
    }
    let record = prop::collection::vec(prop::sample::select(fields), 1..4);
    prop::collection::vec(record.prop_map(|fields| format!("{}\n", fields.join(",")).into_bytes()), 0..12)
}

/// Where csv-core, a reader of its own, says that records begin.
fn true_begins(object: &[u8]) -> Vec<u64> {
    let mut reader = csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(b'\n')).build();
    let (mut fields, mut ends) = (vec![0; object.len() + 8], vec![0; object.len() + 8]);
    let (mut begins, mut position) = (vec![0], 0);
    while position < object.len() {
        let (result, taken, _, _) = reader.read_record(&object[position..], &mut fields, &mut ends);
        position += taken;
        if result == csv_core::ReadRecordResult::Record {
            begins.push(position as u64);
        }
    }
    begins
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_csv_is_cut_between_records_or_refused(
        (records, header) in (csv(true), any::<bool>()), chunk_bytes in 1..40_usize, piece_bytes in 1..20_usize,
    ) {
        // Lines without any field are no records to csv-core, and would make it disagree about where the next one begins.
        let records: Vec<Vec<u8>> = records.into_iter().filter(|record| record != b"\n").collect();
        let object = records.concat();
        let header = records.first().filter(|_| header).map(|header| Literal(header.clone()));
        let begins = true_begins(&object);
        let read = |border| read(&object, border, &Split::Csv, header.as_ref(), piece_bytes);
        let chunks: Result<Vec<_>, _> = borders(object.len(), chunk_bytes).into_iter().map(read).collect();
        let Ok(chunks) = chunks else { return Ok(()) };
        let whole = chunks.iter().flat_map(|(found, _)| found.iter().copied()).collect::<Vec<u8>>();
        prop_assert_eq!(&whole, &object[header.as_ref().map_or(0, |header| header.0.len())..]);
        for (_, tally) in &chunks {
            let Aligned { start, .. } = tally.aligned.unwrap();
            prop_assert!(start == object.len() as u64 || begins.contains(&start), "a chunk begins within a record, at {start}");
        }
    }

    #[test]
    fn a_csv_without_line_breaks_in_quotes_is_never_refused(
        records in csv(false), chunk_bytes in 1..40_usize, piece_bytes in 1..20_usize,
    ) {
        let plain = |record: &&Vec<u8>| memchr::memchr(b'\n', record) == Some(record.len() - 1);
        let records: Vec<Vec<u8>> = records.iter().filter(plain).cloned().collect();
        let object = records.concat();
        let mut count = 0;
        for border in borders(object.len(), chunk_bytes) {
            count += read(&object, border, &Split::Csv, None, piece_bytes).unwrap().1.records;
        }
        prop_assert_eq!(count, records.len() as u64);
    }
}

#[test]
fn a_border_within_quotes_is_named() {
    let object = b"id,text\n1,\"one\ntwo\"\n2,x\n";
    let refusal = read(object, (0, 15), &Split::Csv, None, 4).unwrap_err();
    assert_eq!(refusal, AlignError::RecordCut { byte: 15 });
    assert!(read(object, (0, 17), &Split::Csv, None, 4).is_ok());
}

#[test]
fn another_header_is_refused_where_it_differs() {
    let header = Literal::from(&b"id,name\n"[..]);
    for piece_bytes in 1..10 {
        let whole =
            |object: &[u8]| read(object, (0, object.len() as u64), &Split::Csv, Some(&header), piece_bytes);
        assert_eq!(whole(b"id,name\n1,a").unwrap().0, b"1,a");
        assert_eq!(
            whole(b"id,name").unwrap(),
            (vec![], Tally { records: 0, aligned: Some(Aligned { start: 0, end: 7 }) })
        );
        assert_eq!(whole(b"").unwrap().1.records, 0);
        assert_eq!(
            whole(b"id,Name\n1,a"),
            Err(AlignError::HeaderDiffers { byte: 3, header: header.clone() })
        );
        assert_eq!(
            whole(b"id,name,x\n1,a"),
            Err(AlignError::HeaderDiffers { byte: 7, header: header.clone() })
        );
        assert_eq!(whole(b"id"), Err(AlignError::HeaderDiffers { byte: 2, header: header.clone() }));
    }
}

#[test]
fn a_whole_object_is_one_record() {
    let (found, tally) = read(b"a\nb", (0, 3), &Split::None, None, 2).unwrap();
    assert_eq!((found.as_slice(), tally.records), (&b"a\nb"[..], 1));
}
