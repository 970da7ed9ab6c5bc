//! Where the instruction sets of aarch64 differ in multiplying rows: products of 16 or 32 bytes, added to four running
//! sums.

use core::arch::aarch64::int8x16_t;
use core::arch::aarch64::int32x4_t;

/// 32 bytes.
pub(crate) type Bytes32 = [int8x16_t; 2];

/// Products of bytes, in the way of one set of instructions.
///
/// Sums wrap at 32 bits and are never cleared: whoever runs them on takes differences, which are exact.
pub(crate) trait Dots: Copy {
    /// `run + Σ u·y`, `u` in 0..=63, `y` in -128..=127.
    fn dot32(self, run: int32x4_t, u: Bytes32, y: Bytes32) -> int32x4_t;
    /// The same of 16 bytes. Signed `u` in -128..=127 are welcome too, unless both it and `y` may be -128.
    #[cfg(feature = "batch")]
    fn dot16(self, run: int32x4_t, u: int8x16_t, y: int8x16_t) -> int32x4_t;
    /// The same of any bytes.
    fn dot16_any(self, run: int32x4_t, w: int8x16_t, y: int8x16_t) -> int32x4_t;
    /// [`dot32`](Self::dot32) of sums that are 0.
    #[cfg(not(feature = "batch"))]
    fn first32(self, u: Bytes32, y: Bytes32) -> int32x4_t;
    /// The same of 16 bytes.
    #[cfg(not(feature = "batch"))]
    fn first16(self, u: int8x16_t, y: int8x16_t) -> int32x4_t;
}
