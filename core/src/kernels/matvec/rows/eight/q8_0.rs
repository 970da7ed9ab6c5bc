//! Q8_0 and Q4_0 where there are dot product instructions: eight rows, and eight or four blocks of each, in one piece of
//! assembly. Two products of 16 bytes a block are what the arithmetic needs; here is what keeps the rest small.
//!
//! **Pairs of rows in a register.** `ld4` and `ld2` put 8 bytes each of several registers into one of their halves, for one
//! instruction a row; so a register has 8 bytes of two rows, and the activations are loaded into both halves. A row's sum
//! lies in two lanes, and one pairwise addition of two registers yields four rows' sums, in order.
//!
//! **Sums that are floats already.** The digits that belong to odd lanes are negated beforehand. Even lanes begin as the bits
//! of 1.5·2^23 and odd ones as those of its negative: while a sum is below 2^22 (it is below 2^19), adding it to the bits
//! adds it to the even float, and subtracts it from the odd one, exactly. So the pairwise addition, of floats, is exact too,
//! drops both constants, and the sum needs no conversion. One load fills the four registers that a block begins with.
//!
//! **Scales by the eight.** A Q8_0 block has 34 bytes, so that of four blocks, 136 bytes or 34 lanes, each lane belongs to one
//! block, if digits of 0 stand where the scales are: the row is read without gaps, and the scales lie in registers. The
//! register of 8 bytes that has a scale is the first or the last of a load, and loads overlap so that in the end four pairs'
//! such registers stand side by side: one table look-up gathers the scales of eight rows. The registers where two blocks meet
//! are multiplied twice. Q4_0's blocks are too short for that to pay: 64 bytes, loaded once more, have four scales, which
//! a look-up gathers.
//!
//! An instruction that loads lanes costs a core some insertions beside the load: fewer than the instructions that it saves.

use super::small;
use crate::kernels::{ActToken, WRAP};
use crate::simd::dotprod::Dotprod;
use crate::simd::dots::Dots;
use core::arch::aarch64::*;
use core::arch::asm;

/// Rows that are multiplied together.
const ROWS: usize = 8;
/// Blocks of a row in a step of the longest.
const STEP: usize = 8;
/// Bytes that a block's digits take at most when they are laid out, with what its sums begin with.
const LAID_OUT: usize = 64;

/// Bytes of scratch for rows of `blocks` blocks.
pub(in crate::kernels) const fn scratch_bytes(blocks: usize) -> usize {
    blocks.saturating_mul(LAID_OUT)
}

/// 1.5·2^23: its bits, and those of its negative.
const EVEN: u32 = 0x4b40_0000;
const ODD: u32 = 0xcb40_0000;

/// What a Q8_0 block's four sums of two rows begin with.
#[repr(align(64))]
struct Begin([[u32; 4]; 4]);
static BEGIN: Begin = Begin([[EVEN, ODD, EVEN, ODD]; 4]);

/// Where in the registers of four pairs of rows scale `i` of four lies, for each row.
const fn scale_places() -> [[u8; 16]; 4] {
    let mut places = [[0; 16]; 4];
    let (mut i, mut r) = (0, 0);
    while i < 4 {
        places[i][2 * r] = (8 * r + 2 * i) as u8;
        places[i][2 * r + 1] = places[i][2 * r] + 1;
        r += 1;
        if r == ROWS {
            (i, r) = (i + 1, 0);
        }
    }
    places
}
static PLACES: [[u8; 16]; 4] = scale_places();

/// Where in 64 bytes of a row of Q4_0 the four scales lie; the other half is for a second row.
const NONE: u8 = 255;
static FOUR_SCALES: [[u8; 16]; 2] = [
    [0, 1, 18, 19, 36, 37, 54, 55, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE],
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0, 1, 18, 19, 36, 37, 54, 55],
];

/// A format that is multiplied here.
pub(super) trait Eight {
    /// The same format, for rows of other lengths.
    type Small: small::Small;
    /// Bytes of a block.
    const BYTES: usize;
    /// Bytes of a block's digits when they are laid out, on average.
    const LAID_OUT: usize;

    /// Lays out the digits of eight blocks, whose sums are `sums`.
    ///
    /// # Safety
    /// The CPU has Advanced SIMD, and `to` points to room for eight times [`LAID_OUT`](Self::LAID_OUT) bytes.
    unsafe fn lay_out(q: &[[i8; 32]; STEP], sums: &[i16; STEP], to: *mut i8);

    /// Each row's sum over `8·steps` blocks.
    ///
    /// # Safety
    /// The CPU has the dot product instructions. Each of `rows` points to `8·steps` blocks, `y` to their digits as
    /// [`lay_out`](Self::lay_out) leaves them, and `d` to as many scales. `steps` is not 0.
    unsafe fn multiply(
        rows: [*const u8; ROWS],
        y: *const i8,
        d: *const f32,
        steps: usize,
    ) -> [float32x4_t; 2];
}

/// `out[r] = row r · act`, with `P` digit planes.
#[inline(always)]
pub(super) fn rows<D: Dots + Into<Dotprod>, F: Eight, const P: usize>(
    isa: D,
    weights: &[u8],
    act: &ActToken<'_>,
    out: &mut [f32],
    scratch: &mut [u8],
) {
    let &ActToken { k, q, sums, d, .. } = act;
    let (blocks, steps) = (k / 32, k / 32 / STEP);
    if P != 1 || steps == 0 || k != 32 * STEP * steps {
        return small::rows::<D, F::Small, P>(isa, weights, act, out, scratch);
    }
    let _proof: Dotprod = isa.into();
    let laid_out = &mut bytemuck::cast_slice_mut::<u8, i8>(scratch)[..blocks * F::LAID_OUT];
    let row_bytes = blocks * F::BYTES;
    assert!(q.len() == k && d.len() == blocks + WRAP && sums.len() == d.len());
    assert!(weights.len() == out.len() * row_bytes);
    let each = q.as_chunks().0.as_chunks().0.iter().zip(sums.as_chunks().0);
    for ((q, sums), to) in each.zip(laid_out.chunks_exact_mut(STEP * F::LAID_OUT)) {
        // SAFETY: a proof of `Dotprod` says that there is Advanced SIMD, too; the piece is as long as eight blocks take.
        unsafe { F::lay_out(q, sums, to.as_mut_ptr()) };
    }
    let (first, count) = (weights.as_ptr(), out.len());
    for r in (0..count).step_by(ROWS) {
        let row = |r: usize| first.wrapping_add(r * row_bytes);
        let rows = if r + ROWS <= count {
            core::array::from_fn(|i| row(r).wrapping_add(i * row_bytes))
        } else {
            // Rows that are not there repeat the last one.
            core::array::from_fn(|i| row((r + i).min(count - 1)))
        };
        // SAFETY: the CPU has the instructions. A row has `8·steps` blocks, and the activations have as many, laid out
        // above, and their scales. The arrays take the two vectors.
        unsafe {
            let [a, b] = F::multiply(rows, laid_out.as_ptr(), d.as_ptr(), steps);
            let store = |to: &mut [f32; ROWS]| {
                vst1q_f32(to.as_mut_ptr(), a);
                vst1q_f32(to.as_mut_ptr().add(4), b);
            };
            let out = out.get_unchecked_mut(r..);
            match out.first_chunk_mut() {
                Some(eight) => store(eight),
                None => {
                    let mut all = [0.0; ROWS];
                    store(&mut all);
                    out.copy_from_slice(&all[..out.len()]);
                }
            }
        }
    }
}

/// `x`, but the digits of odd lanes, which are not -128, are negated.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn negate_odd(x: int8x16_t) -> int8x16_t {
    // SAFETY: the caller's.
    unsafe { vmulq_s8(x, vreinterpretq_s8_u64(vdupq_n_u64(0xffff_ffff_0101_0101))) }
}

/// Assembly: the sums of four pairs of rows, in `$a` to `$d`, begin anew.
macro_rules! begin {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!("ld1 {{v", $a, ".16b, v", $b, ".16b, v", $c, ".16b, v", $d, ".16b}}, [{begin}]\n")
    };
}

/// Assembly: `$sum` and the products of `$w` and `$y`.
macro_rules! dot {
    ($sum:literal $w:literal $y:literal) => {
        concat!("sdot v", $sum, ".4s, v", $w, ".16b, v", $y, ".16b\n")
    };
}

/// Assembly: scale `$i` of four of eight rows, out of the registers `$p` to `$s`, times an activation's scale, to `$low`
/// and `$high`.
#[rustfmt::skip]
macro_rules! scale {
    ($i:literal: $p:literal $q:literal $r:literal $s:literal => $low:literal $high:literal, $dy:literal) => {
        concat!(
            "tbl v", $low, ".16b, {{v", $p, ".16b, v", $q, ".16b, v", $r, ".16b, v", $s, ".16b}}, v", $i, ".16b\n",
            "fcvtl2 v", $high, ".4s, v", $low, ".8h\n",
            "fcvtl v", $low, ".4s, v", $low, ".4h\n",
            "fmul v", $high, ".4s, v", $high, ".4s, v", $dy, "\n",
            "fmul v", $low, ".4s, v", $low, ".4s, v", $dy, "\n",
        )
    };
}

/// Assembly: the sums of a block, in `$a` to `$d`, times the scales in `$low` and `$high`, are added to the rows' sums.
#[rustfmt::skip]
macro_rules! end {
    ($a:literal $b:literal $c:literal $d:literal, $low:literal $high:literal) => {
        concat!(
            "faddp v", $a, ".4s, v", $a, ".4s, v", $b, ".4s\n",
            "faddp v", $c, ".4s, v", $c, ".4s, v", $d, ".4s\n",
            "fmul v", $a, ".4s, v", $a, ".4s, v", $low, ".4s\n",
            "fmul v", $c, ".4s, v", $c, ".4s, v", $high, ".4s\n",
            "fadd v20.4s, v20.4s, v", $a, ".4s\n",
            "fadd v21.4s, v21.4s, v", $c, ".4s\n",
        )
    };
}

/// 8-bit weights: `d`, `qs[32]`.
#[allow(non_camel_case_types, reason = "the field's own name")]
pub(super) struct Q8_0;

/// Assembly of Q8_0: the next 32 bytes of rows `$r` and `$s`, to `$a` to `$d`.
#[rustfmt::skip]
macro_rules! load_4 {
    ($r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld4r {{v", $a, ".2d, v", $b, ".2d, v", $c, ".2d, v", $d, ".2d}}, [{", $r, "}], #32\n",
            "ld4 {{v", $a, ".d, v", $b, ".d, v", $c, ".d, v", $d, ".d}}[1], [{", $s, "}], #32\n",
        )
    };
}

/// Assembly of Q8_0: the next 16 bytes of rows `$r` and `$s`, to `$a` and `$b`, which end one block and begin another.
macro_rules! load_2 {
    ($r:literal $s:literal: $a:literal $b:literal, $x:literal $z:literal) => {
        concat!(
            "ld2r {{v", $a, ".2d, v", $b, ".2d}}, [{", $r, "}], #16\n",
            "ld2 {{v", $a, ".d, v", $b, ".d}}[1], [{", $s, "}], #16\n",
            dot!($x $a "9"), dot!($z $b "10"),
        )
    };
}

/// Assembly of Q8_0: the next four registers of a pair of rows, and their products with the digits in `v7` and on. The sums
/// are `$x` of the present block, `$z` of the one that begins.
macro_rules! pair {
    // All in one block.
    (full $r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $x:literal $z:literal) => {
        concat!(load_4!($r $s: $a $b $c $d), dot!($x $a "7"), dot!($x $b "8"), dot!($x $c "9"), dot!($x $d "10"))
    };
    // The first is in both blocks, the others are in the new one.
    (head $r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $x:literal $z:literal) => {
        concat!(
            load_4!($r $s: $a $b $c $d),
            dot!($x $a "7"), dot!($z $a "8"), dot!($z $b "9"), dot!($z $c "10"), dot!($z $d "11"),
        )
    };
    // The first ends the block, the others are in the new one.
    (turn $r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $x:literal $z:literal) => {
        concat!(load_4!($r $s: $a $b $c $d), dot!($x $a "7"), dot!($z $b "8"), dot!($z $c "9"), dot!($z $d "10"))
    };
    // The last is in both blocks, the others are in the old one.
    (tail $r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $x:literal $z:literal) => {
        concat!(
            load_4!($r $s: $a $b $c $d),
            dot!($x $a "7"), dot!($x $b "8"), dot!($x $c "9"), dot!($x $d "10"), dot!($z $d "11"),
        )
    };
    // The same, and the first one's digits are in `v11`.
    (tail_11 $r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $x:literal $z:literal) => {
        concat!(
            load_4!($r $s: $a $b $c $d),
            dot!($x $a "11"), dot!($x $b "7"), dot!($x $c "8"), dot!($x $d "9"), dot!($z $d "10"),
        )
    };
}

/// Assembly of Q8_0: four or five registers of digits, for both rows of a pair.
macro_rules! digits {
    (4) => {
        "ld4r {{v7.2d, v8.2d, v9.2d, v10.2d}}, [{y}], #32\n"
    };
    (5) => {
        concat!(digits!(4), "ld1r {{v11.2d}}, [{y}], #8\n")
    };
}

/// Assembly of Q8_0: four pairs of rows; of each the register that is loaded first is left, in `v0` to `v3`.
macro_rules! first_left {
    ($kind:ident, $x0:literal $x1:literal $x2:literal $x3:literal, $z0:literal $z1:literal $z2:literal $z3:literal) => {
        concat!(
            pair!($kind "r0" "r1": "0" "1" "2" "3", $x0 $z0),
            pair!($kind "r2" "r3": "1" "2" "3" "4", $x1 $z1),
            pair!($kind "r4" "r5": "2" "3" "4" "5", $x2 $z2),
            pair!($kind "r6" "r7": "3" "4" "5" "6", $x3 $z3),
        )
    };
}

/// Assembly of Q8_0: four pairs of rows; of each the register that is loaded last is left, in `v3` to `v6`.
macro_rules! last_left {
    ($kind:ident, $x0:literal $x1:literal $x2:literal $x3:literal, $z0:literal $z1:literal $z2:literal $z3:literal) => {
        concat!(
            pair!($kind "r6" "r7": "3" "4" "5" "6", $x3 $z3),
            pair!($kind "r4" "r5": "2" "3" "4" "5", $x2 $z2),
            pair!($kind "r2" "r3": "1" "2" "3" "4", $x1 $z1),
            pair!($kind "r0" "r1": "0" "1" "2" "3", $x0 $z0),
        )
    };
}

impl Eight for Q8_0 {
    type Small = small::Q8_0;
    const BYTES: usize = 34;
    /// In eight blocks six have 40 bytes, two have 32.
    const LAID_OUT: usize = 38;

    /// The digits stand where the weights stand in the registers of 8 bytes that have any of the block.
    #[inline(always)]
    unsafe fn lay_out(q: &[[i8; 32]; STEP], _: &[i16; STEP], to: *mut i8) {
        macro_rules! block {
            ($q:expr, $to:expr, $before:literal) => {{
                let (none, x) = (vdupq_n_s8(0), [vld1q_s8($q), vld1q_s8($q.add(16))]);
                vst1q_s8($to, negate_odd(vextq_s8::<{ 16 - $before }>(none, x[0])));
                vst1q_s8($to.add(16), negate_odd(vextq_s8::<{ 16 - $before }>(x[0], x[1])));
                vst1_s8($to.add(32), vget_low_s8(negate_odd(vextq_s8::<{ 16 - $before }>(x[1], none))));
            }};
        }
        for half in 0..2 {
            // SAFETY: the caller's: half of the blocks take 40, 40, 40 and 32 bytes; 32 digits of each are read.
            unsafe {
                let (q, to) = (q.as_ptr().add(4 * half).cast::<i8>(), to.add(152 * half));
                block!(q, to, 2);
                block!(q.add(32), to.add(40), 4);
                block!(q.add(64), to.add(80), 6);
                vst1q_s8(to.add(120), negate_odd(vld1q_s8(q.add(96))));
                vst1q_s8(to.add(136), negate_odd(vld1q_s8(q.add(112))));
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: [*const u8; ROWS],
        y: *const i8,
        d: *const f32,
        steps: usize,
    ) -> [float32x4_t; 2] {
        // SAFETY: a step reads 34 registers of 8 bytes, 272 bytes or eight blocks, of each row, 38 such of digits (those where
        // two blocks meet come twice), and eight scales, as the caller says. Even blocks' sums are in v12 to v15, odd ones'
        // in v16 to v19; their scales in v28, v29 and v30, v31; the rows' sums in v20, v21.
        unsafe {
            let mut sum = [vdupq_n_f32(0.0); 2];
            asm!(
                "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{places}]",
                "2:",
                "ld1 {{v22.4s, v23.4s}}, [{d}], #32",
                concat!(
                    begin!("12" "13" "14" "15"), digits!(4),
                    first_left!(full, "12" "13" "14" "15", "16" "17" "18" "19"),
                    scale!("24": "0" "1" "2" "3" => "28" "29", "22.s[0]"),
                ),
                concat!(
                    begin!("16" "17" "18" "19"), digits!(5),
                    first_left!(head, "12" "13" "14" "15", "16" "17" "18" "19"),
                    end!("12" "13" "14" "15", "28" "29"),
                    scale!("25": "0" "1" "2" "3" => "30" "31", "22.s[1]"),
                ),
                concat!(
                    begin!("12" "13" "14" "15"), digits!(5),
                    first_left!(head, "16" "17" "18" "19", "12" "13" "14" "15"),
                    end!("16" "17" "18" "19", "30" "31"),
                    scale!("26": "0" "1" "2" "3" => "28" "29", "22.s[2]"),
                ),
                concat!(
                    begin!("16" "17" "18" "19"), digits!(4),
                    first_left!(turn, "12" "13" "14" "15", "16" "17" "18" "19"),
                    end!("12" "13" "14" "15", "28" "29"),
                    scale!("27": "0" "1" "2" "3" => "30" "31", "22.s[3]"),
                ),
                concat!(
                    begin!("12" "13" "14" "15"), "ld3r {{v9.2d, v10.2d, v11.2d}}, [{y}], #24\n",
                    load_2!("r6" "r7": "5" "6", "19" "15"),
                    load_2!("r4" "r5": "4" "5", "18" "14"),
                    load_2!("r2" "r3": "3" "4", "17" "13"),
                    load_2!("r0" "r1": "2" "3", "16" "12"),
                    end!("16" "17" "18" "19", "30" "31"),
                    scale!("24": "3" "4" "5" "6" => "28" "29", "23.s[0]"),
                ),
                concat!(
                    begin!("16" "17" "18" "19"), digits!(4),
                    last_left!(tail_11, "12" "13" "14" "15", "16" "17" "18" "19"),
                    end!("12" "13" "14" "15", "28" "29"),
                    scale!("25": "3" "4" "5" "6" => "30" "31", "23.s[1]"),
                ),
                concat!(
                    begin!("12" "13" "14" "15"), digits!(5),
                    last_left!(tail, "16" "17" "18" "19", "12" "13" "14" "15"),
                    end!("16" "17" "18" "19", "30" "31"),
                    scale!("26": "3" "4" "5" "6" => "28" "29", "23.s[2]"),
                ),
                concat!(
                    digits!(4),
                    last_left!(full, "12" "13" "14" "15", "16" "17" "18" "19"),
                    end!("12" "13" "14" "15", "28" "29"),
                    scale!("27": "3" "4" "5" "6" => "30" "31", "23.s[3]"),
                ),
                concat!(
                    begin!("16" "17" "18" "19"), digits!(4),
                    last_left!(full, "16" "17" "18" "19", "12" "13" "14" "15"),
                    end!("16" "17" "18" "19", "30" "31"),
                ),
                "subs {steps}, {steps}, #1",
                "b.ne 2b",
                places = in(reg) PLACES.as_ptr(), begin = in(reg) BEGIN.0.as_ptr(),
                y = inout(reg) y => _, d = inout(reg) d => _, steps = inout(reg) steps => _,
                r0 = inout(reg) rows[0] => _, r1 = inout(reg) rows[1] => _, r2 = inout(reg) rows[2] => _,
                r3 = inout(reg) rows[3] => _, r4 = inout(reg) rows[4] => _, r5 = inout(reg) rows[5] => _,
                r6 = inout(reg) rows[6] => _, r7 = inout(reg) rows[7] => _,
                inout("v20") sum[0], inout("v21") sum[1],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v22") _, out("v23") _,
                out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                out("v31") _,
                options(pure, readonly, nostack)
            );
            sum
        }
    }
}

/// 4-bit weights less 8: `d`, `qs[16]`.
#[allow(non_camel_case_types, reason = "the field's own name")]
pub(super) struct Q4_0;

/// Assembly of Q4_0: the four scales of rows `$r` and `$s`, which point to them, one row's in either half of `$to`.
#[rustfmt::skip]
macro_rules! four_scales {
    ($r:literal $s:literal => $to:literal) => {
        concat!(
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{", $r, "}], {four}\n",
            "tbl v", $to, ".16b, {{v0.16b, v1.16b, v2.16b, v3.16b}}, v22.16b\n",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{", $s, "}], {four}\n",
            "tbx v", $to, ".16b, {{v0.16b, v1.16b, v2.16b, v3.16b}}, v23.16b\n",
        )
    };
}

/// Assembly of Q4_0: the next block of rows `$r` and `$s`, whose sums are in `$sum`.
macro_rules! nibbles {
    ($r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal, $sum:literal) => {
        concat!(
            "ld2r {{v", $a, ".2d, v", $b, ".2d}}, [{", $r, "}], {one}\n",
            "ld2 {{v", $a, ".d, v", $b, ".d}}[1], [{", $s, "}], {one}\n",
            "and v", $c, ".16b, v", $a, ".16b, v19.16b\n",
            "and v", $d, ".16b, v", $b, ".16b, v19.16b\n",
            "ushr v", $a, ".16b, v", $a, ".16b, #4\n",
            "ushr v", $b, ".16b, v", $b, ".16b, #4\n",
            dot!($sum $c "4"), dot!($sum $d "5"), dot!($sum $a "6"), dot!($sum $b "7"),
        )
    };
}

/// Assembly of Q4_0: the next block of eight rows, whose scales are in `$scales`.
macro_rules! block {
    ($scales:literal, $dy:literal) => {
        concat!(
            "ld4r {{v4.2d, v5.2d, v6.2d, v7.2d}}, [{y}], #32\n",
            "ld4r {{v12.2d, v13.2d, v14.2d, v15.2d}}, [{y}], #32\n",
            nibbles!("w0" "w1": "0" "1" "2" "3", "12"),
            nibbles!("w2" "w3": "28" "29" "30" "31", "13"),
            nibbles!("w4" "w5": "0" "1" "2" "3", "14"),
            nibbles!("w6" "w7": "28" "29" "30" "31", "15"),
            "fcvtl2 v16.4s, v", $scales, ".8h\n",
            "fcvtl v17.4s, v", $scales, ".4h\n",
            "fmul v16.4s, v16.4s, v", $dy, "\n",
            "fmul v17.4s, v17.4s, v", $dy, "\n",
            end!("12" "13" "14" "15", "17" "16"),
        )
    };
}

impl Eight for Q4_0 {
    type Small = small::Q4_0;
    const BYTES: usize = 18;
    const LAID_OUT: usize = 64;

    /// After the digits comes what the sums begin with, four times: with the offset of the weights, 8, taken back.
    #[inline(always)]
    unsafe fn lay_out(q: &[[i8; 32]; STEP], sums: &[i16; STEP], to: *mut i8) {
        for (b, (digits, &sum)) in q.iter().zip(sums).enumerate() {
            // SAFETY: the caller's: a block takes 64 bytes; its 32 digits are read.
            unsafe {
                let (from, to) = (digits.as_ptr(), to.add(64 * b));
                vst1q_s8(to, negate_odd(vld1q_s8(from)));
                vst1q_s8(to.add(16), negate_odd(vld1q_s8(from.add(16))));
                let even = EVEN.wrapping_add_signed(-8 * i32::from(sum));
                let two = vreinterpretq_s8_u64(vdupq_n_u64(u64::from(even) | u64::from(ODD) << 32));
                vst1q_s8(to.add(32), two);
                vst1q_s8(to.add(48), two);
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: [*const u8; ROWS],
        y: *const i8,
        d: *const f32,
        steps: usize,
    ) -> [float32x4_t; 2] {
        let weights = rows.map(|row| row.wrapping_add(2));
        // SAFETY: half a step reads four blocks, 72 bytes, of each row: for the scales the first 64 of them, for the weights
        // the last 16 of every 18; of the digits 64 bytes a block; and four scales, as the caller says. The rows' sums are
        // in v20, v21.
        unsafe {
            let mut sum = [vdupq_n_f32(0.0); 2];
            asm!(
                "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{places}]",
                "ld1 {{v22.16b, v23.16b}}, [{four_scales}]",
                "movi v19.16b, #15",
                "2:",
                "ldr q18, [{d}], #16",
                concat!(
                    four_scales!("r0" "r1" => "4"), four_scales!("r2" "r3" => "5"),
                    four_scales!("r4" "r5" => "6"), four_scales!("r6" "r7" => "7"),
                    "tbl v8.16b, {{v4.16b, v5.16b, v6.16b, v7.16b}}, v24.16b\n",
                    "tbl v9.16b, {{v4.16b, v5.16b, v6.16b, v7.16b}}, v25.16b\n",
                    "tbl v10.16b, {{v4.16b, v5.16b, v6.16b, v7.16b}}, v26.16b\n",
                    "tbl v11.16b, {{v4.16b, v5.16b, v6.16b, v7.16b}}, v27.16b\n",
                ),
                block!("8", "18.s[0]"), block!("9", "18.s[1]"), block!("10", "18.s[2]"), block!("11", "18.s[3]"),
                "subs {halves}, {halves}, #1",
                "b.ne 2b",
                places = in(reg) PLACES.as_ptr(), four_scales = in(reg) FOUR_SCALES.as_ptr(),
                one = in(reg) 18usize, four = in(reg) 72usize,
                y = inout(reg) y => _, d = inout(reg) d => _, halves = inout(reg) 2 * steps => _,
                r0 = inout(reg) rows[0] => _, r1 = inout(reg) rows[1] => _, r2 = inout(reg) rows[2] => _,
                r3 = inout(reg) rows[3] => _, r4 = inout(reg) rows[4] => _, r5 = inout(reg) rows[5] => _,
                r6 = inout(reg) rows[6] => _, r7 = inout(reg) rows[7] => _,
                w0 = inout(reg) weights[0] => _, w1 = inout(reg) weights[1] => _, w2 = inout(reg) weights[2] => _,
                w3 = inout(reg) weights[3] => _, w4 = inout(reg) weights[4] => _, w5 = inout(reg) weights[5] => _,
                w6 = inout(reg) weights[6] => _, w7 = inout(reg) weights[7] => _,
                inout("v20") sum[0], inout("v21") sum[1],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v22") _, out("v23") _,
                out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                out("v31") _,
                options(pure, readonly, nostack)
            );
            sum
        }
    }
}
