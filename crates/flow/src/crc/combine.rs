//! The CRC64NVME of a concatenation, from the CRCs of its halves.
//!
//! Zero bytes behind a text multiply its CRC by a power of x^8 modulo the polynomial (Adler's method, as in zlib's
//! `crc32_combine`), and the CRC of what stands there instead is added. (CRC64NVME begins and ends with an exclusive or
//! of all ones; those cancel each other out, as in zlib.) With the powers for each digit of a length to the base of 256
//! in a table, a length takes a multiplication for each digit that is not zero, and none where it was met just
//! before. The routine of the `crc_fast` crate builds matrices each time, which takes a quarter of a millisecond; with a
//! million chunks that decides between a quarter of a second and minutes.

/// The polynomial, lowest power in the highest bit, as the reflected CRC has it (NVM Express NVM command set
/// specification, "64b CRC").
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// The polynomial 1.
const ONE: u64 = 1 << 63;

/// The polynomial x^8: what one zero byte multiplies by.
const ZERO_BYTE: u64 = ONE >> 8;

/// What zero bytes multiply by: as many as the second index says of units of 256 to the power of the first. 16 KiB.
static ZERO_BYTES: [[u64; 256]; 8] = {
    let mut powers = [[ONE; 256]; 8];
    let mut unit = ZERO_BYTE;
    let mut exponent = 0;
    while exponent < powers.len() {
        let mut digit = 1;
        while digit < 256 {
            powers[exponent][digit] = multiply(powers[exponent][digit - 1], unit);
            digit += 1;
        }
        unit = multiply(powers[exponent][255], unit);
        exponent += 1;
    }
    powers
};

/// What the four highest powers overflow to when a polynomial is multiplied by x^4.
const OVERFLOW: [u64; 16] = {
    let mut overflow = [0; 16];
    let mut bits = 0;
    while bits < overflow.len() {
        overflow[bits] = times_x(times_x(times_x(times_x(bits as u64))));
        bits += 1;
    }
    overflow
};

/// What so many zero bytes behind a text do to its CRC.
#[derive(Clone, Copy)]
pub(super) struct Shift(u64);

impl Shift {
    pub(super) fn by(bytes: u64) -> Self {
        let digits = bytes.to_le_bytes().into_iter().zip(&ZERO_BYTES).filter(|(digit, _)| *digit != 0);
        let powers = digits.map(|(digit, powers)| powers[usize::from(digit)]);
        Self(powers.reduce(multiply).unwrap_or(ONE))
    }

    pub(super) fn of(self, crc: u64) -> u64 {
        multiply(self.0, crc)
    }
}

/// Shifts, of which the last two are kept: pieces of one length, maybe with separators in between.
pub(super) struct Shifts {
    last: [(u64, Shift); 2],
}

impl Shifts {
    pub(super) fn new() -> Self {
        Self { last: [(0, Shift(ONE)); 2] }
    }

    pub(super) fn by(&mut self, bytes: u64) -> Shift {
        if self.last[0].0 != bytes {
            self.last.swap(0, 1);
        }
        if self.last[0].0 != bytes {
            self.last[0] = (bytes, Shift::by(bytes));
        }
        self.last[0].1
    }
}

/// The product of two polynomials, modulo [`POLYNOMIAL`], four powers of `left` at a time from the highest.
const fn multiply(left: u64, right: u64) -> u64 {
    let mut multiples = [0; 16];
    multiples[8] = right;
    multiples[4] = times_x(multiples[8]);
    multiples[2] = times_x(multiples[4]);
    multiples[1] = times_x(multiples[2]);
    let mut bits = 3;
    while bits < multiples.len() {
        let lowest = bits & bits.wrapping_neg();
        multiples[bits] = multiples[lowest] ^ multiples[bits ^ lowest];
        bits += 1;
    }
    let mut product: u64 = 0;
    let mut shift = 0;
    while shift < u64::BITS {
        product =
            (product >> 4) ^ OVERFLOW[(product & 15) as usize] ^ multiples[(left >> shift & 15) as usize];
        shift += 4;
    }
    product
}

const fn times_x(polynomial: u64) -> u64 {
    (polynomial >> 1) ^ if polynomial & 1 == 1 { POLYNOMIAL } else { 0 }
}

#[cfg(test)]
mod tests {
    use crc_fast::{CrcAlgorithm, checksum_combine};
    use proptest::prelude::*;

    use super::*;

    fn generic(head: u64, tail_bytes: u64) -> u64 {
        checksum_combine(CrcAlgorithm::Crc64Nvme, head, 0, tail_bytes)
    }

    proptest! {
        #[test]
        fn any_length_combines_as_the_generic_routine_does(head: u64, tail_bytes in 1..u64::MAX) {
            prop_assert_eq!(Shift::by(tail_bytes).of(head), generic(head, tail_bytes));
        }

        #[test]
        fn a_length_met_before_combines_like_a_new_one(head: u64, lengths in prop::collection::vec(1..5_u64, 0..20)) {
            let mut shifts = Shifts::new();
            for length in lengths {
                prop_assert_eq!(shifts.by(length).of(head), Shift::by(length).of(head));
            }
        }
    }

    #[test]
    fn lengths_around_powers_of_two_combine_as_the_generic_routine_does() {
        for exponent in 1..50 {
            for tail_bytes in [(1_u64 << exponent) - 1, 1 << exponent, (1 << exponent) + 1] {
                let head = 0x1234_5678_9abc_def0;
                assert_eq!(Shift::by(tail_bytes).of(head), generic(head, tail_bytes), "{tail_bytes}");
            }
        }
    }
}
