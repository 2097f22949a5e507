use std::task::Poll;

use futures::poll;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// The memory of all, and of each.
fn bounds(memory_bytes: u64, process_bytes: Option<u64>) -> Bounds {
    Bounds { memory_bytes: Some(memory_bytes), process_bytes }
}

prop_compose! {
    fn any_bounds()(memory_bytes in 0_u64..2_000, process_bytes in option::of(1_u64..500)) -> Bounds {
        bounds(memory_bytes, process_bytes)
    }
}

prop_compose! {
    fn any_known()(
        turns in 0_usize..8,
        taken in vec(0_u64..500, 0..8),
        servers_bytes in 0_u64..100,
        peak_bytes in 0_u64..500,
        ended_bytes in option::of(0_u64..500),
        available_bytes in option::of(0_u64..2_000),
    ) -> Known {
        Known { turns, taken, servers_bytes, peak_bytes, ended_bytes, available_bytes }
    }
}

proptest! {
    #[test]
    fn where_nothing_runs_the_next_starts(bounds in any_bounds(), known in any_known()) {
        let known = Known { turns: 0, ..known };
        prop_assert!(known.admits(bounds));
    }

    #[test]
    fn without_a_bound_nobody_waits(process_bytes in option::of(1_u64..500), known in any_known()) {
        let unbound = Bounds { memory_bytes: None, process_bytes };
        prop_assert!(known.admits(unbound));
    }

    /// What changes the answer the wrong way would let a queue stand still, or memory run out.
    #[test]
    fn more_memory_never_refuses_and_more_taken_never_admits(
        bounds in any_bounds(),
        known in any_known(),
        more in 0_u64..300,
        at in any::<prop::sample::Index>(),
    ) {
        let admits = known.admits(bounds);
        let richer = Bounds { memory_bytes: bounds.memory_bytes.map(|bytes| bytes + more), ..bounds };
        prop_assert!(!admits || known.admits(richer));
        let freer = Known { available_bytes: known.available_bytes.map(|bytes| bytes + more), ..known.clone() };
        prop_assert!(!admits || freer.admits(bounds));
        let mut fuller = known.clone();
        fuller.available_bytes = fuller.available_bytes.map(|bytes| bytes.saturating_sub(more));
        if !fuller.taken.is_empty() {
            let at = at.index(fuller.taken.len());
            fuller.taken[at] += more;
        }
        prop_assert!(admits || !fuller.admits(bounds));
        let learned = Known { peak_bytes: known.peak_bytes + more, ..known.clone() };
        prop_assert!(admits || !learned.admits(bounds));
    }

    #[test]
    fn nobody_is_expected_to_exceed_its_limit_nor_to_take_less_than_it_does(
        bounds in any_bounds(),
        known in any_known(),
    ) {
        let of_one = known.of_one(bounds);
        prop_assert!(bounds.process_bytes.is_none_or(|limit| of_one <= limit));
        prop_assert!(known.of_all_and_one(bounds) >= known.taken.iter().sum::<u64>() + known.servers_bytes);
        // One that is unknown is expected to take all that it may.
        let unknown = Known { ended_bytes: None, ..known };
        prop_assert!(bounds.process_bytes.is_none_or(|limit| unknown.of_one(bounds) == limit));
    }

    /// Processes of one size, of which one has ended: as many run as fit, no more and no fewer, whatever they have come to take
    /// when somebody asks.
    #[test]
    fn as_many_run_as_fit(
        memory_bytes in 1_u64..1_000,
        size in 1_u64..300,
        limit in option::of(0_u64..100),
        has_ended in any::<bool>(),
        moves in vec((0_u8..4, any::<prop::sample::Index>(), 0_u64..=300), 0..60),
    ) {
        let bounds = bounds(memory_bytes, limit.map(|more| size + more));
        // Without a limit, the size must have been seen; with one, that is what is reckoned with until then.
        let is_known = has_ended || limit.is_none();
        let expected = if is_known { size } else { size + limit.unwrap_or(0) };
        let fitting = usize::try_from((memory_bytes / expected).max(1)).unwrap();
        let mut known = Known::default();
        if is_known {
            known = Known { peak_bytes: size, ended_bytes: Some(size), ..known };
        }
        for (what, which, bytes) in moves {
            let running = known.turns;
            match what {
                0 | 1 => {
                    prop_assert_eq!(known.admits(bounds), running < fitting, "{:?}", known);
                    if known.admits(bounds) {
                        known.turns += 1;
                        known.taken.push(0);
                    }
                }
                2 if running > 0 => known.taken[which.index(running)] = bytes.min(size),
                _ if running > 0 && is_known => {
                    known.taken.swap_remove(which.index(running));
                    known.turns -= 1;
                }
                _ => {}
            }
            prop_assert!(known.turns <= 1 || known.turns as u64 * size <= memory_bytes);
        }
    }
}

#[test]
fn what_rests_has_its_memory_already_and_is_called_again_at_once() {
    let bounds = bounds(100, Some(30));
    let known = Known { turns: 2, taken: vec![30, 30, 30], ..Known::default() };
    assert!(known.admits(bounds), "the third rests");
    assert!(!Known { turns: 3, ..known }.admits(bounds), "a fourth would have to be made");
}

#[test]
fn the_machine_must_have_what_those_that_run_are_yet_expected_to_take() {
    let known = |available_bytes| Known {
        turns: 2,
        taken: vec![10, 35],
        peak_bytes: 40,
        available_bytes: Some(available_bytes),
        ..Known::default()
    };
    assert!(known(30 + 5 + 40).admits(bounds(1_000, None)));
    assert!(!known(30 + 5 + 39).admits(bounds(1_000, None)));
}

#[test]
fn what_one_process_was_is_expected_of_the_next_only_up_to_its_limit() {
    let known = Known { peak_bytes: 70, ended_bytes: Some(20), ..Known::default() };
    assert_eq!(known.of_one(bounds(100, None)), 70);
    assert_eq!(known.of_one(bounds(100, Some(50))), 50);
    assert_eq!(Known { peak_bytes: 10, ..known }.of_one(bounds(100, Some(50))), 20);
}

#[tokio::test(start_paused = true)]
async fn who_waited_longest_is_next_and_who_gives_up_holds_up_nobody() {
    let admission = Admission::new(bounds(100, Some(60)));
    let first = admission.enter().await;
    let (mut second, mut third) = (Box::pin(admission.enter()), Box::pin(admission.enter()));
    let mut fourth = Box::pin(admission.enter());
    for waiting in [&mut second, &mut third, &mut fourth] {
        assert!(poll!(waiting).is_pending());
    }
    drop(second);
    drop(first);
    tokio::time::sleep(2 * LOOK_OFTEN).await;
    assert!(poll!(&mut fourth).is_pending(), "the third came before it");
    let Poll::Ready(place) = poll!(&mut third) else { panic!("nothing runs, and nobody is before it") };
    assert!(poll!(&mut fourth).is_pending());
    drop(place);
    drop(fourth.await);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_told_no_bound_keeps_no_books() {
    let admission = Admission::new(Bounds::default());
    let places = (admission.enter().await, admission.enter().await);
    let watched = admission.watch(rustix::process::getpid());
    assert!(admission.lock().watched.is_empty() && admission.lock().turns == 0);
    assert!(poll!(Box::pin(watched.over_limit())).is_pending());
    drop((places, watched));
    assert_eq!(admission.lock().ended_bytes, None);
}

#[tokio::test]
async fn what_was_seen_in_the_call_before_ends_no_process() {
    let admission = Admission::new(Bounds { memory_bytes: None, process_bytes: Some(1 << 40) });
    let watched = admission.watch(rustix::process::getpid());
    for watch in admission.lock().watched.values_mut() {
        watch.taken_bytes = u64::MAX;
    }
    assert!(poll!(Box::pin(watched.over_limit())).is_pending());
    let taken = admission.lock().known().taken;
    assert!(taken[0] > 0 && taken[0] < 1 << 40, "{taken:?}");
}

#[tokio::test]
async fn what_ends_gives_its_memory_back_before_anybody_looks_again() {
    let admission = Admission::new(bounds(u64::MAX, None));
    let watched = admission.watch(rustix::process::getpid());
    admission.look_if_older_than(LOOK_OFTEN);
    let known = admission.lock().known();
    let (taken, available) = (known.taken[0], known.available_bytes.unwrap());
    assert!(taken > 0 && known.peak_bytes == taken);
    drop(watched);
    let known = admission.lock().known();
    assert_eq!((known.taken, known.available_bytes), (Vec::new(), Some(available + taken)));
}
