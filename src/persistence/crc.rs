//! Arithmetic on CRC-32C: zero bytes appended to what a checksum is of, and taken away from its end.

/// The crc register that `bytes` zero bytes turn `crc` into. With it, crc(a ++ b) = with_zeros(crc(a), len of b) ^
/// crc(b).
///
/// The register is a polynomial modulo the generator, and a zero byte multiplies it by x^8. What the crate has for this
/// makes its operators anew at each call, which takes a hundred times as long.
pub(super) fn with_zeros(crc: u32, bytes: u64) -> u32 {
    let (mut crc, mut bits) = (crc, bytes);
    while bits != 0 {
        crc = product(crc, POWERS[(bits.trailing_zeros() as usize + 3) % POWERS.len()]);
        bits &= bits - 1;
    }
    crc
}

/// The inverse of [`with_zeros`]: the register that `bytes` zero bytes turn into `crc`. The generator's period of zeros
/// changes nothing, so `bytes` zeros are undone by appending `PERIOD - bytes`. `bytes` is less than `PERIOD`.
pub(super) fn without_zeros(crc: u32, bytes: u64) -> u32 {
    const PERIOD: u64 = (1 << 31) - 1;
    with_zeros(crc, PERIOD - bytes)
}

/// The generator of CRC-32C; here, as in a crc register, the highest bit stands for x^0.
const GENERATOR: u32 = 0x82f6_3b78;

/// x^(2^n) for each n; that for 31 is x again.
static POWERS: [u32; 31] = {
    let mut powers = [1 << 30; 31];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = product(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The product of two polynomials, modulo the generator.
const fn product(a: u32, b: u32) -> u32 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while a != 0 {
        // Without branches, which nobody could foretell.
        product ^= b & (a >> 31).wrapping_neg();
        a <<= 1;
        b = b >> 1 ^ GENERATOR & (b & 1).wrapping_neg();
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zeros_change_a_checksum_as_the_crate_has_it(crc: u32, bytes: u64, few in 0..100_000u64) {
            for bytes in [bytes, few] {
                prop_assert_eq!(with_zeros(crc, bytes), crc32c::crc32c_combine(crc, 0, bytes as usize));
            }
            prop_assert_eq!(without_zeros(with_zeros(crc, few), few), crc);
        }
    }
}
