//! Plans for small elements are valid, are the elements, and no way is better.

use fanfold_flow::concat::{Concat, ConcatPlan, Limits, Part, Segment, defects, make};
use fanfold_flow::crc::Crc64;
use proptest::prelude::*;

use crate::brute::optimum;
use crate::tiny::{Tiny, any_limits, any_tiny, rows_of_long_gaps, rows_of_short_stretches};

fn whole(tiny: &Tiny, limits: &Limits) -> ConcatPlan {
    let concat = make(&tiny.elements, limits).unwrap();
    assert_eq!(defects(&concat, &tiny.elements, limits), Vec::<String>::new(), "{concat:?}");
    match concat {
        Concat::Whole(plan) => plan,
        Concat::Nodes(nodes) => panic!("{} nodes", nodes.len()),
    }
}

/// Streamed bytes and requests.
fn cost(plan: &ConcatPlan) -> (u64, u64) {
    let requests = plan.parts.iter().map(|part| match part {
        Part::Copy(_) => 1,
        Part::Stream(segments) => {
            1 + segments.iter().filter(|segment| matches!(segment, Segment::Range(_))).count() as u64
        }
    });
    (plan.streamed_bytes(), requests.sum())
}

fn any_case(origins: usize) -> impl Strategy<Value = (Limits, Tiny)> {
    any_limits().prop_flat_map(move |limits| {
        let short = rows_of_short_stretches(&limits, origins);
        let tiny = prop_oneof![any_tiny(&limits, origins), short, rows_of_long_gaps(&limits, origins)];
        (Just(limits), tiny)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_way_streams_less_nor_as_little_in_fewer_requests((limits, tiny) in any_case(10)) {
        let plan = whole(&tiny, &limits);
        prop_assert_eq!(cost(&plan), optimum(&tiny.elements, &limits), "{:?}", plan);
    }

    #[test]
    fn carried_out_a_plan_gives_the_elements_bytes_and_their_crc((limits, tiny) in any_case(10)) {
        let plan = whole(&tiny, &limits);
        let output = tiny.executed(&plan);
        prop_assert_eq!(&output, &tiny.bytes());
        prop_assert_eq!(plan.bytes, output.len() as u64);
        prop_assert_eq!(plan.crc, Crc64::of(&output));
    }
}
