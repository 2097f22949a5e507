//! What usual decoders make of a compressed output.

use std::io::{self, Read};

use fanfold_flow::job::Compress;

/// An output as it was before it was compressed, all of its members or frames.
///
/// # Errors
/// That a decoder refuses it.
pub fn decompressed(compress: Compress, output: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match compress {
        Compress::None => bytes.extend_from_slice(output),
        Compress::Gzip => drop(flate2::read::MultiGzDecoder::new(output).read_to_end(&mut bytes)?),
        Compress::Zstd => drop(zstd::stream::read::Decoder::new(output)?.read_to_end(&mut bytes)?),
    }
    Ok(bytes)
}
