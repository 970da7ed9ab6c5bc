//! Q4_0: two products of 16 bytes a block and row, of nibbles that are unpacked from 16.
//!
//! **Rows in lanes.** `ld4` puts 16 bytes of a row into one lane of four registers; so after four rows each register has four
//! bytes of four rows, and one product with four of the activation's digits, which an element names, adds to four rows' sums.
//! Nothing is left to add up across lanes.
//!
//! **Scales on the way.** Two blocks have 36 bytes, nine lanes of four: the row is read without gaps, and each lane belongs
//! to one block. Of the first block's weights, the first two bytes share a lane with its scale, the last two with the next
//! one's; what one instruction puts together of both is a lane of weights like others, and one more takes the scales of eight
//! rows out of what is left.

use super::{Eight, ROWS, STEP, small};
use core::arch::aarch64::*;
use core::arch::asm;

/// 4-bit weights less 8: `d`, `qs[16]`.
#[allow(non_camel_case_types, reason = "the field's own name")]
pub(in super::super) struct Q4_0;

/// Assembly: the next 16 bytes of rows `$r` to `$u`, four in a lane each of `$a` to `$d`. The first load fills all lanes: the
/// registers depend on nothing that was in them.
#[rustfmt::skip]
macro_rules! four_rows {
    ($r:literal $s:literal $t:literal $u:literal => $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld4r {{v", $a, ".4s, v", $b, ".4s, v", $c, ".4s, v", $d, ".4s}}, [{", $r, "}], #16\n",
            "ld4 {{v", $a, ".s, v", $b, ".s, v", $c, ".s, v", $d, ".s}}[1], [{", $s, "}], #16\n",
            "ld4 {{v", $a, ".s, v", $b, ".s, v", $c, ".s, v", $d, ".s}}[2], [{", $t, "}], #16\n",
            "ld4 {{v", $a, ".s, v", $b, ".s, v", $c, ".s, v", $d, ".s}}[3], [{", $u, "}], #16\n",
        )
    };
}

/// Assembly: the next 16 bytes of eight rows, to `v0` to `v7` or to `v8` to `v15`.
macro_rules! words {
    (even) => {
        concat!(four_rows!("r0" "r1" "r2" "r3" => "0" "1" "2" "3"), four_rows!("r4" "r5" "r6" "r7" => "4" "5" "6" "7"))
    };
    (odd) => {
        concat!(
            four_rows!("r0" "r1" "r2" "r3" => "8" "9" "10" "11"),
            four_rows!("r4" "r5" "r6" "r7" => "12" "13" "14" "15"),
        )
    };
}

/// Assembly: a block's digits, to `v18` and `v19`, and what its sums of eight rows begin with, to `v20` and `v21`.
macro_rules! digits {
    () => {
        "ld1 {{v18.16b, v19.16b, v20.16b, v21.16b}}, [{y}], #64\n"
    };
}

/// Assembly: the nibbles of eight rows in `$a` and `$b` times digits `4·$i` and on, the low ones, and `16 + 4·$i` and on.
#[rustfmt::skip]
macro_rules! nibbles {
    ($a:literal $b:literal, $i:literal) => {
        concat!(
            "and v16.16b, v", $a, ".16b, v28.16b\n",
            "and v22.16b, v", $b, ".16b, v28.16b\n",
            "ushr v", $a, ".16b, v", $a, ".16b, #4\n",
            "ushr v", $b, ".16b, v", $b, ".16b, #4\n",
            "sdot v20.4s, v16.16b, v18.4b[", $i, "]\n",
            "sdot v21.4s, v22.16b, v18.4b[", $i, "]\n",
            "sdot v20.4s, v", $a, ".16b, v19.4b[", $i, "]\n",
            "sdot v21.4s, v", $b, ".16b, v19.4b[", $i, "]\n",
        )
    };
}

/// Assembly: an even block's end. Its scale and first bytes are in `$a` and `$b`, its last bytes, and the next block's scale,
/// in `$c` and `$d`.
#[rustfmt::skip]
macro_rules! even_end {
    ($a:literal $b:literal, $c:literal $d:literal, $dy:literal) => {
        concat!(
            "uzp1 v17.8h, v", $a, ".8h, v", $b, ".8h\n",
            "bif v", $a, ".16b, v", $c, ".16b, v29.16b\n",
            "bif v", $b, ".16b, v", $d, ".16b, v29.16b\n",
            nibbles!($a $b, "3"),
            add!($dy),
        )
    };
}

/// Assembly: an odd block's end, whose scale is in `$a` and `$b`.
#[rustfmt::skip]
macro_rules! odd_end {
    ($a:literal $b:literal, $dy:literal) => {
        concat!("uzp2 v17.8h, v", $a, ".8h, v", $b, ".8h\n", add!($dy))
    };
}

/// Assembly: a block's sums times the scales in `v17` and an activation's are added to the rows' sums.
#[rustfmt::skip]
macro_rules! add {
    ($dy:literal) => {
        concat!(
            "fcvtl2 v16.4s, v17.8h\n",
            "fcvtl v17.4s, v17.4h\n",
            "scvtf v20.4s, v20.4s\n",
            "scvtf v21.4s, v21.4s\n",
            "fmul v17.4s, v17.4s, v", $dy, "\n",
            "fmul v16.4s, v16.4s, v", $dy, "\n",
            "fmul v20.4s, v20.4s, v17.4s\n",
            "fmul v21.4s, v21.4s, v16.4s\n",
            "fadd v26.4s, v26.4s, v20.4s\n",
            "fadd v27.4s, v27.4s, v21.4s\n",
        )
    };
}

impl Eight for Q4_0 {
    type Small = small::Q4_0;
    const BYTES: usize = 18;
    const LAID_OUT: usize = 64;

    /// The digits of even blocks begin with the third byte's: the first two come last. After the digits comes what the sums
    /// begin with: the offset of the weights, 8, taken back.
    #[inline(always)]
    unsafe fn lay_out(q: &[[i8; 32]; STEP], sums: &[i16; STEP], to: *mut i8) {
        for (b, (digits, &sum)) in q.iter().zip(sums).enumerate() {
            // SAFETY: the caller's: a block takes 64 bytes; its 32 digits are read.
            unsafe {
                let mut y = [vld1q_s8(digits.as_ptr()), vld1q_s8(digits.as_ptr().add(16))];
                if b % 2 == 0 {
                    y = y.map(|y| vextq_s8::<2>(y, y));
                }
                let begin = vreinterpretq_s8_s32(vdupq_n_s32(-8 * i32::from(sum)));
                vst1q_s8_x4(to.add(64 * b), int8x16x4_t(y[0], y[1], begin, begin));
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
        // SAFETY: a step reads nine times 16 bytes, eight blocks, of each row, 64 bytes of digits a block, and eight scales,
        // as the caller says. The rows' sums are in v26, v27.
        unsafe {
            let mut sum = [vdupq_n_f32(0.0); 2];
            asm!(
                "movi v28.16b, #15",
                "mvni v29.4s, #255",
                "bic v29.4s, #255, lsl #8",
                "2:",
                "ld1 {{v30.4s, v31.4s}}, [{d}], #32",
                concat!(
                    words!(even), digits!(), nibbles!("1" "5", "0"), nibbles!("2" "6", "1"), nibbles!("3" "7", "2"),
                    words!(odd), even_end!("0" "4", "8" "12", "30.s[0]"),
                ),
                concat!(
                    digits!(), nibbles!("9" "13", "0"), nibbles!("10" "14", "1"), nibbles!("11" "15", "2"),
                    words!(even), nibbles!("0" "4", "3"), odd_end!("8" "12", "30.s[1]"),
                ),
                concat!(
                    digits!(), nibbles!("2" "6", "0"), nibbles!("3" "7", "1"),
                    words!(odd), nibbles!("8" "12", "2"), even_end!("1" "5", "9" "13", "30.s[2]"),
                ),
                concat!(
                    digits!(), nibbles!("10" "14", "0"), nibbles!("11" "15", "1"),
                    words!(even), nibbles!("0" "4", "2"), nibbles!("1" "5", "3"), odd_end!("9" "13", "30.s[3]"),
                ),
                concat!(
                    digits!(), nibbles!("3" "7", "0"),
                    words!(odd), nibbles!("8" "12", "1"), nibbles!("9" "13", "2"),
                    even_end!("2" "6", "10" "14", "31.s[0]"),
                ),
                concat!(
                    digits!(), nibbles!("11" "15", "0"),
                    words!(even), nibbles!("0" "4", "1"), nibbles!("1" "5", "2"), nibbles!("2" "6", "3"),
                    odd_end!("10" "14", "31.s[1]"),
                ),
                concat!(
                    digits!(),
                    words!(odd), nibbles!("8" "12", "0"), nibbles!("9" "13", "1"), nibbles!("10" "14", "2"),
                    even_end!("3" "7", "11" "15", "31.s[2]"),
                ),
                concat!(
                    digits!(),
                    words!(even), nibbles!("0" "4", "0"), nibbles!("1" "5", "1"), nibbles!("2" "6", "2"),
                    nibbles!("3" "7", "3"), odd_end!("11" "15", "31.s[3]"),
                ),
                "subs {steps}, {steps}, #1",
                "b.ne 2b",
                y = inout(reg) y => _, d = inout(reg) d => _, steps = inout(reg) steps => _,
                r0 = inout(reg) rows[0] => _, r1 = inout(reg) rows[1] => _, r2 = inout(reg) rows[2] => _,
                r3 = inout(reg) rows[3] => _, r4 = inout(reg) rows[4] => _, r5 = inout(reg) rows[5] => _,
                r6 = inout(reg) rows[6] => _, r7 = inout(reg) rows[7] => _,
                inout("v26") sum[0], inout("v27") sum[1],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                out("v22") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(pure, readonly, nostack)
            );
            sum
        }
    }
}
