//! The desktop shell of barre: memory-mapped and positioned files, a thread pool, CPU detection, and an
//! [`Engine`](engine::Engine) that puts them together.
//!
//! ```no_run
//! use barre::engine::{Engine, OpenOptions, SessionOptions};
//! use barre_core::sampler::{Sampler, SamplerParams};
//! use barre_core::tokenizer::{DecodeOptions, Decoder, EncodeOptions, EncodeScratch};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::open("model.gguf".as_ref(), &OpenOptions::default())?;
//! let tokenizer = engine.tokenizer()?;
//! let mut tokens = Vec::new();
//! tokenizer.encode(b"Once upon a time", EncodeOptions::default(), &mut EncodeScratch::default(), &mut tokens)?;
//!
//! // The memory is known before any of it is taken, and nothing allocates after the session is made.
//! let plan = engine.plan(&SessionOptions { context: Some(1024), ..SessionOptions::default() })?;
//! println!("{} bytes", plan.bytes());
//! let mut arena = Engine::arena(&plan)?;
//! let mut session = engine.session(&plan, &mut arena)?;
//!
//! let mut sampler = Sampler::new(SamplerParams::default(), tokenizer.len())?;
//! let mut decoder = Decoder::new(DecodeOptions { strip_space: false, ..DecodeOptions::default() });
//! session.prefill(&tokens)?;
//! while session.position() < 1024 {
//!     let token = sampler.sample(session.logits(), session.tokens())?;
//!     if tokenizer.is_end_of_generation(token) {
//!         break;
//!     }
//!     decoder.push(&tokenizer, token, |text| print!("{text}"));
//!     session.step(token)?;
//! }
//! # Ok(())
//! # }
//! ```

mod ahead;
pub mod bandwidth;
pub mod constrained;
pub mod detect;
pub mod engine;
mod huge;
pub mod in_memory;
pub mod memory;
pub mod pool;
pub mod requantize;
pub mod source;
mod storage;
#[cfg(target_arch = "x86_64")]
mod tiles;
