//! Fused kernels: weights are multiplied where they lie, in their blocks.
//!
//! [`Kernels`] is a table of function pointers for one instruction set, made from proof that the CPU has it.
//! [`dispatch_matmul`] is the one door through which every weight matrix is multiplied: it picks the kernel by
//! [`WeightFormat`](crate::quant::WeightFormat), splits the rows among an [`Executor`]'s threads and reports
//! each multiplication to a [`Trace`].
//!
//! # The arithmetic, the same on every instruction set
//!
//! Sums of integers are exact, so any order serves. Sums of floats have one canonical order, and multiply and
//! add are separate operations, never contracted:
//!
//! * **Block formats**: per row one f32 accumulator; blocks in order; `acc = acc + term`, where
//!   `term = (d·dy)·isum` (Q4_0, Q5_0, Q8_0, Q3_K, Q6_K, Q8_K), `(d·dy)·isum + (m·dy)·ysum` (Q4_1, Q5_1) or
//!   `(d·dy)·isum − (dmin·dy)·msum` (Q2_K, Q4_K, Q5_K). `d`, `dmin`, `m` are the weight block's floats, `dy` the
//!   activation block's scale, `isum = Σ scale·weight·y`, `msum = Σ min·ysum`, `ysum = Σ y` exact i32, each
//!   converted to f32 (nearest even) once.
//! * **Exact mode** runs the same integer sums once per digit plane of the activation, most significant first,
//!   and joins them in f32 before the scaling: `f = 0; for each plane: f = f·256 + i`, for `isum`, `msum`, `ysum` alike.
//! * **F32, F16, BF16 rows, attention scores, sums of squares, sums of exponentials**: 16 lanes; element `i` goes
//!   to lane `i mod 16` in order of `i`; the end is padded with zeros to a whole number of 16; then the tree
//!   `lane[i] += lane[i + 8]`, `+ 4`, `+ 2`, `+ 1`.
//! * **Softmax in attention** scales at the end: values are mixed with `e^(score − max)`, and the result multiplied
//!   by 1 / the sum of those.
//! * **Sums over positions** (the value side of attention): position by position, one accumulator an element.

mod acts;
mod attend_all;
mod dispatch;
mod executor;
mod float;
#[cfg(feature = "batch")]
mod matmul;
mod matvec;
mod out;
mod parallel;
mod quantize;
mod table;

pub use acts::{ActKind, ActToken, ActTokenMut, Acts, ActsMut, Mode, WRAP};
pub use dispatch::{Compute, MatmulError, MatmulEvent, Trace, dispatch_matmul};
pub use executor::{Executor, Serial};
pub use float::{AttendJob, KvHead, KvType, exp, rope_table};
pub use out::OutCols;
pub use table::Kernels;

pub(crate) use attend_all::attend_all;
pub(crate) use parallel::for_each_row;
