//! What is wrong with a plan, found without knowing how it was made.

use super::{Plan, PlannedInput, Span};
use crate::chunk::Input;

/// What is wrong with `plan`: nothing, unless the planner has a fault or the plan was tampered with.
///
/// A plan is right when its partitions cover its chunks, and its chunks cover its input, each exactly once and in order.
pub fn defects(plan: &Plan) -> Vec<String> {
    let mut defects = Vec::new();
    partitions_cover_the_chunks(plan, &mut defects);
    if plan.group_partitions == 0 {
        defects.push("a group must have at least one partition".to_owned());
    }
    chunks_cover_the_input(plan, &mut defects);
    defects
}

fn partitions_cover_the_chunks(plan: &Plan, defects: &mut Vec<String>) {
    let mut next = 0;
    for (number, Span { first, chunks }) in plan.partitions.iter().copied().enumerate() {
        if first != next || chunks == 0 {
            defects.push(format!("partition {number} begins at chunk {first} with {chunks} chunks, not at {next} with one or more"));
        }
        next = first + chunks;
    }
    if next != plan.chunks {
        defects.push(format!("the partitions end at chunk {next}, the plan at {}", plan.chunks));
    }
}

/// Walks the stretches of input in order and checks that each chunk begins where the one before it ended.
fn chunks_cover_the_input(plan: &Plan, defects: &mut Vec<String>) {
    let mut stretches = stretches(&plan.input).into_iter();
    let mut stretch = stretches.next();
    let mut position = stretch.as_ref().map_or(0, |stretch| stretch.start);
    for index in 0..plan.chunks {
        let Some(chunk) = plan.chunk(index) else {
            defects.push(format!("chunk {index} is missing"));
            return;
        };
        let Some(current) = &stretch else {
            defects.push(format!("chunk {index} is past the end of the input"));
            return;
        };
        let (name, start, end) = match &chunk.input {
            Input::Bytes(bytes) => (Some(bytes.object.uri.to_string()), bytes.start, bytes.end),
            Input::Range { offset, limit } => (None, *offset, offset + limit),
            Input::Items { first, count } => (None, *first, first + count),
        };
        let empty_is_right = current.start == current.end;
        if name != current.object
            || start != position
            || end > current.end
            || (end == start && !empty_is_right)
        {
            defects.push(format!(
                "chunk {index} covers {start}..{end} of {name:?}, expected to begin at {position} of {:?}",
                current.object
            ));
        }
        position = end;
        if position >= current.end {
            stretch = stretches.next();
            position = stretch.as_ref().map_or(position, |stretch| stretch.start);
        }
    }
    if let Some(left) = stretch {
        defects.push(format!("no chunk covers {position}..{} of {:?}", left.end, left.object));
    }
}

struct Stretch {
    object: Option<String>,
    start: u64,
    end: u64,
}

fn stretches(input: &PlannedInput) -> Vec<Stretch> {
    let numbers =
        |start, end| if start == end { Vec::new() } else { vec![Stretch { object: None, start, end }] };
    match input {
        PlannedInput::Objects { slices, .. } => slices
            .iter()
            .map(|slice| Stretch {
                object: Some(slice.object.uri.to_string()),
                start: 0,
                end: slice.object.bytes,
            })
            .collect(),
        PlannedInput::ItemLines { object, .. } if object.bytes == 0 => Vec::new(),
        PlannedInput::ItemLines { object, .. } => {
            vec![Stretch { object: Some(object.uri.to_string()), start: 0, end: object.bytes }]
        }
        PlannedInput::Items { count, .. } => numbers(0, *count),
        PlannedInput::Range { start, end, .. } => numbers(*start, *end),
    }
}
