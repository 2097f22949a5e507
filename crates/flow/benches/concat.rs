//! What it costs to plan an output, in time and in memory: `cargo bench -p fanfold-flow`.
//!
//! Memory is what the planner takes beside the elements, its plan included (`max alloc`).
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::fmt;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Concat, Element, Limits, Range, defects, make};
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const COUNTS: [usize; 2] = [10_000, 1_000_000];

fn main() {
    divan::main();
}

/// What the pieces are like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Objects of 64 KiB: all is streamed.
    Small,
    /// Ranges of 64 KiB, a thousand to an object, as workers pack them: all is copied.
    Packed,
    /// Objects of 6 MiB: all is copied; by nodes, where they are a million.
    Large,
    /// Objects of 0 to 12 MiB.
    Mixed,
    /// Objects of a byte less than 10 MiB with a comma between: at none is it clear who should lend.
    Undecided,
}

const KINDS: [Kind; 5] = [Kind::Small, Kind::Packed, Kind::Large, Kind::Mixed, Kind::Undecided];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// So many pieces, with keys as long as those of chunk results.
fn elements(kind: Kind, count: usize) -> Vec<Element> {
    let object = |number: u64, bytes: u64| ObjectVersion {
        uri: ObjectUri::new(
            "fanfold-work",
            format!("jobs/2026-11-01-0123456789abcdef/chunks/{number:06}/1/0"),
        ),
        etag: format!("{number:032x}"),
        bytes,
    };
    let whole = |number: u64, bytes: u64| Range::whole(object(number, bytes));
    let packs: Vec<_> =
        (0..count as u64 / 1_000).map(|number| Arc::new(object(number, 64_000 * KIB))).collect();
    let packed = |number: u64| {
        let start = number % 1_000 * 64 * KIB;
        Range { object: Arc::clone(&packs[number as usize / 1_000]), start, end: start + 64 * KIB }
    };
    let element = |number: u64| {
        let range = match kind {
            Kind::Small => whole(number, 64 * KIB),
            Kind::Packed => packed(number),
            Kind::Large => whole(number, 6 * MIB),
            Kind::Mixed => whole(number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (12 * MIB)),
            Kind::Undecided => whole(number, 10 * MIB - 1),
        };
        Element::Piece(range, Crc64(number))
    };
    let comma = matches!(kind, Kind::Undecided).then(|| Element::Literal(b","[..].into()));
    (0..count as u64).flat_map(|number| comma.clone().into_iter().chain([element(number)])).collect()
}

fn cases() -> impl Iterator<Item = Case> {
    COUNTS.into_iter().flat_map(|count| KINDS.into_iter().map(move |kind| Case { kind, count }))
}

#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    count: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} {}", self.count, self.kind)
    }
}

/// Plans them.
#[divan::bench(args = cases(), sample_count = 10, sample_size = 1)]
fn plan(bencher: Bencher, case: Case) {
    let elements = elements(case.kind, case.count);
    bencher.counter(ItemsCount::new(case.count)).bench(|| make(black_box(&elements), &Limits::S3).unwrap());
}

/// Checks the plan.
#[divan::bench(args = cases(), sample_count = 10, sample_size = 1)]
fn check(bencher: Bencher, case: Case) {
    let elements = elements(case.kind, case.count);
    let concat: Concat = make(&elements, &Limits::S3).unwrap();
    bencher.counter(ItemsCount::new(case.count)).bench(|| {
        let defects = defects(black_box(&concat), &elements, &Limits::S3);
        assert_eq!(defects, Vec::<String>::new());
    });
}

/// Combines 10,000 CRCs, of pieces all of one length or all of different ones.
#[divan::bench(args = [true, false], sample_count = 50, sample_size = 1)]
fn combine(bencher: Bencher, of_one_length: bool) {
    let length = |number: u64| if of_one_length { 64 * MIB } else { 64 * MIB + number * 7_919 };
    let pieces: Vec<(Crc64, u64)> = (0..10_000).map(|number| (Crc64(number), length(number))).collect();
    bencher
        .counter(ItemsCount::new(pieces.len()))
        .bench(|| Crc64::of_all(black_box(&pieces).iter().copied()));
}
