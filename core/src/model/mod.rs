//! The machine: what a model's numbers mean, where they lie, how much memory they take and how a token passes through.
//!
//! * [`Hparams`]: the validated hyperparameters of a file.
//! * [`Model`]: the hyperparameters and the place of every tensor, by role.
//! * [`Plan`]: from these and the caller's [`Limits`], every region of memory, to the byte. Pure arithmetic.
//! * `budget`: the other way round, from an amount of memory to the limits that make the most of it.
//! * `pins`: which weights stay in memory when not all can.
//! * `forward`: the pass itself, from top to bottom like the paper.

mod ahead;
mod budget;
mod error;
mod forward;
mod hparams;
mod limits;
mod pins;
mod plan;
mod state;
mod tensors;
mod weights;

pub use budget::Chunks;
pub use error::ModelError;
pub use hparams::{Hparams, LayerShape};
pub use limits::{Limits, MAX_SLOTS, PlanError, WeightPlacement};
pub use plan::{Memory, Plan, Region};
pub use tensors::{Layer, Matrix, Model, Role, TensorName, Vector};

pub(crate) use forward::{Batch, attention, embed, feed_forward, head};
pub(crate) use state::{Arenas, State};
pub(crate) use tensors::MatrixId;
pub(crate) use weights::{WeightError, Weights};
