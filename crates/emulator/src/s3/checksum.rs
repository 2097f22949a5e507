//! What bytes add up to: CRC64NVME always, MD5 where an ETag or the client asks for it, and the algorithm that the client
//! chose.
//!
//! The CRC of a whole is combined from the CRCs of its parts, so that completing an upload reads nothing. The
//! combination is written here because the generic one of `crc_fast` builds its operator anew for each part, which
//! takes seconds for 10,000 parts; a test holds ours against it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use super::etag::{ETags, EntityTag};

/// The checksum algorithms of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "CRC32")]
    Crc32,
    #[serde(rename = "CRC32C")]
    Crc32c,
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    #[serde(rename = "SHA1")]
    Sha1,
    #[serde(rename = "SHA256")]
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The name in requests and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header, or trailer, that carries its value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The polynomial, bits reversed, and the width in bits; nothing for the hashes, which don't combine.
    fn polynomial(self) -> Option<(u64, u32)> {
        match self {
            Self::Crc32 => Some((0xEDB8_8320, 32)),
            Self::Crc32c => Some((0x82F6_3B78, 32)),
            Self::Crc64Nvme => Some((0x9A6C_9329_AC4B_C9B5, 64)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub(crate) fn combines(self) -> bool {
        self.polynomial().is_some()
    }
}

/// Over what a checksum was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// All bytes of the object.
    #[serde(rename = "FULL_OBJECT")]
    FullObject,
    /// The checksums of the parts, one after the other.
    #[serde(rename = "COMPOSITE")]
    Composite,
}

impl Scope {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|scope| scope.name() == name)
    }
}

/// A checksum as S3 writes it: base64 of the big-endian bytes, and `-N` behind it for a composite of N parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) scope: Scope,
    pub(crate) value: String,
}

impl Checksum {
    fn full(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self { algorithm, scope: Scope::FullObject, value: BASE64.encode(bytes) }
    }

    /// The bytes that the value stands for, without the count of parts.
    fn bytes(&self) -> Vec<u8> {
        let digits = self.value.split_once('-').map_or(self.value.as_str(), |(digits, _)| digits);
        BASE64.decode(digits).unwrap_or_default()
    }
}

/// An MD5 in bytes, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Md5Sum(pub(crate) [u8; 16]);

impl std::fmt::Display for Md5Sum {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for Md5Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Md5Sum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let value = u128::from_str_radix(&digits, 16).map_err(serde::de::Error::custom)?;
        Ok(Self(value.to_be_bytes()))
    }
}

impl Md5Sum {
    /// As in `Content-MD5`.
    pub(crate) fn base64(self) -> String {
        BASE64.encode(self.0)
    }
}

/// What a run of bytes was measured to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) etag: EntityTag,
    /// Where it was asked for.
    pub(crate) md5: Option<Md5Sum>,
    pub(crate) crc64nvme: u64,
    /// By the chosen algorithm, over all bytes.
    pub(crate) checksum: Checksum,
}

/// The checksum of bytes by an algorithm, if it was measured: the chosen one was, and CRC64NVME always is.
pub(crate) fn checksum_by(algorithm: Algorithm, chosen: &Checksum, crc64nvme: u64) -> Option<Checksum> {
    if chosen.algorithm == algorithm && chosen.scope == Scope::FullObject {
        return Some(chosen.clone());
    }
    (algorithm == Algorithm::Crc64Nvme).then(|| Checksum::full(algorithm, &crc64nvme.to_be_bytes()))
}

/// Measures bytes as they come.
pub(crate) struct Meter {
    size: u64,
    etags: ETags,
    md5: Option<Md5>,
    crc64nvme: Crc64Nvme,
    chosen: Option<Hasher>,
}

enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Meter {
    pub(crate) fn new(algorithm: Algorithm, etags: ETags) -> Self {
        let chosen = match algorithm {
            Algorithm::Crc32 => Some(Hasher::Crc32(Crc32::new())),
            Algorithm::Crc32c => Some(Hasher::Crc32c(Crc32c::new())),
            Algorithm::Crc64Nvme => None,
            Algorithm::Sha1 => Some(Hasher::Sha1(Sha1::new())),
            Algorithm::Sha256 => Some(Hasher::Sha256(Sha256::new())),
        };
        let md5 = (etags == ETags::Md5).then(Md5::new);
        Self { size: 0, etags, md5, crc64nvme: Crc64Nvme::new(), chosen }
    }

    /// Takes the MD5 too, whatever the ETag is. For a meter that has seen no byte yet.
    pub(crate) fn with_md5(mut self) -> Self {
        self.md5.get_or_insert_with(Md5::new);
        self
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.crc64nvme.update(bytes);
        match &mut self.chosen {
            None => {}
            Some(Hasher::Crc32(hasher)) => hasher.update(bytes),
            Some(Hasher::Crc32c(hasher)) => hasher.update(bytes),
            Some(Hasher::Sha1(hasher)) => hasher.update(bytes),
            Some(Hasher::Sha256(hasher)) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Measured {
        let crc64nvme = self.crc64nvme.finalize();
        let checksum = match self.chosen {
            None => Checksum::full(Algorithm::Crc64Nvme, &crc64nvme),
            Some(Hasher::Crc32(hasher)) => Checksum::full(Algorithm::Crc32, &hasher.finalize()),
            Some(Hasher::Crc32c(hasher)) => Checksum::full(Algorithm::Crc32c, &hasher.finalize()),
            Some(Hasher::Sha1(hasher)) => Checksum::full(Algorithm::Sha1, &hasher.finalize()),
            Some(Hasher::Sha256(hasher)) => Checksum::full(Algorithm::Sha256, &hasher.finalize()),
        };
        let md5 = self.md5.map(|md5| Md5Sum(md5.finalize()));
        let etag = match (self.etags, md5) {
            (ETags::Md5, Some(md5)) => EntityTag::Md5(md5),
            _ => EntityTag::random(),
        };
        Measured { size: self.size, etag, md5, crc64nvme: u64::from_be_bytes(crc64nvme), checksum }
    }
}

/// The CRC64NVME of the parts one after the other, each given as its CRC and its length in bytes.
pub(crate) fn combine_crc64nvme(parts: impl Iterator<Item = (u64, u64)>) -> u64 {
    Combiner::new(Algorithm::Crc64Nvme).map_or(0, |combiner| combiner.combine(parts))
}

/// The full-object checksum of parts, each given as its checksum and length; nothing where the algorithm can't say.
pub(crate) fn combine<'a>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (&'a Checksum, u64)>,
) -> Option<Checksum> {
    let combiner = Combiner::new(algorithm)?;
    let whole = combiner.combine(parts.map(|(checksum, length)| (big_endian(&checksum.bytes()), length)));
    let bytes = whole.to_be_bytes();
    Some(Checksum::full(algorithm, bytes.get(8 - combiner.width as usize / 8..).unwrap_or(&bytes)))
}

/// The checksum of the parts' checksums.
pub(crate) fn composite<'a>(algorithm: Algorithm, parts: impl Iterator<Item = &'a Checksum>) -> Checksum {
    let mut count = 0_usize;
    let mut meter = Meter::new(algorithm, ETags::Opaque);
    for part in parts {
        count += 1;
        meter.update(&part.bytes());
    }
    let value = format!("{}-{count}", meter.finish().checksum.value);
    Checksum { algorithm, scope: Scope::Composite, value }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Appending n bytes multiplies a CRC by x^8n modulo its polynomial; the squares of x^8 make that quick for any n.
struct Combiner {
    polynomial: u64,
    width: u32,
    /// x^8, x^16, x^32 and so on: one for each bit of a length.
    squares: [u64; 64],
}

impl Combiner {
    fn new(algorithm: Algorithm) -> Option<Self> {
        let (polynomial, width) = algorithm.polynomial()?;
        let mut combiner = Self { polynomial, width, squares: [0; 64] };
        // With the bits reversed, the highest bit is x^0; x^8 is eight below it.
        let mut power = 1_u64 << (width - 9);
        for index in 0..combiner.squares.len() {
            combiner.squares[index] = power;
            power = combiner.multiply(power, power);
        }
        Some(combiner)
    }

    fn combine(&self, parts: impl Iterator<Item = (u64, u64)>) -> u64 {
        parts.fold(0, |whole, (crc, length)| self.shift(whole, length) ^ crc)
    }

    fn shift(&self, crc: u64, length: u64) -> u64 {
        let bits = (0..64).filter(|bit| length >> bit & 1 == 1);
        bits.fold(crc, |crc, bit| self.multiply(self.squares[bit], crc))
    }

    /// The product of two polynomials modulo ours.
    fn multiply(&self, left: u64, right: u64) -> u64 {
        let (mut product, mut right) = (0, right);
        for bit in (0..self.width).rev() {
            if left >> bit & 1 == 1 {
                product ^= right;
            }
            right = if right & 1 == 1 { right >> 1 ^ self.polynomial } else { right >> 1 };
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn measure(algorithm: Algorithm, bytes: &[u8]) -> Measured {
        let mut meter = Meter::new(algorithm, ETags::Md5);
        meter.update(bytes);
        meter.finish()
    }

    #[test]
    fn crc64nvme_has_the_published_check_value() {
        assert_eq!(measure(Algorithm::Crc64Nvme, b"123456789").crc64nvme, 0xAE8B_1486_0A79_9888);
    }

    #[test]
    fn parts_of_terabytes_combine_as_crc_fast_combines_them() {
        for length in [0, 1, 5 << 20, (5 << 30) + 3, (48 << 40) + 7] {
            let ours =
                combine_crc64nvme([(0x0123_4567_89AB_CDEF, 9), (0xFEDC_BA98_7654_3210, length)].into_iter());
            let theirs = crc_fast::checksum_combine(
                crc_fast::CrcAlgorithm::Crc64Nvme,
                0x0123_4567_89AB_CDEF,
                0xFEDC_BA98_7654_3210,
                length,
            );
            assert_eq!(ours, theirs, "length {length}");
        }
    }

    proptest! {
        #[test]
        fn the_checksum_of_the_whole_follows_from_its_parts(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        ) {
            let whole: Vec<u8> = parts.concat();
            for algorithm in Algorithm::ALL {
                let measured: Vec<Measured> = parts.iter().map(|part| measure(algorithm, part)).collect();
                let combined = combine(algorithm, measured.iter().map(|part| (&part.checksum, part.size)));
                let expected = measure(algorithm, &whole);
                prop_assert_eq!(combined, algorithm.combines().then_some(expected.checksum));
                let crc64nvme = combine_crc64nvme(measured.iter().map(|part| (part.crc64nvme, part.size)));
                prop_assert_eq!(crc64nvme, expected.crc64nvme);
            }
        }
    }
}
