//! What a program prints for the input's header alone: the header of its results.
//!
//! It is found out once in each worker, by one run more, since a first line that looks alike in all results proves nothing. What a
//! program says to a header alone by an exit status is that it has none.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfold_flow::chunk::Chunk;
use fanfold_flow::job::Format;
use fanfold_pool::Exit;
use futures::stream;

use crate::output::{HEADER_BYTES_MAX, HeaderRule, OutputError};
use crate::reason::{self, NoResult};
use crate::shared::Shared;

/// How the header of this chunk's result is known; none where nothing is taken off it.
pub(crate) async fn rule(shared: &Arc<Shared>, chunk: &Chunk) -> Result<Option<HeaderRule>, NoResult> {
    if shared.kind.format != Format::Csv {
        return Ok(None);
    }
    if let Some(header) = shared.job.output.header {
        return Ok(Some(HeaderRule::Records(header.records())));
    }
    let Some(head) = &shared.partition.head else { return Ok(Some(HeaderRule::Records(1))) };
    if shared.is_alone(chunk) {
        return Ok(None);
    }
    let given = Bytes::from(head.header.0.clone());
    let printed = shared.printed_header.get_or_try_init(|| printed(shared, chunk, Bytes::from(head.bytes())));
    Ok(Some(HeaderRule::printed(printed.await?.clone(), given)))
}

/// What the program prints for the head. One that exits by a status that is not accepted is asked again: it may have had bad luck.
async fn printed(shared: &Arc<Shared>, chunk: &Chunk, head: Bytes) -> Result<Bytes, NoResult> {
    let printed = match run(shared, chunk, head.clone(), 1).await? {
        Some(printed) => Some(printed),
        None => run(shared, chunk, head, 2).await?,
    };
    Ok(printed.unwrap_or_default())
}

/// What the program prints; nothing if it exits by a status that is not accepted.
async fn run(
    shared: &Arc<Shared>,
    chunk: &Chunk,
    head: Bytes,
    attempt: u32,
) -> Result<Option<Bytes>, NoResult> {
    let turn = tokio::select! {
        biased;
        () = shared.cancelled.wait() => return Err(NoResult::Cancelled),
        turn = shared.a_turn() => turn,
    };
    let program = shared.prepare(chunk, attempt, true)?;
    let (mut input, mut printed) = (stream::iter([Ok(head)]), Printed::default());
    // What a program says to a header alone it says again to the chunks.
    let mut unheard = |_: &[u8]| {};
    let ran = tokio::select! {
        biased;
        () = shared.cancelled.wait() => return Err(NoResult::Cancelled),
        () = tokio::time::sleep(shared.until_kill()) => return Err(NoResult::NotBegun),
        ran = program.run(turn, &mut input, &mut printed, &mut unheard) => ran,
    };
    let ended = ran.map_err(|error| reason::broken(&error))?;
    match ended.exit {
        _ if program.is_done(&ended, &shared.task) => Ok(Some(printed.bytes.freeze())),
        Exit::Code(_) if !ended.out_of_memory && ended.memory_exceeded.is_none() => Ok(None),
        Exit::Code(_) | Exit::Signal(_) => Err(reason::unsuccessful(&program, ended, shared).into()),
    }
}

/// What was printed, as long as it may be a header.
#[derive(Default)]
struct Printed {
    bytes: BytesMut,
}

impl fanfold_pool::Output for Printed {
    type Error = OutputError;

    async fn write(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        if self.bytes.len() + bytes.len() > HEADER_BYTES_MAX {
            let message = format!(
                "for the input's header alone the program prints more than {HEADER_BYTES_MAX} bytes, which is no header; choose the \
                 format \"bytes\" or \"lines\""
            );
            return Err(OutputError::Malformed(message));
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }
}
