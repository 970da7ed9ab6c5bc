//! The block formats that weights are stored in.
//!
//! One file a format: its layout (with asserted size), dequantization bit-identical to GGML's, and quantization
//! as GGML's reference quantizers do it without an importance matrix. [`WeightFormat`] names them all.

mod block;
mod fit;
pub mod float;
mod format;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod q8_k;
mod row;

pub use block::Block;
pub use format::{UnknownFormat, WeightFormat};
pub use q2_k::Q2KBlock;
pub use q3_k::Q3KBlock;
pub use q4_0::Q4_0Block;
pub use q4_1::Q4_1Block;
pub use q4_k::Q4KBlock;
pub use q5_0::Q5_0Block;
pub use q5_1::Q5_1Block;
pub use q5_k::Q5KBlock;
pub use q6_k::Q6KBlock;
pub use q8_0::Q8_0Block;
pub use q8_k::Q8KBlock;
pub use row::{QuantError, dequantize_row, first_non_finite_block, quantize_row};

/// Weights in a block of the 32-weight formats.
pub const BLOCK_LEN: usize = 32;
/// Weights in a super-block of the K-quants.
pub const SUPER_BLOCK_LEN: usize = 256;
