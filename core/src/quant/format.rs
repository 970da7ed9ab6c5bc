//! The names of the formats, their numbers in GGUF and the size of their blocks.

use super::{BLOCK_LEN, SUPER_BLOCK_LEN};
use core::fmt;

/// How a tensor's numbers are stored.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types, reason = "the field's own names")]
pub enum WeightFormat {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 4 bits, one scale.
    Q4_0,
    /// 4 bits, scale and minimum.
    Q4_1,
    /// 5 bits, one scale.
    Q5_0,
    /// 5 bits, scale and minimum.
    Q5_1,
    /// 8 bits, one scale.
    Q8_0,
    /// 2 bits in super-blocks with 4-bit scales and minimums.
    Q2_K,
    /// 3 bits in super-blocks with 6-bit scales.
    Q3_K,
    /// 4 bits in super-blocks with 6-bit scales and minimums.
    Q4_K,
    /// 5 bits in super-blocks with 6-bit scales and minimums.
    Q5_K,
    /// 6 bits in super-blocks with 8-bit scales.
    Q6_K,
    /// 8 bits in super-blocks with one f32 scale.
    Q8_K,
}

/// A GGML type number that barre has no kernel for.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat(pub u32);

impl WeightFormat {
    /// Every format, in the order of the enumeration: `ALL[f as usize] == f`.
    pub const ALL: [Self; 14] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::Q8_K,
    ];

    /// The format of a GGML type number as it stands in a tensor's info.
    ///
    /// # Errors
    /// [`UnknownFormat`] for a number that is not one of [`ALL`](Self::ALL).
    pub const fn from_ggml(number: u32) -> Result<Self, UnknownFormat> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            15 => Self::Q8_K,
            30 => Self::BF16,
            _ => return Err(UnknownFormat(number)),
        })
    }

    /// The GGML type number.
    #[must_use]
    pub const fn to_ggml(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2_K => 10,
            Self::Q3_K => 11,
            Self::Q4_K => 12,
            Self::Q5_K => 13,
            Self::Q6_K => 14,
            Self::Q8_K => 15,
            Self::BF16 => 30,
        }
    }

    /// The feature of this crate that brings matrices in the format: the kernels, and the conversions, which the
    /// float formats have without it.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q2_K => "q2_k",
            Self::Q3_K => "q3_k",
            Self::Q4_K => "q4_k",
            Self::Q5_K => "q5_k",
            Self::Q6_K => "q6_k",
            Self::Q8_K => "q8_k",
        }
    }

    /// Whether this build multiplies matrices in the format: its [`feature`](Self::feature) is on.
    #[must_use]
    pub const fn is_compiled(self) -> bool {
        match self {
            Self::F32 => cfg!(feature = "f32"),
            Self::F16 => cfg!(feature = "f16"),
            Self::BF16 => cfg!(feature = "bf16"),
            Self::Q4_0 => cfg!(feature = "q4_0"),
            Self::Q4_1 => cfg!(feature = "q4_1"),
            Self::Q5_0 => cfg!(feature = "q5_0"),
            Self::Q5_1 => cfg!(feature = "q5_1"),
            Self::Q8_0 => cfg!(feature = "q8_0"),
            Self::Q2_K => cfg!(feature = "q2_k"),
            Self::Q3_K => cfg!(feature = "q3_k"),
            Self::Q4_K => cfg!(feature = "q4_k"),
            Self::Q5_K => cfg!(feature = "q5_k"),
            Self::Q6_K => cfg!(feature = "q6_k"),
            Self::Q8_K => cfg!(feature = "q8_k"),
        }
    }

    /// Weights in a block: 1, 32 or 256.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => BLOCK_LEN,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::Q8_K => SUPER_BLOCK_LEN,
        }
    }

    /// Bytes in a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::Q8_K => 292,
        }
    }

    /// Bytes of a row of `k` weights; `None` if `k` is not a whole number of blocks or the size overflows.
    #[must_use]
    pub const fn row_bytes(self, k: usize) -> Option<usize> {
        if !k.is_multiple_of(self.block_len()) {
            return None;
        }
        (k / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The field's name, as in `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::Q8_K => "Q8_K",
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GGML type {} is not a format that barre computes with", self.0)
    }
}

impl core::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_and_names_agree() {
        for (i, f) in WeightFormat::ALL.into_iter().enumerate() {
            assert_eq!(f as usize, i);
            assert_eq!(WeightFormat::from_ggml(f.to_ggml()), Ok(f));
        }
        assert_eq!(WeightFormat::from_ggml(4), Err(UnknownFormat(4)));
    }
}
