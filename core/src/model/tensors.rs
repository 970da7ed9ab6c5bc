//! Which tensor plays which role, and where it lies.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::{Hparams, ModelError};
use crate::aside::{Aside, Failed};
use crate::gguf::{Gguf, MAX_DIMS, TensorInfo};
use crate::io::{AbsOffset, ReadAt};
use crate::part::{copy, part_mut, push};
use crate::quant::WeightFormat;
use crate::text::{Decimal, write_escaped};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

/// A short name, kept without allocation: a tensor's, or a key's value in an error. Longer ones are cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TensorName {
    bytes: [u8; 64],
    len: u8,
}

impl TensorName {
    /// Up to the first 64 bytes of `name`, cut at a character.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut short = Self { bytes: [0; 64], len: 0 };
        // Writing into it never fails; what doesn't fit is cut.
        let _ = fmt::Write::write_str(&mut short, name);
        short
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl TensorName {
    /// Appends the characters of `s` that there is room for.
    pub(super) fn push(&mut self, s: &str) {
        let start = usize::from(self.len);
        let room = self.bytes.len().saturating_sub(start);
        let Some((text, _)) = s.as_bytes().split_at_checked(s.floor_char_boundary(room)) else { return };
        let end = start.saturating_add(text.len());
        copy(part_mut(&mut self.bytes, start, text.len()), text);
        self.len = u8::try_from(end).unwrap_or(self.len);
    }
}

impl fmt::Write for TensorName {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s);
        Ok(())
    }
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of an architecture is whatever the file says: nothing that moves the cursor or ends the line.
        if self.as_str().contains(char::is_control) {
            return write_escaped(f, self.as_str());
        }
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for TensorName {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// What a tensor does in the model.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Token embedding, and the output head where that is tied to it.
    TokenEmbd,
    /// Output head.
    Output,
    /// Final norm.
    OutputNorm,
    /// Frequency factors of the rotary embedding.
    RopeFreqs,
    /// Norm before attention.
    AttnNorm,
    /// Query projection.
    AttnQ,
    /// Key projection.
    AttnK,
    /// Value projection.
    AttnV,
    /// Projection of the attention's result.
    AttnOutput,
    /// Norm before the feed-forward network.
    FfnNorm,
    /// Gate projection.
    FfnGate,
    /// Up projection.
    FfnUp,
    /// Down projection.
    FfnDown,
}

impl Role {
    /// The stem of the tensor's name in the file.
    #[must_use]
    pub const fn stem(self) -> &'static str {
        match self {
            Self::TokenEmbd => "token_embd",
            Self::Output => "output",
            Self::OutputNorm => "output_norm",
            Self::RopeFreqs => "rope_freqs",
            Self::AttnNorm => "attn_norm",
            Self::AttnQ => "attn_q",
            Self::AttnK => "attn_k",
            Self::AttnV => "attn_v",
            Self::AttnOutput => "attn_output",
            Self::FfnNorm => "ffn_norm",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
        }
    }

    /// The tensor's name in the file: the stem, behind `blk.N.` inside a layer, with `suffix` (".weight", ".bias" or "").
    #[must_use]
    pub fn name(self, layer: Option<u32>, suffix: &str) -> TensorName {
        let mut name = TensorName { bytes: [0; 64], len: 0 };
        if let Some(layer) = layer {
            name.push("blk.");
            // What has no room is left out, which is no error.
            let _ = Decimal(layer.into()).write_to(&mut name);
            name.push(".");
        }
        name.push(self.stem());
        name.push(suffix);
        name
    }
}

/// A weight matrix: `n` rows (outputs) of `k` weights (inputs), row-major in its format's blocks.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    role: Role,
    layer: Option<u32>,
    format: WeightFormat,
    k: usize,
    n: usize,
    row_bytes: usize,
    bytes: usize,
    abs: AbsOffset,
    packed: u64,
}

impl Matrix {
    /// The name without `.weight`, as in `blk.0.attn_q`.
    #[must_use]
    pub fn name(&self) -> TensorName {
        self.id().name()
    }

    /// What it takes to name the matrix.
    pub(crate) const fn id(&self) -> MatrixId {
        MatrixId { role: self.role, layer: self.layer }
    }

    /// What the matrix does.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How its weights are stored.
    #[must_use]
    pub const fn format(&self) -> WeightFormat {
        self.format
    }

    /// Inputs: GGUF's first, contiguous dimension.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Outputs: GGUF's second dimension.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.n
    }

    /// Bytes of a row.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of the matrix.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it starts.
    #[must_use]
    pub const fn abs(&self) -> AbsOffset {
        self.abs
    }

    /// Where it starts in a resident copy of all matrices.
    pub(crate) const fn packed(&self) -> u64 {
        self.packed
    }

    /// Its number among [`Model::matrices`] of a model of so many layers.
    pub(crate) fn index(&self, layers: usize) -> usize {
        let (layer, place) = match (self.layer, self.role) {
            (Some(layer), Role::AttnQ) => (layer as usize, 0),
            (Some(layer), Role::AttnK) => (layer as usize, 1),
            (Some(layer), Role::AttnV) => (layer as usize, 2),
            (Some(layer), Role::AttnOutput) => (layer as usize, 3),
            (Some(layer), Role::FfnGate) => (layer as usize, 4),
            (Some(layer), Role::FfnUp) => (layer as usize, 5),
            (Some(layer), _) => (layer as usize, 6),
            (None, _) => (layers, 0),
        };
        layer.saturating_mul(MATRICES_PER_LAYER).saturating_add(place)
    }
}

/// A matrix's name in an eighth of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixId {
    role: Role,
    layer: Option<u32>,
}

impl MatrixId {
    /// The name in the file, without `.weight`.
    pub(crate) fn name(self) -> TensorName {
        self.role.name(self.layer, "")
    }
}

/// A vector of a few floats: a norm's weights or a bias. Held as f32 whatever the file has.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    format: WeightFormat,
    len: usize,
    abs: AbsOffset,
    slot: usize,
}

impl Vector {
    /// F32, F16 or BF16.
    #[must_use]
    pub const fn format(&self) -> WeightFormat {
        self.format
    }

    /// Elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a vector of no elements is refused at load")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Where it starts.
    #[must_use]
    pub const fn abs(&self) -> AbsOffset {
        self.abs
    }

    /// Its place, in floats, among all small vectors.
    pub(crate) const fn slot(&self) -> usize {
        self.slot
    }
}

/// Matrices start at multiples of this in a resident copy, vectors at multiples of a quarter of it in floats.
pub(crate) const PACK_ALIGN: u64 = 64;

/// Matrices that a layer has.
pub(crate) const MATRICES_PER_LAYER: usize = 7;
/// Norms and biases that it may have.
const VECTORS_PER_LAYER: usize = 9;

/// The tensors of one layer.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the field's names are the tensors' names")]
pub struct Layer {
    pub attn_norm: Vector,
    pub attn_q: Matrix,
    pub attn_k: Matrix,
    pub attn_v: Matrix,
    pub attn_output: Matrix,
    pub ffn_norm: Vector,
    pub ffn_gate: Matrix,
    pub ffn_up: Matrix,
    pub ffn_down: Matrix,
    pub attn_q_bias: Option<Vector>,
    pub attn_k_bias: Option<Vector>,
    pub attn_v_bias: Option<Vector>,
    pub attn_output_bias: Option<Vector>,
    pub ffn_gate_bias: Option<Vector>,
    pub ffn_up_bias: Option<Vector>,
    pub ffn_down_bias: Option<Vector>,
}

impl Layer {
    /// A layer before its tensors have been found.
    const NONE: Self = {
        let vector = Vector { format: WeightFormat::F32, len: 0, abs: AbsOffset::ZERO, slot: 0 };
        let matrix = Matrix {
            role: Role::TokenEmbd,
            layer: None,
            format: WeightFormat::F32,
            k: 0,
            n: 0,
            row_bytes: 0,
            bytes: 0,
            abs: AbsOffset::ZERO,
            packed: 0,
        };
        Self {
            attn_norm: vector,
            attn_q: matrix,
            attn_k: matrix,
            attn_v: matrix,
            attn_output: matrix,
            ffn_norm: vector,
            ffn_gate: matrix,
            ffn_up: matrix,
            ffn_down: matrix,
            attn_q_bias: None,
            attn_k_bias: None,
            attn_v_bias: None,
            attn_output_bias: None,
            ffn_gate_bias: None,
            ffn_up_bias: None,
            ffn_down_bias: None,
        }
    };

    /// The weight matrices, in the order in which a token meets them.
    #[must_use]
    pub const fn matrices(&self) -> [&Matrix; MATRICES_PER_LAYER] {
        [
            &self.attn_q,
            &self.attn_k,
            &self.attn_v,
            &self.attn_output,
            &self.ffn_gate,
            &self.ffn_up,
            &self.ffn_down,
        ]
    }

    /// The small vectors, norms first.
    #[must_use]
    pub const fn vectors(&self) -> [Option<&Vector>; VECTORS_PER_LAYER] {
        [
            Some(&self.attn_norm),
            Some(&self.ffn_norm),
            self.attn_q_bias.as_ref(),
            self.attn_k_bias.as_ref(),
            self.attn_v_bias.as_ref(),
            self.attn_output_bias.as_ref(),
            self.ffn_gate_bias.as_ref(),
            self.ffn_up_bias.as_ref(),
            self.ffn_down_bias.as_ref(),
        ]
    }
}

/// A model: hyperparameters, and the place of every tensor. Immutable; the weights stay where they are.
#[derive(Debug)]
pub struct Model {
    hparams: Hparams,
    token_embd: Matrix,
    /// `None` where the head is tied to the embedding.
    output: Option<Matrix>,
    output_bias: Option<Vector>,
    output_norm: Vector,
    rope_freqs: Option<Vector>,
    layers: Vec<Layer>,
    packed_bytes: u64,
    vector_floats: usize,
}

impl Model {
    /// Finds and checks every tensor that the architecture needs.
    ///
    /// # Errors
    /// [`ModelError`]: an unknown architecture, a hyperparameter out of range, a tensor missing or of another shape
    /// or type than its role asks for.
    pub fn load(gguf: &Gguf, reader: &mut impl ReadAt) -> Result<Self, ModelError> {
        let aside = &Aside::new(ModelError::MissingKey { key: "" });
        Self::load_aside(gguf, reader, aside).map_err(|failed| aside.take(failed))
    }

    #[inline(never)]
    fn load_aside(gguf: &Gguf, reader: &mut dyn ReadAt, aside: &Aside<ModelError>) -> Result<Self, Failed> {
        let hparams = Hparams::read_aside(gguf, reader, aside)?;
        let find = Finder::new(gguf, aside);
        let d = hparams.embedding_length;
        // A separate head leaves the embedding to be read by row, and its place in a resident copy to the head.
        let output = find.optional_matrix(Role::Output, None, d, hparams.vocab_size)?;
        let token_embd = match output {
            Some(_) => {
                Finder::new(find.gguf, find.aside).matrix(Role::TokenEmbd, None, d, hparams.vocab_size)?
            }
            None => find.matrix(Role::TokenEmbd, None, d, hparams.vocab_size)?,
        };
        let output_bias = find.bias(Role::Output, None, hparams.vocab_size)?;
        let output_norm = find.vector(Role::OutputNorm, None, ".weight", d)?;
        let rope_freqs = find.optional_vector(
            Role::RopeFreqs,
            None,
            ".weight",
            hparams.rope_dimension_count.checked_div(2).unwrap_or(0),
        )?;
        let mut layers = Vec::new();
        layers
            .try_reserve_exact(hparams.layers.len())
            .map_err(|_| find.aside.fail(ModelError::OutOfMemory { what: "the table of layers" }))?;
        for (i, shape) in hparams.layers.iter().enumerate() {
            let layer = Some(u32::try_from(i).unwrap_or(u32::MAX));
            let (q, k, v, ff) =
                (shape.query_len, shape.key_len_all, shape.value_len_all, shape.feed_forward_length);
            let mut found = Layer::NONE;
            for (role, to) in [(Role::AttnNorm, &mut found.attn_norm), (Role::FfnNorm, &mut found.ffn_norm)] {
                *to = find.vector(role, layer, ".weight", d)?;
            }
            for (role, k, n, to) in [
                (Role::AttnQ, d, q, &mut found.attn_q),
                (Role::AttnK, d, k, &mut found.attn_k),
                (Role::AttnV, d, v, &mut found.attn_v),
                (Role::AttnOutput, shape.attn_len, d, &mut found.attn_output),
                (Role::FfnGate, d, ff, &mut found.ffn_gate),
                (Role::FfnUp, d, ff, &mut found.ffn_up),
                (Role::FfnDown, ff, d, &mut found.ffn_down),
            ] {
                *to = find.matrix(role, layer, k, n)?;
            }
            for (role, n, to) in [
                (Role::AttnQ, q, &mut found.attn_q_bias),
                (Role::AttnK, k, &mut found.attn_k_bias),
                (Role::AttnV, v, &mut found.attn_v_bias),
                (Role::AttnOutput, d, &mut found.attn_output_bias),
                (Role::FfnGate, ff, &mut found.ffn_gate_bias),
                (Role::FfnUp, ff, &mut found.ffn_up_bias),
                (Role::FfnDown, d, &mut found.ffn_down_bias),
            ] {
                *to = find.bias(role, layer, n)?;
            }
            push(&mut layers, found);
        }
        let (packed_bytes, vector_floats) = (find.packed.get(), find.floats.get());
        Ok(Self {
            hparams,
            token_embd,
            output,
            output_bias,
            output_norm,
            rope_freqs,
            layers,
            packed_bytes,
            vector_floats,
        })
    }

    /// The hyperparameters.
    #[must_use]
    pub const fn hparams(&self) -> &Hparams {
        &self.hparams
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The token embedding, read by row.
    #[must_use]
    pub const fn token_embd(&self) -> &Matrix {
        &self.token_embd
    }

    /// The output head: a matrix of its own or the token embedding.
    #[must_use]
    pub const fn output(&self) -> &Matrix {
        match &self.output {
            Some(output) => output,
            None => &self.token_embd,
        }
    }

    /// Whether the output head is the token embedding.
    #[must_use]
    pub const fn output_is_tied(&self) -> bool {
        self.output.is_none()
    }

    /// The output head's bias.
    #[must_use]
    pub const fn output_bias(&self) -> Option<&Vector> {
        self.output_bias.as_ref()
    }

    /// The final norm.
    #[must_use]
    pub const fn output_norm(&self) -> &Vector {
        &self.output_norm
    }

    /// Frequency factors of the rotary embedding.
    #[must_use]
    pub const fn rope_freqs(&self) -> Option<&Vector> {
        self.rope_freqs.as_ref()
    }

    /// Every matrix that a token is multiplied with, in that order: seven a layer, then the output head.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        (0..).map_while(|i| self.matrix(i))
    }

    /// One of [`matrices`](Self::matrices). By number, because chains of iterators are made anew for each of their uses,
    /// half a kilobyte of code at a time.
    fn matrix(&self, i: usize) -> Option<&Matrix> {
        let layer = i.checked_div(MATRICES_PER_LAYER)?;
        match self.layers.get(layer) {
            Some(layer) => layer.matrices().get(i.checked_rem(MATRICES_PER_LAYER)?).copied(),
            None if i == self.layers.len().checked_mul(MATRICES_PER_LAYER)? => Some(self.output()),
            None => None,
        }
    }

    /// Bytes of a copy of all [`matrices`](Self::matrices), each aligned to 64.
    #[must_use]
    pub const fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }

    /// Floats of a copy of all [`vectors`](Self::vectors), each padded to 16.
    #[must_use]
    pub const fn vector_floats(&self) -> usize {
        self.vector_floats
    }

    /// Every small vector: final norm, head's bias, frequency factors, then layer by layer.
    pub fn vectors(&self) -> impl Iterator<Item = &Vector> {
        (0..).map_while(|i| self.vector(i)).flatten()
    }

    /// One of [`vectors`](Self::vectors), or `Some(None)` for one that this model does not have.
    fn vector(&self, i: usize) -> Option<Option<&Vector>> {
        let own = [Some(&self.output_norm), self.output_bias.as_ref(), self.rope_freqs.as_ref()];
        let Some(i) = i.checked_sub(own.len()) else { return own.get(i).copied() };
        let layer = self.layers.get(i.checked_div(VECTORS_PER_LAYER)?)?;
        layer.vectors().get(i.checked_rem(VECTORS_PER_LAYER)?).copied()
    }
}

/// Looks tensors up by role and checks them against the shape that they must have.
struct Finder<'a> {
    gguf: &'a Gguf,
    /// Bytes that the matrices found so far take in a resident copy.
    packed: Cell<u64>,
    /// Floats that the vectors found so far take.
    floats: Cell<usize>,
    aside: &'a Aside<ModelError>,
}

impl<'a> Finder<'a> {
    fn new(gguf: &'a Gguf, aside: &'a Aside<ModelError>) -> Self {
        Self { gguf, packed: Cell::new(0), floats: Cell::new(0), aside }
    }

    fn matrix(&self, role: Role, layer: Option<u32>, k: usize, n: usize) -> Result<Matrix, Failed> {
        self.optional_matrix(role, layer, k, n)?
            .ok_or_else(|| self.aside.fail(ModelError::MissingTensor { name: role.name(layer, ".weight") }))
    }

    fn optional_matrix(
        &self,
        role: Role,
        layer: Option<u32>,
        k: usize,
        n: usize,
    ) -> Result<Option<Matrix>, Failed> {
        let tensor = role.name(layer, ".weight");
        let Some(info) = self.gguf.tensor(tensor.as_str()) else { return Ok(None) };
        let fail = |error| self.aside.fail(error);
        self.aside.check(check_shape(&info, tensor, [k, n]))?;
        let format =
            info.format().map_err(|e| fail(ModelError::TypeNotSupported { tensor, ggml_type: e.0 }))?;
        if !format.is_compiled() {
            return Err(fail(ModelError::FormatNotCompiled { tensor, format }));
        }
        let row_bytes =
            format.row_bytes(k).ok_or_else(|| fail(ModelError::RowNotBlockMultiple { tensor, format, k }))?;
        let too_big = |bytes| fail(ModelError::TooBigForTarget { tensor, bytes });
        let bytes = row_bytes.checked_mul(n).ok_or_else(|| too_big(u64::MAX))?;
        let packed = self.packed.get();
        let end = packed
            .checked_add(bytes as u64)
            .and_then(|end| end.checked_next_multiple_of(PACK_ALIGN))
            .ok_or_else(|| too_big(bytes as u64))?;
        self.packed.set(end);
        Ok(Some(Matrix { role, layer, format, k, n, row_bytes, bytes, abs: info.abs(), packed }))
    }

    fn vector(&self, role: Role, layer: Option<u32>, suffix: &str, len: usize) -> Result<Vector, Failed> {
        self.optional_vector(role, layer, suffix, len)?
            .ok_or_else(|| self.aside.fail(ModelError::MissingTensor { name: role.name(layer, suffix) }))
    }

    fn bias(&self, role: Role, layer: Option<u32>, len: usize) -> Result<Option<Vector>, Failed> {
        self.optional_vector(role, layer, ".bias", len)
    }

    fn optional_vector(
        &self,
        role: Role,
        layer: Option<u32>,
        suffix: &str,
        len: usize,
    ) -> Result<Option<Vector>, Failed> {
        let tensor = role.name(layer, suffix);
        let Some(info) = self.gguf.tensor(tensor.as_str()) else { return Ok(None) };
        let fail = |error| self.aside.fail(error);
        self.aside.check(check_shape(&info, tensor, [len, 1]))?;
        match info.format() {
            Ok(format @ (WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16)) => {
                let slot = self.floats.get();
                let end = slot
                    .checked_add(len)
                    .and_then(|end| end.checked_next_multiple_of(16))
                    .ok_or_else(|| fail(ModelError::TooBigForTarget { tensor, bytes: len as u64 }))?;
                self.floats.set(end);
                Ok(Some(Vector { format, len, abs: info.abs(), slot }))
            }
            Ok(other) => Err(fail(ModelError::TypeNotSupported { tensor, ggml_type: other.to_ggml() })),
            Err(unknown) => Err(fail(ModelError::TypeNotSupported { tensor, ggml_type: unknown.0 })),
        }
    }
}

fn check_shape(info: &TensorInfo<'_>, tensor: TensorName, want: [usize; 2]) -> Result<(), ModelError> {
    let dims = info.dims();
    if dims.contains(&0) {
        return Err(ModelError::BadDim { tensor });
    }
    let mut got = [1; MAX_DIMS];
    for (to, from) in got.iter_mut().zip(dims) {
        *to = *from;
    }
    let want = want.map(|n| n as u64);
    let [k, n] = want;
    // Trailing dimensions of 1 are how some writers pad the rank.
    if got != [k, n, 1, 1] {
        return Err(ModelError::ShapeMismatch { tensor, want, got });
    }
    Ok(())
}
