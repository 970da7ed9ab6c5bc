//! What goes beyond the largest logit: the penalty, the filters, the draw.
//!
//! Filters leave a list of candidates: in order of rank after top-k, else of id. Without a filter nothing is listed, and
//! the draw is among all logits.

use super::cut::{last_of_min_p, last_of_sorted, last_of_top_p};
use super::group::{GROUP, Group, group, groups, largest, likeliest_of, not_finite};
use super::rng::Rng;
use super::weight::{Numbers, Scale, sum};
use super::{Candidate, SampleError, SamplerParams};
use crate::part::{extend, part_mut, push, resize};
use crate::sort::{smallest_first, sort};
use alloc::vec::Vec;

/// The random numbers, and memory to choose in.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    rng: Rng,
    /// A bit for each token, a word a group, all 0 between calls.
    pub(super) seen: Vec<u64>,
    pub(super) memory: Memory,
}

#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Room for one entry a token.
    pub(super) candidates: Vec<Candidate>,
    /// The largest logit of each group.
    pub(super) largest: Vec<f32>,
    /// The weight of each group.
    sums: Vec<f64>,
}

/// The logits of a call, those of recent tokens changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logits<'a> {
    pub(super) all: &'a [f32],
    pub(super) seen: &'a [u64],
    pub(super) penalty: f32,
}

impl Chance {
    /// For a vocabulary of `vocab_len` tokens.
    pub(super) fn new(seed: u64, vocab_len: usize) -> Result<Self, SampleError> {
        let groups = groups(vocab_len);
        let memory = Memory {
            candidates: room(vocab_len)?,
            largest: filled(groups, f32::NEG_INFINITY)?,
            sums: filled(groups, 0.0)?,
        };
        Ok(Self { rng: Rng::new(seed), seen: filled(groups, 0)?, memory })
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// The next token by `logits`, one number a token of the vocabulary.
    pub(super) fn choose(
        &mut self,
        params: &SamplerParams,
        logits: &[f32],
        recent: &[u32],
    ) -> Result<u32, SampleError> {
        let SamplerParams { repeat_penalty: penalty, repeat_last_n, .. } = *params;
        let window = recent.len().saturating_sub(repeat_last_n as usize);
        let recent = if penalty == 1.0 { &[] } else { recent.get(window..).unwrap_or(&[]) };
        for &token in recent {
            if let Some(word) = self.seen.get_mut(token as usize / GROUP) {
                *word |= 1 << (token as usize % GROUP);
            }
        }
        let logits = Logits { all: logits, seen: &self.seen, penalty };
        let chosen = self.memory.choose(params, logits, &mut self.rng);
        if !recent.is_empty() {
            self.seen.fill(0);
        }
        chosen
    }
}

impl Memory {
    fn choose(
        &mut self,
        params: &SamplerParams,
        logits: Logits<'_>,
        rng: &mut Rng,
    ) -> Result<u32, SampleError> {
        let (at, most) = self.survey(logits)?;
        if params.temperature == 0.0 {
            return Ok(likeliest_of(logits.group(at, &mut [0.0; GROUP]), at, most));
        }
        let listed = self.filter(params, logits, most);
        let scale = Scale::new(most, params.temperature);
        let Self { candidates, largest, sums } = self;
        if listed {
            let weigh = |index: usize, weights: &mut Numbers| {
                let mut group = [f32::NEG_INFINITY; GROUP];
                for (logit, candidate) in group.iter_mut().zip(candidates.iter().skip(index * GROUP)) {
                    *logit = candidate.logit();
                }
                scale.weights(&group, weights);
                sum(weights)
            };
            let place = draw(groups(candidates.len()), sums, &weigh, rng);
            return Ok(candidates.get(place).map_or(0, |c| c.id()));
        }
        let weigh = |index: usize, weights: &mut Numbers| {
            if largest.get(index).is_none_or(|&most| most == f32::NEG_INFINITY) {
                return 0.0;
            }
            scale.weights(logits.group(index, &mut [0.0; GROUP]), weights);
            sum(weights)
        };
        Ok(draw(largest.len(), sums, &weigh, rng) as u32)
    }

    /// Notes each group's largest logit. The first group that has the largest of all, and that.
    pub(super) fn survey(&mut self, logits: Logits<'_>) -> Result<(usize, f32), SampleError> {
        let mut room = [0.0; GROUP];
        let (mut at, mut most) = (0, f32::NEG_INFINITY);
        for (index, slot) in self.largest.iter_mut().enumerate() {
            let Some(largest) = largest(logits.group(index, &mut room)) else {
                return Err(not_finite(logits.all));
            };
            *slot = largest;
            if largest > most {
                (at, most) = (index, largest);
            }
        }
        if most == f32::NEG_INFINITY { Err(not_finite(logits.all)) } else { Ok((at, most)) }
    }

    /// Top-k, top-p and min-p after a [`survey`](Self::survey) that has found `most`. Whether there is a filter at all,
    /// and the candidates are what is kept.
    pub(super) fn filter(&mut self, params: &SamplerParams, logits: Logits<'_>, most: f32) -> bool {
        let plain = Scale::new(most, 1.0);
        let (top_p, min_p) = (f64::from(params.top_p), f64::from(params.min_p));
        let k = params.top_k as usize;
        let by_rank = k > 0 && k < logits.len();
        if by_rank {
            self.list_top_k(logits, k);
        }
        let mut last = None;
        if top_p < 1.0 && by_rank {
            let total: f64 = self.candidates.iter().map(|c| plain.weight(c.logit())).sum();
            last = last_of_sorted(&self.candidates, &mut 0.0, top_p * total, plain);
        } else if top_p < 1.0 {
            last = Some(last_of_top_p(self, logits, top_p, plain));
        }
        if min_p > 0.0 {
            let least = last_of_min_p(min_p, most, plain);
            last = Some(last.map_or(least, |last| last.min(least)));
        }
        match last {
            Some(last) if by_rank => self.candidates.retain(|&c| c <= last),
            Some(last) => self.list(logits, last),
            None => {}
        }
        by_rank || last.is_some()
    }

    /// Makes all tokens up to rank `last` the candidates, in order of id.
    fn list(&mut self, logits: Logits<'_>, last: Candidate) {
        self.candidates.clear();
        for (index, &most) in self.largest.iter().enumerate() {
            if most >= last.logit() {
                list_group(&mut self.candidates, logits, index, last);
            }
        }
    }

    /// Makes the `k` largest logits the candidates, sorted. `k` is less than the vocabulary.
    fn list_top_k(&mut self, logits: Logits<'_>, k: usize) {
        let Self { candidates, largest, .. } = self;
        // There is room for k groups' numbers and then for all that is in them.
        if k <= logits.len() / (GROUP + 1) {
            // If groups rank by their largest, the first k of them hold the first k tokens: in any other group, each
            // token comes after the largest of each of these, also where logits are equal.
            candidates.clear();
            extend(candidates, largest.iter().enumerate().map(|(index, &most)| Candidate::new(most, index)));
            smallest_first(candidates, k);
            candidates.truncate(k);
            let least = candidates.iter().max().map_or(f32::MIN, |c| c.logit().max(f32::MIN));
            for n in 0..k {
                let index = candidates.get(n).map_or(0, |c| c.id() as usize);
                list_group(candidates, logits, index, Candidate::new(least, u32::MAX as usize));
            }
            let mut place = 0;
            candidates.retain(|_| {
                place += 1;
                place > k
            });
        } else {
            self.list(logits, Candidate::new(f32::MIN, u32::MAX as usize));
        }
        let candidates = &mut self.candidates;
        if k < candidates.len() {
            smallest_first(candidates, k);
            candidates.truncate(k);
        }
        sort(candidates);
    }
}

impl Logits<'_> {
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The group of a number, as it is or with penalties in `room`.
    pub(super) fn group<'b>(&'b self, index: usize, room: &'b mut Group) -> &'b Group {
        let seen = self.seen.get(index).copied().unwrap_or(0);
        if seen == 0 {
            return group(self.all, index, room);
        }
        let plain = *group(self.all, index, room);
        *room = plain;
        for (bit, logit) in room.iter_mut().enumerate() {
            // What is no number is left for the survey to find, and what is excluded stays so.
            if seen >> bit & 1 == 0 || !logit.is_finite() {
                continue;
            }
            // A penalty may overflow; it must neither exclude a token nor make it infinitely likely.
            *logit = match *logit <= 0.0 {
                true => (*logit * self.penalty).max(f32::MIN),
                false => (*logit / self.penalty).min(f32::MAX),
            };
        }
        room
    }
}

/// Adds to the candidates those of a group that rank no later than `last`, a token with a finite logit.
fn list_group(candidates: &mut Vec<Candidate>, logits: Logits<'_>, index: usize, last: Candidate) {
    let mut room = [0.0; GROUP];
    let group = logits.group(index, &mut room);
    // Where some of a group are kept, which ones is hard to predict: no branch for each.
    let (mut places, mut len) = ([0; GROUP], 0);
    for (place, &logit) in group.iter().enumerate() {
        if let Some(slot) = places.get_mut(len) {
            *slot = place;
        }
        len += usize::from(logit >= last.logit());
    }
    for &place in places.iter().take(len) {
        let candidate =
            Candidate::new(group.get(place).copied().unwrap_or(f32::NEG_INFINITY), index * GROUP + place);
        if candidate <= last {
            push(candidates, candidate);
        }
    }
}

/// One of the items of so many groups, each as likely as it weighs. `weigh` gives the weights of a group and their sum; where
/// that is 0, the weights need not be given. `sums` has room for one number a group.
fn draw(groups: usize, sums: &mut [f64], weigh: &dyn Fn(usize, &mut Numbers) -> f64, rng: &mut Rng) -> usize {
    let mut weights = [0.0; GROUP];
    let sums = part_mut(sums, 0, groups);
    let mut total = 0.0;
    for (index, sum) in sums.iter_mut().enumerate() {
        *sum = weigh(index, &mut weights);
        total += *sum;
    }
    let at = rng.next_unit() * total;
    let (index, before) = reach(sums, 0.0, at);
    weigh(index, &mut weights);
    index * GROUP + reach(&weights, before, at).0
}

/// The place at which the sum of `weights` goes beyond `at`, and the sum before it. The sum begins with `sum`. By rounding it
/// may not get there: then the last that weighs anything.
fn reach(weights: &[f64], mut sum: f64, at: f64) -> (usize, f64) {
    let mut reached = (0, sum);
    for (place, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            reached = (place, sum);
        }
        sum += weight;
        if sum > at {
            break;
        }
    }
    reached
}

fn room<T>(len: usize) -> Result<Vec<T>, SampleError> {
    let mut list = Vec::new();
    match list.try_reserve_exact(len) {
        Ok(()) => Ok(list),
        Err(_) => Err(SampleError::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) }),
    }
}

fn filled<T: Copy>(len: usize, item: T) -> Result<Vec<T>, SampleError> {
    let mut list = room(len)?;
    resize(&mut list, len, item);
    Ok(list)
}
