//! The arena, carved into named buffers.

use super::Plan;
use super::pins::Pin;
use super::plan::{Memory, Part};

/// The caller's memory.
pub(crate) struct Arenas<'a> {
    pub(crate) main: &'a mut [u8],
    pub(crate) fast: &'a mut [u8],
}

/// Every buffer of a session, borrowed from the caller's arenas.
///
/// T is the batch; widths that differ between layers are given their largest.
#[derive(Debug)]
pub(crate) struct State<'a> {
    /// Resident weights: every matrix at its packed place, or the pinned rows where the table says.
    pub(crate) weights: &'a mut [u8],
    /// Window for streamed rows. Empty unless weights are streamed into the arena.
    pub(crate) window: &'a mut [u8],
    /// The resident rows of each matrix, in the order of the model. Empty unless some are pinned.
    pub(crate) pins: &'a mut [Pin],
    /// Norms, biases and frequency factors, each at its slot.
    pub(crate) vectors: &'a mut [f32],
    /// KV cache: layer by layer, first the keys `[head_count_kv][context][key_length]`, then the values
    /// `[head_count_kv][context][value_length]`, each in the cache's type.
    pub(crate) kv: &'a mut [u8],
    /// Tokens at positions, `[context]`.
    pub(crate) tokens: &'a mut [u32],
    /// Residual stream, `[T][embedding_length]`.
    pub(crate) x: &'a mut [f32],
    /// Normed stream, and the result of a projection back into it, `[T][embedding_length]`.
    pub(crate) xn: &'a mut [f32],
    /// Queries, `[T][head_count · key_length]`.
    pub(crate) q: &'a mut [f32],
    /// Keys, `[T][head_count_kv · key_length]`.
    pub(crate) k: &'a mut [f32],
    /// Values, `[T][head_count_kv · value_length]`.
    pub(crate) v: &'a mut [f32],
    /// Result of attention, `[T][head_count · value_length]`.
    pub(crate) attended: &'a mut [f32],
    /// Gate, `[T][feed_forward_length]`.
    pub(crate) gate: &'a mut [f32],
    /// Up, `[T][feed_forward_length]`.
    pub(crate) up: &'a mut [f32],
    /// Activations quantized in blocks of 32.
    pub(crate) acts32: &'a mut [u8],
    /// Activations quantized in super-blocks.
    pub(crate) acts256: &'a mut [u8],
    /// (cos, sin) of every rotated pair, `[T][rope_dimension_count]`.
    pub(crate) rope: &'a mut [f32],
    /// A row of the embedding, in its format.
    pub(crate) embd_row: &'a mut [u8],
    /// Logits, `[vocab_size]`.
    pub(crate) logits: &'a mut [f32],
    /// Kernel scratch, one slot a thread.
    pub(crate) scratch: &'a mut [u8],
}

/// Takes the regions off the arenas one by one.
struct Carver<'a, 'p> {
    main: Rest<'a>,
    fast: Rest<'a>,
    plan: &'p Plan,
}

/// What is left of an arena, from byte `at` on.
struct Rest<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, offset: usize, len: usize) -> Option<&'a mut [u8]> {
        let rest = core::mem::take(&mut self.bytes);
        let (_, rest) = rest.split_at_mut_checked(offset.checked_sub(self.at)?)?;
        let (taken, rest) = rest.split_at_mut_checked(len)?;
        self.at = offset.checked_add(len)?;
        self.bytes = rest;
        Some(taken)
    }
}

impl<'a> Carver<'a, '_> {
    fn bytes(&mut self, part: Part) -> Option<&'a mut [u8]> {
        let region = self.plan.parts().get(part as usize)?;
        match region.memory {
            Memory::Main => self.main.take(region.offset, region.bytes),
            Memory::Fast => self.fast.take(region.offset, region.bytes),
        }
    }

    fn of<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&mut self, part: Part) -> Option<&'a mut [T]> {
        bytemuck::try_cast_slice_mut(self.bytes(part)?).ok()
    }
}

impl<'a> State<'a> {
    /// The buffers that `plan` lays out in `arenas`; `None` if one of them is too short or misaligned.
    pub(crate) fn new(plan: &Plan, arenas: Arenas<'a>) -> Option<Self> {
        let aligned = |arena: &[u8]| (arena.as_ptr() as usize).is_multiple_of(Plan::ALIGN);
        if !aligned(arenas.main) || !(aligned(arenas.fast) || plan.fast_bytes() == 0) {
            return None;
        }
        let rest = |bytes| Rest { bytes, at: 0 };
        let mut carver = Carver { main: rest(arenas.main), fast: rest(arenas.fast), plan };
        Some(Self {
            weights: carver.bytes(Part::Weights)?,
            window: carver.bytes(Part::Window)?,
            pins: carver.of(Part::Pins)?,
            vectors: carver.of(Part::Vectors)?,
            kv: carver.bytes(Part::Keys)?,
            tokens: carver.of(Part::Tokens)?,
            x: carver.of(Part::Hidden)?,
            xn: carver.of(Part::Normed)?,
            q: carver.of(Part::Query)?,
            k: carver.of(Part::Key)?,
            v: carver.of(Part::Value)?,
            attended: carver.of(Part::Attended)?,
            gate: carver.of(Part::Gate)?,
            up: carver.of(Part::Up)?,
            acts32: carver.bytes(Part::Acts32)?,
            acts256: carver.bytes(Part::Acts256)?,
            rope: carver.of(Part::Rope)?,
            embd_row: carver.bytes(Part::EmbdRow)?,
            logits: carver.of(Part::Logits)?,
            scratch: carver.bytes(Part::Scratch)?,
        })
    }
}
