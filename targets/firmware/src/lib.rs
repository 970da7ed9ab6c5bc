//! What the bare-metal images share, apart from any board.
//!
//! * [`model`]: the model that images carry, and what they ask it. The one place to exchange it.
//! * [`demo`]: from a reader to a printed answer, with the bits of all logits in one number.
//! * [`memory`]: a heap that counts and an arena, both static.
//! * [`sectors`]: a [`ReadAt`](barre_core::io::ReadAt) over anything that reads whole sectors.
//! * [`text`]: numbers as text, small.
//! * [`far`]: a file stretched beyond 4 GiB, for testing 32-bit machines.
//!
//! A board adds a console, its start and a way out. Everything here also runs on a desktop, where the tests are;
//! `examples/desktop.rs` prints there what an image prints, to compare.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod demo;
pub mod far;
pub mod memory;
pub mod model;
pub mod sectors;
pub mod text;
