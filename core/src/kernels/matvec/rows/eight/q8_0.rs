//! Q8_0: two products of 16 bytes a block and row.
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
//! **Scales by the eight.** A block has 34 bytes, so that of four blocks, 136 bytes or 34 lanes, each lane belongs to one
//! block, if digits of 0 stand where the scales are: the row is read without gaps, and the scales lie in registers. The
//! register of 8 bytes that has a scale is the first or the last of a load, and loads overlap so that in the end four pairs'
//! such registers stand side by side: one table look-up gathers the scales of eight rows. The registers where two blocks meet
//! are multiplied twice.

use super::{Eight, ROWS, STEP, small};
use core::arch::aarch64::*;
use core::arch::asm;

/// 1.5·2^23: its bits, and those of its negative.
const EVEN: u32 = 0x4b40_0000;
const ODD: u32 = 0xcb40_0000;

/// What a block's four sums of two rows begin with.
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
pub(in super::super) struct Q8_0;

/// Assembly: the next 32 bytes of rows `$r` and `$s`, to `$a` to `$d`.
#[rustfmt::skip]
macro_rules! load_4 {
    ($r:literal $s:literal: $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld4r {{v", $a, ".2d, v", $b, ".2d, v", $c, ".2d, v", $d, ".2d}}, [{", $r, "}], #32\n",
            "ld4 {{v", $a, ".d, v", $b, ".d, v", $c, ".d, v", $d, ".d}}[1], [{", $s, "}], #32\n",
        )
    };
}

/// Assembly: the next 16 bytes of rows `$r` and `$s`, to `$a` and `$b`, which end one block and begin another.
macro_rules! load_2 {
    ($r:literal $s:literal: $a:literal $b:literal, $x:literal $z:literal) => {
        concat!(
            "ld2r {{v", $a, ".2d, v", $b, ".2d}}, [{", $r, "}], #16\n",
            "ld2 {{v", $a, ".d, v", $b, ".d}}[1], [{", $s, "}], #16\n",
            dot!($x $a "9"), dot!($z $b "10"),
        )
    };
}

/// Assembly: the next four registers of a pair of rows, and their products with the digits in `v7` and on. The sums
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

/// Assembly: four or five registers of digits, for both rows of a pair.
macro_rules! digits {
    (4) => {
        "ld4r {{v7.2d, v8.2d, v9.2d, v10.2d}}, [{y}], #32\n"
    };
    (5) => {
        concat!(digits!(4), "ld1r {{v11.2d}}, [{y}], #8\n")
    };
}

/// Assembly: four pairs of rows; of each the register that is loaded first is left, in `v0` to `v3`.
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

/// Assembly: four pairs of rows; of each the register that is loaded last is left, in `v3` to `v6`.
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
