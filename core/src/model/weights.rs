//! Weight matrices, wherever they are.

use super::{Matrix, TensorName, Vector, WeightPlacement};
use crate::io::{IoError, ReadAt};
use crate::kernels::{Acts, Compute, MatmulError, dispatch_matmul};
use crate::quant::{WeightFormat, dequantize_row};

/// Why a matrix could not be multiplied or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightError {
    Io {
        tensor: TensorName,
        error: IoError,
    },
    /// The weights are said to be mapped, but the reader cannot address them.
    NotMapped {
        tensor: TensorName,
    },
    /// A buffer does not fit: a defect of the plan, never of the file.
    Matmul {
        tensor: TensorName,
        error: MatmulError,
    },
}

/// The weights of a session: the reader, and what the plan says about copies.
#[derive(Debug)]
pub(crate) struct Weights<R> {
    pub(crate) reader: R,
    pub(crate) placement: WeightPlacement,
}

/// The arena's share of the weights.
pub(crate) struct WeightMemory<'m> {
    pub(crate) resident: &'m [u8],
    pub(crate) window: &'m mut [u8],
}

impl<R: ReadAt> Weights<R> {
    /// `out = matrix · acts`, on the matrix's fused kernel; `out` is `[tokens][n]`.
    pub(crate) fn multiply(
        &mut self,
        compute: Compute<'_>,
        memory: &mut WeightMemory<'_>,
        matrix: &Matrix,
        acts: &Acts<'_>,
        out: &mut [f32],
        scratch: &mut [u8],
    ) -> Result<(), WeightError> {
        let (format, k, n, batch) = (matrix.format(), matrix.k(), matrix.n(), acts.tokens());
        // Nobody reads the name of an untraced multiplication.
        let name = if compute.trace.is_some() { matrix.name() } else { TensorName::new("") };
        let mut run = |weights: &[u8], first_row, scratch: &mut [u8]| {
            dispatch_matmul(
                compute,
                name.as_str(),
                acts,
                weights,
                format,
                batch,
                k,
                n,
                first_row,
                out,
                scratch,
            )
            .map_err(|error| WeightError::Matmul { tensor: matrix.name(), error })
        };
        match self.placement {
            WeightPlacement::Mapped => {
                let weights = self
                    .reader
                    .view(matrix.abs(), matrix.bytes())
                    .ok_or_else(|| WeightError::NotMapped { tensor: matrix.name() })?;
                run(weights, 0, scratch)
            }
            WeightPlacement::Resident => {
                // The plan fits `usize`, and a matrix's place lies within it.
                let start = matrix.packed() as usize;
                run(&memory.resident[start..start + matrix.bytes()], 0, scratch)
            }
            WeightPlacement::Streamed { .. } => {
                let rows_at_once = (memory.window.len() / matrix.row_bytes()).max(1);
                let mut row = 0;
                while row < n {
                    let rows = rows_at_once.min(n - row);
                    let chunk = &mut memory.window[..rows * matrix.row_bytes()];
                    let at = at_row(matrix, row)?;
                    self.reader.read_at(at, chunk).map_err(|error| io(matrix, error))?;
                    if let Some(next) = at.checked_add(chunk.len() as u64) {
                        let left = (matrix.bytes() - (row + rows) * matrix.row_bytes()).min(chunk.len());
                        self.reader.prefetch(next, left as u64);
                    }
                    run(chunk, row, scratch)?;
                    row += rows;
                }
                Ok(())
            }
        }
    }

    /// Row `row` of `matrix` as f32, through `buf`, which holds one row in its format.
    pub(crate) fn row(
        &mut self,
        matrix: &Matrix,
        row: usize,
        buf: &mut [u8],
        out: &mut [f32],
    ) -> Result<(), WeightError> {
        let at = at_row(matrix, row)?;
        let buf = &mut buf[..matrix.row_bytes()];
        self.reader.read_at(at, buf).map_err(|error| io(matrix, error))?;
        expand(matrix.format(), buf, out);
        Ok(())
    }

    /// The whole of `matrix` into its place in `resident`.
    pub(crate) fn load_matrix(&mut self, matrix: &Matrix, resident: &mut [u8]) -> Result<(), WeightError> {
        let start = matrix.packed() as usize;
        let place = &mut resident[start..start + matrix.bytes()];
        self.reader.read_at(matrix.abs(), place).map_err(|error| io(matrix, error))
    }

    /// The vector as f32 into `out`.
    pub(crate) fn load_vector(&mut self, vector: &Vector, out: &mut [f32]) -> Result<(), IoError> {
        // A norm is read in pieces, so that no buffer grows with it.
        let mut buf = [0; 256];
        let width = vector.format().block_bytes();
        let mut at = vector.abs();
        for piece in out.chunks_mut(buf.len() / width) {
            let bytes = &mut buf[..piece.len() * width];
            self.reader.read_at(at, bytes)?;
            expand(vector.format(), bytes, piece);
            at = at.checked_add(bytes.len() as u64).unwrap_or(at);
        }
        Ok(())
    }
}

fn at_row(matrix: &Matrix, row: usize) -> Result<crate::io::AbsOffset, WeightError> {
    let skip = row as u64 * matrix.row_bytes() as u64;
    let beyond =
        || io(matrix, IoError::Truncated { offset: u64::MAX, need: matrix.row_bytes() as u64, have: 0 });
    matrix.abs().checked_add(skip).ok_or_else(beyond)
}

fn io(matrix: &Matrix, error: IoError) -> WeightError {
    WeightError::Io { tensor: matrix.name(), error }
}

fn expand(format: WeightFormat, bytes: &[u8], out: &mut [f32]) {
    let done = dequantize_row(format, bytes, out);
    debug_assert!(done.is_ok(), "the model has checked the row's length: {done:?}");
}
