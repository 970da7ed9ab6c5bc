//! Portable operations, which every CPU can run.

mod ints;
mod lanes;
mod panel;

/// No proof is needed.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;
