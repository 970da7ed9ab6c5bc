//! Weight matrices, wherever they are.

use super::ahead::Ahead;
use super::pins::{Pin, for_each_pin, matrix_at};
use super::{Matrix, MatrixId, Model, TensorName, Vector, WeightPlacement};
use crate::io::{IoError, ReadAt};
use crate::kernels::{Acts, Compute, MatmulError, dispatch_matmul};
use crate::part::{part, part_mut};
use crate::quant::{WeightFormat, dequantize_row};

/// Why a matrix could not be multiplied or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightError {
    Io {
        tensor: MatrixId,
        error: IoError,
    },
    /// The weights are said to be mapped or lent, but the reader does neither.
    NotMapped {
        tensor: MatrixId,
    },
    /// A buffer does not fit: a defect of the plan, never of the file.
    Matmul {
        tensor: MatrixId,
        error: MatmulError,
    },
}

/// The weights of a session: the reader, what the plan says about copies, and what has been announced.
#[derive(Debug)]
pub(crate) struct Weights<R> {
    pub(crate) reader: R,
    placement: WeightPlacement,
    ahead: Ahead,
}

/// The arena's share of the weights.
pub(crate) struct WeightMemory<'m> {
    pub(crate) model: &'m Model,
    pub(crate) resident: &'m [u8],
    pub(crate) pins: &'m [Pin],
    pub(crate) window: &'m mut [u8],
}

impl<R: ReadAt> Weights<R> {
    pub(crate) fn new(reader: R, placement: WeightPlacement) -> Self {
        Self { reader, placement, ahead: Ahead::default() }
    }

    /// Says that the pass under way ends with `heads` output heads, of which `head` are done.
    pub(crate) const fn expect_heads(&mut self, heads: usize, head: usize) {
        self.ahead.expect_heads(heads, head);
    }

    /// Whether what can be computed in any order is to be computed in that of the file.
    pub(crate) const fn prefers_file_order(&self) -> bool {
        self.placement.chunk().is_some()
    }

    /// Announces the first chunks of a pass, so that they are read while the embedding is looked up.
    pub(crate) fn begin_pass(&mut self, model: &Model, pins: &[Pin]) {
        if let Some(chunk) = self.placement.chunk() {
            let pass = Pass { model, pins, chunk };
            if let Some(first) = self.ahead.first(&pass) {
                self.ahead.turn_to(first);
                let depth = self.depth();
                self.ahead.announce(&mut self.reader, &pass, depth);
            }
        }
    }

    /// Chunks that are announced before the present one is computed.
    const fn depth(&self) -> usize {
        match self.placement {
            WeightPlacement::Lent { slots, .. } => slots,
            _ => 1,
        }
    }

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
            .map_err(|error| WeightError::Matmul { tensor: matrix.id(), error })
        };
        match self.placement {
            WeightPlacement::Mapped => {
                let index = matrix.index(memory.model.layers().len());
                if let Some(next) = matrix_at(memory.model, index + 1) {
                    self.reader.prefetch(next.abs(), next.bytes() as u64);
                }
                let weights = self
                    .reader
                    .view(matrix.abs(), matrix.bytes())
                    .ok_or_else(|| WeightError::NotMapped { tensor: matrix.id() })?;
                run(weights, 0, scratch)
            }
            WeightPlacement::Resident => {
                // The plan fits `usize`, and a matrix's place lies within it.
                let start = matrix.packed() as usize;
                run(part(memory.resident, start, matrix.bytes()), 0, scratch)
            }
            _ if !cfg!(feature = "streaming") => Err(WeightError::NotMapped { tensor: matrix.id() }),
            WeightPlacement::Streamed { window: chunk }
            | WeightPlacement::Pinned { window: chunk, .. }
            | WeightPlacement::Lent { chunk, .. } => {
                let pass = Pass { model: memory.model, pins: memory.pins, chunk };
                let depth = self.depth();
                let pin = pass.pin(matrix);
                let (start, mut row) = (pin.start as usize, pin.rows as usize);
                if row > 0 {
                    run(part(memory.resident, start, row * matrix.row_bytes()), 0, scratch)?;
                }
                while row < n {
                    let spot = self.ahead.spot(&pass, matrix, row);
                    let rows = pass.rows_at(matrix, row);
                    let (at, len) = (at_row(matrix, row)?, rows * matrix.row_bytes());
                    if let WeightPlacement::Lent { .. } = self.placement {
                        self.ahead.turn_to(spot);
                        self.ahead.announce(&mut self.reader, &pass, depth);
                        self.ahead.pass_over(&pass, spot);
                        let lent = self.reader.lend(at, len).map_err(|error| io(matrix, error))?;
                        let not_lent = || WeightError::NotMapped { tensor: matrix.id() };
                        run(lent.ok_or_else(not_lent)?, row, scratch)?;
                    } else {
                        // A reader without threads may have one buffer only: it is asked for the next chunk when it
                        // has handed this one over.
                        let chunk = part_mut(memory.window, 0, len);
                        self.reader.read_at(at, chunk).map_err(|error| io(matrix, error))?;
                        self.ahead.pass_over(&pass, spot);
                        self.ahead.announce(&mut self.reader, &pass, depth);
                        run(chunk, row, scratch)?;
                    }
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
        let buf = part_mut(buf, 0, matrix.row_bytes());
        self.reader.read_at(at, buf).map_err(|error| io(matrix, error))?;
        expand(matrix.format(), buf, out);
        Ok(())
    }

    /// Every row that the table says is resident into its place in `resident`, and the table itself.
    pub(crate) fn load_pins(
        &mut self,
        model: &Model,
        pins: &mut [Pin],
        resident: &mut [u8],
    ) -> Result<(), WeightError> {
        pins.fill(Pin::default());
        let layers = model.layers().len();
        for_each_pin(model, resident.len() as u64, |matrix, pin| {
            if let Some(place) = pins.get_mut(matrix.index(layers)) {
                *place = pin;
            }
        });
        for (matrix, pin) in model.matrices().zip(pins) {
            let (start, len) = (pin.start as usize, pin.rows as usize * matrix.row_bytes());
            let place = part_mut(resident, start, len);
            self.reader.read_at(matrix.abs(), place).map_err(|error| io(matrix, error))?;
        }
        Ok(())
    }

    /// The whole of `matrix` into its place in `resident`.
    pub(crate) fn load_matrix(&mut self, matrix: &Matrix, resident: &mut [u8]) -> Result<(), WeightError> {
        let start = matrix.packed() as usize;
        let place = part_mut(resident, start, matrix.bytes());
        self.reader.read_at(matrix.abs(), place).map_err(|error| io(matrix, error))
    }

    /// The vector as f32 into `out`.
    pub(crate) fn load_vector(&mut self, vector: &Vector, out: &mut [f32]) -> Result<(), IoError> {
        // A norm is read in pieces, so that no buffer grows with it.
        let mut buf = [0; 256];
        let width = vector.format().block_bytes();
        let most = buf.len().checked_div(width).unwrap_or(0).max(1);
        let mut at = vector.abs();
        for piece in out.chunks_mut(most) {
            let bytes = part_mut(&mut buf, 0, piece.len() * width);
            self.reader.read_at(at, bytes)?;
            expand(vector.format(), bytes, piece);
            at = at.checked_add(bytes.len() as u64).unwrap_or(at);
        }
        Ok(())
    }
}

/// A pass over the streamed weights, as the plan has cut it up.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'m> {
    pub(crate) model: &'m Model,
    /// The resident rows of each matrix; empty where there are none.
    pub(crate) pins: &'m [Pin],
    pub(crate) chunk: usize,
}

impl Pass<'_> {
    /// The resident rows of `matrix`.
    pub(crate) fn pin(&self, matrix: &Matrix) -> Pin {
        self.pins.get(matrix.index(self.model.layers().len())).copied().unwrap_or_default()
    }

    /// Rows of the chunk that begins with `row`.
    pub(crate) fn rows_at(&self, matrix: &Matrix, row: usize) -> usize {
        self.chunk.checked_div(matrix.row_bytes()).unwrap_or(0).max(1).min(matrix.n() - row)
    }
}

fn at_row(matrix: &Matrix, row: usize) -> Result<crate::io::AbsOffset, WeightError> {
    let skip = row as u64 * matrix.row_bytes() as u64;
    let beyond =
        || io(matrix, IoError::Truncated { offset: u64::MAX, need: matrix.row_bytes() as u64, have: 0 });
    matrix.abs().checked_add(skip).ok_or_else(beyond)
}

fn io(matrix: &Matrix, error: IoError) -> WeightError {
    WeightError::Io { tensor: matrix.id(), error }
}

fn expand(format: WeightFormat, bytes: &[u8], out: &mut [f32]) {
    let done = dequantize_row(format, bytes, out);
    debug_assert!(done.is_ok(), "the model has checked the row's length: {done:?}");
}
