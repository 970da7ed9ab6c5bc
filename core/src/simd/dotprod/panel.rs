//! Panels of 8 rows: 4 rows' steps in a register, 4 steps of a token in another.

use super::Dotprod;
use crate::simd::neon::Neon;
use crate::simd::{isa_ops, panel::PanelIsa};
use core::arch::aarch64::*;
use core::arch::asm;

const R: usize = 8;
type Ints = <Neon as PanelIsa<R>>::Ints;
type Floats = <Neon as PanelIsa<R>>::Floats;

/// `acc` and the products of four rows' steps with step `STEP` of a token's four.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot_step<const STEP: usize>(mut acc: int32x4_t, w: int8x16_t, y: int8x16_t) -> int32x4_t {
    // SAFETY: the function is compiled for the feature; the instruction reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {y:v}.4b[{step}]",
            acc = inout(vreg) acc, w = in(vreg) w, y = in(vreg) y, step = const STEP,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// Four steps.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn four<const T: usize>(part: &mut [Ints; T], w: &[[[u8; 4]; R]; 4], y: [int8x16_t; T]) {
    macro_rules! two_steps {
        ($first:literal $second:literal) => {{
            // SAFETY: two steps span 64 bytes; the load needs no alignment.
            let int8x16x4_t(a, b, c, d) = unsafe { vld1q_s8_x4(w[$first].as_ptr().cast()) };
            for (part, y) in part.iter_mut().zip(y) {
                *part = [sdot_step::<$first>(part[0], a, y), sdot_step::<$first>(part[1], b, y)];
                *part = [sdot_step::<$second>(part[0], c, y), sdot_step::<$second>(part[1], d, y)];
            }
        }};
    }
    two_steps!(0 1);
    two_steps!(2 3);
}

/// What [`PanelIsa::parts`] reads.
#[repr(align(64))]
struct Zeros([u8; 64]);
static ZEROS: Zeros = Zeros([0; 64]);

/// Sums of no products. Four registers are cleared by one instruction, if they are loaded: of those that begin a block of 32
/// weights for four tokens, six are saved, a twentieth of the loop.
#[target_feature(enable = "neon")]
#[inline]
pub(crate) fn parts<const T: usize>() -> [Ints; T] {
    let mut parts = [[vdupq_n_s32(0); 2]; T];
    macro_rules! two {
        ($first:literal, $a:tt $b:tt $c:tt $d:tt) => {
            if let Some([x, y]) = parts.get_mut($first..).and_then(|parts| parts.first_chunk_mut()) {
                // SAFETY: the static spans the 64 bytes that are read. (The optimizer would take a load that it knew for
                // what it is.)
                unsafe {
                    asm!(
                        concat!("ld1 {{", $a, ".16b, ", $b, ".16b, ", $c, ".16b, ", $d, ".16b}}, [{}]"),
                        in(reg) ZEROS.0.as_ptr(), out($a) x[0], out($b) x[1], out($c) y[0], out($d) y[1],
                        options(readonly, nostack, preserves_flags)
                    );
                }
            }
        };
    }
    two!(0, "v16" "v17" "v18" "v19");
    two!(2, "v20" "v21" "v22" "v23");
    parts
}

#[target_feature(enable = "neon,dotprod")]
#[inline]
fn dots<const S: usize, const T: usize>(
    mut part: [Ints; T],
    w: &[[[u8; 4]; R]; S],
    q: [&[[i8; 4]; S]; T],
) -> [Ints; T] {
    let q = q.map(|q| q.as_chunks::<4>().0);
    for (i, w) in w.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: each array spans 16 bytes; the loads need no alignment.
        four(&mut part, w, q.map(|q| unsafe { vld1q_s8(q[i].as_ptr().cast()) }));
    }
    part
}

/// What Advanced SIMD has already, for a type that has `neon()`.
macro_rules! panel_as_neon {
    () => {
        $crate::simd::dotprod::panel::panel_as_neon! { @
            fn splat_i32(x: i32) -> Ints;
            fn add_i32(a: Ints, b: Ints) -> Ints;
            fn load_i32(x: &[i32; R]) -> Ints;
            fn dot_pairs(acc: Ints, c: &[i32; R], s: i32) -> Ints;
            fn to_f32(x: Ints) -> Floats;
            fn splat_f32(x: f32) -> Floats;
            fn load_f32(x: &[f32; R]) -> Floats;
            fn store_f32(x: Floats, to: &mut [f32; R]) -> ();
            fn add_f32(a: Floats, b: Floats) -> Floats;
            fn sub_f32(a: Floats, b: Floats) -> Floats;
            fn mul_f32(a: Floats, b: Floats) -> Floats;
            fn pair_sums(sums: &[i16; 16]) -> [i32; 4];
            fn prefetch(at: *const u8) -> ();
            fn weights(w: &[[u8; 4]; R]) -> [int8x16_t; 2];
            fn digits(q: [i8; 4]) -> int8x16_t;
        }
    };
    (@ $(fn $name:ident($($arg:ident: $t:ty),*) -> $r:ty;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $t),*) -> $r {
            PanelIsa::<R>::$name(self.neon(), $($arg),*)
        })*
    };
}
pub(crate) use panel_as_neon;

impl PanelIsa<R> for Dotprod {
    const TOKENS: usize = 4;
    // Products of four are added up in 32 bits at once.
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    const SIGNED: bool = true;
    // 8 registers of integer sums, 8 of floats, 4 of weights and 8 of digits.
    const KEPT_STEPS: usize = 64;
    type Columns = crate::simd::neon::Neon;
    type Weights = [int8x16_t; 2];
    type Digits = int8x16_t;
    type Part = Ints;
    type WidePart = Ints;
    type Ints = Ints;
    type Floats = Floats;

    panel_as_neon!();

    #[inline(always)]
    fn columns(self) -> crate::simd::neon::Neon {
        self.neon()
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        self.neon().transpose(rows, panel, columns);
    }

    #[inline(always)]
    fn dots<const S: usize, const T: usize>(
        self,
        part: [Ints; T],
        w: &[[[u8; 4]; R]; S],
        q: [&[[i8; 4]; S]; T],
    ) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { dots(part, w, q) }
    }

    #[inline(always)]
    fn parts<const T: usize>(self) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { parts() }
    }

    isa_ops! { Dotprod, "neon,dotprod";
        fn part() -> Ints { [vdupq_n_s32(0); 2] }
        fn dot(p: Ints, w: [int8x16_t; 2], q: int8x16_t) -> Ints {
            [sdot_step::<0>(p[0], w[0], q), sdot_step::<0>(p[1], w[1], q)]
        }
        fn fold_scaled(acc: Ints, p: Ints, scale: Ints) -> Ints {
            [vmlaq_s32(acc[0], p[0], scale[0]), vmlaq_s32(acc[1], p[1], scale[1])]
        }
        fn fold(acc: Ints, p: Ints) -> Ints { [vaddq_s32(acc[0], p[0]), vaddq_s32(acc[1], p[1])] }
        fn wide_part() -> Ints { [vdupq_n_s32(0); 2] }
        fn wide_dot(p: Ints, w: [int8x16_t; 2], q: int8x16_t) -> Ints {
            [sdot_step::<0>(p[0], w[0], q), sdot_step::<0>(p[1], w[1], q)]
        }
        fn wide_sum(p: Ints) -> Ints { p }
    }
}
