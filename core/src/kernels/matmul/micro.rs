//! The inner loops: one panel times a few tokens.

use super::format::{PanelFormat, SIGNED_BYTES, Term};
use super::panel::{Panel, UNIT_STEPS};
use crate::array::map;
use crate::kernels::ActToken;
use crate::simd::panel::PanelIsa;

/// Steps whose products a part can hold: the largest power of two, so that it divides a group's steps.
const fn part_steps(products: usize, max_stored: usize, group_steps: usize) -> usize {
    if products == 0 || max_stored == SIGNED_BYTES {
        return group_steps;
    }
    let fit = i16::MAX as usize / (products * 128 * max_stored);
    let steps = if fit < group_steps { fit } else { group_steps };
    1 << steps.ilog2()
}

/// Adds unit `unit` (of `count` blocks) of the panel's rows times each of `tokens`, of `P` planes, to the tokens'
/// accumulators.
#[inline(always)]
pub(super) fn multiply<I, F, const R: usize, const B: usize, const N: usize, const T: usize, const P: usize>(
    isa: I,
    panel: &Panel<R>,
    unit: usize,
    count: usize,
    tokens: [ActToken<'_>; T],
    tile: &mut [[f32; R]; T],
) where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let (k, sum_count) = (tokens[0].k, tokens[0].sums.len() / P);
    // Where the tokens' next blocks are.
    let first = unit * (UNIT_STEPS / N);
    let block_sums = 4 * N / sum_len(N);
    let mut q_at = map(&tokens, |token| held(token.q.as_ptr().wrapping_add(4 * N * first)));
    let mut sums_at = map(&tokens, |token| held(token.sums.as_ptr().wrapping_add(block_sums * first)));
    let mut d_at = map(&tokens, |token| held(token.d.as_ptr().wrapping_add(first)));
    let keep = N <= I::KEPT_STEPS;
    let mut kept = [isa.splat_f32(0.0); T];
    if keep {
        for (kept, sums) in kept.iter_mut().zip(&*tile) {
            *kept = isa.load_f32(sums);
        }
    }
    for b in 0..count {
        let mut isum = [isa.splat_f32(0.0); T];
        let mut msum = isum;
        for plane in 0..P {
            // SAFETY: a token has the digits of `P` times the blocks of a row, of which the next `count` are left.
            let q: [&[[i8; 4]; N]; T] = map(&q_at, |q| unsafe { &*q.add(plane * k).cast() });
            // Tokens lie far apart, which hardware does not foresee: ask for the next group's digits.
            for q in q {
                let at: *const u8 = q.as_ptr().cast();
                for line in 0..(4 * N).div_ceil(64) {
                    isa.prefetch(at.wrapping_add(T * P * k + 64 * line));
                }
            }
            // SAFETY: and as many sums a block, in as many planes, as the form of the activations has.
            let sums = map(&sums_at, |sums| unsafe {
                core::slice::from_raw_parts(sums.add(sum_count * plane), block_sums)
            });
            let (ints, mins) = sums_of_plane::<I, F, R, B, N, T>(isa, panel, b, q, sums);
            if plane == 0 {
                for t in 0..T {
                    isum[t] = isa.to_f32(ints[t]);
                    msum[t] = isa.to_f32(mins[t]);
                }
            } else {
                let shift = isa.splat_f32(256.0);
                for t in 0..T {
                    isum[t] = isa.add_f32(isa.mul_f32(isum[t], shift), isa.to_f32(ints[t]));
                    msum[t] = isa.add_f32(isa.mul_f32(msum[t], shift), isa.to_f32(mins[t]));
                }
            }
        }
        let (d, m) = (isa.load_f32(&panel.d[b]), isa.load_f32(&panel.m[b]));
        for t in 0..T {
            // SAFETY: a token has a scale for each block of a row.
            let dy = isa.splat_f32(unsafe { *d_at[t] });
            let term = isa.mul_f32(isa.mul_f32(d, dy), isum[t]);
            let term = match F::TERM {
                Term::Scale => term,
                Term::PlusMin => isa.add_f32(term, isa.mul_f32(isa.mul_f32(m, dy), msum[t])),
                Term::MinusMins => isa.sub_f32(term, isa.mul_f32(isa.mul_f32(m, dy), msum[t])),
            };
            if keep {
                kept[t] = isa.add_f32(kept[t], term);
            } else {
                // Between blocks the accumulators live in the tile: the registers are needed for the integer sums.
                isa.store_f32(isa.add_f32(isa.load_f32(&tile[t]), term), &mut tile[t]);
            }
        }
        q_at = map(&q_at, |q| held(q.wrapping_add(4 * N)));
        sums_at = map(&sums_at, |sums| held(sums.wrapping_add(block_sums)));
        d_at = map(&d_at, |d| held(d.wrapping_add(1)));
    }
    if keep {
        for (kept, sums) in kept.into_iter().zip(tile) {
            isa.store_f32(kept, sums);
        }
    }
}

/// `p`, which the optimizer cannot see through where registers are many: it would compute where a token lies anew for
/// each block.
#[inline(always)]
fn held<E>(p: *const E) -> *const E {
    #[cfg(target_arch = "aarch64")]
    {
        let mut p = p;
        // SAFETY: no instruction at all; the register keeps its value.
        unsafe {
            core::arch::asm!("/* {p} */", p = inout(reg) p, options(pure, readonly, nostack, preserves_flags))
        };
        p
    }
    #[cfg(not(target_arch = "aarch64"))]
    p
}

/// Digits that share a sum, in the activations of a format with `4·N` weights a block.
const fn sum_len(n: usize) -> usize {
    if n == UNIT_STEPS { 16 } else { 32 }
}

/// The products of one block with signed weights, scaled by groups if it has scales.
#[inline(always)]
fn signed_sums<I, F, const R: usize, const B: usize, const N: usize, const T: usize>(
    isa: I,
    panel: &Panel<R>,
    w: &[[[u8; 4]; R]; N],
    q: [&[[i8; 4]; N]; T],
) -> [I::Ints; T]
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let mut isum = [isa.splat_i32(0); T];
    if F::GROUP_STEPS == 4 {
        let q = map(&q, |q| q.as_chunks::<4>().0);
        for (g, w) in w.as_chunks::<4>().0.iter().enumerate() {
            let part = isa.dots(isa.parts(), w, map(&q, |q| &q[g]));
            isum = isa.fold_all_scaled(isum, part, &panel.scales[g]);
        }
    } else {
        let mut part = isa.parts();
        let q = map(&q, |q| q.as_chunks::<8>().0);
        for (g, w) in w.as_chunks::<8>().0.iter().enumerate() {
            if F::GROUP_STEPS == 8 && g > 0 {
                part = isa.parts();
            }
            part = isa.dots(part, w, map(&q, |q| &q[g]));
            if F::GROUP_STEPS < N {
                isum = isa.fold_all_scaled(isum, part, &panel.scales[g]);
            }
        }
        if F::GROUP_STEPS == N {
            for t in 0..T {
                isum[t] = isa.fold(isum[t], part[t]);
            }
        }
    }
    isa.settle(isum)
}

/// `acc` and, of each token, the sums of a super-block's groups times `c`.
#[inline(always)]
fn dot_sums<I, F, const R: usize, const B: usize, const N: usize, const T: usize>(
    isa: I,
    acc: [I::Ints; T],
    c: &[[i32; R]; 8],
    sums: [&[i16]; T],
) -> [I::Ints; T]
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let sums = map(&sums, |sums| sums.first_chunk::<16>().expect("a super-block has 16 sums"));
    match F::GROUP_STEPS {
        8 => isa.dot_all_pairs::<4, T>(acc, c, sums),
        _ => isa.dot_all_pairs::<8, T>(acc, c, sums),
    }
}

/// The products of one block with stored weights, in parts of `S` steps, scaled by groups if it has scales.
#[inline(always)]
fn stored_sums<I, F, const R: usize, const B: usize, const N: usize, const T: usize, const S: usize>(
    isa: I,
    panel: &Panel<R>,
    w: &[[[u8; 4]; R]; N],
    q: [&[[i8; 4]; N]; T],
) -> [I::Ints; T]
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    if F::GROUP_STEPS < N {
        return isa.fold_groups::<S, N, T>(w, q, &panel.scales, F::GROUP_STEPS);
    }
    let mut isum = [isa.splat_i32(0); T];
    let q = map(&q, |q| q.as_chunks::<S>().0);
    for (part, w) in w.as_chunks::<S>().0.iter().enumerate() {
        isa.fold_dots(&mut isum, w, map(&q, |q| &q[part]), None);
    }
    isum
}

/// `isum` and, if the format has minimums, `msum` or `ysum` of one block and plane.
#[inline(always)]
fn sums_of_plane<I, F, const R: usize, const B: usize, const N: usize, const T: usize>(
    isa: I,
    panel: &Panel<R>,
    block: usize,
    q: [&[[i8; 4]; N]; T],
    sums: [&[i16]; T],
) -> ([I::Ints; T], [I::Ints; T])
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let w = panel.weights::<N>(block);
    let zero = isa.splat_i32(0);
    let (mut isum, mut msum) = ([zero; T], [zero; T]);
    let scaled = F::GROUP_STEPS < N;
    if I::SIGNED {
        isum = signed_sums::<I, F, R, B, N, T>(isa, panel, w, q);
    } else if F::MAX_STORED == SIGNED_BYTES {
        let mut part = [isa.wide_part(); T];
        let q = map(&q, |q| q.as_chunks::<8>().0);
        for (i, w) in w.as_chunks::<8>().0.iter().enumerate() {
            part = isa.wide_dots(part, w, map(&q, |q| &q[i]));
        }
        for t in 0..T {
            isum[t] = isa.wide_sum(part[t]);
            if I::WIDE_MAGNITUDES {
                isum[t] = isa.add_i32(isum[t], isa.load_i32(&panel.offsets[block]));
            }
            if I::WIDE_OFFSET != 0 {
                let sum: i32 = sums[t][..4 * N / sum_len(N)].iter().map(|&s| i32::from(s)).sum();
                isum[t] = isa.add_i32(isum[t], isa.splat_i32(-I::WIDE_OFFSET * sum));
            }
        }
    } else {
        let steps = const { part_steps(I::PART_PRODUCTS, F::MAX_STORED, F::GROUP_STEPS) };
        isum = match steps {
            8 => stored_sums::<I, F, R, B, N, T, 8>(isa, panel, w, q),
            4 => stored_sums::<I, F, R, B, N, T, 4>(isa, panel, w, q),
            2 => stored_sums::<I, F, R, B, N, T, 2>(isa, panel, w, q),
            _ => stored_sums::<I, F, R, B, N, T, 1>(isa, panel, w, q),
        };
    }
    if !scaled {
        for t in 0..T {
            let Some(&sum) = sums[t].first() else { continue };
            let sum = i32::from(sum);
            if F::OFFSET != 0 && !I::SIGNED {
                isum[t] = isa.add_i32(isum[t], isa.splat_i32(-F::OFFSET * sum));
            }
            msum[t] = isa.splat_i32(sum);
        }
    } else {
        if F::OFFSET != 0 && !I::SIGNED {
            isum = dot_sums::<I, F, R, B, N, T>(isa, isum, &panel.offsets, sums);
        }
        if F::TERM == Term::MinusMins {
            msum = dot_sums::<I, F, R, B, N, T>(isa, msum, &panel.mins, sums);
        }
    }
    (isum, msum)
}
