//! How to choose, and what can be wrong with it.

use core::fmt;

/// How a token is chosen. The defaults are llama.cpp's.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerParams {
    /// Logits are divided by it; 0 takes the largest. Finite, not negative.
    pub temperature: f32,
    /// Keep this many of the largest logits; 0 keeps all.
    pub top_k: u32,
    /// Keep the fewest tokens whose probabilities add up to this. 0 to 1; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this times as likely as the likeliest. 0 to 1; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of recent tokens and multiplies negative ones. Finite, above 0; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many of the latest tokens are recent; 0 for none.
    pub repeat_last_n: u32,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for SamplerParams {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            seed: 0,
        }
    }
}

impl SamplerParams {
    /// The largest logit each time, without penalty.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_last_n: 0,
        seed: 0,
    };

    /// Whether the largest logit as it is decides.
    #[must_use]
    pub const fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && self.repeat_penalty == 1.0
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// [`SampleError::BadSampler`] with the name of the first that is out of range.
    pub fn validate(&self) -> Result<(), SampleError> {
        let unit = 0.0..=1.0;
        let checks = [
            ("temperature", self.temperature >= 0.0 && self.temperature.is_finite()),
            ("top_p", unit.contains(&self.top_p)),
            ("min_p", unit.contains(&self.min_p)),
            ("repeat_penalty", self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()),
        ];
        match checks.into_iter().find(|check| !check.1) {
            Some((param, _)) => Err(SampleError::BadSampler { param }),
            None => Ok(()),
        }
    }
}

/// Why no token was chosen.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleError {
    /// A parameter is not a number or out of its range.
    BadSampler {
        /// The field of [`SamplerParams`].
        param: &'static str,
    },
    /// A logit is NaN or +∞, or all are −∞.
    NonFiniteLogits {
        /// The first such.
        index: usize,
    },
    /// The number of logits is not that of the vocabulary.
    LogitsLen {
        /// The logits.
        got: usize,
        /// The vocabulary's tokens.
        want: usize,
    },
    /// Memory for the candidates could not be had.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// This build leaves out what the parameters ask for.
    NotCompiled {
        /// The feature of `barre-core` that brings it.
        feature: &'static str,
    },
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the sampler is refused");
        }
        match *self {
            Self::BadSampler { param } => write!(f, "sampler parameter {param} is out of range"),
            Self::NonFiniteLogits { index } => write!(f, "logit {index} is not a finite number"),
            Self::LogitsLen { got, want } => write!(f, "{got} logits for {want} tokens"),
            Self::OutOfMemory { bytes } => write!(f, "out of memory: {bytes} bytes for the sampler"),
            Self::NotCompiled { feature } => write!(f, "this build leaves out the feature `{feature}`"),
        }
    }
}

impl core::error::Error for SampleError {}
