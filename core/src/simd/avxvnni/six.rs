//! A super-block of a panel times six tokens, in assembly: twelve registers of sums keep both multipliers busy, whose
//! results take four or five cycles. The sums of the super-block stay in memory, touched once a group.

use super::panel::{Pair, R};
use core::arch::asm;
use core::arch::x86_64::_mm256_setzero_si256;

/// Text of one step: loads of both halves of the rows, then each token's digits and products.
#[rustfmt::skip]
macro_rules! step {
    ($step:literal) => {
        concat!(
            "vmovdqu ymm12, [{w} + 64 * ", $step, "]\n vmovdqu ymm13, [{w} + 64 * ", $step, " + 32]\n",
            step!("t0", $step, 14, 0, 1), step!("t1", $step, 15, 2, 3), step!("t2", $step, 14, 4, 5),
            step!("t3", $step, 15, 6, 7), step!("t4", $step, 14, 8, 9), step!("t5", $step, 15, 10, 11),
        )
    };
    ($t:literal, $step:literal, $q:literal, $p0:literal, $p1:literal) => {
        concat!(
            "vpbroadcastd ymm", $q, ", dword ptr [{", $t, "} + {n} + 4 * ", $step, "]\n",
            "{{vex}} vpdpbusd ymm", $p0, ", ymm12, ymm", $q, "\n {{vex}} vpdpbusd ymm", $p1, ", ymm13, ymm", $q, "\n",
        )
    };
}

/// Text of `part · scale`, added to the sums, for each token and half of the rows.
#[rustfmt::skip]
macro_rules! fold {
    ($($p:literal $scale:literal),*) => {
        concat!($(
            "vpmulld ymm", $p, ", ymm", $p, ", ymm", $scale, "\n",
            "vpaddd ymm", $p, ", ymm", $p, ", [{i} + 32 * ", $p, "]\n vmovdqu [{i} + 32 * ", $p, "], ymm", $p, "\n",
        )*)
    };
}

/// Text of zeros.
macro_rules! zero {
    ($($r:literal)*) => { concat!($("vpxor xmm", $r, ", xmm", $r, ", xmm", $r, "\n"),*) };
}

/// [`PanelIsa::fold_groups`](crate::simd::panel::PanelIsa::fold_groups) of a super-block and six tokens.
macro_rules! groups6 {
    ($name:ident, $steps:literal: $($step:literal)*) => {
        #[target_feature(enable = "avxvnni,avx2")]
        #[inline]
        pub(super) fn $name(w: &[[[u8; 4]; R]; 64], q: [&[[i8; 4]; 64]; 6], scales: &[[i32; R]; 16]) -> [Pair; 6] {
            let mut isum = [[_mm256_setzero_si256(); 2]; 6];
            // SAFETY: the function is compiled for the features; the text reads 64 times 64 bytes of weights, 256 bytes of each
            // token, and 64 bytes of scales for each of the 64 / `$steps` groups, of which there are at most 16; it replaces
            // the 384 bytes of sums.
            unsafe {
                asm!(
                    "2:",
                    zero!(0 1 2 3 4 5 6 7 8 9 10 11),
                    $(step!($step),)*
                    "vmovdqu ymm12, [{s}]", "vmovdqu ymm13, [{s} + 32]",
                    fold!(0 12, 1 13, 2 12, 3 13, 4 12, 5 13, 6 12, 7 13, 8 12, 9 13, 10 12, 11 13),
                    concat!("add {w}, 64 * ", $steps), "add {s}, 64", concat!("add {n}, 4 * ", $steps),
                    "cmp {n}, 256", "jne 2b",
                    w = inout(reg) w.as_ptr() => _, s = inout(reg) scales.as_ptr() => _, n = inout(reg) 0_usize => _,
                    i = in(reg) isum.as_mut_ptr(),
                    t0 = in(reg) q[0].as_ptr(), t1 = in(reg) q[1].as_ptr(), t2 = in(reg) q[2].as_ptr(),
                    t3 = in(reg) q[3].as_ptr(), t4 = in(reg) q[4].as_ptr(), t5 = in(reg) q[5].as_ptr(),
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                    out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                    out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                    options(nostack)
                );
            }
            isum
        }
    };
}
groups6!(groups6_8, 8: 0 1 2 3 4 5 6 7);
groups6!(groups6_4, 4: 0 1 2 3);

/// Text of one pair of [`pairs6`]: coefficients of both halves of the rows, then each token's pair of sums.
#[rustfmt::skip]
macro_rules! pair {
    ($j:literal) => {
        concat!(
            "vmovdqu {c0}, [{c} + 64 * ", $j, "]\n vmovdqu {c1}, [{c} + 64 * ", $j, " + 32]\n",
            pair!($j, 0, "q0", "a00", "a01"), pair!($j, 1, "q1", "a10", "a11"), pair!($j, 2, "q0", "a20", "a21"),
            pair!($j, 3, "q1", "a30", "a31"), pair!($j, 4, "q0", "a40", "a41"), pair!($j, 5, "q1", "a50", "a51"),
        )
    };
    ($j:literal, $t:literal, $q:literal, $a0:literal, $a1:literal) => {
        concat!(
            "vpbroadcastd {", $q, "}, dword ptr [{s} + 32 * ", $t, " + 4 * ", $j, "]\n",
            "{{vex}} vpdpwssd {", $a0, "}, {c0}, {", $q, "}\n {{vex}} vpdpwssd {", $a1, "}, {c1}, {", $q, "}\n",
        )
    };
}

/// [`PanelIsa::dot_all_pairs`](crate::simd::panel::PanelIsa::dot_all_pairs) of four pairs and six tokens.
#[target_feature(enable = "avxvnni,avx2")]
#[inline]
pub(super) fn pairs6(acc: [Pair; 6], c: &[[i32; R]; 8], s: &[[i32; 8]; 6]) -> [Pair; 6] {
    let [
        [mut a00, mut a01],
        [mut a10, mut a11],
        [mut a20, mut a21],
        [mut a30, mut a31],
        [mut a40, mut a41],
        [mut a50, mut a51],
    ] = acc;
    // SAFETY: the function is compiled for the features; the text reads 4 times 64 bytes of coefficients and as many times 4
    // bytes of each token's 32.
    unsafe {
        asm!(
            pair!(0), pair!(1), pair!(2), pair!(3),
            c = in(reg) c.as_ptr(), s = in(reg) s.as_ptr(),
            c0 = out(ymm_reg) _, c1 = out(ymm_reg) _, q0 = out(ymm_reg) _, q1 = out(ymm_reg) _,
            a00 = inout(ymm_reg) a00, a01 = inout(ymm_reg) a01, a10 = inout(ymm_reg) a10, a11 = inout(ymm_reg) a11,
            a20 = inout(ymm_reg) a20, a21 = inout(ymm_reg) a21, a30 = inout(ymm_reg) a30, a31 = inout(ymm_reg) a31,
            a40 = inout(ymm_reg) a40, a41 = inout(ymm_reg) a41, a50 = inout(ymm_reg) a50, a51 = inout(ymm_reg) a51,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [[a00, a01], [a10, a11], [a20, a21], [a30, a31], [a40, a41], [a50, a51]]
}
