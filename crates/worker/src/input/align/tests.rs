//! The aligner against a model that has the whole object before it.

use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;
use proptest::prelude::*;

use super::AlignError;
use crate::input::model::{
    How, Reading, Sizes, When, csv, ranges, records, separator, separator_of, text, true_begins,
};

/// What a chunk's reader gives for a range of `object`, fed in pieces of `piece_bytes`, never cut.
fn read(
    object: &[u8],
    range: (u64, u64),
    split: &Split,
    header: Option<&Literal>,
    piece_bytes: usize,
) -> Result<Reading, AlignError> {
    let how = How { split, header, pieces: Sizes::always(piece_bytes), rooms: Sizes::always(usize::MAX) };
    crate::input::model::read(object, range, &how, When::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_is_whole_and_in_the_one_chunk_that_it_begins_in(
        object in text(), chunk_bytes in 1..20_usize, piece_bytes in 1..20_usize,
        split in separator(),
    ) {
        let all = records(&object, separator_of(&split));
        let mut aligned_end = 0;
        for (start, end) in ranges(object.len(), chunk_bytes) {
            let found = read(&object, (start, end), &split, None, piece_bytes).unwrap();
            let own: Vec<_> = all.iter().filter(|(begin, _)| (start..end).contains(&(*begin as u64))).collect();
            prop_assert_eq!(found.bytes, own.iter().flat_map(|(_, record)| record.iter().copied()).collect::<Vec<u8>>());
            prop_assert_eq!(found.records, own.len() as u64);
            let Aligned { start: from, end: to } = found.aligned.unwrap();
            prop_assert_eq!(from, aligned_end, "chunks must join");
            aligned_end = to;
        }
        prop_assert_eq!(aligned_end, object.len() as u64);
    }
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
        let read = |range| read(&object, range, &Split::Csv, header.as_ref(), piece_bytes);
        let chunks: Result<Vec<_>, _> = ranges(object.len(), chunk_bytes).into_iter().map(read).collect();
        let Ok(chunks) = chunks else { return Ok(()) };
        let whole = chunks.iter().flat_map(|found| found.bytes.iter().copied()).collect::<Vec<u8>>();
        prop_assert_eq!(&whole, &object[header.as_ref().map_or(0, |header| header.0.len())..]);
        for found in &chunks {
            let Aligned { start, .. } = found.aligned.unwrap();
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
        for range in ranges(object.len(), chunk_bytes) {
            count += read(&object, range, &Split::Csv, None, piece_bytes).unwrap().records;
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
        assert_eq!(whole(b"id,name\n1,a").unwrap().bytes, b"1,a");
        assert_eq!(
            whole(b"id,name").unwrap(),
            Reading { bytes: vec![], records: 0, aligned: Some(Aligned { start: 0, end: 7 }), rest: None }
        );
        assert_eq!(whole(b"").unwrap().records, 0);
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
    let found = read(b"a\nb", (0, 3), &Split::None, None, 2).unwrap();
    assert_eq!((found.bytes.as_slice(), found.records), (&b"a\nb"[..], 1));
}
