//! Choosing the next token from the logits.
//!
//! The steps and their order are llama.cpp's: repeat penalty, top-k, top-p, min-p, temperature, then the draw. A
//! choice depends on the logits, the parameters and the seed, on nothing of the machine: the exponential is
//! `libm`'s in f64, sums run in an order that is written here, equal logits rank by id.

#[cfg(feature = "sampling")]
mod chance;
mod params;
#[cfg(feature = "sampling")]
mod rng;

pub use params::{SampleError, SamplerParams};

#[cfg(feature = "sampling")]
use chance::Chance;

/// Chooses tokens of one sequence. Allocates when made and never again; without the feature `sampling`, not even then.
#[derive(Clone, Debug)]
pub struct Sampler {
    params: SamplerParams,
    vocab_len: usize,
    #[cfg(feature = "sampling")]
    chance: Chance,
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

    #[cfg(feature = "sampling")]
    const fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending ^ 1 << 31 } else { !ascending })
    }

    const fn id(self) -> u32 {
        self.0 as u32
    }
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab_len` tokens, with some 8 bytes of memory for each.
    ///
    /// # Errors
    /// [`SampleError::BadSampler`], [`SampleError::OutOfMemory`], [`SampleError::NotCompiled`] without the feature
    /// `sampling` if more is asked for than the largest logit.
    pub fn new(params: SamplerParams, vocab_len: u32) -> Result<Self, SampleError> {
        params.validate()?;
        if !cfg!(feature = "sampling") && !params.is_greedy() {
            return Err(SampleError::NotCompiled { feature: "sampling" });
        }
        let vocab_len = vocab_len as usize;
        Ok(Self {
            params,
            vocab_len,
            #[cfg(feature = "sampling")]
            chance: Chance::new(params.seed, vocab_len)?,
        })
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &SamplerParams {
        &self.params
    }

    /// Begins the random numbers again with `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.params.seed = seed;
        #[cfg(feature = "sampling")]
        self.chance.reseed(seed);
    }

    /// The next token. `logits` has one number a token; −∞ excludes a token. `recent` are the tokens so far, of
    /// which the last [`repeat_last_n`](SamplerParams::repeat_last_n) count for the penalty.
    ///
    /// An error takes no random number.
    ///
    /// # Errors
    /// [`SampleError::LogitsLen`], [`SampleError::NonFiniteLogits`]: NaN is never passed over.
    #[cfg_attr(not(feature = "sampling"), expect(unused_variables, reason = "`recent` is for the penalty"))]
    pub fn sample(&mut self, logits: &[f32], recent: &[u32]) -> Result<u32, SampleError> {
        let want = self.vocab_len;
        if logits.len() != want {
            return Err(SampleError::LogitsLen { got: logits.len(), want });
        }
        check_finite(logits)?;
        #[cfg(feature = "sampling")]
        if !self.params.is_greedy() {
            return Ok(self.chance.choose(&self.params, logits, recent));
        }
        // An excluded token comes last, and one is not excluded.
        let best = logits.iter().enumerate().map(|(id, &logit)| Candidate::new(logit, id)).min();
        Ok(best.map_or(0, Candidate::id))
    }
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
    use std::vec::Vec;

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
    fn the_penalty_counts_each_recent_token_once() {
        let params = SamplerParams { repeat_penalty: 2.0, repeat_last_n: 3, ..SamplerParams::GREEDY };
        let mut s = sampler(params, 4);
        let logits = [4.0, 3.0, 1.5, -1.0];
        assert_eq!(s.sample(&logits, &[]), Ok(0));
        assert_eq!(s.sample(&logits, &[0, 0, 0]), Ok(1));
        assert_eq!(s.sample(&logits, &[0, 1, 2]), Ok(0));
        assert_eq!(s.sample(&logits, &[0, 3, 3, 3]), Ok(0), "too long ago");
        assert_eq!(s.sample(&[-1.0, -1.5, -3.0, -2.5], &[0, 99, u32::MAX]), Ok(1));
        assert!(s.chance.seen.iter().all(|&w| w == 0));
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
        let (at, room) = (s.chance.candidates.as_ptr(), s.chance.candidates.capacity());
        for token in 0..50 {
            s.sample(&logits, &[token, token + 1]).unwrap();
        }
        assert_eq!((s.chance.candidates.as_ptr(), s.chance.candidates.capacity()), (at, room));
    }
}
