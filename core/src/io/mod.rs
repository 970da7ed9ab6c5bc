//! Bytes at absolute offsets.
//!
//! GGUF stores a tensor's place relative to its data section. Reading at that relative number as if it were
//! absolute gives plausible, wrong weights, so the two are different types here and [`DataSection::absolute`]
//! is the only way from one to the other.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod error;
mod offset;
mod read_at;
mod stream;

pub use embedded_io::ErrorKind;
pub use error::{IoError, IoOp};
pub use offset::{AbsOffset, DataSection, OffsetError, RelOffset};
pub use read_at::ReadAt;
pub use stream::{MAX_INTERRUPTED, Stream};
