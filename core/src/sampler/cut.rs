//! Where top-p and min-p cut a whole vocabulary, without sorting it. What they keep is a beginning of the order of rank, so
//! the last token kept says it all.

use super::Candidate;
use super::chance::{Logits, Memory};
use super::group::GROUP;
use super::weight::{Numbers, ROUND, Scale, exp2};
use crate::part::{part_mut, push};
use crate::sort::{smallest_first, sort};

const BINS: usize = 256;

/// The first part of a bin that is sorted; each further one is this many times larger.
const SORT_FIRST: usize = 256;
const SORT_GROWTH: usize = 8;

/// The last rank that weighs at least `min_p`, which is above 0, where `most` is the largest logit: searched among
/// all numbers, in 32 steps at most.
pub(super) fn last_of_min_p(min_p: f64, most: f32, scale: Scale) -> Candidate {
    let mut kept = Candidate::new(most, 0).rank();
    let mut lost = Candidate::new(f32::NEG_INFINITY, 0).rank();
    while lost - kept > 1 {
        let rank = kept + (lost - kept) / 2;
        match scale.weight(Candidate::last_of(rank).logit()) >= min_p {
            true => kept = rank,
            false => lost = rank,
        }
    }
    Candidate::last_of(kept)
}

/// The last token in order of rank that is needed for probabilities of `top_p`, less than 1. `memory` has surveyed the
/// logits; its candidates are lost.
///
/// Tokens are put into bins by the logarithm of their weight. The bins' sums say in which of them the probabilities
/// add up to p, and only that one is sorted, most often a few hundred of a hundred thousand.
pub(super) fn last_of_top_p(memory: &mut Memory, logits: Logits<'_>, top_p: f64, scale: Scale) -> Candidate {
    let Memory { candidates, largest, .. } = memory;
    let bins = Bins::new(top_p, logits.len());
    let mut sums = [0.0; BINS];
    let (mut room, mut exponents) = ([0.0; GROUP], [0.0; GROUP]);
    let mut of = [0; GROUP];
    for (index, &most) in largest.iter().enumerate() {
        if most > f32::NEG_INFINITY {
            scale.exponents(logits.group(index, &mut room), &mut exponents);
            bins.find(&exponents, &mut of);
            // Apart from the loop that cannot become vectors.
            for exponent in &mut exponents {
                *exponent = exp2(*exponent);
            }
            for (&weight, &bin) in exponents.iter().zip(&of) {
                sums[usize::from(bin)] += weight;
            }
        }
    }
    let want = top_p * sums.iter().sum::<f64>();
    let (mut sum, mut wanted) = (0.0, 0);
    for (bin, &weight) in (0..=u8::MAX).zip(&sums) {
        wanted = bin;
        if sum + weight >= want {
            break;
        }
        sum += weight;
    }
    candidates.clear();
    for (index, &most) in largest.iter().enumerate() {
        if bins.bin(scale.exponent(most)) > wanted {
            continue;
        }
        let group = logits.group(index, &mut room);
        scale.exponents(group, &mut exponents);
        bins.find(&exponents, &mut of);
        if !of.iter().fold(false, |any, &bin| any | (bin == wanted)) {
            continue;
        }
        for (place, (&logit, &bin)) in group.iter().zip(&of).enumerate() {
            if bin == wanted && logit > f32::NEG_INFINITY {
                push(candidates, Candidate::new(logit, index * GROUP + place));
            }
        }
    }
    last_by_rank(candidates, sum, want, scale)
}

/// The candidate in order of rank at which the sum of the weights reaches `want`, `sum` being that before them.
fn last_by_rank(candidates: &mut [Candidate], mut sum: f64, want: f64, scale: Scale) -> Candidate {
    let len = candidates.len();
    // On bare metal a part is found by sorting all.
    let first = if cfg!(target_os = "none") { len } else { SORT_FIRST.min(len) };
    let (mut done, mut part) = (0, first);
    while done < len {
        let rest = part_mut(candidates, done, len - done);
        if part < len {
            smallest_first(rest, part - done);
        }
        let next = part_mut(rest, 0, part - done);
        sort(next);
        if let Some(last) = last_of_sorted(next, &mut sum, want, scale) {
            return last;
        }
        done = part;
        part = part.saturating_mul(SORT_GROWTH).min(len);
    }
    // By rounding the sum may stay below: then all are needed.
    candidates.last().copied().unwrap_or(Candidate::last_of(u32::MAX))
}

/// The candidate of a sorted list at which the sum of the weights reaches `want`.
pub(super) fn last_of_sorted(
    candidates: &[Candidate],
    sum: &mut f64,
    want: f64,
    scale: Scale,
) -> Option<Candidate> {
    candidates.iter().copied().find(|c| {
        *sum += scale.weight(c.logit());
        *sum >= want
    })
}

/// The bins: equal steps of the exponent.
#[derive(Clone, Copy, Debug)]
struct Bins {
    per_unit: f64,
}

impl Bins {
    /// Tokens that weigh less than `(1 − p) / n` together weigh less than `1 − p` of the likeliest alone. They are not
    /// needed, and the last bin begins there.
    fn new(top_p: f64, tokens: usize) -> Self {
        let negligible = (1.0 - top_p) / tokens as f64;
        // The power of two below, and half of that: at most 1/2.
        let exponent = 1024 - (negligible.to_bits() >> 52) as i32;
        Self { per_unit: f64::from(BINS as i32 - 1) / f64::from(exponent) }
    }

    /// The bin of a weight by its exponent, which is not above 0.
    #[inline(always)]
    fn bin(self, exponent: f64) -> u8 {
        let x = exponent * self.per_unit;
        let least = -((BINS - 1) as f64);
        let x = if x > least { x } else { least };
        ROUND.to_bits().wrapping_sub((x + ROUND).to_bits()) as u8
    }

    fn find(self, exponents: &Numbers, bins: &mut [u8; GROUP]) {
        for (bin, &exponent) in bins.iter_mut().zip(exponents) {
            *bin = self.bin(exponent);
        }
    }
}
