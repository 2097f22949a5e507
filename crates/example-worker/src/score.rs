//! Scores records with a table of weights that is too large to load for each chunk: 256 MiB, in memory once.

use anyhow::{Context, ensure};
use fanfold_worker::{Chunk, Input, Output, Task};
use serde::{Deserialize, Serialize};

/// The size of the table unless `SCORE_TABLE_MIB` says otherwise, in MiB.
const TABLE_MIB: usize = 256;

/// What stands for a model: a weight for each term.
pub(crate) struct Score {
    weights: Vec<f32>,
}

/// A record, a line of JSON each.
#[derive(Deserialize)]
struct Record {
    id: u64,
    terms: Vec<u32>,
}

/// What is said of a record, a line of JSON each.
#[derive(Debug, PartialEq, Serialize)]
struct Scored {
    id: u64,
    score: f32,
}

impl Task for Score {
    const NAME: &'static str = "score";

    fn load() -> anyhow::Result<Self> {
        let mib = match std::env::var("SCORE_TABLE_MIB") {
            Ok(text) => text.parse().with_context(|| format!("SCORE_TABLE_MIB: {text:?} is no number"))?,
            Err(_) => TABLE_MIB,
        };
        ensure!(mib > 0, "SCORE_TABLE_MIB: a table without weights scores nothing");
        let terms = u32::try_from((mib << 20) / size_of::<f32>()).context("SCORE_TABLE_MIB is too large")?;
        Ok(Self { weights: (0..terms).map(weight).collect() })
    }

    fn run(&self, _: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
        for record in input.json::<Record>() {
            output.json(&self.score(&record?)?)?;
        }
        Ok(())
    }
}

impl Score {
    fn score(&self, record: &Record) -> anyhow::Result<Scored> {
        let Record { id, terms } = record;
        let weight_of = |term: &u32| {
            let weight = usize::try_from(*term).ok().and_then(|term| self.weights.get(term));
            weight.copied().with_context(|| format!("record {id}: there is no term {term}"))
        };
        let score = terms.iter().try_fold(0.0, |sum, term| anyhow::Ok(sum + weight_of(term)?))?;
        Ok(Scored { id: *id, score })
    }
}

/// Where a true task would read a file: a number between 0 and 1 that looks like chance (the multiplier is Knuth's).
fn weight(term: u32) -> f32 {
    let mixed = term.wrapping_mul(2_654_435_761);
    (mixed >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_scored_in_order_and_what_cannot_be_is_named() {
        let score = Score { weights: vec![0.25, 0.5, 1.0] };
        let scored = |text: &str| {
            let mut result = Vec::new();
            let mut records = text.as_bytes();
            score.run(&Chunk::default(), &mut Input::new(&mut records), &mut Output::new(&mut result))?;
            Ok::<_, anyhow::Error>(String::from_utf8(result)?)
        };
        let text = "{\"id\":7,\"terms\":[0,2]}\n{\"id\":8,\"terms\":[]}\n";
        assert_eq!(scored(text).unwrap(), "{\"id\":7,\"score\":1.25}\n{\"id\":8,\"score\":0.0}\n");
        let refusal = scored("{\"id\":9,\"terms\":[3]}\n").unwrap_err();
        assert_eq!(refusal.to_string(), "record 9: there is no term 3");
    }

    #[test]
    fn weights_lie_between_0_and_1() {
        assert!((0..1_000).map(weight).all(|weight| (0.0..1.0).contains(&weight)));
    }
}
