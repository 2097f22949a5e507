//! The CRC64NVME of a concatenation, from the CRCs of its halves.
//!
//! Zero bytes behind a text multiply its CRC by a power of x^8 modulo the polynomial (Adler's method, as in zlib's
//! `crc32_combine`). With the powers for lengths 1, 2, 4, 8, … in a table, a length costs one multiplication for each bit
//! that is set in it: microseconds, where the routine of the `crc_fast` crate, which builds matrices each time, takes a
//! quarter of a millisecond. A reducer combines once for each chunk, twice over, so that decides between a second and a minute.

/// The polynomial, lowest power in the highest bit, as the reflected CRC has it (NVM Express NVM command set
/// specification, "64b CRC").
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// x^8 to the power of 1, 2, 4, 8, …: what 1, 2, 4, 8, … zero bytes multiply by.
const ZERO_BYTES: [u64; 64] = {
    let mut powers = [1 << (63 - 8); 64];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = multiply(powers[exponent - 1], powers[exponent - 1]);
        exponent += 1;
    }
    powers
};

/// The CRC of a text with the CRC `head` followed by one of `tail_bytes` bytes with the CRC `tail`.
///
/// CRC64NVME begins and ends with an exclusive or of all ones; those cancel each other out, as in zlib.
pub(super) fn combine(head: u64, tail: u64, tail_bytes: u64) -> u64 {
    let mut shifted = head;
    let mut left = tail_bytes;
    while left != 0 {
        shifted = multiply(shifted, ZERO_BYTES[left.trailing_zeros() as usize]);
        left &= left - 1;
    }
    shifted ^ tail
}

/// The product of two polynomials, modulo [`POLYNOMIAL`].
const fn multiply(mut left: u64, mut right: u64) -> u64 {
    let mut product = 0;
    while left != 0 {
        if left >> 63 == 1 {
            product ^= right;
        }
        left <<= 1;
        right = (right >> 1) ^ if right & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    product
}

#[cfg(test)]
mod tests {
    use crc_fast::{CrcAlgorithm, checksum_combine};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_length_combines_as_the_generic_routine_does(head: u64, tail: u64, tail_bytes in 1..u64::MAX) {
            let generic = checksum_combine(CrcAlgorithm::Crc64Nvme, head, tail, tail_bytes);
            prop_assert_eq!(combine(head, tail, tail_bytes), generic);
        }
    }

    #[test]
    fn lengths_around_powers_of_two_combine_as_the_generic_routine_does() {
        for exponent in 1..50 {
            for tail_bytes in [(1_u64 << exponent) - 1, 1 << exponent, (1 << exponent) + 1] {
                let generic = checksum_combine(CrcAlgorithm::Crc64Nvme, 0x1234_5678_9abc_def0, 7, tail_bytes);
                assert_eq!(combine(0x1234_5678_9abc_def0, 7, tail_bytes), generic, "{tail_bytes}");
            }
        }
    }
}
