//! A super-block of a panel times six tokens, in assembly: twelve registers of sums keep both multipliers busy, whose
//! results take four or five cycles, and twelve more hold the sums of the super-block. The compiler spills some of them.

use super::panel::{Pair, R};
use core::arch::asm;
use core::arch::x86_64::__m512i;

/// Text of one step: loads of both halves of the rows, then each token's digits and products.
#[rustfmt::skip]
macro_rules! step {
    ($step:literal) => {
        concat!(
            "vmovdqu64 zmm12, [{w} + 128 * ", $step, "]\n vmovdqu64 zmm13, [{w} + 128 * ", $step, " + 64]\n",
            step!("t0", $step, 14, 0, 1), step!("t1", $step, 15, 2, 3), step!("t2", $step, 16, 4, 5),
            step!("t3", $step, 17, 6, 7), step!("t4", $step, 14, 8, 9), step!("t5", $step, 15, 10, 11),
        )
    };
    ($t:literal, $step:literal, $q:literal, $p0:literal, $p1:literal) => {
        concat!(
            "vpbroadcastd zmm", $q, ", dword ptr [{", $t, "} + {i} + 4 * ", $step, "]\n",
            "vpdpbusd zmm", $p0, ", zmm12, zmm", $q, "\n vpdpbusd zmm", $p1, ", zmm13, zmm", $q, "\n",
        )
    };
}

/// Text of `part · scale`, added to the sums, for each token and half of the rows.
#[rustfmt::skip]
macro_rules! fold {
    ($($p:literal $scale:literal $sum:literal),*) => {
        concat!($("vpmulld zmm", $p, ", zmm", $p, ", zmm", $scale, "\n vpaddd zmm", $sum, ", zmm", $sum, ", zmm", $p, "\n"),*)
    };
}

/// Text of twelve zeros.
macro_rules! zero {
    ($($r:literal)*) => { concat!($("vpxord xmm", $r, ", xmm", $r, ", xmm", $r, "\n"),*) };
}

/// [`PanelIsa::fold_groups`](crate::simd::panel::PanelIsa::fold_groups) of a super-block and six tokens.
macro_rules! groups6 {
    ($name:ident, $steps:literal: $($step:literal)*) => {
        #[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
        #[inline]
        pub(super) fn $name(w: &[[[u8; 4]; R]; 64], q: [&[[i8; 4]; 64]; 6], scales: &[[i32; R]; 16]) -> [Pair; 6] {
            let (s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51);
            // SAFETY: the function is compiled for the features; the text reads 64 times 128 bytes of weights, 256 bytes of each
            // token, and 128 bytes of scales for each of the 64 / `$steps` groups, of which there are at most 16.
            unsafe {
                asm!(
                    zero!(18 19 20 21 22 23 24 25 26 27 28 29),
                    "2:",
                    zero!(0 1 2 3 4 5 6 7 8 9 10 11),
                    $(step!($step),)*
                    "vmovdqu64 zmm12, [{s}]", "vmovdqu64 zmm13, [{s} + 64]",
                    fold!(0 12 18, 1 13 19, 2 12 20, 3 13 21, 4 12 22, 5 13 23, 6 12 24, 7 13 25, 8 12 26, 9 13 27, 10 12 28, 11 13 29),
                    concat!("add {w}, 128 * ", $steps), "add {s}, 128", concat!("add {i}, 4 * ", $steps),
                    "cmp {i}, 256", "jne 2b",
                    w = inout(reg) w.as_ptr() => _, s = inout(reg) scales.as_ptr() => _, i = inout(reg) 0_usize => _,
                    t0 = in(reg) q[0].as_ptr(), t1 = in(reg) q[1].as_ptr(), t2 = in(reg) q[2].as_ptr(),
                    t3 = in(reg) q[3].as_ptr(), t4 = in(reg) q[4].as_ptr(), t5 = in(reg) q[5].as_ptr(),
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                    out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
                    out("zmm18") s00, out("zmm19") s01, out("zmm20") s10, out("zmm21") s11, out("zmm22") s20, out("zmm23") s21,
                    out("zmm24") s30, out("zmm25") s31, out("zmm26") s40, out("zmm27") s41, out("zmm28") s50, out("zmm29") s51,
                    options(pure, readonly, nostack)
                );
            }
            [[s00, s01], [s10, s11], [s20, s21], [s30, s31], [s40, s41], [s50, s51]]
        }
    };
}
groups6!(groups6_8, 8: 0 1 2 3 4 5 6 7);
groups6!(groups6_4, 4: 0 1 2 3);

/// Text of one pair of [`pairs6_4`] and [`pairs6_8`]: coefficients of both halves of the rows, then each token's pair of sums.
#[rustfmt::skip]
macro_rules! pair {
    ($j:literal) => {
        concat!(
            "vmovdqu64 {c0}, [{c} + 128 * ", $j, "]\n vmovdqu64 {c1}, [{c} + 128 * ", $j, " + 64]\n",
            pair!($j, 0, "q0", "a00", "a01"), pair!($j, 1, "q1", "a10", "a11"), pair!($j, 2, "q0", "a20", "a21"),
            pair!($j, 3, "q1", "a30", "a31"), pair!($j, 4, "q0", "a40", "a41"), pair!($j, 5, "q1", "a50", "a51"),
        )
    };
    ($j:literal, $t:literal, $q:literal, $a0:literal, $a1:literal) => {
        concat!(
            "vpbroadcastd {", $q, "}, dword ptr [{s} + 32 * ", $t, " + 4 * ", $j, "]\n",
            "vpdpwssd {", $a0, "}, {c0}, {", $q, "}\n vpdpwssd {", $a1, "}, {c1}, {", $q, "}\n",
        )
    };
}

/// [`PanelIsa::dot_all_pairs`](crate::simd::panel::PanelIsa::dot_all_pairs) of six tokens.
macro_rules! pairs6 {
    ($name:ident, $pairs:literal: $($j:literal)*) => {
        #[target_feature(enable = "avx512f,avx512vnni")]
        #[inline]
        pub(super) fn $name(acc: [Pair; 6], c: &[[i32; R]; 8], s: &[[i32; 8]; 6]) -> [Pair; 6] {
            let [[mut a00, mut a01], [mut a10, mut a11], [mut a20, mut a21], [mut a30, mut a31], [mut a40, mut a41], [mut a50, mut a51]] = acc;
            let (_c0, _c1, _q0, _q1): (__m512i, __m512i, __m512i, __m512i);
            // SAFETY: the function is compiled for the features; the text reads `$pairs` times 128 bytes of coefficients
            // and as many times 4 bytes of each token's 32.
            unsafe {
                asm!(
                    $(pair!($j),)*
                    c = in(reg) c.as_ptr(), s = in(reg) s.as_ptr(),
                    c0 = out(zmm_reg) _c0, c1 = out(zmm_reg) _c1, q0 = out(zmm_reg) _q0, q1 = out(zmm_reg) _q1,
                    a00 = inout(zmm_reg) a00, a01 = inout(zmm_reg) a01, a10 = inout(zmm_reg) a10, a11 = inout(zmm_reg) a11,
                    a20 = inout(zmm_reg) a20, a21 = inout(zmm_reg) a21, a30 = inout(zmm_reg) a30, a31 = inout(zmm_reg) a31,
                    a40 = inout(zmm_reg) a40, a41 = inout(zmm_reg) a41, a50 = inout(zmm_reg) a50, a51 = inout(zmm_reg) a51,
                    options(pure, readonly, nostack, preserves_flags)
                );
            }
            [[a00, a01], [a10, a11], [a20, a21], [a30, a31], [a40, a41], [a50, a51]]
        }
    };
}
pairs6!(pairs6_4, 4: 0 1 2 3);
pairs6!(pairs6_8, 8: 0 1 2 3 4 5 6 7);
