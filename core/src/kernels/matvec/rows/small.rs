//! Blocks of 32 weights, eight rows at a time.

use super::{join, load, opaque, reduce};
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
    const OFFSET: i32 = 0;
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
    Q4_0, 18, { const OFFSET: i32 = 8; }, |block| nibbles(block.add(2)).map(|x| vreinterpretq_s8_u8(x))
}
small! {
    /// 4-bit weights and a minimum: `d`, `m`, `qs[16]`.
    Q4_1, 20, { const MIN: bool = true; }, |block| nibbles(block.add(4)).map(|x| vreinterpretq_s8_u8(x))
}
small! {
    /// 5-bit weights less 16: `d`, `qh[4]`, `qs[16]`.
    Q5_0, 22, { const OFFSET: i32 = 16; }, |block| five_bits(block.add(2), block.add(6))
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
    unsafe fn floats<F: Small>(&self) -> [[float32x4_t; 2]; 2] {
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

/// What four blocks of the activations have beside their digits.
struct Four<const P: usize> {
    column: usize,
    /// Sums of digits.
    sums: [int32x4_t; P],
    d: float32x4_t,
}

impl<const P: usize> Four<P> {
    /// That of blocks `column .. column + 4`, of which those past the end are the first ones again.
    ///
    /// # Safety
    /// `act` has a block `column`, in blocks of 32, and the CPU has Advanced SIMD.
    #[inline(always)]
    unsafe fn new(act: &ActToken<'_>, column: usize) -> Self {
        const { assert!(WRAP >= 4) };
        // SAFETY: `WRAP` more scales, and as many more sums of each plane, follow those of the last block.
        unsafe {
            let sums = |plane| {
                let sums = vld1_s16(act.sums.as_ptr().add(plane * act.d.len() + column));
                opaque(vmovl_s16(sums))
            };
            Self { column, sums: core::array::from_fn(sums), d: vld1q_f32(act.d.as_ptr().add(column)) }
        }
    }
}

/// Eight rows on their way.
struct Rows<const P: usize> {
    /// Each row's next block.
    next: [*const u8; ROWS],
    /// Partial sums of products from the first block on.
    run: [[int32x4_t; P]; ROWS],
    /// Their totals before the block.
    before: [[int32x4_t; 2]; P],
    /// Scales and minimums of the block.
    heads: Heads,
    /// The results so far.
    sum: [float32x4_t; 2],
}

impl<const P: usize> Rows<P> {
    /// The next block of each row, which meets activation block `four.column + C`.
    ///
    /// # Safety
    /// There are such blocks, `act` has the form and length of the rows, and the CPU has Advanced SIMD.
    #[inline(always)]
    unsafe fn step<D: Dots, F: Small, const C: i32>(&mut self, isa: D, act: &ActToken<'_>, four: &Four<P>) {
        let column = four.column + C as usize;
        // SAFETY: the caller's.
        unsafe {
            let y: [Bytes32; P] =
                core::array::from_fn(|plane| load(act.q.as_ptr().add(plane * act.k + 32 * column).cast()));
            macro_rules! rows {
                ($($row:literal)*) => {
                    $(
                        self.heads.take::<F, $row>(&mut self.next[$row]);
                        let w = F::weights(self.next[$row].sub(F::BYTES));
                        for (plane, (run, y)) in self.run[$row].iter_mut().zip(y).enumerate() {
                            *run = dot::<D, F>(isa, plane, *run, w, y);
                        }
                    )*
                };
            }
            rows!(0 1 2 3 4 5 6 7);
            let mut isum = [vdupq_n_f32(0.0); 2];
            let mut ysum = isum;
            for plane in 0..P {
                for half in 0..2 {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|r| self.run[4 * half + r][plane]);
                    let total = reduce(a, b, c, d);
                    let mut x = vsubq_s32(total, self.before[plane][half]);
                    self.before[plane][half] = total;
                    if F::OFFSET != 0 {
                        x = vmlsq_laneq_s32::<C>(x, vdupq_n_s32(F::OFFSET), four.sums[plane]);
                    }
                    isum[half] = join(plane, isum[half], x);
                    if F::MIN {
                        ysum[half] = join(plane, ysum[half], vdupq_laneq_s32::<C>(four.sums[plane]));
                    }
                }
            }
            let [scale, min] = self.heads.floats::<F>();
            for half in 0..2 {
                let mut term = vmulq_f32(vmulq_laneq_f32::<C>(scale[half], four.d), isum[half]);
                if F::MIN {
                    term = vaddq_f32(term, vmulq_f32(vmulq_laneq_f32::<C>(min[half], four.d), ysum[half]));
                }
                self.sum[half] = vaddq_f32(self.sum[half], term);
            }
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
) {
    let &ActToken { k, q, sums, d, .. } = act;
    let (blocks, row_bytes) = (k / 32, k / 32 * F::BYTES);
    assert!(k == 32 * blocks && q.len() == P * k && d.len() == blocks + WRAP && sums.len() == P * d.len());
    assert!(weights.len() == out.len() * row_bytes);
    for (out, weights) in out.chunks_mut(ROWS).zip(weights.chunks(ROWS * row_bytes)) {
        // Rows that are not there repeat the last one.
        let count = out.len();
        let next = core::array::from_fn(|r| weights[r.min(count - 1) * row_bytes..].as_ptr());
        // SAFETY: a proof of `Dots` says that there is Advanced SIMD. Each pointer passes over the `blocks` blocks of
        // its row; the activations have the lengths that were checked.
        let all = unsafe {
            let none = vdupq_n_s32(0);
            let mut rows = Rows::<P> {
                next,
                run: [[none; P]; ROWS],
                before: [[none; 2]; P],
                heads: Heads([vdupq_n_u16(0); 2]),
                sum: [vdupq_n_f32(0.0); 2],
            };
            // Four blocks a turn of the loop; three planes are long enough as they are.
            let fours = if P == 1 { blocks / 4 } else { 0 };
            for i in 0..fours {
                let four = Four::new(act, 4 * i);
                rows.step::<D, F, 0>(isa, act, &four);
                rows.step::<D, F, 1>(isa, act, &four);
                rows.step::<D, F, 2>(isa, act, &four);
                rows.step::<D, F, 3>(isa, act, &four);
            }
            for column in 4 * fours..blocks {
                rows.step::<D, F, 0>(isa, act, &Four::new(act, column));
            }
            let mut all = [0.0; ROWS];
            vst1q_f32(all.as_mut_ptr(), rows.sum[0]);
            vst1q_f32(all.as_mut_ptr().add(4), rows.sum[1]);
            all
        };
        out.copy_from_slice(&all[..count]);
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
