//! A panel times four tokens, in assembly: eight registers of sums, and all of the other eight busy. The compiler orders
//! the same operations so that it spills sums between the products, and computes where tokens lie anew in each step.

use super::panel::{Pair, R};
use core::arch::asm;
use core::arch::x86_64::*;

/// Text of one step of [`fold4`]: loads of both halves of the rows, then each token's digits and products. The first
/// step's products are the part, the others' are added to it.
#[rustfmt::skip]
macro_rules! step {
    (products $step:literal) => { step!(@ $step,
        "vpmaddubsw {p00}, {w0}, {q0}\n vpmaddubsw {p01}, {w1}, {q0}\n",
        "vpmaddubsw {p10}, {w0}, {q1}\n vpmaddubsw {p11}, {w1}, {q1}\n",
        "vpmaddubsw {p20}, {w0}, {q0}\n vpmaddubsw {p21}, {w1}, {q0}\n",
        "vpmaddubsw {p30}, {w0}, {q1}\n vpmaddubsw {p31}, {w1}, {q1}\n"
    ) };
    (sums $step:literal) => { step!(@ $step,
        "vpmaddubsw {a0}, {w0}, {q0}\n vpmaddubsw {a1}, {w1}, {q0}\n vpaddw {p00}, {p00}, {a0}\n vpaddw {p01}, {p01}, {a1}\n",
        "vpmaddubsw {b0}, {w0}, {q1}\n vpmaddubsw {b1}, {w1}, {q1}\n vpaddw {p10}, {p10}, {b0}\n vpaddw {p11}, {p11}, {b1}\n",
        "vpmaddubsw {a0}, {w0}, {q0}\n vpmaddubsw {a1}, {w1}, {q0}\n vpaddw {p20}, {p20}, {a0}\n vpaddw {p21}, {p21}, {a1}\n",
        "vpmaddubsw {b0}, {w0}, {q1}\n vpmaddubsw {b1}, {w1}, {q1}\n vpaddw {p30}, {p30}, {b0}\n vpaddw {p31}, {p31}, {b1}\n"
    ) };
    (@ $step:literal, $t0:literal, $t1:literal, $t2:literal, $t3:literal) => {
        concat!(
            "vmovdqu {w0}, [{w} + 64 * ", $step, "]\n vmovdqu {w1}, [{w} + 64 * ", $step, " + 32]\n",
            "vpbroadcastd {q0}, dword ptr [{t0} + 4 * ", $step, "]\n", $t0,
            "vpbroadcastd {q1}, dword ptr [{t1} + 4 * ", $step, "]\n", $t1,
            "vpbroadcastd {q0}, dword ptr [{t2} + 4 * ", $step, "]\n", $t2,
            "vpbroadcastd {q1}, dword ptr [{t3} + 4 * ", $step, "]\n", $t3,
        )
    };
}

/// One token's part times the scales, added to its sums.
#[rustfmt::skip]
macro_rules! fold {
    ($token:literal) => {
        concat!(
            "vpmaddwd {p", $token, "0}, {p", $token, "0}, [{s}]\n vpmaddwd {p", $token, "1}, {p", $token, "1}, [{s} + 32]\n",
            "vpaddd {p", $token, "0}, {p", $token, "0}, [{i} + 64 * ", $token, "]\n",
            "vpaddd {p", $token, "1}, {p", $token, "1}, [{i} + 64 * ", $token, " + 32]\n",
            "vmovdqu [{i} + 64 * ", $token, "], {p", $token, "0}\n vmovdqu [{i} + 64 * ", $token, " + 32], {p", $token, "1}\n",
        )
    };
}

/// [`PanelIsa::fold_dots`](crate::simd::panel::PanelIsa::fold_dots) of four tokens. The sums of the block stay in memory,
/// touched once a part.
macro_rules! fold4 {
    ($name:ident, $steps:literal: $($step:literal)*) => {
        #[target_feature(enable = "avx2")]
        #[inline]
        pub(super) fn $name(isum: &mut [Pair; 4], w: &[[[u8; 4]; R]; $steps], q: [&[[i8; 4]; $steps]; 4], scale: &[i32; R]) {
            // SAFETY: the function is compiled for the feature; the text reads `$steps` times 64 bytes of weights, as many
            // times 4 bytes of each token, 64 bytes of scales, and replaces the 256 bytes of sums.
            unsafe {
                asm!(
                    step!(products 0),
                    $(step!(sums $step),)*
                    fold!(0), fold!(1), fold!(2), fold!(3),
                    w = in(reg) w.as_ptr(), s = in(reg) scale.as_ptr(), i = in(reg) isum.as_mut_ptr(),
                    t0 = in(reg) q[0].as_ptr(), t1 = in(reg) q[1].as_ptr(), t2 = in(reg) q[2].as_ptr(), t3 = in(reg) q[3].as_ptr(),
                    w0 = out(ymm_reg) _, w1 = out(ymm_reg) _, q0 = out(ymm_reg) _, q1 = out(ymm_reg) _,
                    a0 = out(ymm_reg) _, a1 = out(ymm_reg) _, b0 = out(ymm_reg) _, b1 = out(ymm_reg) _,
                    p00 = out(ymm_reg) _, p01 = out(ymm_reg) _, p10 = out(ymm_reg) _, p11 = out(ymm_reg) _,
                    p20 = out(ymm_reg) _, p21 = out(ymm_reg) _, p30 = out(ymm_reg) _, p31 = out(ymm_reg) _,
                    options(nostack, preserves_flags)
                );
            }
        }
    };
}
fold4!(fold4_8, 8: 1 2 3 4 5 6 7);
fold4!(fold4_4, 4: 1 2 3);

/// Text of one step of [`wide4`]: magnitudes and signs of the rows' halves, then each token's digits, complemented
/// where the weight is negative, and products.
#[rustfmt::skip]
macro_rules! wide_step {
    ($step:literal) => {
        concat!(
            "vmovdqu {w0}, [{w} + 64 * ", $step, "]\n vmovdqu {w1}, [{w} + 64 * ", $step, " + 32]\n",
            "vpcmpgtb {n0}, {zero}, {w0}\n vpcmpgtb {n1}, {zero}, {w1}\n vpabsb {w0}, {w0}\n vpabsb {w1}, {w1}\n",
            wide_step!("t0", "p00", "p01", $step), wide_step!("t1", "p10", "p11", $step),
            wide_step!("t2", "p20", "p21", $step), wide_step!("t3", "p30", "p31", $step),
        )
    };
    ($t:literal, $p0:literal, $p1:literal, $step:literal) => {
        concat!(
            "vpbroadcastd {a}, dword ptr [{", $t, "} + 4 * ", $step, "]\n",
            "vpxor {b}, {a}, {n0}\n vpxor {a}, {a}, {n1}\n",
            "vpmaddubsw {b}, {w0}, {b}\n vpmaddubsw {a}, {w1}, {a}\n",
            "vpmaddwd {b}, {b}, {one}\n vpmaddwd {a}, {a}, {one}\n",
            "vpaddd {", $p0, "}, {", $p0, "}, {b}\n vpaddd {", $p1, "}, {", $p1, "}, {a}\n",
        )
    };
}

/// [`PanelIsa::wide_dots`](crate::simd::panel::PanelIsa::wide_dots) of four tokens, in all sixteen registers.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn wide4(part: [Pair; 4], w: &[[[u8; 4]; R]; 8], q: [&[[i8; 4]; 8]; 4]) -> [Pair; 4] {
    let [[mut p00, mut p01], [mut p10, mut p11], [mut p20, mut p21], [mut p30, mut p31]] = part;
    // SAFETY: the function is compiled for the feature; the text reads 8 times 64 bytes of weights and 8 times 4 bytes of
    // each token.
    unsafe {
        asm!(
            wide_step!(0), wide_step!(1), wide_step!(2), wide_step!(3),
            wide_step!(4), wide_step!(5), wide_step!(6), wide_step!(7),
            w = in(reg) w.as_ptr(),
            t0 = in(reg) q[0].as_ptr(), t1 = in(reg) q[1].as_ptr(), t2 = in(reg) q[2].as_ptr(), t3 = in(reg) q[3].as_ptr(),
            zero = in(ymm_reg) _mm256_setzero_si256(), one = in(ymm_reg) _mm256_set1_epi16(1),
            w0 = out(ymm_reg) _, w1 = out(ymm_reg) _, n0 = out(ymm_reg) _, n1 = out(ymm_reg) _,
            a = out(ymm_reg) _, b = out(ymm_reg) _,
            p00 = inout(ymm_reg) p00, p01 = inout(ymm_reg) p01, p10 = inout(ymm_reg) p10, p11 = inout(ymm_reg) p11,
            p20 = inout(ymm_reg) p20, p21 = inout(ymm_reg) p21, p30 = inout(ymm_reg) p30, p31 = inout(ymm_reg) p31,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [[p00, p01], [p10, p11], [p20, p21], [p30, p31]]
}
