//! Whether an output is what the workers of its run wrote: what was expected, what was found, and what follows.
//!
//! The CRC64NVME of the output is combined anew from the records that the workers left of their results, where those are
//! still there; so what is verified does not rest on the report alone, which a reducer wrote.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::concat::Element;
use crate::crc::Crc64;
use crate::keys::JobId;
use crate::report::Output;
use crate::uri::ObjectUri;
use crate::version::Version;

/// Bytes, by their number and their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How many.
    pub bytes: u64,
    /// Their CRC64NVME.
    pub crc64nvme: Crc64,
}

impl Content {
    /// That of these elements, one after the other.
    pub fn of(elements: &[Element]) -> Self {
        let pieces = elements.iter().map(|element| (element.crc(), element.bytes()));
        pieces.fold(Self { bytes: 0, crc64nvme: Crc64::EMPTY }, |whole, (crc, bytes)| Self {
            bytes: whole.bytes + bytes,
            crc64nvme: whole.crc64nvme.then(crc, bytes),
        })
    }
}

impl fmt::Display for Content {
    /// `12 bytes with CRC64NVME ae8b14860a799888`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with CRC64NVME {}", self.bytes, self.crc64nvme)
    }
}

/// What the records of a run's chunks say of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// How many results it was made of.
    pub results: u64,
    /// What follows from their lengths and CRCs.
    #[serde(flatten)]
    pub content: Content,
}

/// What stands where an output was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many bytes.
    pub bytes: u64,
    /// Their CRC64NVME; none where the store keeps none and nobody has read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<Crc64>,
    /// The object's ETag; none of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// How the CRC is known.
    pub by: Look,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.crc64nvme {
            Some(crc64nvme) => Content { bytes: self.bytes, crc64nvme }.fmt(f),
            None => write!(f, "{} bytes", self.bytes),
        }
    }
}

/// How one looks at an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// By asking the store what it keeps of it: no byte is read.
    Head,
    /// By reading every byte.
    Read,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is what the workers wrote.
    Verified,
    /// Its length is right, and the store keeps no checksum: it must be read.
    Unread,
    /// Nothing is there.
    Missing,
    /// Something else was written in its place.
    Replaced,
    /// It is the output by its ETag, and has other bytes.
    Corrupt,
    /// The report and the records of the chunks contradict each other: one of them was changed.
    Disputed,
}

impl Verdict {
    /// What kind of failure it is, if it is one.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Verified | Self::Unread => None,
            Self::Missing => Some(Code::OutputMissing),
            Self::Replaced => Some(Code::OutputReplaced),
            Self::Corrupt | Self::Disputed => Some(Code::OutputCorrupt),
        }
    }
}

/// An output, held against the records of its run: the answer to `{"verify": "<job id>"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The version of this artefact.
    pub version: Version,
    /// The run.
    pub job_id: JobId,
    /// What follows from the rest.
    pub verdict: Verdict,
    /// The output, as the run's report has it.
    pub output: Output,
    /// What the records of the chunks say; none where they are gone, and the report stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// What stands there; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// The run that did over what failed in this one: its output may stand in the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven: Option<JobId>,
    /// The same for a person.
    pub message: String,
}

impl Verification {
    /// Judges what was found.
    pub fn new(
        job_id: JobId,
        output: Output,
        recorded: Option<Recorded>,
        found: Option<Found>,
        redriven: Option<JobId>,
    ) -> Self {
        let (version, verdict, message) = (Version, Verdict::Unread, String::new());
        let unjudged = Self { version, job_id, verdict, output, recorded, found, redriven, message };
        unjudged.judged()
    }

    /// The same once somebody has looked more closely, or elsewhere.
    #[must_use]
    pub fn with(self, found: Found) -> Self {
        Self { found: Some(found), ..self }.judged()
    }

    /// The same where somebody has looked elsewhere, and found nothing.
    #[must_use]
    pub fn without(self) -> Self {
        Self { found: None, ..self }.judged()
    }

    /// What the output must be: as its records say, as long as they are there.
    pub fn expected(&self) -> Content {
        let Output { bytes, crc64nvme, .. } = self.output;
        self.recorded.map_or(Content { bytes, crc64nvme }, |recorded| recorded.content)
    }

    /// Where it is.
    pub fn at(&self) -> &ObjectUri {
        &self.output.uri
    }

    fn judged(mut self) -> Self {
        self.verdict = self.judge();
        self.message = self.told();
        self
    }

    fn judge(&self) -> Verdict {
        let Content { bytes, crc64nvme } = self.expected();
        if (bytes, crc64nvme) != (self.output.bytes, self.output.crc64nvme) {
            return Verdict::Disputed;
        }
        let Some(found) = &self.found else { return Verdict::Missing };
        match found.crc64nvme {
            None if found.bytes == bytes => Verdict::Unread,
            Some(crc) if (found.bytes, crc) == (bytes, crc64nvme) => Verdict::Verified,
            _ if found.etag.as_ref() == Some(&self.output.etag) => Verdict::Corrupt,
            _ => Verdict::Replaced,
        }
    }

    fn told(&self) -> String {
        let Self { job_id, output: Output { uri, etag, .. }, .. } = self;
        let expected = self.expected();
        let found = self.found.as_ref().map(ToString::to_string).unwrap_or_default();
        let is_of_another_etag =
            self.found.as_ref().and_then(|found| found.etag.as_ref()).filter(|it| *it != etag);
        let text = match self.verdict {
            Verdict::Verified => {
                let anew = is_of_another_etag.map_or_else(String::new, |other| {
                    format!(", though it was written anew since: its ETag is {other}, and was {etag}")
                });
                return format!(
                    "{uri} is the output of {job_id}: the {expected} that its workers wrote{anew}"
                );
            }
            Verdict::Unread => format!(
                "{uri} has the {found} that the output of {job_id} has; the store keeps no CRC64NVME of it, so only \
                 reading it can tell whether it is that (fanfold verify {job_id} --read)"
            ),
            Verdict::Missing => {
                format!("there is nothing at {uri}, where {job_id} has put its output, {expected}")
            }
            Verdict::Replaced => match is_of_another_etag {
                Some(other) => format!(
                    "another object stands at {uri}: it has {found} and the ETag {other}, and the output of {job_id} has \
                     {expected} and the ETag {etag}"
                ),
                None => format!(
                    "{uri} is not the output of {job_id}, or was changed: it has {found}, and the output has {expected}"
                ),
            },
            Verdict::Corrupt => format!(
                "{uri} is damaged: by its ETag it is the output of {job_id}, and it has {found}, where the workers wrote \
                 {expected}"
            ),
            Verdict::Disputed => {
                let reported = Content { bytes: self.output.bytes, crc64nvme: self.output.crc64nvme };
                format!(
                    "the report of {job_id} says that its output has {reported}, and from the records of its chunks follow \
                     {expected}: one of them was changed since"
                )
            }
        };
        match &self.redriven {
            Some(by) => format!("{text}; {job_id} was redriven as {by}: verify that"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RIGHT: Content = Content { bytes: 12, crc64nvme: Crc64(7) };

    fn found(bytes: u64, crc: Option<u64>, etag: Option<&str>) -> Found {
        let (crc64nvme, etag) = (crc.map(Crc64), etag.map(str::to_owned));
        Found { bytes, crc64nvme, etag, by: Look::Head }
    }

    fn verification(recorded: Option<Content>, found: Option<Found>) -> Verification {
        let output = Output {
            uri: "s3://out/orders.csv".parse().unwrap(),
            bytes: RIGHT.bytes,
            crc64nvme: RIGHT.crc64nvme,
            etag: "e1".to_owned(),
            streamed_bytes: 0,
        };
        let recorded = recorded.map(|content| Recorded { results: 3, content });
        Verification::new("run-1".parse().unwrap(), output, recorded, found, None)
    }

    #[test]
    fn each_way_in_which_an_output_may_differ_has_its_own_verdict_that_says_which() {
        let cases = [
            (None, Verdict::Missing, "nothing at s3://out/orders.csv"),
            (
                Some(found(12, Some(7), Some("e1"))),
                Verdict::Verified,
                "12 bytes with CRC64NVME 0000000000000007",
            ),
            (Some(found(12, Some(7), Some("e2"))), Verdict::Verified, "its ETag is e2, and was e1"),
            (Some(found(12, Some(7), None)), Verdict::Verified, "that its workers wrote"),
            (Some(found(12, None, Some("e1"))), Verdict::Unread, "--read"),
            (Some(found(12, None, Some("e2"))), Verdict::Unread, "--read"),
            (Some(found(13, None, Some("e1"))), Verdict::Corrupt, "is damaged"),
            (Some(found(13, None, Some("e2"))), Verdict::Replaced, "13 bytes and the ETag e2"),
            (Some(found(12, Some(8), Some("e1"))), Verdict::Corrupt, "CRC64NVME 0000000000000008"),
            (Some(found(12, Some(8), Some("e2"))), Verdict::Replaced, "the ETag e2"),
            (Some(found(12, Some(8), None)), Verdict::Replaced, "or was changed: it has 12 bytes"),
        ];
        for (found, verdict, said) in cases {
            for recorded in [None, Some(RIGHT)] {
                let judged = verification(recorded, found.clone());
                assert_eq!(judged.verdict, verdict, "{found:?}");
                assert!(judged.message.contains(said), "{said}: {}", judged.message);
            }
        }
    }

    #[test]
    fn a_report_that_the_records_contradict_is_not_believed() {
        let recorded = Content { bytes: 12, crc64nvme: Crc64(8) };
        let judged = verification(Some(recorded), Some(found(12, Some(7), Some("e1"))));
        assert_eq!((judged.verdict, judged.verdict.code()), (Verdict::Disputed, Some(Code::OutputCorrupt)));
        assert!(judged.message.contains("one of them was changed"), "{}", judged.message);
    }

    #[test]
    fn who_finds_another_output_of_a_run_that_was_redriven_is_told_which_run_to_verify() {
        let judged = Verification { redriven: Some("run-1-r1".parse().unwrap()), ..verification(None, None) };
        let judged = judged.with(found(15, Some(9), Some("e2")));
        assert_eq!(judged.verdict, Verdict::Replaced);
        assert!(judged.message.ends_with("redriven as run-1-r1: verify that"), "{}", judged.message);
    }

    proptest! {
        #[test]
        fn only_the_right_bytes_are_ever_verified(bytes in 11_u64..14, crc in prop::option::of(6_u64..9), etag in prop::option::of("e[12]")) {
            let judged = verification(None, None).with(found(bytes, crc, etag.as_deref()));
            prop_assert_eq!(judged.verdict == Verdict::Verified, bytes == 12 && crc == Some(7));
            prop_assert_eq!(judged.verdict.code().is_none(), bytes == 12 && matches!(crc, None | Some(7)));
            let json = serde_json::to_value(&judged).unwrap();
            prop_assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), judged);
        }
    }
}
