//! Portable operations, which every CPU can run.

mod ints;
mod lanes;
#[cfg(feature = "batch")]
mod panel;

/// No proof is needed.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;
