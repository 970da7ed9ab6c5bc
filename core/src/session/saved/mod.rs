//! Saved sessions: tokens, keys and values, in any writer and out of any reader.
//!
//! All numbers are little-endian, so that a session saved on one machine goes on with the same bits on any other:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `barre-kv` |
//! | 4 | version, [`SAVED_VERSION`] |
//! | 1 | type of keys and values: 0 F32, 1 F16, 2 Q8_0 |
//! | 1 | mode that they were computed in: 0 int8, 1 exact |
//! | 2 | 0 |
//! | 8 | the model's fingerprint ([`Session::fingerprint`]) |
//! | 8 | positions `n` |
//! | 8 | checksum |
//! | 4·n | tokens |
//! | 8 | checksum |
//! | of each layer | keys `[head_count_kv][n][key_length]`, values `[head_count_kv][n][value_length]`, checksum (8) |
//!
//! Each checksum is the CRC-64/XZ of everything before it except checksums. The cache's room for positions beyond `n`
//! is not saved, and the context may be another when the session is restored.
//!
//! The logits are not saved: `rewind` by one position and `step` with the last token computes the same bits again.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod error;
mod fingerprint;
#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a panic is a test's failure"
)]
mod tests;
mod wire;

pub use error::{SavedError, SavedPart};

use super::{Session, Stage};
use crate::io::ReadAt;
use crate::kernels::{KvType, Mode};
use crate::model::{LayerShape, Model, Plan};
use core::ops::Range;
use embedded_io::{Read, Write};
use wire::{In, Out};

/// The version that is written, and the only one that is read.
pub const SAVED_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"barre-kv";
/// Bytes of the header before its checksum.
const HEADER: usize = 32;

impl<R: ReadAt> Session<'_, R> {
    /// What tells this model from others: a hash of its hyperparameters, its tensors' formats and shapes, and a few
    /// bytes of each. Costs one small read a tensor.
    ///
    /// # Errors
    /// [`SavedError::Weights`].
    pub fn fingerprint(&mut self) -> Result<u64, SavedError> {
        fingerprint::fingerprint(self.model, &mut self.weights.reader)
    }

    /// Bytes that [`save`](Self::save) would write now.
    #[must_use]
    pub fn saved_bytes(&self) -> u64 {
        let layout = Layout::new(self.model, &self.plan);
        let layers = self.model.hparams().layers.len() as u64;
        let per_position = (layout.bytes_per_position() as u64).saturating_add(4);
        (HEADER as u64)
            .saturating_add(layers.saturating_add(2).saturating_mul(8))
            .saturating_add(per_position.saturating_mul(self.position as u64))
    }

    /// Writes the tokens taken in and their keys and values, and flushes.
    ///
    /// # Errors
    /// [`SavedError`] if work is under way, or the writer or the reader of the weights fails. The session is as before.
    pub fn save<W: Write>(&mut self, writer: &mut W) -> Result<(), SavedError> {
        if self.stage != Stage::Idle {
            return Err(SavedError::Busy);
        }
        let fingerprint = self.fingerprint()?;
        let (limits, n) = (self.plan.limits(), self.position);
        let mut out = Out::new(writer);
        out.put(&MAGIC)?;
        out.put(&SAVED_VERSION.to_le_bytes())?;
        out.put(&[kv_number(limits.kv), mode_number(limits.mode), 0, 0])?;
        out.put(&fingerprint.to_le_bytes())?;
        out.put(&(n as u64).to_le_bytes())?;
        out.seal()?;
        for token in self.state.tokens.iter().take(n) {
            out.put(&token.to_le_bytes())?;
        }
        out.seal()?;
        let layout = Layout::new(self.model, &self.plan);
        for layer in &self.model.hparams().layers {
            for rows in layout.rows(layer) {
                // Every range lies in the cache: the plan has sized it for them.
                out.put(self.state.kv.get(rows.at(0, n)).unwrap_or(&[]))?;
            }
            out.seal()?;
        }
        out.flush()
    }

    /// Puts a saved session in the place of this one; the number of its positions.
    ///
    /// Nothing is applied before the last checksum has been compared, so that a file which turns out to be torn leaves
    /// the live session as it was, logits included. What is read meanwhile lies in the cache beyond the live
    /// positions. Where the context has not room for both, it lies in `scratch`, whose size the error then tells; a
    /// session without positions needs none.
    ///
    /// # Errors
    /// [`SavedError`]. The session is as before the call.
    pub fn restore<I: Read>(&mut self, reader: &mut I, scratch: &mut [u8]) -> Result<usize, SavedError> {
        if self.stage != Stage::Idle {
            return Err(SavedError::Busy);
        }
        let mut input = In::new(reader);
        let saved = Header::read(&mut input)?;
        let want = self.fingerprint()?;
        let n = saved.check(&self.plan, want)?;

        let layout = Layout::new(self.model, &self.plan);
        let context = self.plan.limits().context;
        let beside = self.position.checked_add(n).is_some_and(|end| end <= context);
        let need = if beside { 0 } else { layout.bytes_per_position().saturating_add(4).saturating_mul(n) };
        let have = scratch.len();
        let scratch = scratch.get_mut(..need).ok_or(SavedError::BufferTooSmall { need, have })?;
        let first = self.position;

        let vocab_size = self.model.hparams().vocab_size;
        let mut bad_token = None;
        let mut scratch_at = 0usize;
        for index in 0..n {
            let mut bytes = [0; 4];
            input.take(SavedPart::Tokens, &mut bytes)?;
            let token = u32::from_le_bytes(bytes);
            if token as usize >= vocab_size && bad_token.is_none() {
                bad_token = Some(SavedError::BadToken { index, token, vocab_size });
            }
            if beside {
                if let Some(to) = self.state.tokens.get_mut(first.saturating_add(index)) {
                    *to = token;
                }
            } else if let Some(to) = next(scratch, &mut scratch_at, 4) {
                to.copy_from_slice(&bytes);
            }
        }
        input.check(SavedPart::Tokens)?;
        bad_token.map_or(Ok(()), Err)?;

        for (index, layer) in (0u32..).zip(&self.model.hparams().layers) {
            let part = SavedPart::Layer(index);
            for rows in layout.rows(layer) {
                let place = rows.at(first, n);
                let place = if beside {
                    self.state.kv.get_mut(place)
                } else {
                    next(scratch, &mut scratch_at, place.len())
                };
                input.take(part, place.unwrap_or(&mut []))?;
            }
            input.check(part)?;
        }

        // Nothing fails from here on.
        if beside {
            self.state.tokens.copy_within(first..first.saturating_add(n), 0);
            for rows in self.model.hparams().layers.iter().flat_map(|layer| layout.rows(layer)) {
                self.state.kv.copy_within(rows.at(first, n), rows.at(0, 0).start);
            }
        } else {
            let mut at = 0usize;
            for to in self.state.tokens.iter_mut().take(n) {
                if let Some(Ok(bytes)) = next(scratch, &mut at, 4).map(|b| <[u8; 4]>::try_from(&*b)) {
                    *to = u32::from_le_bytes(bytes);
                }
            }
            for rows in self.model.hparams().layers.iter().flat_map(|layer| layout.rows(layer)) {
                let to = self.state.kv.get_mut(rows.at(0, n));
                if let Some(to) = to
                    && let Some(from) = next(scratch, &mut at, to.len())
                {
                    to.copy_from_slice(from);
                }
            }
        }
        self.position = n;
        self.start = n;
        self.target = n;
        self.has_logits = false;
        Ok(n)
    }
}

/// The fixed fields.
struct Header {
    kv: u8,
    mode: u8,
    fingerprint: u64,
    positions: u64,
}

impl Header {
    fn read<I: Read>(input: &mut In<'_, I>) -> Result<Self, SavedError> {
        let part = SavedPart::Header;
        let mut magic = [0; 8];
        input.take(part, &mut magic)?;
        if magic != MAGIC {
            return Err(SavedError::BadMagic { got: magic });
        }
        let mut version = [0; 4];
        input.take(part, &mut version)?;
        let version = u32::from_le_bytes(version);
        if version != SAVED_VERSION {
            return Err(SavedError::UnsupportedVersion { version });
        }
        let mut kinds = [0; 4];
        input.take(part, &mut kinds)?;
        let mut number = [0; 8];
        input.take(part, &mut number)?;
        let fingerprint = u64::from_le_bytes(number);
        input.take(part, &mut number)?;
        let positions = u64::from_le_bytes(number);
        input.check(part)?;
        match kinds {
            [kv, mode, 0, 0] => Ok(Self { kv, mode, fingerprint, positions }),
            _ => Err(SavedError::Corrupt { part, offset: HEADER as u64 }),
        }
    }

    /// The positions, if the session was saved with this model under these limits.
    fn check(&self, plan: &Plan, want: u64) -> Result<usize, SavedError> {
        if self.fingerprint != want {
            return Err(SavedError::OtherModel { got: self.fingerprint, want });
        }
        let limits = plan.limits();
        if self.kv != kv_number(limits.kv) {
            return Err(SavedError::OtherLimits { limit: "kv" });
        }
        if self.mode != mode_number(limits.mode) {
            return Err(SavedError::OtherLimits { limit: "mode" });
        }
        let need = usize::try_from(self.positions).unwrap_or(usize::MAX);
        if need > limits.context {
            return Err(SavedError::ContextFull { need, have: limits.context });
        }
        Ok(need)
    }
}

const fn kv_number(kv: KvType) -> u8 {
    match kv {
        KvType::F32 => 0,
        KvType::F16 => 1,
        KvType::Q8_0 => 2,
    }
}

const fn mode_number(mode: Mode) -> u8 {
    match mode {
        Mode::Int8 => 0,
        #[cfg(feature = "exact")]
        Mode::Exact => 1,
    }
}

/// Where the cache has what, as the field `kv` of the session's buffers describes it.
#[derive(Clone, Copy)]
struct Layout {
    context: usize,
    kv: KvType,
    key_len: usize,
    value_len: usize,
    /// Numbers a position in all layers.
    numbers: usize,
}

/// One head's keys or values: a row of `len` bytes for each position.
#[derive(Clone, Copy)]
struct Rows {
    start: usize,
    len: usize,
}

impl Rows {
    /// The place of `n` positions from `first` on. The plan has checked that all of the cache can be addressed.
    fn at(self, first: usize, n: usize) -> Range<usize> {
        let start = self.start.saturating_add(self.len.saturating_mul(first));
        start..start.saturating_add(self.len.saturating_mul(n))
    }
}

impl Layout {
    fn new(model: &Model, plan: &Plan) -> Self {
        let hparams = model.hparams();
        Self {
            context: plan.limits().context,
            kv: plan.limits().kv,
            key_len: hparams.key_length,
            value_len: hparams.value_length,
            numbers: hparams.kv_len_all,
        }
    }

    /// Bytes of a position's keys and values.
    const fn bytes_per_position(&self) -> usize {
        self.kv.row_bytes(self.numbers)
    }

    /// Every head's keys, then every head's values.
    fn rows(self, layer: &LayerShape) -> impl Iterator<Item = Rows> {
        let heads = layer.head_count_kv;
        let places = move |numbers| self.kv.row_bytes(numbers).saturating_mul(self.context);
        let keys = places(layer.kv_before);
        let values = keys.saturating_add(places(layer.key_len_all));
        [(keys, self.key_len), (values, self.value_len)].into_iter().flat_map(move |(start, len)| {
            (0..heads).map(move |head| Rows {
                start: start.saturating_add(head.saturating_mul(places(len))),
                len: self.kv.row_bytes(len),
            })
        })
    }
}

/// The next `len` bytes of `memory`.
fn next<'m>(memory: &'m mut [u8], at: &mut usize, len: usize) -> Option<&'m mut [u8]> {
    let start = *at;
    *at = start.checked_add(len)?;
    memory.get_mut(start..*at)
}
