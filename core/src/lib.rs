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

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod constrain;
pub mod gguf;
pub mod io;
pub mod kernels;
pub mod model;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod simd;
pub mod tokenizer;
