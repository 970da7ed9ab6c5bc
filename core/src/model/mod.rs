//! The machine: what a model's numbers mean, where they lie, how much memory they take and how a token passes through.
//!
//! * [`Hparams`]: the validated hyperparameters of a file.
//! * [`Model`]: the hyperparameters and the place of every tensor, by role.
//! * [`Plan`]: from these and the caller's [`Limits`], every region of memory, to the byte. Pure arithmetic.
//! * `forward`: the pass itself, from top to bottom like the paper.

mod error;
mod forward;
mod hparams;
mod plan;
mod state;
mod tensors;
mod weights;

pub use error::ModelError;
pub use hparams::{Hparams, LayerShape};
pub use plan::{Limits, Plan, PlanError, Region, WeightPlacement};
pub use tensors::{Layer, Matrix, Model, Role, TensorName, Vector};

pub(crate) use forward::{Batch, attention, embed, feed_forward, head};
pub(crate) use state::State;
pub(crate) use weights::{WeightError, Weights};
