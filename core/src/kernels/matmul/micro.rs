//! The inner loops: one panel times a few tokens.

use super::format::{PanelFormat, SIGNED_BYTES, Term};
use super::panel::{Panel, UNIT_STEPS, pair};
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
    let mut q_at = tokens.map(|token| held(token.q.as_ptr().wrapping_add(4 * N * first)));
    let mut sums_at = tokens.map(|token| held(token.sums.as_ptr().wrapping_add(block_sums * first)));
    let mut d_at = tokens.map(|token| held(token.d.as_ptr().wrapping_add(first)));
    let mut kept = [isa.splat_f32(0.0); T];
    if I::KEEP_SUMS {
        for (kept, sums) in kept.iter_mut().zip(&*tile) {
            *kept = isa.load_f32(sums);
        }
    }
    for b in 0..count {
        let mut isum = [isa.splat_f32(0.0); T];
        let mut msum = isum;
        for plane in 0..P {
            // SAFETY: a token has the digits of `P` times the blocks of a row, of which the next `count` are left.
            let q: [&[[i8; 4]; N]; T] = q_at.map(|q| unsafe { &*q.add(plane * k).cast() });
            // Tokens lie far apart, which hardware does not foresee: ask for the next group's digits.
            for q in q {
                let at: *const u8 = q.as_ptr().cast();
                for line in 0..(4 * N).div_ceil(64) {
                    isa.prefetch(at.wrapping_add(T * P * k + 64 * line));
                }
            }
            // SAFETY: and as many sums a block, in as many planes, as the form of the activations has.
            let sums = sums_at
                .map(|sums| unsafe { core::slice::from_raw_parts(sums.add(sum_count * plane), block_sums) });
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
            if I::KEEP_SUMS {
                kept[t] = isa.add_f32(kept[t], term);
            } else {
                // Between blocks the accumulators live in the tile: the registers are needed for the integer sums.
                isa.store_f32(isa.add_f32(isa.load_f32(&tile[t]), term), &mut tile[t]);
            }
        }
        q_at = q_at.map(|q| held(q.wrapping_add(4 * N)));
        sums_at = sums_at.map(|sums| held(sums.wrapping_add(block_sums)));
        d_at = d_at.map(|d| held(d.wrapping_add(1)));
    }
    if I::KEEP_SUMS {
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
        let q = q.map(|q| q.as_chunks::<4>().0);
        for (g, w) in w.as_chunks::<4>().0.iter().enumerate() {
            let part = isa.dots(isa.parts(), w, q.map(|q| &q[g]));
            isum = isa.fold_all_scaled(isum, part, &panel.scales[g]);
        }
    } else {
        let mut part = isa.parts();
        let q = q.map(|q| q.as_chunks::<8>().0);
        for (g, w) in w.as_chunks::<8>().0.iter().enumerate() {
            if F::GROUP_STEPS == 8 && g > 0 {
                part = isa.parts();
            }
            part = isa.dots(part, w, q.map(|q| &q[g]));
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

/// Sums of the digits of a super-block's groups, in pairs, of which there are half as many as groups.
#[inline(always)]
fn group_sums<I, F, const R: usize, const B: usize, const N: usize>(isa: I, sums: &[i16]) -> [i32; 8]
where
    I: PanelIsa<R>,
    F: PanelFormat<B, N>,
{
    let sums = sums.first_chunk::<16>().expect("a super-block has 16 sums");
    let mut s = [0; 8];
    if F::GROUP_STEPS == 8 {
        s[..4].copy_from_slice(&isa.pair_sums(sums));
    } else {
        for (s, sums) in s.iter_mut().zip(sums.as_chunks::<2>().0) {
            *s = pair(i32::from(sums[0]), i32::from(sums[1]));
        }
    }
    s
}

/// Adds a group's products with stored weights to the sums of the block, in parts of `S` steps.
#[inline(always)]
fn fold_parts<I, const R: usize, const S: usize, const T: usize>(
    isa: I,
    isum: &mut [I::Ints; T],
    w: &[[[u8; 4]; R]],
    q: [&[[i8; 4]]; T],
    scale: Option<&[i32; R]>,
) where
    I: PanelIsa<R>,
{
    let q = q.map(|q| q.as_chunks::<S>().0);
    for (part, w) in w.as_chunks::<S>().0.iter().enumerate() {
        isa.fold_dots(isum, w, q.map(|q| &q[part]), scale);
    }
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
        let q = q.map(|q| q.as_chunks::<8>().0);
        for (i, w) in w.as_chunks::<8>().0.iter().enumerate() {
            part = isa.wide_dots(part, w, q.map(|q| &q[i]));
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
        for g in 0..N / F::GROUP_STEPS {
            let scale = scaled.then(|| &panel.scales[g]);
            let group = g * F::GROUP_STEPS..(g + 1) * F::GROUP_STEPS;
            let (w, q) = (&w[group.clone()], q.map(|q| &q[group.clone()]));
            match steps {
                8 => fold_parts::<I, R, 8, T>(isa, &mut isum, w, q, scale),
                4 => fold_parts::<I, R, 4, T>(isa, &mut isum, w, q, scale),
                2 => fold_parts::<I, R, 2, T>(isa, &mut isum, w, q, scale),
                _ => fold_parts::<I, R, 1, T>(isa, &mut isum, w, q, scale),
            }
        }
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
        let pairs = N / F::GROUP_STEPS / 2;
        for t in 0..T {
            for (j, &s) in group_sums::<I, F, R, B, N>(isa, sums[t])[..pairs].iter().enumerate() {
                if F::OFFSET != 0 && !I::SIGNED {
                    isum[t] = isa.dot_pairs(isum[t], &panel.offsets[j], s);
                }
                if F::TERM == Term::MinusMins {
                    msum[t] = isa.dot_pairs(msum[t], &panel.mins[j], s);
                }
            }
        }
    }
    (isum, msum)
}
