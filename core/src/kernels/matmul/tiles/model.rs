//! Tiles in plain code: what the instructions are defined to do, for CPUs that lack them.

use super::super::Table;
use super::{Acts, Avx512, OutCols, avx512, entries, k_quants, matmul};
use crate::simd::tiles::{Pairs, Quads, Rows, STEPS, Tiles};

#[derive(Clone, Copy)]
struct Model;

impl Model {
    /// # Safety
    /// None is needed.
    unsafe fn assume(_: Avx512) -> Self {
        Self
    }
}

impl Tiles for Model {
    fn configure(self) {}

    fn release(self) {}

    fn products<const P: usize, const G: usize, const SIGNED: bool>(
        self,
        weights: &[[Rows; P]; STEPS],
        digits: [&[Quads; STEPS]; G],
        to: &mut [[[[i32; 16]; 16]; P]; G],
    ) {
        for (digits, to) in digits.into_iter().zip(to) {
            for (p, to) in to.iter_mut().enumerate() {
                for (r, to) in to.iter_mut().enumerate() {
                    for (t, to) in to.iter_mut().enumerate() {
                        let product = |step: usize, i: usize| {
                            let w = weights[step][p][r][i];
                            let w = if SIGNED && p == 0 { i32::from(w as i8) } else { i32::from(w) };
                            w * i32::from(digits[step][i / 4][t][i % 4])
                        };
                        *to = (0..STEPS).map(|step| (0..64).map(|i| product(step, i)).sum::<i32>()).sum();
                    }
                }
            }
        }
    }

    fn pairs(self, a: &Pairs, b: &Pairs, to: &mut [[f32; 16]; 16]) {
        let halves = |x: u32| [f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000)];
        for (r, to) in to.iter_mut().enumerate() {
            for (t, to) in to.iter_mut().enumerate() {
                *to = 0.0;
                for i in 0..16 {
                    let (a, b) = (halves(a[r][i]), halves(b[i][t]));
                    *to += a[0] * b[0];
                    *to += a[1] * b[1];
                }
            }
        }
    }
}

entries! { Model, 1;
    q2_k: k_quants::Q2K, 84, 1;
    q3_k: k_quants::Q3K, 110, 2;
    q4_k: k_quants::Q4K, 144, 2;
    q5_k: k_quants::Q5K, 176, 2;
    q6_k: k_quants::Q6K, 210, 2;
    q8_k: k_quants::Q8K, 292, 1;
}

/// The kernels with tiles, from the first token on.
pub(in crate::kernels::matmul) const TABLE: Table =
    Table::AVX512.with_tiles([q2_k, q3_k, q4_k, q5_k, q6_k, q8_k]);
