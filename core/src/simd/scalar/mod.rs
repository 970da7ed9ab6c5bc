//! Portable operations, which every CPU can run.

#[cfg(feature = "batch")]
mod columns;
mod ints;
mod lanes;
#[cfg(feature = "batch")]
mod panel;

/// No proof is needed.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;
