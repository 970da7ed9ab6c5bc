//! Output that can't be malformed: a JSON Schema decides which tokens a model may choose.
//!
//! A [`Schema`] is compiled into a finite automaton over bytes. Every bound of the schema is finite, so the automaton
//! has no cycle: output ends after a number of bytes that is known before the first ([`Schema::max_bytes`]), and a
//! shortest way to the end is known from every state. A [`TokenIndex`] holds a vocabulary's bytes in sorted order;
//! tokens with a common beginning share their way through the automaton. A [`Constraint`] is the state of one output:
//!
//! ```
//! # use barre_core::constrain::{Constraint, ConstrainError, Schema, SchemaError, TokenIndex};
//! # use barre_core::{sampler::{Sampler, SampleError}, tokenizer::Tokenizer};
//! # fn show(tokenizer: &Tokenizer, sampler: &mut Sampler, logits: &mut [f32]) -> Result<(), Box<dyn core::error::Error>> {
//! let schema = Schema::parse(br#"{"enum": ["on", "off"]}"#)?;
//! let index = TokenIndex::new(tokenizer)?;
//! let mut constraint = Constraint::new(&schema, &index)?;
//! while !constraint.is_final() {
//!     # let tokens_left = 9;
//!     // ... logits of the next token ...
//!     constraint.mask(logits, tokens_left)?;
//!     let token = sampler.sample(logits, &[])?;
//!     constraint.accept(token)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Firmware has a schema compiled where it is built ([`Schema::to_compiled`], in a `build.rs` for example) and the result
//! in flash ([`Schema::from_compiled`]): neither the compiler nor the memory that it works in is on the device then.
//!
//! Every value has one spelling, the one without spaces that most serializers write: properties in the order of the
//! schema's text, optional ones left out rather than null, integers without leading zeros, strings with the shortest
//! escapes. What a constrained model writes is therefore always valid against the schema, but not everything valid
//! against the schema can be written.
//!
//! `docs/constrained-output.md` has the subset of JSON Schema, the guarantees and the costs.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod automaton;
mod builder;
mod characters;
mod compiled;
mod constraint;
mod error;
mod index;
mod integer;
mod json;
mod keywords;
mod pattern;
mod schema;

pub use constraint::Constraint;
pub use error::{ConstrainError, SchemaError};
pub use index::TokenIndex;
pub use schema::{Schema, SchemaLimits};
