//! Checkpoints, and the tokens that carry them through records and events.
//!
//! A token is base64 of: version, codec, compressed and decoded position, and inside a gzip member also the bit, the CRC and
//! length so far, and the window, compressed as zlib; then the CRC32 of all that. Numbers are little-endian.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use zlib_rs::crc32::crc32;
use zlib_rs::{DeflateConfig, InflateConfig, ReturnCode};

use crate::kind::Codec;

/// How far deflate looks back (RFC 1951, section 2).
pub(crate) const WINDOW_BYTES: usize = 32 << 10;

/// Raised whenever the layout changes. A token of another version is refused, and the caller starts from the beginning.
const VERSION: u8 = 1;

/// The window is text, which level 1 brings to a third; more effort gains little.
const WINDOW_LEVEL: i32 = 1;

/// A place in a file at which decoding can resume.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) codec: Codec,
    pub(crate) compressed: u64,
    pub(crate) decoded: u64,
    pub(crate) inside: Option<Inside>,
}

/// What a decoder must know to resume between two deflate blocks of a gzip member.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Inside {
    /// How many bits of the first byte belong to the block before, 0 to 7.
    pub bit: u8,
    /// The CRC32 of the member's text so far.
    pub crc: u32,
    /// The length of the member's text so far, modulo 2^32.
    pub length: u32,
    /// The text before, as far as deflate looks back.
    pub window: Vec<u8>,
}

impl Checkpoint {
    /// The format.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The byte of the file from which a resumed decoder wants its input.
    pub fn compressed(&self) -> u64 {
        self.compressed
    }

    /// How many decoded bytes come before it, counted as by the decoder that made it.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }

    /// About how many bytes it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.inside.as_ref().map_or(0, |inside| inside.window.len())
    }

    /// As ASCII text of at most 44 KB, a third of that for usual text, without characters that JSON or a URL would escape.
    pub fn to_token(&self) -> String {
        let mut bytes = vec![VERSION, codec_to_byte(self.codec)];
        bytes.extend(self.compressed.to_le_bytes());
        bytes.extend(self.decoded.to_le_bytes());
        if let Some(inside) = &self.inside {
            bytes.push(inside.bit);
            bytes.extend(inside.crc.to_le_bytes());
            bytes.extend(inside.length.to_le_bytes());
            bytes.extend(pack(&inside.window));
        }
        bytes.extend(crc32(0, &bytes).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From a token.
    ///
    /// # Errors
    /// If it is not exactly what [`Checkpoint::to_token`] of this version gave.
    pub fn from_token(token: &str) -> Result<Self, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError)?;
        let (bytes, crc) = bytes.split_last_chunk().ok_or(TokenError)?;
        if u32::from_le_bytes(*crc) != crc32(0, bytes) {
            return Err(TokenError);
        }
        Self::parse(bytes).ok_or(TokenError)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let ([VERSION, codec], bytes) = bytes.split_first_chunk()? else { return None };
        let codec = byte_to_codec(*codec)?;
        let (compressed, bytes) = bytes.split_first_chunk()?;
        let (decoded, bytes) = bytes.split_first_chunk()?;
        let inside = if bytes.is_empty() { None } else { Some(Inside::parse(bytes)?) };
        if inside.is_some() && codec != Codec::Gzip {
            return None;
        }
        Some(Self {
            codec,
            compressed: u64::from_le_bytes(*compressed),
            decoded: u64::from_le_bytes(*decoded),
            inside,
        })
    }
}

impl Inside {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let ([bit @ 0..=7], bytes) = bytes.split_first_chunk()? else { return None };
        let (crc, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        Some(Self {
            bit: *bit,
            crc: u32::from_le_bytes(*crc),
            length: u32::from_le_bytes(*length),
            window: unpack(bytes)?,
        })
    }
}

/// A token that is damaged, or was made by another version.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the checkpoint of the decoder is damaged or of another version")]
pub struct TokenError;

/// Without the window, which would drown all else.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("codec", &self.codec)
            .field("compressed", &self.compressed)
            .field("decoded", &self.decoded)
            .field("inside", &self.inside)
            .finish()
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside")
            .field("bit", &self.bit)
            .field("length", &self.length)
            .field("window_bytes", &self.window.len())
            .finish_non_exhaustive()
    }
}

fn codec_to_byte(codec: Codec) -> u8 {
    match codec {
        Codec::Gzip => 0,
        Codec::Zstd => 1,
        Codec::Bzip2 => 2,
    }
}

fn byte_to_codec(byte: u8) -> Option<Codec> {
    [Codec::Gzip, Codec::Zstd, Codec::Bzip2].into_iter().find(|codec| codec_to_byte(*codec) == byte)
}

/// A first byte that says whether the rest is compressed, so that this cannot fail.
fn pack(window: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; window.len() + 1];
    packed[0] = 1;
    let length = match zlib_rs::compress_slice(&mut packed[1..], window, DeflateConfig::new(WINDOW_LEVEL)) {
        (used, ReturnCode::Ok) => used.len(),
        // It would be longer than what it stands for.
        _ => {
            packed[0] = 0;
            packed[1..].copy_from_slice(window);
            window.len()
        }
    };
    packed.truncate(1 + length);
    packed
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (is_compressed, rest) = packed.split_first()?;
    if *is_compressed == 0 {
        return (rest.len() <= WINDOW_BYTES).then(|| rest.to_vec());
    }
    let mut window = vec![0; WINDOW_BYTES];
    let (used, ReturnCode::Ok) = zlib_rs::decompress_slice(&mut window, rest, InflateConfig::default())
    else {
        return None;
    };
    let length = used.len();
    window.truncate(length);
    Some(window)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inside() -> impl Strategy<Value = Inside> {
        let window = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            prop::collection::vec(any::<u8>(), WINDOW_BYTES),
            "[a-c,\n]{0,2000}".prop_map(String::into_bytes),
        ];
        (0..8_u8, any::<u32>(), any::<u32>(), window).prop_map(|(bit, crc, length, window)| Inside {
            bit,
            crc,
            length,
            window,
        })
    }

    proptest! {
        #[test]
        fn a_token_gives_its_checkpoint(
            compressed: u64, decoded: u64, inside in prop::option::of(inside()), other in 0..3_u8,
        ) {
            let codec = if inside.is_some() { Codec::Gzip } else { byte_to_codec(other).unwrap() };
            let checkpoint = Checkpoint { codec, compressed, decoded, inside };
            let token = checkpoint.to_token();
            prop_assert!(token.len() <= 44_000);
            prop_assert_eq!(Checkpoint::from_token(&token), Ok(checkpoint));
        }

        #[test]
        fn a_changed_token_is_refused(inside in inside(), at: prop::sample::Index, with in "[a-zA-Z0-9]") {
            let mut token = Checkpoint { codec: Codec::Gzip, compressed: 7, decoded: 9, inside: Some(inside) }.to_token();
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != with);
            token.replace_range(at..=at, &with);
            prop_assert_eq!(Checkpoint::from_token(&token), Err(TokenError));
        }
    }

    /// A token of these bytes, as if we had made it.
    fn token(mut bytes: Vec<u8>) -> String {
        bytes.extend(crc32(0, &bytes).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn a_token_of_another_version_is_refused() {
        let of_version = |version| [&[version, 0][..], &[0; 16]].concat();
        assert!(Checkpoint::from_token(&token(of_version(VERSION))).is_ok());
        assert_eq!(Checkpoint::from_token(&token(of_version(VERSION + 1))), Err(TokenError));
    }

    #[test]
    fn only_gzip_is_resumed_inside_a_member() {
        let inside = Inside { bit: 3, crc: 0, length: 0, window: Vec::new() };
        let checkpoint = Checkpoint { codec: Codec::Zstd, compressed: 1, decoded: 1, inside: Some(inside) };
        assert_eq!(Checkpoint::from_token(&checkpoint.to_token()), Err(TokenError));
    }
}
