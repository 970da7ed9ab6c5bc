//! Every tensor type that GGML numbers, computed with here or not.

use crate::quant::WeightFormat;

/// The first number that GGML has not given to a type.
pub const GGML_TYPE_COUNT: u32 = 43;

/// Name, weights in a block and bytes in a block of the types that no kernel here computes with.
///
/// From GGML's table. Missing numbers are types that GGML has withdrawn or whose block is not known here.
const OTHERS: [(u32, &str, u64, u64); 20] = [
    (9, "Q8_1", 32, 40),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// The name of a GGML type number, if it has one.
#[must_use]
pub fn ggml_type_name(number: u32) -> Option<&'static str> {
    match WeightFormat::from_ggml(number) {
        Ok(format) => Some(format.name()),
        Err(_) => OTHERS.iter().find(|other| other.0 == number).map(|other| other.1),
    }
}

/// Weights and bytes in a block of a GGML type, if known.
pub(super) fn ggml_block(number: u32) -> Option<(u64, u64)> {
    match WeightFormat::from_ggml(number) {
        Ok(format) => Some((format.block_len() as u64, format.block_bytes() as u64)),
        Err(_) => OTHERS.iter().find(|other| other.0 == number).map(|other| (other.2, other.3)),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic is a test's failure")]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_others_repeats_no_format_and_no_number() {
        for (i, other) in OTHERS.iter().enumerate() {
            assert!(WeightFormat::from_ggml(other.0).is_err(), "{}", other.1);
            assert!(other.0 < GGML_TYPE_COUNT);
            assert!(OTHERS[..i].iter().all(|o| o.0 != other.0 && o.1 != other.1));
        }
    }
}
