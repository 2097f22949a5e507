//! What is wrong with a plan, found without knowing how it was made.

use super::{Plan, PlannedInput, Redrive, Series, Slice, Span};
use crate::chunk::{Bytes, Chunk, Input, ObjectVersion};
use crate::limits::{CHUNKS_MAX, HEADER_JSON_BYTES_MAX, KEY_BYTES};
use crate::problem::Problem;

/// What the job asks of `plan` that no plan could give, known only now that the input is: to be told to the user, with the
/// path of the job's field that would mend it.
pub fn problems(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let chunk_field = match &plan.input {
        PlannedInput::Objects { .. } => "source.objects.chunk_bytes",
        PlannedInput::ItemLines { .. } | PlannedInput::Items { .. } => "source.items.chunk",
        PlannedInput::Range { .. } => "source.range.chunk",
    };
    if plan.chunks > CHUNKS_MAX {
        let message =
            format!("would give {} chunks, more than {CHUNKS_MAX}; make chunks larger", plan.chunks);
        problems.push(Problem::new(chunk_field, message));
    }
    if let PlannedInput::Objects { head: Some(head), .. } = &plan.input
        && head.json_bytes() > HEADER_JSON_BYTES_MAX
    {
        let bytes = head.json_bytes();
        let message =
            format!("takes {bytes} bytes of each worker's payload, more than {HEADER_JSON_BYTES_MAX}");
        problems.push(Problem::new("source.objects.header", message));
    }
    let key_bytes = plan.output.key.len();
    if !(1..=KEY_BYTES).contains(&key_bytes) {
        let message = format!("has a key of {key_bytes} bytes, not 1 to {KEY_BYTES}: '{}'", plan.output);
        problems.push(Problem::new("output.uri", message));
    }
    problems
}

/// What is wrong with `plan`: nothing, unless the job has [`problems`], the planner has a fault or the plan was tampered
/// with.
///
/// A plan is right when its partitions cover its chunks, and its chunks cover its input, each exactly once and in order. Of a
/// redrive, the partitions cover the chunks that it does, each of which is one of the job's, or the end of one.
pub fn defects(plan: &Plan) -> Vec<String> {
    let problems = problems(plan);
    if !problems.is_empty() {
        // A plan that cannot be is not walked through.
        return problems.iter().map(ToString::to_string).collect();
    }
    let mut defects = Vec::new();
    if plan.group_partitions == 0 {
        defects.push("a group must have at least one partition".to_owned());
    }
    defects.extend(partitions_cover_the_chunks(plan));
    defects.extend(table_has_every_chunk(plan));
    defects.extend(chunks_cover_the_input(plan));
    if let Some(redrive) = &plan.redrive {
        defects.extend(earlier_runs_are_others(plan, redrive));
        defects.extend(series_are_of_the_job(plan, redrive));
        defects.extend(redrive.rests.iter().enumerate().find_map(|(at, _)| unfit_rest(plan, redrive, at)));
    }
    defects
}

/// What is wrong with the runs that have the other results.
fn earlier_runs_are_others(plan: &Plan, redrive: &Redrive) -> Option<String> {
    let mut ids: Vec<_> = redrive.earlier.iter().chain([&plan.job_id]).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
    match (redrive.earlier.is_empty(), twice) {
        (true, _) => Some("a redrive must be one of another run".to_owned()),
        (false, Some(pair)) => Some(format!("the run {} would be redriven by itself", pair[0])),
        (false, None) => None,
    }
}

/// The first series that does not come behind the one before it, or reaches past the job.
fn series_are_of_the_job(plan: &Plan, redrive: &Redrive) -> Option<String> {
    let (mut place_next, mut index_next) = (0, 0);
    for series in &redrive.chunks {
        let Series { place, first, chunks } = *series;
        if place != place_next || first < index_next || chunks == 0 || series.end() > plan.chunks {
            return Some(format!(
                "the {chunks} redriven chunks from {first} on stand at place {place}, not one or more of {index_next}..{} at \
                 {place_next}",
                plan.chunks
            ));
        }
        (place_next, index_next) = (place.saturating_add(chunks), series.end());
    }
    None
}

/// What is wrong with a rest, unless it is the end of a chunk that was cut and is redriven.
fn unfit_rest(plan: &Plan, redrive: &Redrive, at: usize) -> Option<String> {
    let rest = redrive.rests.get(at)?;
    let Chunk { index, cut, .. } = *rest;
    let is_behind_the_last = at
        .checked_sub(1)
        .and_then(|before| redrive.rests.get(before))
        .is_none_or(|before| before.index < index);
    let whole = plan.chunk(index).filter(|_| redrive.place(index).is_some());
    let is_its_end = whole.is_some_and(|whole| is_end_of(&rest.input, &whole.input, &plan.input));
    if is_behind_the_last && cut > 0 && is_its_end {
        return None;
    }
    Some(format!(
        "the rest of chunk {index} at cut {cut} is not the end of a redriven chunk, each in its turn"
    ))
}

/// Whether `rest` is what is left of `whole` behind some of it. What cannot be cut has no rest but itself.
fn is_end_of(rest: &Input, whole: &Input, input: &PlannedInput) -> bool {
    match (rest, whole) {
        (Input::Bytes(rest), Input::Bytes(whole)) => {
            let is_end = rest.end == whole.end && (whole.start..=whole.end).contains(&rest.start);
            rest.object == whole.object && (is_end || takes_over(rest, whole, input))
        }
        (Input::Items { first, count }, Input::Items { first: from, count: all }) => {
            first >= from && first.checked_add(*count) == from.checked_add(*all)
        }
        (Input::Range { .. }, Input::Range { .. }) => rest == whole,
        _ => false,
    }
}

/// Whether `rest` is what is left of `whole` and of chunks behind it whose records that has taken over, as it may in a CSV.
fn takes_over(rest: &Bytes, whole: &Bytes, input: &PlannedInput) -> bool {
    let PlannedInput::Objects { rule, chunk_bytes, .. } = input else { return false };
    let more = rest.end.saturating_sub(whole.end);
    let is_nominal = more.is_multiple_of((*chunk_bytes).max(1)) || rest.reaches_the_end();
    rule.may_guess() && rest.start >= whole.start && rest.end >= whole.end && is_nominal
}

/// The first partition that does not go on where the one before it ended.
fn partitions_cover_the_chunks(plan: &Plan) -> Option<String> {
    let mut next = 0;
    for (number, span) in plan.partitions.iter().enumerate() {
        let Span { first, chunks } = *span;
        if first != next || chunks == 0 {
            return Some(format!(
                "partition {number} begins at chunk {first} with {chunks} chunks, not at {next} with one or more"
            ));
        }
        next = span.end();
    }
    let to_do = plan.chunks_to_do();
    (next != to_do).then(|| format!("the partitions end at chunk {next}, the plan at {to_do}"))
}

/// What the plan's table of chunks says more, or less, than the plan's number of them.
fn table_has_every_chunk(plan: &Plan) -> Option<String> {
    let end = match &plan.input {
        PlannedInput::Objects { slices, .. } => {
            let mut next = 0_u64;
            for Slice { object, first, chunks, .. } in slices {
                if *first != next || *chunks == 0 {
                    let uri = &object.uri;
                    return Some(format!(
                        "{uri} begins at chunk {first} with {chunks} chunks, not at {next} with one or more"
                    ));
                }
                next = next.saturating_add(*chunks);
            }
            next
        }
        PlannedInput::ItemLines { borders, .. } => (borders.len() as u64).saturating_sub(1),
        PlannedInput::Items { .. } | PlannedInput::Range { .. } => return None,
    };
    (end != plan.chunks).then(|| format!("the input has {end} chunks, the plan {}", plan.chunks))
}

/// Walks the stretches of input in order: the first chunk that does not begin where the one before it ended, or what no
/// chunk covers. What comes after the first defect would only follow from it.
fn chunks_cover_the_input(plan: &Plan) -> Option<String> {
    let mut stretches = stretches(&plan.input).into_iter();
    let mut stretch = stretches.next();
    let mut position = stretch.as_ref().map_or(0, |stretch| stretch.start);
    for index in 0..plan.chunks {
        let Some(chunk) = plan.chunk(index) else { return Some(format!("chunk {index} is missing")) };
        let Some(current) = &stretch else {
            return Some(format!("chunk {index} is past the end of the input"));
        };
        let (object, start, end) = match &chunk.input {
            Input::Bytes(bytes) => (Some(&bytes.object), bytes.start, bytes.end),
            Input::Range { offset, limit } => (None, *offset, offset.saturating_add(*limit)),
            Input::Items { first, count } => (None, *first, first.saturating_add(*count)),
        };
        // Only what is empty itself may have an empty chunk.
        let goes_on = end > start || current.start == current.end;
        if object != current.object || start != position || end > current.end || !goes_on {
            return Some(format!(
                "chunk {index} covers {start}..{end} of {}, expected to begin at {position} of {}",
                named(object),
                named(current.object)
            ));
        }
        position = end;
        if position == current.end {
            stretch = stretches.next();
            position = stretch.as_ref().map_or(position, |stretch| stretch.start);
        }
    }
    stretch.map(|left| format!("no chunk covers {position}..{} of {}", left.end, named(left.object)))
}

/// Bytes of an object, or numbers, that chunks shall cover.
struct Stretch<'p> {
    object: Option<&'p ObjectVersion>,
    start: u64,
    end: u64,
}

fn stretches(input: &PlannedInput) -> Vec<Stretch<'_>> {
    let whole = |object| Stretch { object: Some(object), start: 0, end: object.bytes };
    match input {
        PlannedInput::Objects { slices, .. } => slices.iter().map(behind_the_head).collect(),
        PlannedInput::ItemLines { object, .. } if object.bytes == 0 => Vec::new(),
        PlannedInput::ItemLines { object, .. } => vec![whole(object)],
        PlannedInput::Items { count, .. } => numbers(0, *count),
        PlannedInput::Range { start, end, .. } => numbers(*start, *end),
    }
}

fn behind_the_head(slice: &Slice) -> Stretch<'_> {
    let object = &slice.object;
    Stretch { object: Some(object), start: slice.head_bytes.min(object.bytes), end: object.bytes }
}

/// No numbers need no chunk.
fn numbers<'p>(start: u64, end: u64) -> Vec<Stretch<'p>> {
    if start == end { Vec::new() } else { vec![Stretch { object: None, start, end }] }
}

fn named(object: Option<&ObjectVersion>) -> String {
    object.map_or_else(|| "the numbers".to_owned(), |object| object.uri.to_string())
}
