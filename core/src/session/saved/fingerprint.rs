//! What a saved session recognises its model by.

use super::SavedError;
use super::wire::CRC;
use crate::io::{AbsOffset, IoError, ReadAt};
use crate::model::{Matrix, Model, TensorName};
use crc::Digest;

/// Bytes that are looked at of each tensor.
const SAMPLE: usize = 64;

/// CRC-64/XZ of what the model computes: its hyperparameters, and of every tensor in the order of the forward pass the
/// format, the shape and the first 64 bytes of the middle row.
///
/// Two fine-tunes of one model have the same header but for their names, so the header alone would take the one's
/// memory for the other's; the sample tells them apart at a cost of one small read a tensor. Where the tensors lie
/// does not matter. It identifies a model among those a user has; it does not authenticate one.
pub(super) fn fingerprint<R: ReadAt>(model: &Model, reader: &mut R) -> Result<u64, SavedError> {
    let mut hash = Hash(CRC.digest());
    let h = model.hparams();
    hash.number(h.vocab_size);
    hash.number(h.embedding_length);
    hash.number(h.key_length);
    hash.number(h.value_length);
    hash.number(h.rope_dimension_count);
    for x in [h.rope_freq_base, h.rope_freq_scale, h.rms_epsilon, h.attention_scale] {
        hash.0.update(&x.to_le_bytes());
    }
    hash.number(h.layers.len());
    for l in &h.layers {
        hash.number(l.head_count);
        hash.number(l.head_count_kv);
        hash.number(l.feed_forward_length);
    }
    for m in core::iter::once(model.token_embd()).chain(model.matrices()) {
        hash.matrix(m, reader)?;
    }
    for v in model.vectors() {
        hash.number(v.format().to_ggml() as usize);
        hash.number(v.len());
        let bytes = v.len().saturating_mul(v.format().block_bytes());
        hash.sample(v.abs(), 0, bytes, reader)
            .map_err(|error| SavedError::Weights { tensor: TensorName::new(""), error })?;
    }
    Ok(hash.0.finalize())
}

struct Hash(Digest<'static, u64>);

impl Hash {
    fn number(&mut self, n: usize) {
        self.0.update(&(n as u64).to_le_bytes());
    }

    fn matrix<R: ReadAt>(&mut self, m: &Matrix, reader: &mut R) -> Result<(), SavedError> {
        self.0.update(m.role().stem().as_bytes());
        self.number(m.format().to_ggml() as usize);
        self.number(m.k());
        self.number(m.n());
        let middle = (m.n() as u64 / 2).saturating_mul(m.row_bytes() as u64);
        self.sample(m.abs(), middle, m.row_bytes(), reader)
            .map_err(|error| SavedError::Weights { tensor: m.name(), error })
    }

    /// The beginning of the `len` bytes that lie `skip` after `abs`.
    fn sample<R: ReadAt>(
        &mut self,
        abs: AbsOffset,
        skip: u64,
        len: usize,
        reader: &mut R,
    ) -> Result<(), IoError> {
        let mut buf = [0; SAMPLE];
        let Some(part) = buf.get_mut(..len.min(SAMPLE)) else { return Ok(()) };
        // The container has checked that the tensor's end fits 64 bits.
        reader.read_at(AbsOffset::new(abs.get().saturating_add(skip)), part)?;
        self.0.update(part);
        Ok(())
    }
}
