//! Super-blocks of 256 weights, four rows at a time.

use super::{join, load, opaque, reduce};
use crate::kernels::{ActToken, WRAP};
use crate::simd::dots::{Bytes32, Dots};
use core::arch::aarch64::*;
use core::arch::asm;

/// Rows that are multiplied together.
const ROWS: usize = 4;

/// How a format's weights share integer scales.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Groups {
    /// Not at all.
    None,
    /// 16 weights a scale.
    Of16,
    /// 32 weights a scale.
    Of32,
}

/// A block's floats.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Floats {
    /// `d`, a half.
    Half,
    /// `d` and `dmin`, halves.
    TwoHalves,
    /// `d`, a single.
    Single,
}

/// A block's integer scales in order, and its minimums; the second eight of those in groups of 16 only.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    scale: [int16x8_t; 2],
    min: [int16x8_t; 2],
}

/// A format with super-blocks.
///
/// # Safety
/// Its functions read nothing outside the block.
pub(super) unsafe trait Super {
    /// Bytes of a block.
    const BYTES: usize;
    /// Which weights share a scale.
    const GROUPS: Groups;
    /// Which floats there are, and where.
    const FLOATS: (Floats, usize);
    /// How much too large the weights come out.
    const OFFSET: i32 = 0;
    /// By how many bits the weights, offset undone, come out shifted to the left.
    const SHIFT: i32 = 0;
    /// Whether weights are any bytes, rather than 0..=63.
    const ANY: bool = false;

    /// Whether two rows at a time go through one and the same code: where nothing but the sums is left of them, that saves
    /// registers, and a sixteenth of the instructions.
    const IN_PAIRS: bool = false;

    /// Scales and minimums.
    ///
    /// # Safety
    /// `block` points to a block, and the CPU has Advanced SIMD.
    unsafe fn scales(block: *const u8) -> Scales;
    /// Weights `128·H .. 128·H + 128`.
    ///
    /// # Safety
    /// As of [`scales`](Self::scales).
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4];
}

/// 32 bytes at any address.
///
/// # Safety
/// They are readable, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn load_unsigned(p: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller's.
    unsafe { load(p).map(|x| vreinterpretq_u8_s8(x)) }
}

/// A pair of signed registers, register `$i` of them `$y`.
macro_rules! both {
    ($i:ident => $y:expr) => {{
        let f = |$i: usize| vreinterpretq_s8_u8($y);
        [f(0), f(1)]
    }};
}

/// Both halves' low nibbles and high nibbles, of the 64 bytes at `p`.
///
/// # Safety
/// They are readable, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> [[uint8x16_t; 2]; 4] {
    // SAFETY: the caller's.
    unsafe {
        let (a, b, low) = (load_unsigned(p), load_unsigned(p.add(32)), vdupq_n_u8(15));
        [
            a.map(|x| vandq_u8(x, low)),
            a.map(|x| vshrq_n_u8::<4>(x)),
            b.map(|x| vandq_u8(x, low)),
            b.map(|x| vshrq_n_u8::<4>(x)),
        ]
    }
}

/// Scales and minimums of Q4_K and Q5_K, packed in the last 12 of a block's first 16 bytes: the lower six bits of the
/// first four of each lie in bytes of their own, the others' low nibbles together, their upper two bits above the first
/// four's.
///
/// # Safety
/// `block` points to 16 readable bytes, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn six_bit_scales(block: *const u8) -> Scales {
    const LOW: [u8; 16] = [4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
    const SHIFT: [i8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -4, -4, -4, -4];
    const MASK: [u8; 16] = [63, 63, 63, 63, 15, 15, 15, 15, 63, 63, 63, 63, 15, 15, 15, 15];
    const HIGH: [u8; 16] = [255, 255, 255, 255, 4, 5, 6, 7, 255, 255, 255, 255, 8, 9, 10, 11];
    // SAFETY: the caller's; the constants have 16 bytes each.
    unsafe {
        let head = vld1q_u8(block);
        let low = vshlq_u8(vqtbl1q_u8(head, vld1q_u8(LOW.as_ptr())), vld1q_s8(SHIFT.as_ptr()));
        let low = vandq_u8(low, vld1q_u8(MASK.as_ptr()));
        let high = vshrq_n_u8::<2>(vqtbl1q_u8(head, vld1q_u8(HIGH.as_ptr())));
        let all = vorrq_u8(low, vandq_u8(high, vdupq_n_u8(0x30)));
        let scale = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(all)));
        let min = vreinterpretq_s16_u16(vmovl_high_u8(all));
        Scales { scale: [scale; 2], min: [min; 2] }
    }
}

/// In 16 bits each.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn wide(s: int8x16_t) -> [int16x8_t; 2] {
    // SAFETY: the caller's.
    unsafe { [vmovl_s8(vget_low_s8(s)), vmovl_high_s8(s)] }
}

/// 2-bit weights, groups of 16 with 4-bit scales and minimums: `scales[16]`, `qs[64]`, `d`, `dmin`.
pub(super) struct Q2K;

// SAFETY: offsets below 84.
unsafe impl Super for Q2K {
    const BYTES: usize = 84;
    const GROUPS: Groups = Groups::Of16;
    const FLOATS: (Floats, usize) = (Floats::TwoHalves, 80);

    #[inline(always)]
    unsafe fn scales(block: *const u8) -> Scales {
        // SAFETY: the caller's.
        unsafe {
            let x = vld1q_u8(block);
            let scale = vreinterpretq_s8_u8(vandq_u8(x, vdupq_n_u8(15)));
            Scales { scale: wide(scale), min: wide(vreinterpretq_s8_u8(vshrq_n_u8::<4>(x))) }
        }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe { two_bits(block.add(16 + 32 * H)).map(|x| x.map(|x| vreinterpretq_s8_u8(x))) }
    }
}

/// The lowest two bits of each of 32 bytes, the next two, and so on.
///
/// # Safety
/// The 32 bytes at `p` are readable, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn two_bits(p: *const u8) -> [[uint8x16_t; 2]; 4] {
    // SAFETY: the caller's.
    unsafe {
        let (x, low) = (load_unsigned(p), vdupq_n_u8(3));
        [
            x.map(|x| vandq_u8(x, low)),
            x.map(|x| vandq_u8(vshrq_n_u8::<2>(x), low)),
            x.map(|x| vandq_u8(vshrq_n_u8::<4>(x), low)),
            x.map(|x| vshrq_n_u8::<6>(x)),
        ]
    }
}

/// 3-bit weights less 4, groups of 16 with 6-bit scales less 32: `hmask[32]`, `qs[64]`, `scales[12]`, `d`.
pub(super) struct Q3K;

// SAFETY: offsets below 110.
unsafe impl Super for Q3K {
    const BYTES: usize = 110;
    const GROUPS: Groups = Groups::Of16;
    const FLOATS: (Floats, usize) = (Floats::Half, 108);
    const OFFSET: i32 = 4;

    #[inline(always)]
    unsafe fn scales(block: *const u8) -> Scales {
        const LOW: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7];
        const LOW_SHIFT: [i8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, -4, -4, -4, -4, -4, -4, -4, -4];
        const HIGH: [u8; 16] = [8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11];
        const HIGH_SHIFT: [i8; 16] = [4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0, -2, -2, -2, -2];
        // SAFETY: the caller's; the packed scales end at byte 108, and 16 bytes from 94 on are in the block. The
        // constants have 16 bytes each.
        unsafe {
            let packed = vld1q_u8(block.add(94));
            // Two bytes of others lie before the scales.
            let two = vdupq_n_u8(2);
            let pick = |places: *const u8, shift: *const i8| {
                vshlq_u8(vqtbl1q_u8(packed, vaddq_u8(vld1q_u8(places), two)), vld1q_s8(shift))
            };
            let low = vandq_u8(pick(LOW.as_ptr(), LOW_SHIFT.as_ptr()), vdupq_n_u8(15));
            let high = vandq_u8(pick(HIGH.as_ptr(), HIGH_SHIFT.as_ptr()), vdupq_n_u8(0x30));
            let scale = vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(low, high)), vdupq_n_s8(32));
            Scales { scale: wide(scale), min: [vdupq_n_s16(0); 2] }
        }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe {
            let (low, h, bit) = (two_bits(block.add(32 + 32 * H)), load_unsigned(block), vdupq_n_u8(4));
            let third = |h: [uint8x16_t; 2]| h.map(|h| vandq_u8(h, bit));
            let high = if H == 0 {
                [
                    third(h.map(|h| vshlq_n_u8::<2>(h))),
                    third(h.map(|h| vshlq_n_u8::<1>(h))),
                    third(h),
                    third(h.map(|h| vshrq_n_u8::<1>(h))),
                ]
            } else {
                [
                    third(h.map(|h| vshrq_n_u8::<2>(h))),
                    third(h.map(|h| vshrq_n_u8::<3>(h))),
                    third(h.map(|h| vshrq_n_u8::<4>(h))),
                    third(h.map(|h| vshrq_n_u8::<5>(h))),
                ]
            };
            core::array::from_fn(|i| both!(j => vorrq_u8(low[i][j], high[i][j])))
        }
    }
}

/// 4-bit weights, groups of 32 with 6-bit scales and minimums: `d`, `dmin`, `scales[12]`, `qs[128]`.
pub(super) struct Q4K;

// SAFETY: offsets below 144.
unsafe impl Super for Q4K {
    const BYTES: usize = 144;
    const GROUPS: Groups = Groups::Of32;
    const FLOATS: (Floats, usize) = (Floats::TwoHalves, 0);

    #[inline(always)]
    unsafe fn scales(block: *const u8) -> Scales {
        // SAFETY: the caller's.
        unsafe { six_bit_scales(block) }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe { nibbles(block.add(16 + 64 * H)).map(|x| x.map(|x| vreinterpretq_s8_u8(x))) }
    }
}

/// 5-bit weights, groups of 32 with 6-bit scales and minimums: `d`, `dmin`, `scales[12]`, `qh[32]`, `qs[128]`.
pub(super) struct Q5K;

// SAFETY: offsets below 176.
unsafe impl Super for Q5K {
    const BYTES: usize = 176;
    const GROUPS: Groups = Groups::Of32;
    const FLOATS: (Floats, usize) = (Floats::TwoHalves, 0);

    #[inline(always)]
    unsafe fn scales(block: *const u8) -> Scales {
        // SAFETY: the caller's.
        unsafe { six_bit_scales(block) }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe {
            let (low, h) = (nibbles(block.add(48 + 64 * H)), load_unsigned(block.add(16)));
            let bit = vdupq_n_u8(16);
            let fifth = |h: [uint8x16_t; 2]| h.map(|h| vandq_u8(h, bit));
            let high = if H == 0 {
                [
                    fifth(h.map(|h| vshlq_n_u8::<4>(h))),
                    fifth(h.map(|h| vshlq_n_u8::<3>(h))),
                    fifth(h.map(|h| vshlq_n_u8::<2>(h))),
                    fifth(h.map(|h| vshlq_n_u8::<1>(h))),
                ]
            } else {
                [
                    fifth(h),
                    fifth(h.map(|h| vshrq_n_u8::<1>(h))),
                    fifth(h.map(|h| vshrq_n_u8::<2>(h))),
                    fifth(h.map(|h| vshrq_n_u8::<3>(h))),
                ]
            };
            core::array::from_fn(|i| both!(j => vorrq_u8(low[i][j], high[i][j])))
        }
    }
}

/// 6-bit weights less 32, groups of 16 with 8-bit scales: `ql[128]`, `qh[64]`, `scales[16]`, `d`.
///
/// Six bits at the top of a byte, the uppermost of them flipped, are four times the weight less 32, signed: no offset is
/// left to undo.
pub(super) struct Q6K;

// SAFETY: offsets below 210.
unsafe impl Super for Q6K {
    const BYTES: usize = 210;
    const GROUPS: Groups = Groups::Of16;
    const FLOATS: (Floats, usize) = (Floats::Half, 208);
    const SHIFT: i32 = 2;
    const ANY: bool = true;
    const IN_PAIRS: bool = true;

    #[inline(always)]
    unsafe fn scales(block: *const u8) -> Scales {
        // SAFETY: the caller's.
        unsafe { Scales { scale: wide(vld1q_s8(block.add(192).cast())), min: [vdupq_n_s16(0); 2] } }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (load_unsigned(block.add(64 * H)), load_unsigned(block.add(64 * H + 32)));
            let h = load_unsigned(block.add(128 + 32 * H)).map(|h| veorq_u8(h, vdupq_n_u8(0xaa)));
            let top = vdupq_n_u8(0xf0);
            [
                both!(i => vsliq_n_u8::<6>(vshlq_n_u8::<2>(a[i]), h[i])),
                both!(i => vsliq_n_u8::<6>(vshlq_n_u8::<2>(b[i]), vshrq_n_u8::<2>(h[i]))),
                both!(i => shift_in_2(vshlq_n_u8::<2>(h[i]), vandq_u8(a[i], top))),
                both!(i => shift_in_2(h[i], vandq_u8(b[i], top))),
            ]
        }
    }
}

/// 8-bit weights under one f32 scale: `d`, `qs[256]`, sums that multiplying by digits has no use for.
pub(super) struct Q8K;

// SAFETY: offsets below 260.
unsafe impl Super for Q8K {
    const BYTES: usize = 292;
    const GROUPS: Groups = Groups::None;
    const FLOATS: (Floats, usize) = (Floats::Single, 0);
    const ANY: bool = true;

    #[inline(always)]
    unsafe fn scales(_: *const u8) -> Scales {
        // SAFETY: the caller's.
        unsafe { Scales { scale: [vdupq_n_s16(0); 2], min: [vdupq_n_s16(0); 2] } }
    }

    #[inline(always)]
    unsafe fn half<const H: usize>(block: *const u8) -> [Bytes32; 4] {
        // SAFETY: the caller's.
        unsafe { core::array::from_fn(|i| load(block.add(4 + 128 * H + 32 * i))) }
    }
}

/// Each scale less the next one's, the last less nothing.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn differences<F: Super>(scale: [int16x8_t; 2]) -> [int16x8_t; 2] {
    // SAFETY: the caller's.
    unsafe {
        let (none, [a, b]) = (vdupq_n_s16(0), scale);
        if F::GROUPS == Groups::Of16 {
            [vsubq_s16(a, vextq_s16::<1>(a, b)), vsubq_s16(b, vextq_s16::<1>(b, none))]
        } else {
            [vsubq_s16(a, vextq_s16::<1>(a, none)); 2]
        }
    }
}

/// Partial sums of `Σ x[g]·sums[g]` over a block's groups.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn over_groups<F: Super>(x: [int16x8_t; 2], sums: [int16x8_t; 2]) -> int32x4_t {
    // SAFETY: the caller's.
    unsafe {
        let acc = vmull_s16(vget_low_s16(x[0]), vget_low_s16(sums[0]));
        let acc = vmlal_high_s16(acc, x[0], sums[0]);
        if F::GROUPS != Groups::Of16 {
            return acc;
        }
        vmlal_high_s16(vmlal_s16(acc, vget_low_s16(x[1]), vget_low_s16(sums[1])), x[1], sums[1])
    }
}

/// `p`, through which the optimizer cannot see. It would keep what it has read through `p` before, and run out of
/// registers.
#[inline(always)]
fn opaque_pointer(mut p: *const i8) -> *const i8 {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { asm!("/* {p} */", p = inout(reg) p, options(pure, readonly, nostack, preserves_flags)) };
    p
}

/// `n`, which the optimizer cannot see. It would write out the loop, mix its rounds, and run out of registers.
#[inline(always)]
fn opaque_count(mut n: usize) -> usize {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { asm!("/* {n} */", n = inout(reg) n, options(pure, nomem, nostack, preserves_flags)) };
    n
}

/// The upper two bits of `x`, and the upper six of `y` below them. (The optimizer takes the intrinsic to pieces.)
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn shift_in_2(mut x: uint8x16_t, y: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller's; the instruction reads and writes these registers only.
    unsafe {
        asm!(
            "sri {x:v}.16b, {y:v}.16b, #2",
            x = inout(vreg) x, y = in(vreg) y, options(pure, nomem, nostack, preserves_flags)
        );
    }
    x
}

/// One row's integers on their way, a plane each.
#[derive(Clone, Copy)]
struct Row<const P: usize> {
    run: [int32x4_t; P],
    isum: [int32x4_t; P],
}

/// Adds weights `128·H .. 128·H + 128` of a row times their digits.
///
/// # Safety
/// `block` points to a block of the format, and the CPU has what `D` is proof of.
#[inline(always)]
unsafe fn add_half<D: Dots, F: Super, const P: usize, const H: usize>(
    isa: D,
    row: &mut Row<P>,
    block: *const u8,
    y: &[[Bytes32; 4]; P],
    scale: [int16x8_t; 2],
) {
    // SAFETY: the caller's.
    unsafe {
        let differences = differences::<F>(scale);
        let w = F::half::<H>(block);
        let s = match (F::GROUPS, H) {
            (Groups::Of16, _) => differences[H],
            (_, 0) => differences[0],
            _ => vcombine_s16(vget_high_s16(differences[0]), vget_high_s16(differences[0])),
        };
        let s = [opaque(vmovl_s16(vget_low_s16(s))), opaque(vmovl_high_s16(s))];
        macro_rules! pieces {
            ($($i:literal)*) => {
                $(for p in 0..P {
                    let (w, y, run, isum) = (w[$i], y[p][$i], &mut row.run[p], &mut row.isum[p]);
                    // The top plane's digits are never -128.
                    let dot16 = |run, j: usize| {
                        if F::ANY && p > 0 { isa.dot16_any(run, w[j], y[j]) } else { isa.dot16(run, w[j], y[j]) }
                    };
                    match F::GROUPS {
                        Groups::None => *run = dot16(dot16(*run, 0), 1),
                        Groups::Of32 => {
                            *run = isa.dot32(*run, w, y);
                            *isum = vmlaq_laneq_s32::<{ $i }>(*isum, *run, s[0]);
                        }
                        Groups::Of16 => {
                            *run = dot16(*run, 0);
                            *isum = vmlaq_laneq_s32::<{ $i % 2 * 2 }>(*isum, *run, s[$i / 2]);
                            *run = dot16(*run, 1);
                            *isum = vmlaq_laneq_s32::<{ $i % 2 * 2 + 1 }>(*isum, *run, s[$i / 2]);
                        }
                    }
                })*
            };
        }
        pieces!(0 1 2 3);
    }
}

/// `out[r] = row r · act`, with `P` digit planes.
#[inline(always)]
pub(super) fn rows<D: Dots, F: Super, const P: usize>(
    isa: D,
    weights: &[u8],
    act: &ActToken<'_>,
    out: &mut [f32],
    _: &mut [u8],
) {
    let &ActToken { k, q, sums, d, .. } = act;
    let (blocks, row_bytes) = (k / 256, k / 256 * F::BYTES);
    assert!(k == 256 * blocks && q.len() == P * k && d.len() == blocks + WRAP && sums.len() == P * (k / 16));
    assert!(weights.len() == out.len() * row_bytes);
    for (out, weights) in out.chunks_mut(ROWS).zip(weights.chunks(ROWS * row_bytes)) {
        // Rows that are not there repeat the last one.
        let count = out.len();
        let mut at: [*const u8; ROWS] =
            core::array::from_fn(|r| weights[r.min(count - 1) * row_bytes..].as_ptr());
        // SAFETY: a proof of `Dots` says that there is Advanced SIMD. Each pointer passes over the `blocks` blocks of
        // its row; the activations have the lengths that were checked, and `column` is below `blocks`.
        let all = unsafe {
            let mut sum = vdupq_n_f32(0.0);
            for column in 0..blocks {
                let y = |q: *const i8, plane: usize, half: usize| -> [Bytes32; 4] {
                    let p: *const u8 = q.add(plane * k + 256 * column + 128 * half).cast();
                    [load(p), load(p.add(32)), load(p.add(64)), load(p.add(96))]
                };
                let scales = at.map(|block| F::scales(block));
                let none = vdupq_n_s32(0);
                let mut row = [Row::<P> { run: [none; P], isum: [none; P] }; ROWS];
                macro_rules! half {
                    ($q:expr, $half:literal, $($r:literal)*) => {
                        half!(row, at, scales, $q, $half, $($r)*)
                    };
                    ($row:expr, $at:expr, $scales:expr, $q:expr, $half:literal, $($r:literal)*) => {{
                        let y: [[Bytes32; 4]; P] = core::array::from_fn(|plane| y($q, plane, $half));
                        $(add_half::<D, F, P, $half>(isa, &mut $row[$r], $at[$r], &y, $scales[$r].scale);)*
                    }};
                }
                let mut pairs = [[none; P]; 2];
                if F::IN_PAIRS {
                    const { assert!(!F::IN_PAIRS || F::OFFSET == 0 && matches!(F::FLOATS.0, Floats::Half)) };
                    let mut q = q.as_ptr();
                    for pair in 0..opaque_count(2) {
                        q = opaque_pointer(q);
                        let at = [*at.get_unchecked(2 * pair), *at.get_unchecked(2 * pair + 1)];
                        let scales = at.map(|block| F::scales(block));
                        let mut row = [row[0]; 2];
                        half!(row, at, scales, q, 0, 0 1);
                        half!(row, at, scales, q, 1, 0 1);
                        *pairs.get_unchecked_mut(pair) =
                            core::array::from_fn(|plane| vpaddq_s32(row[0].isum[plane], row[1].isum[plane]));
                    }
                } else if F::GROUPS == Groups::Of16 {
                    // With as many scales the registers have room for two rows at a time.
                    let q = opaque_pointer(q.as_ptr());
                    half!(q, 0, 0 1);
                    half!(q, 1, 0 1);
                    let q = opaque_pointer(q);
                    half!(q, 0, 2 3);
                    half!(q, 1, 2 3);
                } else {
                    half!(q.as_ptr(), 0, 0 1 2 3);
                    half!(q.as_ptr(), 1, 0 1 2 3);
                }
                let (mut isum, mut msum) = (vdupq_n_f32(0.0), vdupq_n_f32(0.0));
                #[expect(clippy::needless_range_loop, reason = "planes index several arrays at once")]
                for plane in 0..P {
                    let p = sums.as_ptr().add(plane * (k / 16) + 16 * column);
                    let ysums = [vld1q_s16(p), vld1q_s16(p.add(8))];
                    let ysums =
                        if F::GROUPS == Groups::Of16 { ysums } else { [vpaddq_s16(ysums[0], ysums[1]); 2] };
                    let row = row
                        .map(|row| if F::GROUPS == Groups::None { row.run[plane] } else { row.isum[plane] });
                    let mut x = if F::IN_PAIRS {
                        vpaddq_s32(pairs[0][plane], pairs[1][plane])
                    } else {
                        reduce(row[0], row[1], row[2], row[3])
                    };
                    if F::OFFSET != 0 {
                        let [a, b, c, d] = scales.map(|s| over_groups::<F>(s.scale, ysums));
                        x = vmlsq_n_s32(x, reduce(a, b, c, d), F::OFFSET);
                    }
                    if F::SHIFT == 2 {
                        // Nothing is lost: each product was four times its value.
                        x = vshrq_n_s32::<2>(x);
                    }
                    isum = join(plane, isum, x);
                    if F::FLOATS.0 == Floats::TwoHalves {
                        let [a, b, c, d] = scales.map(|s| over_groups::<F>(s.min, ysums));
                        msum = join(plane, msum, reduce(a, b, c, d));
                    }
                }
                let dy = *d.get_unchecked(column);
                let [scale, min] = floats::<F>(at);
                let mut term = vmulq_f32(vmulq_n_f32(scale, dy), isum);
                if F::FLOATS.0 == Floats::TwoHalves {
                    term = vsubq_f32(term, vmulq_f32(vmulq_n_f32(min, dy), msum));
                }
                sum = vaddq_f32(sum, term);
                at = at.map(|block| block.wrapping_add(F::BYTES));
            }
            let mut all = [0.0; ROWS];
            vst1q_f32(all.as_mut_ptr(), sum);
            all
        };
        out.copy_from_slice(&all[..count]);
    }
}

/// Scales of four blocks, and the scales of their minimums if the format has any.
///
/// # Safety
/// Each points to a block of the format, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn floats<F: Super>(at: [*const u8; ROWS]) -> [float32x4_t; 2] {
    // SAFETY: the caller's; the floats lie in the blocks.
    unsafe {
        let at = at.map(|block| block.add(F::FLOATS.1));
        match F::FLOATS.0 {
            Floats::Half => {
                let mut d = vdup_n_u16(0);
                d = vset_lane_u16::<0>(at[0].cast::<u16>().read_unaligned(), d);
                d = vset_lane_u16::<1>(at[1].cast::<u16>().read_unaligned(), d);
                d = vset_lane_u16::<2>(at[2].cast::<u16>().read_unaligned(), d);
                d = vset_lane_u16::<3>(at[3].cast::<u16>().read_unaligned(), d);
                [vcvt_f32_f16(vreinterpret_f16_u16(d)); 2]
            }
            Floats::TwoHalves => {
                let d = vreinterpretq_u16_u32(words(at));
                let (d, min) = (vuzp1q_u16(d, d), vuzp2q_u16(d, d));
                let wide = |h| vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(h)));
                [wide(d), wide(min)]
            }
            Floats::Single => [vreinterpretq_f32_u32(words(at)); 2],
        }
    }
}

/// The four bytes at each pointer.
///
/// # Safety
/// They are readable, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn words(at: [*const u8; ROWS]) -> uint32x4_t {
    // SAFETY: the caller's.
    unsafe {
        let mut d = vdupq_n_u32(0);
        d = vsetq_lane_u32::<0>(at[0].cast::<u32>().read_unaligned(), d);
        d = vsetq_lane_u32::<1>(at[1].cast::<u32>().read_unaligned(), d);
        d = vsetq_lane_u32::<2>(at[2].cast::<u32>().read_unaligned(), d);
        vsetq_lane_u32::<3>(at[3].cast::<u32>().read_unaligned(), d)
    }
}
