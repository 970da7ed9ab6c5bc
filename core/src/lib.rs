//! barre's core: everything that computes, without an operating system.
//!
//! Read the modules in this order; each uses only those above it:
//!
//! 1. [`io`]: bytes at absolute offsets, from memory or through any `embedded_io` reader.
//! 2. [`gguf`]: the container: metadata and the directory of tensors.
//! 3. [`quant`]: the block formats that weights are stored in.
//! 4. [`simd`] and [`kernels`]: fused kernels that multiply weights where they lie, in their blocks.
//! 5. [`model`]: hyperparameters, the memory plan, the KV cache, the forward pass.
//! 6. [`tokenizer`], [`sampler`] and [`constrain`]: text in, text out, in the form of a JSON Schema if you like.
//! 7. [`session`]: what a caller holds.
//!
//! No threads, clocks, files, entropy or globals live here. Threads come in through
//! [`kernels::Executor`], memory and bytes come from the caller.
//!
//! # Features
//!
//! All but `defmt` are on by default; none changes a result.
//!
//! | feature | adds |
//! |---|---|
//! | `q4_0` `q4_1` `q5_0` `q5_1` `q8_0` `q2_k` `q3_k` `q4_k` `q5_k` `q6_k` `q8_k` | kernels and conversions of that format |
//! | `f32` `f16` `bf16` | matrices in that format; vectors may be in it without |
//! | `legacy-quants`, `k-quants`, `float-matrices`, `all-formats` | the first four, the K-quants, the floats, all |
//! | `spm`, `bpe`, `all-tokenizers` | SentencePiece vocabularies, byte-level BPE, both |
//! | `bpe-llama3` | byte-level BPE with the pre-tokenizers of Llama 3 and Qwen 2 alone |
//! | `special-tokens` | tokens that a text may name |
//! | `sampling` | a [`sampler`] that draws; without it the largest logit is taken |
//! | `batch` | kernels for several tokens at once; without it prompts take longer |
//! | `streaming` | weights read each time they are needed, or in part |
//! | `kv-q8_0` | [`kernels::KvType`]'s `Q8_0`: a KV cache of half the bytes |
//! | `messages` | errors in words; without it `Display` names the layer and the byte at most |
//! | `exact` | [`kernels::Mode`]'s `Exact`: activations in three digits |
//! | `defmt` | `defmt::Format` of errors and public state |
//!
//! A model in a format that is left out is refused when it is loaded:
//! [`ModelError::FormatNotCompiled`](model::ModelError::FormatNotCompiled) names tensor, format and feature. So are a vocabulary
//! ([`VocabError::NotCompiled`](tokenizer::VocabError::NotCompiled)) and a plan
//! ([`PlanError::NotCompiled`](model::PlanError::NotCompiled)).

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod array;
mod aside;
pub mod constrain;
pub mod gguf;
pub mod io;
pub mod kernels;
pub mod model;
mod part;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod simd;
mod sort;
mod text;
pub mod tokenizer;
