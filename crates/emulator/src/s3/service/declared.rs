//! What a client declares about a body, before it or behind it, and whether the body is that.

use http::HeaderMap;
use s3s::TrailingHeaders;
use s3s::dto::ChecksumAlgorithm;

use super::super::checksum::{Algorithm, Md5Sum, Measured, Meter};
use super::super::error::Error;
use super::super::etag::ETags;
use super::answer::named_algorithm;

/// What a body is declared to be.
#[derive(Debug)]
pub(super) struct Declared {
    /// The algorithm of the checksum that is given.
    pub(super) algorithm: Option<Algorithm>,
    /// Its value, if it came before the body.
    value: Option<String>,
    /// What comes behind the body, if anything.
    trailers: Option<TrailingHeaders>,
    content_md5: Option<String>,
    /// Bytes.
    length: Option<u64>,
}

impl Declared {
    /// # Errors
    /// [`Error::Request`] for declarations that contradict each other.
    pub(super) fn new(
        given: Option<(Algorithm, String)>,
        named: Option<&ChecksumAlgorithm>,
        content_md5: Option<String>,
        content_length: Option<i64>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> Result<Self, Error> {
        let (mut algorithm, value) = given.unzip();
        if algorithm.is_none() {
            algorithm = announced(headers);
        }
        if let Some(named) = named_algorithm(named)?
            && algorithm != Some(named)
        {
            let text =
                format!("checksum algorithm {} is named, and no checksum of it is given", named.name());
            return Err(Error::Request(text));
        }
        let length = content_length.and_then(|length| u64::try_from(length).ok());
        Ok(Self { algorithm, value, trailers, content_md5, length })
    }

    /// What takes all that [`Declared::verify`] needs to know.
    pub(super) fn meter(&self, algorithm: Algorithm, etags: ETags) -> Meter {
        let meter = Meter::new(algorithm, etags);
        if self.content_md5.is_some() { meter.with_md5() } else { meter }
    }

    /// # Errors
    /// [`Error::Digest`], [`Error::Incomplete`] and [`Error::MissingTrailer`] when the body is not as declared.
    pub(super) fn verify(&self, measured: &Measured) -> Result<(), Error> {
        if let Some(announced) = self.length
            && announced != measured.size
        {
            return Err(Error::Incomplete { received: measured.size, announced });
        }
        if let Some(given) = &self.content_md5 {
            let found = measured.md5.map_or_else(|| "not known".to_owned(), Md5Sum::base64);
            same("Content-MD5", given, &found)?;
        }
        let Some(algorithm) = self.algorithm else { return Ok(()) };
        let trailer = || {
            let trailer = self.trailers.as_ref()?.read(|trailers| {
                trailers.get(algorithm.header()).and_then(|value| value.to_str().ok()).map(str::to_owned)
            });
            trailer.flatten()
        };
        let given = self.value.clone().or_else(trailer).ok_or(Error::MissingTrailer(algorithm.header()))?;
        same(algorithm.name(), &given, &measured.checksum.value)
    }
}

fn same(what: &'static str, given: &str, found: &str) -> Result<(), Error> {
    if given == found {
        return Ok(());
    }
    Err(Error::Digest { what, given: given.to_owned(), found: found.to_owned() })
}

/// The algorithm of the checksum that is announced to come behind the body.
fn announced(headers: &HeaderMap) -> Option<Algorithm> {
    let names = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    let mut names = names.flat_map(|names| names.split(',')).map(str::trim);
    names.find_map(|name| {
        Algorithm::ALL.into_iter().find(|algorithm| name.eq_ignore_ascii_case(algorithm.header()))
    })
}
