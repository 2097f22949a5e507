//! Compression of what counts of a result, as it streams by.
//!
//! A result is one member of its own. The encoder works in the task of its process, on whatever thread the runtime has for it:
//! so several processes' results are compressed on several cores, and a process whose result is waiting is not read from.
//! What it takes at once is small, so that the thread's other tasks are not kept waiting.
//!
//! In memory an encoder takes 0.4 MiB for gzip and 3.1 MiB for zstd (measured; of these it looks back over 32 KiB and 2 MiB), and
//! there is one for each process at most.

use std::io::{self, Write};

use bytes::Bytes;
use fanfold_flow::job::Compress;
use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

/// Most bytes that are compressed at once: a millisecond's work or so for gzip, a fifth of that for zstd.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 10;

/// The level of both formats' own programs: past it they take far longer for little less.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Makes one member.
pub(super) enum Encoder {
    /// Which is the bytes themselves.
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Encoder {
    pub(super) fn new(compress: Compress) -> io::Result<Self> {
        Ok(match compress {
            Compress::None => Self::None,
            Compress::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Compress::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes the next bytes, and gives what of the member is ready.
    pub(super) fn write(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        let ready = match self {
            Self::None => return Ok(bytes),
            Self::Gzip(encoder) => {
                encoder.write_all(&bytes)?;
                encoder.get_mut()
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&bytes)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(ready).into())
    }

    /// The rest of the member.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::None => Bytes::new(),
            Self::Gzip(encoder) => encoder.finish()?.into(),
            Self::Zstd(encoder) => encoder.finish()?.into(),
        })
    }
}
