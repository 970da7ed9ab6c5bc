//! A panel times four tokens, in assembly: eight registers of sums, and all of the other eight busy. The compiler orders
//! the same operations so that it spills sums between the products, and computes where tokens lie anew in each step.

use super::panel::{Pair, R};
use core::arch::asm;
use core::arch::x86_64::*;

/// Text of one step of [`groups4`]: loads of both halves of the rows, then each token's digits and products. The first
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
            "vpbroadcastd {q0}, dword ptr [{t0} + {n} + 4 * ", $step, "]\n", $t0,
            "vpbroadcastd {q1}, dword ptr [{t1} + {n} + 4 * ", $step, "]\n", $t1,
            "vpbroadcastd {q0}, dword ptr [{t2} + {n} + 4 * ", $step, "]\n", $t2,
            "vpbroadcastd {q1}, dword ptr [{t3} + {n} + 4 * ", $step, "]\n", $t3,
        )
    };
}

/// Text of one token's part times the scales, added to its sums.
#[rustfmt::skip]
macro_rules! fold {
    ($token:literal) => {
        concat!(
            "vpmaddwd {p", $token, "0}, {p", $token, "0}, {w0}\n vpmaddwd {p", $token, "1}, {p", $token, "1}, {w1}\n",
            "vpaddd {p", $token, "0}, {p", $token, "0}, [{i} + 64 * ", $token, "]\n",
            "vpaddd {p", $token, "1}, {p", $token, "1}, [{i} + 64 * ", $token, " + 32]\n",
            "vmovdqu [{i} + 64 * ", $token, "], {p", $token, "0}\n vmovdqu [{i} + 64 * ", $token, " + 32], {p", $token, "1}\n",
        )
    };
}

/// Text of a part: its first step, the others, the scales.
#[rustfmt::skip]
macro_rules! part {
    ($first:literal $($step:literal)*) => {
        concat!(
            step!(products $first), $(step!(sums $step),)*
            "vmovdqu {w0}, [{s}]\n vmovdqu {w1}, [{s} + 32]\n",
            fold!(0), fold!(1), fold!(2), fold!(3),
        )
    };
}

/// Text of half a group of four steps, whose parts hold two, and two tokens: a part in `p00` to `p11`, the other in `p20` to
/// `p31`, then both times the scales, added to the tokens' sums.
#[rustfmt::skip]
macro_rules! two_parts {
    ($t0:literal, $t1:literal, $sums:literal) => {
        concat!(
            two_parts!(@ 0, $t0, $t1, "{p00}", "{p01}", "{p10}", "{p11}", ""), two_parts!(+ 1, $t0, $t1, "{p00}", "{p01}", "{p10}", "{p11}"),
            two_parts!(@ 2, $t0, $t1, "{p20}", "{p21}", "{p30}", "{p31}", ""), two_parts!(+ 3, $t0, $t1, "{p20}", "{p21}", "{p30}", "{p31}"),
            "vmovdqu {w0}, [{s}]\n vmovdqu {w1}, [{s} + 32]\n",
            two_parts!(fold "{p00}", "{p20}", "{w0}", $sums, 0), two_parts!(fold "{p01}", "{p21}", "{w1}", $sums, 32),
            two_parts!(fold "{p10}", "{p30}", "{w0}", $sums, 64), two_parts!(fold "{p11}", "{p31}", "{w1}", $sums, 96),
        )
    };
    (+ $step:literal, $t0:literal, $t1:literal, $p0:literal, $p1:literal, $p2:literal, $p3:literal) => {
        two_parts!(@ $step, $t0, $t1, "{a0}", "{a1}", "{b0}", "{b1}", concat!(
            "vpaddw ", $p0, ", ", $p0, ", {a0}\n vpaddw ", $p1, ", ", $p1, ", {a1}\n",
            "vpaddw ", $p2, ", ", $p2, ", {b0}\n vpaddw ", $p3, ", ", $p3, ", {b1}\n",
        ))
    };
    (@ $step:literal, $t0:literal, $t1:literal, $p0:literal, $p1:literal, $p2:literal, $p3:literal, $then:expr) => {
        concat!(
            "vmovdqu {w0}, [{w} + 64 * ", $step, "]\n vmovdqu {w1}, [{w} + 64 * ", $step, " + 32]\n",
            "vpbroadcastd {q0}, dword ptr [{", $t0, "} + {n} + 4 * ", $step, "]\n",
            "vpbroadcastd {q1}, dword ptr [{", $t1, "} + {n} + 4 * ", $step, "]\n",
            "vpmaddubsw ", $p0, ", {w0}, {q0}\n vpmaddubsw ", $p1, ", {w1}, {q0}\n",
            "vpmaddubsw ", $p2, ", {w0}, {q1}\n vpmaddubsw ", $p3, ", {w1}, {q1}\n",
            $then,
        )
    };
    (fold $a:literal, $b:literal, $scale:literal, $sums:literal, $at:literal) => {
        concat!(
            "vpmaddwd ", $a, ", ", $a, ", ", $scale, "\n vpmaddwd ", $b, ", ", $b, ", ", $scale, "\n",
            "vpaddd ", $a, ", ", $a, ", [{i} + ", $sums, " + ", $at, "]\n vpaddd ", $a, ", ", $a, ", ", $b, "\n",
            "vmovdqu [{i} + ", $sums, " + ", $at, "], ", $a, "\n",
        )
    };
}

/// [`PanelIsa::fold_groups`](crate::simd::panel::PanelIsa::fold_groups) of a super-block and four tokens. The sums stay in
/// memory, touched once a part.
macro_rules! groups4 {
    ($name:ident, $steps:literal: $($part:expr),*) => {
        #[target_feature(enable = "avx2")]
        #[inline]
        pub(super) fn $name(w: &[[[u8; 4]; R]; 64], q: [&[[i8; 4]; 64]; 4], scales: &[[i32; R]; 16]) -> [Pair; 4] {
            let mut isum = [[_mm256_setzero_si256(); 2]; 4];
            // SAFETY: the function is compiled for the feature; the text reads 64 times 64 bytes of weights, 256 bytes of each
            // token, and 64 bytes of scales for each of the 64 / `$steps` groups, of which there are at most 16; it replaces
            // the 256 bytes of sums.
            unsafe {
                asm!(
                    "2:",
                    $($part,)*
                    concat!("add {w}, 64 * ", $steps), "add {s}, 64", concat!("add {n}, 4 * ", $steps),
                    "cmp {n}, 256", "jne 2b",
                    w = inout(reg) w.as_ptr() => _, s = inout(reg) scales.as_ptr() => _, n = inout(reg) 0_usize => _,
                    i = in(reg) isum.as_mut_ptr(),
                    t0 = in(reg) q[0].as_ptr(), t1 = in(reg) q[1].as_ptr(), t2 = in(reg) q[2].as_ptr(), t3 = in(reg) q[3].as_ptr(),
                    w0 = out(ymm_reg) _, w1 = out(ymm_reg) _, q0 = out(ymm_reg) _, q1 = out(ymm_reg) _,
                    a0 = out(ymm_reg) _, a1 = out(ymm_reg) _, b0 = out(ymm_reg) _, b1 = out(ymm_reg) _,
                    p00 = out(ymm_reg) _, p01 = out(ymm_reg) _, p10 = out(ymm_reg) _, p11 = out(ymm_reg) _,
                    p20 = out(ymm_reg) _, p21 = out(ymm_reg) _, p30 = out(ymm_reg) _, p31 = out(ymm_reg) _,
                    options(nostack)
                );
            }
            isum
        }
    };
}
groups4!(groups4_8, 8: part!(0 1 2 3 4 5 6 7));
groups4!(groups4_4_twice, 8: part!(0 1 2 3), part!(4 5 6 7));
groups4!(groups4_4, 4: part!(0 1 2 3));
groups4!(groups4_2_twice, 4: two_parts!("t0", "t1", 0), two_parts!("t2", "t3", 128));

/// Text of one pair of [`pairs4`]: coefficients of both halves of the rows, then each token's pair of sums.
#[rustfmt::skip]
macro_rules! pair {
    ($j:literal) => {
        concat!(
            "vmovdqu {c0}, [{c} + 64 * ", $j, "]\n vmovdqu {c1}, [{c} + 64 * ", $j, " + 32]\n",
            pair!($j, 0, "q0", "a00", "a01"), pair!($j, 1, "q1", "a10", "a11"),
            pair!($j, 2, "q0", "a20", "a21"), pair!($j, 3, "q1", "a30", "a31"),
        )
    };
    ($j:literal, $t:literal, $q:literal, $a0:literal, $a1:literal) => {
        concat!(
            "vpbroadcastd {", $q, "}, dword ptr [{s} + 32 * ", $t, " + 4 * ", $j, "]\n",
            "vpmaddwd {x}, {c0}, {", $q, "}\n vpmaddwd {", $q, "}, {c1}, {", $q, "}\n",
            "vpaddd {", $a0, "}, {", $a0, "}, {x}\n vpaddd {", $a1, "}, {", $a1, "}, {", $q, "}\n",
        )
    };
}

/// [`PanelIsa::dot_all_pairs`](crate::simd::panel::PanelIsa::dot_all_pairs) of four pairs and four tokens.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn pairs4(acc: [Pair; 4], c: &[[i32; R]; 8], s: &[[i32; 8]; 4]) -> [Pair; 4] {
    let [[mut a00, mut a01], [mut a10, mut a11], [mut a20, mut a21], [mut a30, mut a31]] = acc;
    // SAFETY: the function is compiled for the feature; the text reads 4 times 64 bytes of coefficients and as many times 4
    // bytes of each token's 32.
    unsafe {
        asm!(
            pair!(0), pair!(1), pair!(2), pair!(3),
            c = in(reg) c.as_ptr(), s = in(reg) s.as_ptr(),
            c0 = out(ymm_reg) _, c1 = out(ymm_reg) _, q0 = out(ymm_reg) _, q1 = out(ymm_reg) _, x = out(ymm_reg) _,
            a00 = inout(ymm_reg) a00, a01 = inout(ymm_reg) a01, a10 = inout(ymm_reg) a10, a11 = inout(ymm_reg) a11,
            a20 = inout(ymm_reg) a20, a21 = inout(ymm_reg) a21, a30 = inout(ymm_reg) a30, a31 = inout(ymm_reg) a31,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [[a00, a01], [a10, a11], [a20, a21], [a30, a31]]
}

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
