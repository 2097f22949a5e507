//! What a job's objects are, by their first bytes: whether they are what the job says, how a table is written, where records begin.
//!
//! Each object costs a request. Nothing is planned over an object that could be read in two ways: it is refused by name and byte, with
//! what to say in the job.

use std::ops::Range;
use std::sync::Arc;

use fanfold_compression::FileKind;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::head::Head;
use fanfold_flow::job::{Csv, LineEnd, Objects, Split};
use fanfold_flow::limits::HEADER_JSON_BYTES_MAX;
use fanfold_flow::literal::Literal;
use fanfold_flow::plan::{Listed, Listing};
use fanfold_records::{Dialect, HeadRule, Rule, Sample, WideEncoding};
use fanfold_store::Store;
use futures::{StreamExt, TryStreamExt, stream};

use super::{ListingError, Refusal, read, scan};

/// How much is looked at of the first object, by which a table's dialect is detected, and of each where there are few.
const LONG_LOOK_BYTES: u64 = 256 << 10;

/// How much is looked at of each of many objects.
const SHORT_LOOK_BYTES: u64 = 16 << 10;

/// So many objects are few.
const FEW_OBJECTS: usize = 16;

/// Longest head that is looked for: one that is longer would not fit into a payload anyway.
const HEAD_BYTES_MAX: u64 = 2 * HEADER_JSON_BYTES_MAX;

/// Objects that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 64;

/// Looks at the objects of a job that splits them.
pub(super) async fn look(
    wanted: &Objects,
    objects: Vec<ObjectVersion>,
    store: &Arc<dyn Store>,
) -> Result<Listing, ListingError> {
    let Some(first) = objects.iter().find(|object| object.bytes > 0) else {
        let rule = wanted.split.rule(b',', b'\n');
        return Ok(Listing::Objects {
            objects: objects.into_iter().map(Listed::from).collect(),
            rule,
            head: None,
        });
    };
    let bytes = read(store, first, 0..first.bytes.min(LONG_LOOK_BYTES)).await?;
    refuse_what_is_no_text(first, &bytes)?;
    let sample = Sample { bytes: &bytes, is_whole: bytes.len() as u64 == first.bytes };
    let rule = rule_of(wanted, sample);
    let look = Look {
        rule: &rule,
        head: wanted.split.head(wanted.header),
        csv: wanted.split.csv(),
        look_bytes: if objects.len() <= FEW_OBJECTS { LONG_LOOK_BYTES } else { SHORT_LOOK_BYTES },
        wanted,
        store,
    };
    let mut heads = Heads::default();
    let mut listed = Vec::with_capacity(objects.len());
    let mut looks = stream::iter(objects).map(|object| look.at(object)).buffered(LOOKS_IN_FLIGHT);
    while let Some((found, head)) = looks.try_next().await? {
        if let Some(head) = head {
            heads.add(&found, head)?;
        }
        listed.push(found);
    }
    drop(looks);
    let listed = scan::with_borders(&rule, listed, wanted.chunk_bytes.0, store).await?;
    let head = heads.head.filter(|head| !head.bytes().is_empty());
    Ok(Listing::Objects { objects: listed, rule, head })
}

/// What a record is in objects with such first bytes.
fn rule_of(wanted: &Objects, sample: Sample<'_>) -> Rule {
    let line_end = match wanted.line_end {
        LineEnd::Auto => sample.line_end(),
        LineEnd::Lf => b'\n',
        LineEnd::Cr => b'\r',
    };
    let csv = wanted.split.csv().unwrap_or_default();
    let dialect = Dialect {
        quote: csv.quote.or(Some(b'"')),
        escape: csv.escape.or(None),
        line_end,
        ..Dialect::RFC_4180
    };
    let skipped = HeadRule { header_records: 0, ..wanted.split.head(wanted.header) };
    let head =
        skipped.head(&Rule::Whole, sample.bytes, sample.is_whole).map_or(0, fanfold_records::Head::len);
    let records = Sample { bytes: &sample.bytes[head..], ..sample };
    wanted.split.rule(records.delimiter(&dialect), line_end)
}

struct Look<'a> {
    wanted: &'a Objects,
    csv: Option<Csv>,
    rule: &'a Rule,
    head: HeadRule,
    look_bytes: u64,
    store: &'a Arc<dyn Store>,
}

impl Look<'_> {
    /// What an object is, with its head if it has one.
    async fn at(&self, object: ObjectVersion) -> Result<(Listed, Option<Head>), ListingError> {
        if object.bytes == 0 {
            return Ok((object.into(), None));
        }
        let mut asked = self.look_bytes;
        loop {
            let bytes = read(self.store, &object, 0..object.bytes.min(asked)).await?;
            let sample = Sample { bytes: &bytes, is_whole: bytes.len() as u64 == object.bytes };
            refuse_what_is_no_text(&object, &bytes)?;
            let Some(head) = self.head.head(self.rule, &bytes, sample.is_whole) else {
                if asked >= HEAD_BYTES_MAX {
                    return Err(ListingError::LongHead(object.uri, HEAD_BYTES_MAX));
                }
                asked *= 8;
                continue;
            };
            self.refuse_mismatches(&object, sample, head.preamble)?;
            let literal = |range: Range<usize>| Literal(bytes[range].to_vec());
            let found = Head {
                preamble: literal(0..head.preamble),
                header: literal(head.preamble..head.len()),
                rule: self.head,
            };
            let head_bytes = head.len() as u64;
            return Ok((Listed { object, head_bytes, borders: Vec::new() }, Some(found)));
        }
    }

    /// Refuses a table that is written otherwise than the job says, as far as its first bytes show.
    fn refuse_mismatches(
        &self,
        object: &ObjectVersion,
        sample: Sample<'_>,
        preamble: usize,
    ) -> Result<(), ListingError> {
        let records = Sample { bytes: &sample.bytes[preamble..], ..sample };
        let says_escape = self.csv.as_ref().is_some_and(|csv| !csv.escape.is_default());
        let dialect = match (self.rule, &self.csv) {
            (Rule::Csv(dialect), _) => *dialect,
            (_, Some(csv)) => {
                let delimiter = csv.delimiter.map_or(b'\t', |letter| letter.0);
                Dialect { delimiter, quote: None, ..Dialect::RFC_4180 }
            }
            _ if self.wanted.split == Split::default() => Dialect { quote: None, ..Dialect::RFC_4180 },
            _ => return Ok(()),
        };
        let says_head = self.csv.as_ref().is_none_or(|csv| csv.skip_lines.is_some() || csv.comment.is_some());
        let first_line =
            if says_head || self.head.header_records == 0 { None } else { records.first_line(&dialect) };
        let says_quote = self.csv.as_ref().is_some_and(|csv| !csv.quote.is_default());
        let mismatch = first_line
            .or_else(|| records.mismatch(&dialect, says_quote, says_escape))
            .or_else(|| if says_escape { None } else { records.continued_line() });
        match mismatch {
            Some(mismatch) => Err(ListingError::Refused(
                object.uri.clone(),
                Refusal::Mismatch(mismatch.kind, preamble + mismatch.byte),
            )),
            None => Ok(()),
        }
    }
}

fn refuse_what_is_no_text(object: &ObjectVersion, bytes: &[u8]) -> Result<(), ListingError> {
    let kind = FileKind::of(bytes).map(Refusal::Kind);
    match kind.or_else(|| WideEncoding::of(bytes).map(Refusal::Encoding)) {
        Some(refusal) => Err(ListingError::Refused(object.uri.clone(), refusal)),
        None => Ok(()),
    }
}

/// The heads of a job's objects, which must have the same header.
#[derive(Default)]
struct Heads {
    /// That of the first object whose header has a line end; of the last one, where none has. So a header that is given to a process
    /// with records behind it always has its line end.
    head: Option<Head>,
}

impl Heads {
    fn add(&mut self, found: &Listed, head: Head) -> Result<(), ListingError> {
        let Some(known) = &self.head else {
            self.head = Some(head);
            return Ok(());
        };
        let is_alone = found.head_bytes == found.object.bytes;
        let is_open = !ends_a_line(&known.header.0);
        let same = known.header == head.header
            || (is_alone || is_open) && without_line_end(&known.header.0) == without_line_end(&head.header.0);
        if !same {
            let byte = head.preamble.len() + first_difference(&known.header.0, &head.header.0);
            return Err(ListingError::HeaderDiffers {
                uri: found.object.uri.clone(),
                byte,
                header: known.header.clone(),
            });
        }
        if is_open {
            self.head = Some(head);
        }
        Ok(())
    }
}

fn ends_a_line(header: &[u8]) -> bool {
    matches!(header.last(), Some(b'\n' | b'\r'))
}

fn without_line_end(header: &[u8]) -> &[u8] {
    let line = header.strip_suffix(b"\n").unwrap_or(header);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn first_difference(left: &[u8], right: &[u8]) -> u64 {
    let place = left.iter().zip(right).position(|(left, right)| left != right);
    place.unwrap_or(left.len().min(right.len())) as u64
}
