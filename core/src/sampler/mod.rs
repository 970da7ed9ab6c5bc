//! Choosing the next token from the logits.
//!
//! The steps and their order are llama.cpp's: repeat penalty, top-k, top-p, min-p, temperature, then the draw. A
//! choice depends on the logits, the parameters and the seed, on nothing of the machine: the exponential is plain
//! multiplications and additions of f64, sums run in an order that is written here, equal logits rank by id. The draw goes
//! through the tokens in order of rank after top-k, else of id.
//!
//! No step takes what it does not need: a pass finds the largest logit of each group of 64, and later ones look only into
//! groups in which something can be kept. Loops without branches over a group become vectors with any compiler's baseline.

#[cfg(feature = "sampling")]
mod chance;
#[cfg(feature = "sampling")]
mod cut;
mod group;
mod params;
#[cfg(feature = "sampling")]
mod rng;
#[cfg(feature = "sampling")]
mod weight;

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
#[cfg(feature = "sampling")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

#[cfg(feature = "sampling")]
impl Candidate {
    fn new(logit: f32, id: usize) -> Self {
        // Adding zero makes the two zeros one.
        let bits = (logit + 0.0).to_bits();
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!ascending) << 32 | id as u64)
    }

    /// The last of those whose logits have that [`rank`](Self::rank).
    const fn last_of(rank: u32) -> Self {
        Self((rank as u64) << 32 | u32::MAX as u64)
    }

    /// The same for equal logits, and less for larger ones.
    const fn rank(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn logit(self) -> f32 {
        let ascending = !self.rank();
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
        #[cfg(feature = "sampling")]
        if !self.params.is_greedy() {
            return self.chance.choose(&self.params, logits, recent);
        }
        group::likeliest(logits)
    }
}

#[cfg(all(test, feature = "sampling"))]
mod tests;
