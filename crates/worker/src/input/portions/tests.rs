//! Portions against the rule that they follow, and cuts against the chunk as it is read uncut.

use std::ops::RangeInclusive;

use bytes::Bytes;
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use proptest::prelude::*;

use super::*;
use crate::input::model::{
    How, When, csv, cuts, joined, ranges, read, read_in_cuts, records, separator, separator_of, sizes, text,
    true_begins,
};

fn any_split() -> impl Strategy<Value = Split> {
    prop_oneof![separator(), Just(Split::Csv), Just(Split::None)]
}

/// Where the records of `bytes` end, looked for from the beginning each time.
fn borders(bytes: &[u8], split: &Split) -> Vec<usize> {
    let is_border = |end: &usize| {
        let mut walker = Walker::new(split);
        walker.walk(&bytes[..*end]);
        walker.is_at_border()
    };
    (1..=bytes.len()).filter(is_border).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_portion_is_all_that_is_at_hand_or_as_many_whole_records_as_fit(
        object in text(), split in any_split(), pieces in sizes(1..30), rooms in sizes(0..12),
    ) {
        let borders = borders(&object, &split);
        let first_in = |range: RangeInclusive<usize>| borders.iter().copied().find(|border| range.contains(border));
        let last_in = |range: RangeInclusive<usize>| borders.iter().copied().rfind(|border| range.contains(border));
        let (mut pieces, mut rooms) = (pieces.in_turn(), rooms.in_turn());
        let mut portions = Portions::new(Walker::new(&split), false, None);
        let (mut given, mut read) = (0, 0);
        while given < object.len() {
            let room = rooms.next().unwrap();
            match portions.next(room, false) {
                Step::Portion(portion) => {
                    let whole = last_in(given + 1..=given + room).or(first_in(given + 1..=read)).unwrap_or(read);
                    let end = if read - given <= room { read } else { whole };
                    prop_assert_eq!(&portion, &object[given..end]);
                    given = end;
                }
                Step::NeedsMore => {
                    prop_assert_eq!(given, read, "it has something at hand");
                    read = object.len().min(given + pieces.next().unwrap());
                    portions.add(Fed {
                        header: Bytes::new(),
                        records: Bytes::copy_from_slice(&object[given..read]),
                        position: given as u64,
                        complete: read == object.len(),
                    });
                }
                Step::End => prop_assert!(false, "it ended at byte {given}"),
            }
        }
        prop_assert!(object.is_empty() || portions.next(0, true) == Step::End);
        prop_assert_eq!(portions.cut(), None, "all was handed out");
    }

    #[test]
    fn what_is_cut_at_any_places_gives_each_record_once_and_in_order(
        object in text(), split in separator(), chunk_bytes in 1..60_usize,
        pieces in sizes(1..20), rooms in sizes(0..12), cuts in cuts(),
    ) {
        let how = How { split: &split, header: None, pieces, rooms };
        let all = records(&object, separator_of(&split));
        for range in ranges(object.len(), chunk_bytes) {
            let readings = read_in_cuts(&object, range, &how, &cuts).unwrap();
            let whole = joined(&readings)?;
            let own: Vec<_> = all.iter().filter(|(begin, _)| (range.0..range.1).contains(&(*begin as u64))).collect();
            prop_assert_eq!(&whole.bytes, &own.iter().flat_map(|(_, record)| record.iter().copied()).collect::<Vec<u8>>());
            prop_assert_eq!(whole.records, own.len() as u64);
            prop_assert_eq!(whole, read(&object, range, &how, When::default()).unwrap());
            for border in readings.iter().filter(|reading| reading.aligned.is_some()).filter_map(|reading| reading.rest) {
                prop_assert!(all.iter().any(|(begin, _)| *begin as u64 == border), "no record begins at {border}");
            }
        }
    }

    #[test]
    fn a_csv_that_is_cut_gives_what_it_gives_uncut_and_is_refused_where_that_is(
        object in prop_oneof![text(), csv(true).prop_map(|records| records.concat())], has_header in any::<bool>(),
        chunk_bytes in 1..60_usize, pieces in sizes(1..20), rooms in sizes(0..12), cuts in cuts(),
    ) {
        let mut first = Portions::new(Walker::new(&Split::Csv), false, None);
        first.add(Fed::all_at_once(Bytes::from(object.clone())));
        let header = match first.next(0, false) {
            Step::Portion(record) if has_header => Some(Literal(record.to_vec())),
            _ => None,
        };
        let how = How { split: &Split::Csv, header: header.as_ref(), pieces, rooms };
        for range in ranges(object.len(), chunk_bytes) {
            let uncut = read(&object, range, &how, When::default());
            match read_in_cuts(&object, range, &how, &cuts) {
                Ok(readings) => prop_assert_eq!(Ok(joined(&readings)?), uncut),
                Err(error) => prop_assert_eq!(Err(error), uncut),
            }
        }
    }

    #[test]
    fn a_csv_is_never_cut_within_a_record(
        records in csv(true), chunk_bytes in 1..60_usize, pieces in sizes(1..20), rooms in sizes(0..12), cuts in cuts(),
    ) {
        // Lines without any field are no records to csv-core, and would make it disagree about where the next one begins.
        let object: Vec<u8> = records.into_iter().filter(|record| record != b"\n").flatten().collect();
        let begins = true_begins(&object);
        let how = How { split: &Split::Csv, header: None, pieces, rooms };
        // A chunk behind one that is refused may begin within a record, and knows nothing of it.
        let chunks = ranges(object.len(), chunk_bytes).into_iter();
        for readings in chunks.map_while(|range| read_in_cuts(&object, range, &how, &cuts).ok()) {
            for border in readings.iter().filter(|reading| reading.aligned.is_some()).filter_map(|reading| reading.rest) {
                prop_assert!(begins.contains(&border), "cut within a record, at {border}");
            }
        }
    }

    #[test]
    fn at_most_takes_what_begins_within_so_many_bytes_and_never_less_than_a_record(
        object in text(), split in separator(), at_most in 0..40_u64, chunk_bytes in 1..60_usize,
        pieces in sizes(1..20), rooms in sizes(0..12),
    ) {
        let how = How { split: &split, header: None, pieces, rooms };
        let all = records(&object, separator_of(&split));
        for (start, end) in ranges(object.len(), chunk_bytes) {
            let reading = read(&object, (start, end), &how, When { asked: None, at_most: Some(at_most) }).unwrap();
            let begins = all.iter().map(|(begin, _)| *begin as u64).filter(|begin| (start..end).contains(begin));
            let taken = begins.clone().filter(|begin| *begin < start + at_most).count().max(1);
            prop_assert_eq!(reading.records, begins.clone().take(taken).count() as u64);
            prop_assert_eq!(reading.rest, begins.clone().nth(taken));
        }
    }
}

#[test]
fn one_that_is_due_ends_behind_the_record_that_was_begun() {
    let mut portions = Portions::new(Walker::new(&Split::Lines), false, None);
    let fed = |records: &'static [u8], position| Fed {
        header: Bytes::new(),
        records: Bytes::from_static(records),
        position,
        complete: false,
    };
    portions.add(fed(b"one\ntw", 0));
    assert_eq!(portions.next(100, false), Step::Portion(Bytes::from_static(b"one\ntw")));
    assert_eq!(portions.next(100, true), Step::NeedsMore);
    portions.add(fed(b"o\nthree\n", 6));
    assert_eq!(portions.next(100, false), Step::Portion(Bytes::from_static(b"o\n")), "the time stays up");
    assert_eq!(portions.cut(), None, "not ended before it was asked for more");
    assert_eq!(portions.next(100, false), Step::End);
    assert_eq!((portions.cut(), portions.records()), (Some(CutAt::Border(8)), 2));
}

#[test]
fn one_that_is_due_before_its_first_record_begins_nothing() {
    let mut portions = Portions::new(Walker::new(&Split::Lines), false, None);
    portions.add(Fed::all_at_once(Bytes::from_static(b"one\n")));
    assert_eq!(portions.next(100, true), Step::End);
    assert_eq!(portions.cut(), Some(CutAt::Start));
}
