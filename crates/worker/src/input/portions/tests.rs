//! Portions against the rule that they follow, and cuts against the chunk as it is read uncut.

use std::ops::RangeInclusive;

use bytes::Bytes;
use fanfold_records::Rule;
use proptest::prelude::*;

use super::*;
use crate::input::model::{
    How, When, cuts, joined, ranges, read, read_in_cuts, records, rule, separator, sizes, text, version,
};

/// Where the records of `bytes` end, looked for from the beginning each time.
fn borders(bytes: &[u8], rule: &Rule) -> Vec<usize> {
    let is_border = |end: &usize| {
        let mut walker = rule.walker(true);
        walker.walk(&bytes[..*end]);
        walker.is_at_border()
    };
    (1..=bytes.len()).filter(is_border).collect()
}

fn piece(records: &[u8], position: usize, is_last: bool) -> Piece {
    Piece { records: Bytes::copy_from_slice(records), position: position as u64, is_last }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_portion_is_all_that_is_at_hand_or_as_many_whole_records_as_fit(
        object in text(), separator in separator(), pieces in sizes(1..30), rooms in sizes(0..12),
    ) {
        let rule = Rule::Separator(separator);
        let borders = borders(&object, &rule);
        let first_in = |range: RangeInclusive<usize>| borders.iter().copied().find(|border| range.contains(border));
        let last_in = |range: RangeInclusive<usize>| borders.iter().copied().rfind(|border| range.contains(border));
        let (mut pieces, mut rooms) = (pieces.in_turn(), rooms.in_turn());
        let mut portions = Portions::new(rule.walker(true), None);
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
                    portions.add(piece(&object[given..read], given, read == object.len()));
                }
                Step::End => prop_assert!(false, "it ended at byte {given}"),
            }
        }
        prop_assert!(object.is_empty() || portions.next(0, true) == Step::End);
        prop_assert_eq!(portions.cut(), None, "all was handed out");
    }

    #[test]
    fn what_is_cut_at_any_places_gives_each_record_once_and_in_order(
        object in text(), separator in separator(), step in 1..60_usize,
        pieces in sizes(1..20), rooms in sizes(0..12), cuts in cuts(),
    ) {
        let how = How { rule: &Rule::Separator(separator.clone()), step, pieces, rooms };
        let all = records(&object, &separator);
        for range in ranges(&version(&object), step) {
            let readings = read_in_cuts(&object, &range, &how, &cuts);
            let whole = joined(&readings)?;
            let own: Vec<_> = all.iter().filter(|(begin, _)| (range.start..range.end).contains(begin)).collect();
            prop_assert_eq!(&whole.bytes, &own.iter().flat_map(|(_, record)| record.iter().copied()).collect::<Vec<u8>>());
            prop_assert_eq!(whole.records, own.len() as u64);
            for border in readings.iter().filter(|reading| reading.aligned.is_some()).filter_map(|reading| reading.rest) {
                prop_assert!(all.iter().any(|(begin, _)| *begin == border), "no record begins at {border}");
            }
        }
    }

    #[test]
    fn whatever_a_record_is_cuts_of_a_chunk_join_to_what_it_gives_uncut(
        object in text(), rule in rule(), step in 1..60_usize, pieces in sizes(1..20), rooms in sizes(0..12), cuts in cuts(),
    ) {
        let how = How { rule: &rule, step, pieces, rooms };
        for range in ranges(&version(&object), step) {
            let (uncut, _) = read(&object, &range, &how, When::default());
            prop_assert_eq!(joined(&read_in_cuts(&object, &range, &how, &cuts))?, uncut);
        }
    }

    #[test]
    fn at_most_takes_what_begins_within_so_many_bytes_and_never_less_than_a_record(
        object in text(), separator in separator(), at_most in 0..40_u64, step in 1..60_usize,
        pieces in sizes(1..20), rooms in sizes(0..12),
    ) {
        let how = How { rule: &Rule::Separator(separator.clone()), step, pieces, rooms };
        let all = records(&object, &separator);
        for range in ranges(&version(&object), step) {
            let (start, end) = (range.start, range.end);
            let (reading, _) = read(&object, &range, &how, When { asked: None, at_most: Some(at_most) });
            let begins = all.iter().map(|(begin, _)| *begin).filter(|begin| (start..end).contains(begin));
            let taken = begins.clone().filter(|begin| *begin < start + at_most).count().max(1);
            prop_assert_eq!(reading.records, begins.clone().take(taken).count() as u64);
            prop_assert_eq!(reading.rest, begins.clone().nth(taken));
        }
    }
}

#[test]
fn one_that_is_due_ends_behind_the_record_that_was_begun() {
    let mut portions = Portions::new(Rule::Lines(1).walker(true), None);
    portions.add(piece(b"one\ntw", 0, false));
    assert_eq!(portions.next(100, false), Step::Portion(Bytes::from_static(b"one\ntw")));
    assert_eq!(portions.next(100, true), Step::NeedsMore);
    portions.add(piece(b"o\nthree\n", 6, false));
    assert_eq!(portions.next(100, false), Step::Portion(Bytes::from_static(b"o\n")), "the time stays up");
    assert_eq!(portions.cut(), None, "not ended before it was asked for more");
    assert_eq!(portions.next(100, false), Step::End);
    assert_eq!((portions.cut(), portions.records()), (Some(CutAt::Border(8)), 2));
}

#[test]
fn one_that_is_due_before_its_first_record_begins_nothing() {
    let mut portions = Portions::new(Rule::Lines(1).walker(true), None);
    portions.add(piece(b"one\n", 0, true));
    assert_eq!(portions.next(100, true), Step::End);
    assert_eq!(portions.cut(), Some(CutAt::Start));
}
