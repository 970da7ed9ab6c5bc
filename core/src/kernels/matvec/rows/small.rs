//! Blocks of 32 weights, eight rows at a time.

use super::{join, load, reduce};
use crate::kernels::{ActToken, WRAP};
use crate::simd::dots::{Bytes32, Dots};
use core::arch::aarch64::*;
use core::arch::asm;

/// Rows that are multiplied together.
const ROWS: usize = 8;

/// A format with blocks of 32 weights behind one or two halves.
pub(super) trait Small {
    /// Bytes of a block.
    const BYTES: usize;
    /// Whether a minimum follows the scale.
    const MIN: bool = false;
    /// How much too large the weights come out.
    const OFFSET: i16 = 0;
    /// Whether weights are any bytes, rather than 0..=63.
    const ANY: bool = false;

    /// A block's weights.
    ///
    /// # Safety
    /// `block` points to a block, and the CPU has Advanced SIMD.
    unsafe fn weights(block: *const u8) -> Bytes32;
}

/// The low nibbles of 16 bytes, and the high ones.
///
/// # Safety
/// `p` points to 16 bytes, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller's; ld1 of bytes needs no alignment.
    unsafe {
        let x = vld1q_u8(p);
        [vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x)]
    }
}

/// Nibbles with a fifth bit out of the four bytes at `bits`.
///
/// # Safety
/// Both point to as many bytes, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn five_bits(bits: *const u8, p: *const u8) -> Bytes32 {
    const SPREAD: [u8; 32] =
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3];
    // SAFETY: the caller's; the constant has the 32 bytes that are loaded.
    unsafe {
        let bits = vreinterpretq_u8_u32(vdupq_n_u32(bits.cast::<u32>().read_unaligned().to_le()));
        let own = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
        let fifth = |spread: *const u8| {
            let here = vtstq_u8(vqtbl1q_u8(bits, vld1q_u8(spread)), own);
            vandq_u8(here, vdupq_n_u8(16))
        };
        let [a, b] = nibbles(p);
        let (low, high) = (fifth(SPREAD.as_ptr()), fifth(SPREAD.as_ptr().add(16)));
        [vreinterpretq_s8_u8(vorrq_u8(a, low)), vreinterpretq_s8_u8(vorrq_u8(b, high))]
    }
}

macro_rules! small {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, { $($item:tt)* }, |$block:ident| $weights:expr) => {
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "the field's own names")]
        pub(super) struct $name;

        impl Small for $name {
            const BYTES: usize = $bytes;
            $($item)*

            #[inline(always)]
            unsafe fn weights($block: *const u8) -> Bytes32 {
                // SAFETY: the caller's; what is read lies in the block.
                unsafe { $weights }
            }
        }
    };
}

small! {
    /// 4-bit weights less 8: `d`, `qs[16]`.
    Q4_0, 18, { const OFFSET: i16 = 8; }, |block| nibbles(block.add(2)).map(|x| vreinterpretq_s8_u8(x))
}
small! {
    /// 4-bit weights and a minimum: `d`, `m`, `qs[16]`.
    Q4_1, 20, { const MIN: bool = true; }, |block| nibbles(block.add(4)).map(|x| vreinterpretq_s8_u8(x))
}
small! {
    /// 5-bit weights less 16: `d`, `qh[4]`, `qs[16]`.
    Q5_0, 22, { const OFFSET: i16 = 16; }, |block| five_bits(block.add(2), block.add(6))
}
small! {
    /// 5-bit weights and a minimum: `d`, `m`, `qh[4]`, `qs[16]`.
    Q5_1, 24, { const MIN: bool = true; }, |block| five_bits(block.add(4), block.add(8))
}
small! {
    /// 8-bit weights: `d`, `qs[32]`.
    Q8_0, 34, { const ANY: bool = true; }, |block| load(block.add(2))
}

/// The scales of eight rows' blocks, and their minimums.
struct Heads([uint16x8_t; 2]);

impl Heads {
    /// Puts row `ROW`'s, at `*p`, into its place, and moves `*p` on to the next block: one instruction.
    ///
    /// # Safety
    /// `*p` points to a block of `F`, and the CPU has Advanced SIMD.
    #[inline(always)]
    unsafe fn take<F: Small, const ROW: usize>(&mut self, p: &mut *const u8) {
        // SAFETY: the caller's: a block starts with its half or two; only these registers change.
        unsafe {
            if F::MIN {
                asm!(
                    "ld1 {{{head:v}.s}}[{place}], [{p}], {bytes}",
                    head = inout(vreg) self.0[ROW / 4], p = inout(reg) *p, bytes = in(reg) F::BYTES,
                    place = const ROW % 4, options(pure, readonly, nostack, preserves_flags)
                );
            } else {
                asm!(
                    "ld1 {{{head:v}.h}}[{place}], [{p}], {bytes}",
                    head = inout(vreg) self.0[0], p = inout(reg) *p, bytes = in(reg) F::BYTES,
                    place = const ROW, options(pure, readonly, nostack, preserves_flags)
                );
            }
        }
    }

    /// Scales, and minimums if the format has any.
    ///
    /// # Safety
    /// The CPU has Advanced SIMD.
    #[inline(always)]
    unsafe fn floats<F: Small>(self) -> [[float32x4_t; 2]; 2] {
        // SAFETY: the caller's.
        unsafe {
            let wide = |h| {
                let h = vreinterpretq_f16_u16(h);
                [vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)]
            };
            let [a, b] = self.0;
            if F::MIN { [wide(vuzp1q_u16(a, b)), wide(vuzp2q_u16(a, b))] } else { [wide(a); 2] }
        }
    }
}

/// `out[r] = row r · act`, with `P` digit planes.
#[inline(always)]
pub(super) fn rows<D: Dots, F: Small, const P: usize>(
    isa: D,
    weights: &[u8],
    act: &ActToken<'_>,
    out: &mut [f32],
    _: &mut [u8],
) {
    let &ActToken { k, q, sums, d, .. } = act;
    let (blocks, row_bytes) = (k / 32, k / 32 * F::BYTES);
    assert!(k == 32 * blocks && q.len() == P * k && d.len() == blocks + WRAP && sums.len() == P * d.len());
    assert!(weights.len() == out.len() * row_bytes);
    for (out, weights) in out.chunks_mut(ROWS).zip(weights.chunks(ROWS * row_bytes)) {
        // Rows that are not there repeat the last one.
        let count = out.len();
        let mut p: [*const u8; ROWS] =
            core::array::from_fn(|r| weights[r.min(count - 1) * row_bytes..].as_ptr());
        // SAFETY: a proof of `Dots` says that there is Advanced SIMD. Each pointer passes over the `blocks` blocks of
        // its row; the activations have the lengths that were checked, and `column` is below `blocks`.
        let sum = unsafe {
            let none = vdupq_n_s32(0);
            let mut run = [[none; P]; ROWS];
            let mut before = [[none; 2]; P];
            let mut sum = [vdupq_n_f32(0.0); 2];
            for column in 0..blocks {
                let y: [Bytes32; P] =
                    core::array::from_fn(|plane| load(q.as_ptr().add(plane * k + 32 * column).cast()));
                let mut heads = Heads([vdupq_n_u16(0); 2]);
                macro_rules! rows {
                    ($($row:literal)*) => {
                        $(
                            heads.take::<F, $row>(&mut p[$row]);
                            let w = F::weights(p[$row].sub(F::BYTES));
                            for plane in 0..P {
                                run[$row][plane] = dot::<D, F>(isa, plane, run[$row][plane], w, y[plane]);
                            }
                        )*
                    };
                }
                rows!(0 1 2 3 4 5 6 7);
                let mut isum = [vdupq_n_f32(0.0); 2];
                let mut ysum = [vdupq_n_f32(0.0); 2];
                for plane in 0..P {
                    let digits = *sums.get_unchecked(plane * d.len() + column);
                    for half in 0..2 {
                        let [a, b, c, d] = [0, 1, 2, 3].map(|r| run[4 * half + r][plane]);
                        let total = reduce(a, b, c, d);
                        let mut x = vsubq_s32(total, before[plane][half]);
                        before[plane][half] = total;
                        if F::OFFSET != 0 {
                            x = vmlsl_n_s16(x, vdup_n_s16(F::OFFSET), digits);
                        }
                        isum[half] = join(plane, isum[half], x);
                        if F::MIN {
                            ysum[half] = join(plane, ysum[half], vdupq_n_s32(i32::from(digits)));
                        }
                    }
                }
                let (dy, [scale, min]) = (*d.get_unchecked(column), heads.floats::<F>());
                for half in 0..2 {
                    let mut term = vmulq_f32(vmulq_n_f32(scale[half], dy), isum[half]);
                    if F::MIN {
                        term = vaddq_f32(term, vmulq_f32(vmulq_n_f32(min[half], dy), ysum[half]));
                    }
                    sum[half] = vaddq_f32(sum[half], term);
                }
            }
            let mut all = [0.0; ROWS];
            vst1q_f32(all.as_mut_ptr(), sum[0]);
            vst1q_f32(all.as_mut_ptr().add(4), sum[1]);
            all
        };
        out.copy_from_slice(&sum[..count]);
    }
}

/// `run + Σ w·y` with the digits of plane `plane`, of which the first's are never -128.
#[inline(always)]
fn dot<D: Dots, F: Small>(isa: D, plane: usize, run: int32x4_t, w: Bytes32, y: Bytes32) -> int32x4_t {
    if !F::ANY {
        isa.dot32(run, w, y)
    } else if plane == 0 {
        isa.dot16(isa.dot16(run, w[0], y[0]), w[1], y[1])
    } else {
        isa.dot16_any(isa.dot16_any(run, w[0], y[0]), w[1], y[1])
    }
}
