//! Choosing the next token from the logits.
//!
//! The steps and their order are llama.cpp's: repeat penalty, top-k, top-p, min-p, temperature, then the draw. A
//! choice depends on the logits, the parameters and the seed, on nothing of the machine: the exponential is
//! `libm`'s in f64, sums run in an order that is written here, equal logits rank by id.

mod params;
mod rng;

pub use params::{SampleError, SamplerParams};

use crate::part::{extend, part_mut, push, resize};
use crate::sort::{smallest_first, sort_by_key};
use alloc::vec::Vec;
use rng::Rng;

/// Chooses tokens of one sequence. Allocates when made and never again.
#[derive(Clone, Debug)]
pub struct Sampler {
    params: SamplerParams,
    vocab_len: usize,
    rng: Rng,
    /// Room for one entry a token.
    candidates: Vec<Candidate>,
    /// A bit for each token, all 0 between calls.
    seen: Vec<u64>,
}

/// A logit and its token in one number, the larger logit first, then the lower id: integers sort fast, and the same
/// everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

impl Candidate {
    fn new(logit: f32, id: usize) -> Self {
        // Adding zero makes the two zeros one.
        let bits = (logit + 0.0).to_bits();
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!ascending) << 32 | id as u64)
    }

    const fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending ^ 1 << 31 } else { !ascending })
    }

    const fn id(self) -> u32 {
        self.0 as u32
    }
}

/// The first part that top-p sorts; each further one is this many times larger.
const SORT_FIRST: usize = 256;
const SORT_GROWTH: usize = 8;

impl Sampler {
    /// A sampler for a vocabulary of `vocab_len` tokens, with some 8 bytes of memory for each.
    ///
    /// # Errors
    /// [`SampleError::BadSampler`], [`SampleError::OutOfMemory`].
    pub fn new(params: SamplerParams, vocab_len: u32) -> Result<Self, SampleError> {
        params.validate()?;
        let vocab_len = vocab_len as usize;
        let (mut candidates, mut seen) = (Vec::new(), Vec::new());
        let oom = |_| SampleError::OutOfMemory { bytes: vocab_len.saturating_mul(size_of::<Candidate>()) };
        candidates.try_reserve_exact(vocab_len).map_err(oom)?;
        let words = vocab_len.div_ceil(64);
        seen.try_reserve_exact(words).map_err(oom)?;
        resize(&mut seen, words, 0);
        Ok(Self { params, vocab_len, rng: Rng::new(params.seed), candidates, seen })
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &SamplerParams {
        &self.params
    }

    /// Begins the random numbers again with `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.params.seed = seed;
        self.rng = Rng::new(seed);
    }

    /// The next token. `logits` has one number a token; −∞ excludes a token. `recent` are the tokens so far, of
    /// which the last [`repeat_last_n`](SamplerParams::repeat_last_n) count for the penalty.
    ///
    /// An error takes no random number.
    ///
    /// # Errors
    /// [`SampleError::LogitsLen`], [`SampleError::NonFiniteLogits`]: NaN is never passed over.
    pub fn sample(&mut self, logits: &[f32], recent: &[u32]) -> Result<u32, SampleError> {
        let want = self.vocab_len;
        if logits.len() != want {
            return Err(SampleError::LogitsLen { got: logits.len(), want });
        }
        check_finite(logits)?;
        self.collect(logits, recent);
        if self.params.temperature == 0.0 {
            return Ok(self.candidates.iter().min().map_or(0, |c| c.id()));
        }
        let mut sorted = self.keep_top_k();
        let max = self.max_logit(sorted);
        sorted |= self.keep_top_p(sorted, max);
        self.keep_min_p(max);
        // The order now: by logit if sorted, else by id.
        debug_assert!(sorted || self.candidates.is_sorted_by_key(|c| c.id()));
        Ok(self.draw(max))
    }

    /// All tokens not excluded, in order of id, penalties applied.
    fn collect(&mut self, logits: &[f32], recent: &[u32]) {
        let SamplerParams { repeat_penalty: penalty, repeat_last_n, .. } = self.params;
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
    fn keep_top_k(&mut self) -> bool {
        let k = self.params.top_k as usize;
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
    fn keep_top_p(&mut self, sorted: bool, max: f32) -> bool {
        let top_p = f64::from(self.params.top_p);
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

    fn keep_min_p(&mut self, max: f32) {
        let min_p = f64::from(self.params.min_p);
        if min_p > 0.0 {
            self.candidates.retain(|&c| weight(c, max, 1.0) >= min_p);
        }
    }

    fn draw(&mut self, max: f32) -> u32 {
        let temperature = f64::from(self.params.temperature);
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

fn check_finite(logits: &[f32]) -> Result<(), SampleError> {
    // NaN is not below infinity either.
    if let Some(index) = logits
        .iter()
        .position(|logit| !matches!(logit.partial_cmp(&f32::INFINITY), Some(core::cmp::Ordering::Less)))
    {
        return Err(SampleError::NonFiniteLogits { index });
    }
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        return Err(SampleError::NonFiniteLogits { index: 0 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const PLAIN: SamplerParams = SamplerParams { temperature: 1.0, ..SamplerParams::GREEDY };

    fn sampler(params: SamplerParams, n: u32) -> Sampler {
        Sampler::new(params, n).unwrap()
    }

    /// How often each token comes in `draws` draws.
    fn counts(params: SamplerParams, logits: &[f32], recent: &[u32], draws: u32) -> Vec<u32> {
        let mut sampler = sampler(params, logits.len() as u32);
        let mut counts = vec![0; logits.len()];
        for _ in 0..draws {
            counts[sampler.sample(logits, recent).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn nan_in_logits_tolerated_by_the_sampler() {
        let bad = [f32::NAN, -f32::NAN, f32::INFINITY];
        for params in [SamplerParams::GREEDY, PLAIN, SamplerParams::default()] {
            for n in [1, 2, 100] {
                for index in [0, n / 2, n - 1] {
                    for value in bad {
                        let mut logits = vec![1.0; n];
                        logits[index] = value;
                        let mut sampler = sampler(params, n as u32);
                        assert_eq!(sampler.sample(&logits, &[]), Err(SampleError::NonFiniteLogits { index }));
                    }
                }
                let mut sampler = sampler(params, n as u32);
                let result = sampler.sample(&vec![f32::NEG_INFINITY; n], &[]);
                assert_eq!(result, Err(SampleError::NonFiniteLogits { index: 0 }));
            }
        }
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let d = SamplerParams::default();
        let nan = f32::NAN;
        let bad = [
            ("temperature", SamplerParams { temperature: nan, ..d }),
            ("temperature", SamplerParams { temperature: -1.0, ..d }),
            ("temperature", SamplerParams { temperature: f32::INFINITY, ..d }),
            ("top_p", SamplerParams { top_p: nan, ..d }),
            ("top_p", SamplerParams { top_p: 2.0, ..d }),
            ("top_p", SamplerParams { top_p: -0.1, ..d }),
            ("min_p", SamplerParams { min_p: nan, ..d }),
            ("min_p", SamplerParams { min_p: 1.5, ..d }),
            ("repeat_penalty", SamplerParams { repeat_penalty: 0.0, ..d }),
            ("repeat_penalty", SamplerParams { repeat_penalty: nan, ..d }),
            ("repeat_penalty", SamplerParams { repeat_penalty: f32::INFINITY, ..d }),
        ];
        for (param, params) in bad {
            assert_eq!(Sampler::new(params, 10).err(), Some(SampleError::BadSampler { param }));
        }
        for temperature in [0.0, -0.0, 1e-30, 1e30] {
            assert!(Sampler::new(SamplerParams { temperature, ..d }, 10).is_ok());
        }
    }

    #[test]
    fn greedy_takes_the_first_maximum() {
        let mut s = sampler(SamplerParams::GREEDY, 5);
        assert_eq!(s.sample(&[1.0, 3.0, -2.0, 3.0, 0.0], &[]), Ok(1));
        assert_eq!(s.sample(&[-0.0, 0.0, -1.0, 0.0, 0.0], &[]), Ok(0));
        assert_eq!(s.sample(&[f32::NEG_INFINITY, -1e38, -3e38, f32::MIN, f32::NEG_INFINITY], &[]), Ok(1));
        assert_eq!(s.sample(&[1.0; 4], &[]), Err(SampleError::LogitsLen { got: 4, want: 5 }));
    }

    #[test]
    fn candidates_keep_logit_and_id_and_rank_by_both() {
        let values = [f32::MAX, 1.5, 1e-45, 0.0, -1e-45, -2.0, f32::MIN];
        for (id, &logit) in values.iter().enumerate() {
            let c = Candidate::new(logit, id);
            assert_eq!((c.logit(), c.id()), (logit, id as u32));
        }
        assert!(values.windows(2).all(|v| Candidate::new(v[0], 9) < Candidate::new(v[1], 0)));
        assert!(Candidate::new(-0.0, 3) < Candidate::new(0.0, 4));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY];
        let total: f64 = (0..3).map(|l| f64::from(l).exp()).sum();
        let draws = 100_000;
        let got = counts(PLAIN, &logits, &[], draws);
        for (l, &got) in [0.0f64, 1.0, 2.0].iter().zip(&got) {
            let p = l.exp() / total;
            let deviation = (f64::from(draws) * p * (1.0 - p)).sqrt();
            assert!((f64::from(got) - f64::from(draws) * p).abs() < 5.0 * deviation, "{got} at {p}");
        }
        assert_eq!(got[3], 0);
    }

    #[test]
    fn each_filter_keeps_what_it_should() {
        // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
        let logits = [2.0f32, 16.0, 8.0, 4.0, 2.0].map(f32::ln);
        let kept = |params| {
            let counts = counts(params, &logits, &[], 20_000);
            (0..5).filter(|&i| counts[i] > 0).collect::<Vec<_>>()
        };
        assert_eq!(kept(PLAIN), [0, 1, 2, 3, 4]);
        assert_eq!(kept(SamplerParams { top_k: 2, ..PLAIN }), [1, 2]);
        assert_eq!(kept(SamplerParams { top_k: 4, ..PLAIN }), [0, 1, 2, 3], "of equals the lower id");
        assert_eq!(kept(SamplerParams { top_k: 9, ..PLAIN }), [0, 1, 2, 3, 4]);
        assert_eq!(kept(SamplerParams { top_p: 0.0, ..PLAIN }), [1]);
        assert_eq!(kept(SamplerParams { top_p: 0.6, ..PLAIN }), [1, 2]);
        assert_eq!(kept(SamplerParams { top_p: 0.9, ..PLAIN }), [0, 1, 2, 3]);
        assert_eq!(kept(SamplerParams { top_p: 0.6, top_k: 3, ..PLAIN }), [1, 2]);
        assert_eq!(kept(SamplerParams { min_p: 0.2, ..PLAIN }), [1, 2, 3]);
        assert_eq!(kept(SamplerParams { min_p: 1.0, ..PLAIN }), [1]);
        assert_eq!(kept(SamplerParams { temperature: 1e-30, ..PLAIN }), [1]);
    }

    #[test]
    fn top_p_over_many_candidates_equals_a_full_sort() {
        let mut rng = Rng::new(5);
        for (n, spread, top_p) in [(5000, 0.1, 0.5), (5000, 0.1, 0.999), (5000, 5.0, 0.9), (300, 0.0, 0.9)] {
            let logits: Vec<f32> = (0..n).map(|_| (rng.next_unit() * spread) as f32).collect();
            let mut s = sampler(SamplerParams { top_p, ..PLAIN }, n);
            s.collect(&logits, &[]);
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
            assert!(s.keep_top_p(false, max));
            assert_eq!(s.candidates, want);
        }
    }

    #[test]
    fn the_penalty_counts_each_recent_token_once() {
        let params = SamplerParams { repeat_penalty: 2.0, repeat_last_n: 3, ..SamplerParams::GREEDY };
        let mut s = sampler(params, 4);
        let logits = [4.0, 3.0, 1.5, -1.0];
        assert_eq!(s.sample(&logits, &[]), Ok(0));
        assert_eq!(s.sample(&logits, &[0, 0, 0]), Ok(1));
        assert_eq!(s.sample(&logits, &[0, 1, 2]), Ok(0));
        assert_eq!(s.sample(&logits, &[0, 3, 3, 3]), Ok(0), "too long ago");
        assert_eq!(s.sample(&[-1.0, -1.5, -3.0, -2.5], &[0, 99, u32::MAX]), Ok(1));
        assert!(s.seen.iter().all(|&w| w == 0));
        let mut s = sampler(SamplerParams { repeat_penalty: 1e38, repeat_last_n: 9, ..PLAIN }, 2);
        assert!(s.sample(&[-1e30, -1e30], &[0, 1]).is_ok(), "an overflow is not infinite");
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_on_every_machine() {
        let logits: Vec<f32> = (0..1000).map(|i| (i * 7919 % 1000) as f32 / 125.0).collect();
        let params = SamplerParams { seed: 42, ..SamplerParams::default() };
        let tokens = |params| {
            let mut s = sampler(params, 1000);
            [(); 8].map(|()| s.sample(&logits, &[]).unwrap())
        };
        assert_eq!(tokens(params), GOLDEN, "fixed for all targets");
        assert_eq!(tokens(params), tokens(params));
        assert_ne!(tokens(params), tokens(SamplerParams { seed: 43, ..params }));
        let mut s = sampler(params, 1000);
        let first = s.sample(&logits, &[]).unwrap();
        assert!(s.sample(&[f32::NAN; 1000], &[]).is_err());
        s.reseed(42);
        assert_eq!(s.sample(&logits, &[]), Ok(first));
    }

    const GOLDEN: [u32; 8] = [963, 173, 25, 235, 198, 988, 346, 272];

    #[test]
    fn nothing_is_allocated_after_construction() {
        let mut s = sampler(SamplerParams { top_k: 0, ..SamplerParams::default() }, 5000);
        let logits: Vec<f32> = (0..5000).map(|i| (i % 97) as f32 / 10.0).collect();
        let (at, room) = (s.candidates.as_ptr(), s.candidates.capacity());
        for token in 0..50 {
            s.sample(&logits, &[token, token + 1]).unwrap();
        }
        assert_eq!((s.candidates.as_ptr(), s.candidates.capacity()), (at, room));
    }
}
