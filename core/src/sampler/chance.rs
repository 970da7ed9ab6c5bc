//! What goes beyond the largest logit: the penalty, the filters, the draw.

use super::rng::Rng;
use super::{Candidate, SampleError, SamplerParams};
use crate::part::{extend, part_mut, push, resize};
use crate::sort::{smallest_first, sort_by_key};
use alloc::vec::Vec;

/// The random numbers, and memory to sort in.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    rng: Rng,
    /// Room for one entry a token.
    pub(super) candidates: Vec<Candidate>,
    /// A bit for each token, all 0 between calls.
    pub(super) seen: Vec<u64>,
}

/// The first part that top-p sorts; each further one is this many times larger.
const SORT_FIRST: usize = 256;
const SORT_GROWTH: usize = 8;

impl Chance {
    /// For a vocabulary of `vocab_len` tokens.
    pub(super) fn new(seed: u64, vocab_len: usize) -> Result<Self, SampleError> {
        let (mut candidates, mut seen) = (Vec::new(), Vec::new());
        let oom = |_| SampleError::OutOfMemory { bytes: vocab_len.saturating_mul(size_of::<Candidate>()) };
        candidates.try_reserve_exact(vocab_len).map_err(oom)?;
        let words = vocab_len.div_ceil(64);
        seen.try_reserve_exact(words).map_err(oom)?;
        resize(&mut seen, words, 0);
        Ok(Self { rng: Rng::new(seed), candidates, seen })
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// The next token by finite `logits`, one number a token of the vocabulary.
    pub(super) fn choose(&mut self, params: &SamplerParams, logits: &[f32], recent: &[u32]) -> u32 {
        self.collect(params, logits, recent);
        if params.temperature == 0.0 {
            return self.candidates.iter().min().map_or(0, |c| c.id());
        }
        let mut sorted = self.keep_top_k(params);
        let max = self.max_logit(sorted);
        sorted |= self.keep_top_p(params, sorted, max);
        self.keep_min_p(params, max);
        // The order now: by logit if sorted, else by id.
        debug_assert!(sorted || self.candidates.is_sorted_by_key(|c| c.id()));
        self.draw(params, max)
    }

    /// All tokens not excluded, in order of id, penalties applied.
    fn collect(&mut self, params: &SamplerParams, logits: &[f32], recent: &[u32]) {
        let SamplerParams { repeat_penalty: penalty, repeat_last_n, .. } = *params;
        let window = recent.len().saturating_sub(repeat_last_n as usize);
        let recent = if penalty == 1.0 { &[] } else { recent.get(window..).unwrap_or(&[]) };
        for &token in recent {
            if let Some(word) = self.seen.get_mut(token as usize / 64) {
                *word |= 1 << (token % 64);
            }
        }
        self.candidates.clear();
        if recent.is_empty() {
            let kept = logits.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY);
            extend(&mut self.candidates, kept.map(|(id, &logit)| Candidate::new(logit, id)));
            return;
        }
        for (id, &logit) in logits.iter().enumerate() {
            if logit == f32::NEG_INFINITY {
                continue;
            }
            let seen = self.seen.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 != 0);
            let logit = match seen {
                false => logit,
                // A penalty may overflow; it must neither exclude a token nor make it infinitely likely.
                true if logit <= 0.0 => (logit * penalty).max(f32::MIN),
                true => (logit / penalty).min(f32::MAX),
            };
            push(&mut self.candidates, Candidate::new(logit, id));
        }
        self.seen.fill(0);
    }

    /// Whether the candidates are sorted now.
    fn keep_top_k(&mut self, params: &SamplerParams) -> bool {
        let k = params.top_k as usize;
        if k == 0 || k >= self.candidates.len() {
            return false;
        }
        smallest_first(&mut self.candidates, k);
        self.candidates.truncate(k);
        sort_by_key(&mut self.candidates, |c| c);
        true
    }

    fn max_logit(&self, sorted: bool) -> f32 {
        let best = if sorted { self.candidates.first() } else { self.candidates.iter().min() };
        best.map_or(0.0, |c| c.logit())
    }

    /// Whether the candidates are sorted now.
    fn keep_top_p(&mut self, params: &SamplerParams, sorted: bool, max: f32) -> bool {
        let top_p = f64::from(params.top_p);
        if top_p >= 1.0 {
            return false;
        }
        let total: f64 = self.candidates.iter().map(|c| weight(*c, max, 1.0)).sum();
        let len = self.candidates.len();
        let (mut done, mut sum) = (0, 0.0);
        let mut part = if sorted { len } else { SORT_FIRST.min(len) };
        // Most often a few hundred of a hundred thousand are enough, and the rest need no order.
        while done < len {
            if !sorted {
                let rest = self.candidates.get_mut(done..).unwrap_or(&mut []);
                if part < len {
                    smallest_first(rest, part - done);
                }
                sort_by_key(part_mut(rest, 0, part - done), |c| c);
            }
            while let Some(&candidate) = self.candidates.get(done)
                && done < part
            {
                sum += weight(candidate, max, 1.0);
                done += 1;
                if sum >= top_p * total {
                    self.candidates.truncate(done);
                    return true;
                }
            }
            part = part.saturating_mul(SORT_GROWTH).min(len);
        }
        true
    }

    fn keep_min_p(&mut self, params: &SamplerParams, max: f32) {
        let min_p = f64::from(params.min_p);
        if min_p > 0.0 {
            self.candidates.retain(|&c| weight(c, max, 1.0) >= min_p);
        }
    }

    fn draw(&mut self, params: &SamplerParams, max: f32) -> u32 {
        let temperature = f64::from(params.temperature);
        let total: f64 = self.candidates.iter().map(|c| weight(*c, max, temperature)).sum();
        let at = self.rng.next_unit() * total;
        let mut sum = 0.0;
        let mut chosen = None;
        for &candidate in &self.candidates {
            let weight = weight(candidate, max, temperature);
            if weight > 0.0 {
                chosen = Some(candidate);
            }
            sum += weight;
            if sum > at {
                break;
            }
        }
        // The likeliest has the weight 1, so there is always one.
        chosen.map_or(0, Candidate::id)
    }
}

/// A token's likelihood as a multiple of the likeliest's, at most 1.
fn weight(candidate: Candidate, max: f32, temperature: f64) -> f64 {
    libm::exp((f64::from(candidate.logit()) - f64::from(max)) / temperature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_p_over_many_candidates_equals_a_full_sort() {
        let mut rng = Rng::new(5);
        for (n, spread, top_p) in [(5000, 0.1, 0.5), (5000, 0.1, 0.999), (5000, 5.0, 0.9), (300, 0.0, 0.9)] {
            let logits: Vec<f32> = (0..n).map(|_| (rng.next_unit() * spread) as f32).collect();
            let params = SamplerParams { temperature: 1.0, top_p, ..SamplerParams::GREEDY };
            let mut s = Chance::new(0, n as usize).unwrap();
            s.collect(&params, &logits, &[]);
            let mut want = s.candidates.clone();
            want.sort_unstable();
            let max = want[0].logit();
            let total: f64 = s.candidates.iter().map(|c| weight(*c, max, 1.0)).sum();
            let mut sum = 0.0;
            let keep = want.iter().position(|c| {
                sum += weight(*c, max, 1.0);
                sum >= f64::from(top_p) * total
            });
            want.truncate(keep.unwrap() + 1);
            assert!(s.keep_top_p(&params, false, max));
            assert_eq!(s.candidates, want);
        }
    }
}
