//! Hyperparameters: read, checked, and turned into the lengths that everything else is computed from.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::{ModelError, Role, TensorName};
use crate::aside::{Aside, Failed};
use crate::gguf::{Gguf, GgufError, MetaEntry, ValueType};
use crate::io::ReadAt;
use crate::part::{append, push, resize};
use alloc::vec::Vec;

/// The lengths of one layer.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerShape {
    /// Query heads.
    pub head_count: usize,
    /// Key and value heads; each serves `head_count / head_count_kv` query heads.
    pub head_count_kv: usize,
    /// Hidden width of the feed-forward network.
    pub feed_forward_length: usize,
    /// `head_count · key_length`.
    pub query_len: usize,
    /// `head_count_kv · key_length`.
    pub key_len_all: usize,
    /// `head_count_kv · value_length`.
    pub value_len_all: usize,
    /// `head_count · value_length`.
    pub attn_len: usize,
    /// Key and value elements a position of all layers before this one.
    pub kv_before: usize,
}

/// The hyperparameters of a `llama` model, under their GGUF names.
#[derive(Debug)]
pub struct Hparams {
    /// Width of the residual stream.
    pub embedding_length: usize,
    /// Positions that the model was made for.
    pub context_length: usize,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a query or key head.
    pub key_length: usize,
    /// Width of a value head.
    pub value_length: usize,
    /// Leading elements of a head that are rotated; even, at most `key_length`.
    pub rope_dimension_count: usize,
    /// Base of the rotary frequencies.
    pub rope_freq_base: f32,
    /// Factor on positions: 1, or 1 / `rope.scaling.factor` for linear scaling.
    pub rope_freq_scale: f32,
    /// Added to the mean square under the norm's root.
    pub rms_epsilon: f32,
    /// Factor on attention scores: 1 / √`key_length`.
    pub attention_scale: f32,
    /// Key and value elements a position of all layers.
    pub kv_len_all: usize,
    /// The layers' lengths, first to last.
    pub layers: Vec<LayerShape>,
}

// Far above any model there is; they keep products of lengths within 64 bits.
const MAX_LAYERS: u64 = 512;
const MAX_WIDTH: u64 = 1 << 20;
const MAX_HEADS: u64 = 1 << 13;
const MAX_CONTEXT: u64 = u32::MAX as u64;
const MAX_VOCAB: u64 = 1 << 24;

impl Hparams {
    /// Reads and checks the hyperparameters of `gguf`.
    ///
    /// # Errors
    /// [`ModelError`] naming the key that is missing or out of range.
    pub fn read(gguf: &Gguf, reader: &mut impl ReadAt) -> Result<Self, ModelError> {
        let aside = &Aside::new(ModelError::MissingKey { key: "" });
        Self::read_aside(gguf, reader, aside).map_err(|failed| aside.take(failed))
    }

    #[inline(never)]
    pub(super) fn read_aside(
        gguf: &Gguf,
        mut reader: &mut dyn ReadAt,
        aside: &Aside<ModelError>,
    ) -> Result<Self, Failed> {
        let mut keys = Keys { gguf, arch: TensorName::new("general"), aside };
        let missing = |key| aside.fail(ModelError::MissingKey { key });
        let bad = |key, value, must| aside.fail(bad(key, value, must));
        if let Some(kind) = keys.text("type")?
            && kind.as_str() != "model"
        {
            return Err(aside.fail(ModelError::UnsupportedKind { kind }));
        }
        // Only the first part has an architecture, so this comes before what the others lack.
        let count = aside.check(keys.gguf.uint("split.count"))?.unwrap_or(1);
        if count > 1 {
            let no = aside.check(keys.gguf.uint("split.no"))?.unwrap_or(0);
            return Err(aside.fail(ModelError::Split { no, count }));
        }
        let arch = keys.text("architecture")?.ok_or_else(|| missing("general.architecture"))?;
        if arch.as_str() != "llama" {
            return Err(aside.fail(ModelError::UnsupportedArch { name: arch }));
        }
        keys.arch = arch;

        let block_count = keys.required("block_count", 1, MAX_LAYERS)?;
        let embedding_length = keys.required("embedding_length", 1, MAX_WIDTH)?;
        let context_length = keys.required("context_length", 1, MAX_CONTEXT)?;
        let heads = keys.per_layer("attention.head_count", block_count, MAX_HEADS, None, &mut reader)?;
        let heads_kv =
            keys.per_layer("attention.head_count_kv", block_count, MAX_HEADS, Some(&heads), &mut reader)?;
        let feed_forward =
            keys.per_layer("feed_forward_length", block_count, MAX_WIDTH, None, &mut reader)?;
        let first_heads = heads.first().copied().unwrap_or(1);
        // The default of both, whatever the other is.
        let share = || {
            if !embedding_length.is_multiple_of(first_heads) {
                return Err(bad("attention.head_count", first_heads, "a divisor of embedding_length"));
            }
            Ok(embedding_length.checked_div(first_heads).unwrap_or(1))
        };
        let key_length = keys.optional("attention.key_length", 1, MAX_WIDTH)?.map_or_else(share, Ok)?;
        let value_length = keys.optional("attention.value_length", 1, MAX_WIDTH)?.map_or_else(share, Ok)?;

        let rope_dimension_count = keys.optional("rope.dimension_count", 0, MAX_WIDTH)?.unwrap_or(key_length);
        if !rope_dimension_count.is_multiple_of(2) {
            return Err(bad("rope.dimension_count", rope_dimension_count, "even"));
        }
        if rope_dimension_count > key_length {
            return Err(bad("rope.dimension_count", rope_dimension_count, "at most the length of a head"));
        }
        let rope_freq_base = keys
            .float("rope.freq_base", "finite and positive", |x| x.is_finite() && x > 0.0)?
            .unwrap_or(10_000.0);
        let rms_epsilon = keys
            .float("attention.layer_norm_rms_epsilon", "finite and positive", |x| x.is_finite() && x > 0.0)?
            .ok_or_else(|| missing("attention.layer_norm_rms_epsilon"))?;
        let rope_freq_scale = keys.rope_freq_scale()?;

        let experts = keys.optional("expert_count", 0, MAX_WIDTH)?.unwrap_or(0);
        let experts_used = keys.optional("expert_used_count", 0, MAX_WIDTH)?.unwrap_or(0);
        if experts_used > experts || (experts > 0 && experts_used == 0) {
            return Err(bad("expert_used_count", experts_used, "1 to expert_count"));
        }
        if experts > 0 {
            let what = "a mixture of experts";
            return Err(aside.fail(ModelError::Unsupported { key: "expert_count", what }));
        }

        let mut hparams = Self {
            embedding_length,
            context_length,
            vocab_size: keys.vocab_size()?,
            key_length,
            value_length,
            rope_dimension_count,
            rope_freq_base,
            rope_freq_scale,
            rms_epsilon,
            attention_scale: 1.0 / libm::sqrtf(key_length as f32),
            kv_len_all: 0,
            layers: Vec::new(),
        };
        hparams
            .layers
            .try_reserve_exact(block_count)
            .map_err(|_| aside.fail(ModelError::OutOfMemory { what: "the layers' lengths" }))?;
        for ((&head_count, &head_count_kv), &feed_forward_length) in
            heads.iter().zip(&heads_kv).zip(&feed_forward)
        {
            if !head_count.is_multiple_of(head_count_kv) {
                return Err(bad("attention.head_count_kv", head_count_kv, "a divisor of head_count"));
            }
            let product = |key, count: usize, len: usize| {
                // Such a head count times such a length is no layer of any model.
                let product = count.checked_mul(len).filter(|&n| n as u64 <= MAX_WIDTH);
                product.ok_or_else(|| bad(key, len, "of a sane product with the head count"))
            };
            let shape = LayerShape {
                head_count,
                head_count_kv,
                feed_forward_length,
                query_len: product("attention.key_length", head_count, key_length)?,
                key_len_all: product("attention.key_length", head_count_kv, key_length)?,
                value_len_all: product("attention.value_length", head_count_kv, value_length)?,
                attn_len: product("attention.value_length", head_count, value_length)?,
                kv_before: hparams.kv_len_all,
            };
            // At most 512 layers of 2 · 2^20.
            hparams.kv_len_all =
                hparams.kv_len_all.saturating_add(shape.key_len_all).saturating_add(shape.value_len_all);
            push(&mut hparams.layers, shape);
        }
        Ok(hparams)
    }
}

/// Hyperparameters by their key behind the architecture's name.
struct Keys<'g> {
    gguf: &'g Gguf,
    arch: TensorName,
    aside: &'g Aside<ModelError>,
}

impl<'g> Keys<'g> {
    fn find(&self, key: &'static str) -> Option<MetaEntry<'g>> {
        let mut full = self.arch;
        full.push(".");
        full.push(key);
        self.gguf.get(full.as_str())
    }

    fn text(&self, key: &'static str) -> Result<Option<TensorName>, Failed> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        self.aside.check(entry.text()).map(|text| Some(TensorName::new(text)))
    }

    fn required(&self, key: &'static str, min: u64, max: u64) -> Result<usize, Failed> {
        self.optional(key, min, max)?.ok_or_else(|| self.aside.fail(ModelError::MissingKey { key }))
    }

    fn optional(&self, key: &'static str, min: u64, max: u64) -> Result<Option<usize>, Failed> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        match entry.uint() {
            Ok(value) => self.count(key, value, min, max).map(Some),
            Err(GgufError::OutOfRange { .. }) => {
                let value = self.aside.check(entry.int())? as f64;
                Err(self.aside.fail(ModelError::BadHparam { key, value, must: "not negative" }))
            }
            Err(e) => Err(self.aside.fail(e.into())),
        }
    }

    fn float(
        &self,
        key: &'static str,
        must: &'static str,
        good: fn(f32) -> bool,
    ) -> Result<Option<f32>, Failed> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        let value = self.aside.check(entry.float())?;
        if good(value) {
            Ok(Some(value))
        } else {
            Err(self.aside.fail(ModelError::BadHparam { key, value: value.into(), must }))
        }
    }

    /// One number for all layers, or an array with one for each; `default` where the file has neither.
    fn per_layer(
        &self,
        key: &'static str,
        layers: usize,
        max: u64,
        default: Option<&[usize]>,
        reader: &mut &mut dyn ReadAt,
    ) -> Result<Vec<usize>, Failed> {
        let mut values = Vec::new();
        values
            .try_reserve_exact(layers)
            .map_err(|_| self.aside.fail(ModelError::OutOfMemory { what: "the layers' lengths" }))?;
        match (self.find(key), default) {
            (None, None) => return Err(self.aside.fail(ModelError::MissingKey { key })),
            (None, Some(default)) => append(&mut values, default),
            (Some(entry), _) if entry.value_type() == ValueType::Array => {
                let array = self.aside.check(entry.array())?;
                if array.len() != layers as u64 {
                    let len = array.len();
                    return Err(self.aside.fail(ModelError::BadLayerArray { key, len, layers }));
                }
                for layer in 0..array.len() {
                    let mut value = [0];
                    self.aside.check(array.read_uint(reader, layer, &mut value))?;
                    let [value] = value;
                    push(&mut values, self.count(key, value, 1, max)?);
                }
            }
            (Some(_), _) => resize(&mut values, layers, self.required(key, 1, max)?),
        }
        Ok(values)
    }

    fn rope_freq_scale(&self) -> Result<f32, Failed> {
        let kind = self.text("rope.scaling.type")?;
        let good = |x: f32| x.is_finite() && x > 0.0 && (1.0 / x).is_finite();
        let must = "finite and positive, as must be its inverse";
        // `rope.scale_linear` is what early files have.
        let factor = match self.float("rope.scaling.factor", must, good)? {
            Some(factor) => Some(factor),
            None => self.float("rope.scale_linear", must, good)?,
        };
        match kind.as_ref().map(TensorName::as_str) {
            None | Some("linear") => Ok(1.0 / factor.unwrap_or(1.0)),
            Some("none") => Ok(1.0),
            Some(_) => Err(self.aside.fail(ModelError::Unsupported {
                key: "rope.scaling.type",
                what: "a type other than none and linear",
            })),
        }
    }

    /// The number of tokens: of the file's own list, or, in a file without one, `vocab_size`, or the embedding's rows.
    fn vocab_size(&self) -> Result<usize, Failed> {
        let key = "vocab_size";
        if let Some(tokens) = self.gguf.get("tokenizer.ggml.tokens") {
            let len = self.aside.check(tokens.array())?.len();
            return self.count(key, len, 1, MAX_VOCAB);
        }
        if let Some(size) = self.optional(key, 1, MAX_VOCAB)? {
            return Ok(size);
        }
        let embd = Role::TokenEmbd.name(None, ".weight");
        let missing = || self.aside.fail(ModelError::MissingTensor { name: embd });
        let rows = self.gguf.tensor(embd.as_str()).ok_or_else(missing)?.n();
        self.count(key, rows, 1, MAX_VOCAB)
    }

    fn count(&self, key: &'static str, value: u64, min: u64, max: u64) -> Result<usize, Failed> {
        if value < min {
            let (value, must) = (value as f64, "at least 1");
            return Err(self.aside.fail(ModelError::BadHparam { key, value, must }));
        }
        match usize::try_from(value) {
            Ok(n) if value <= max => Ok(n),
            _ => Err(self.aside.fail(ModelError::Limit { key, value, max })),
        }
    }
}

fn bad(key: &'static str, value: usize, must: &'static str) -> ModelError {
    ModelError::BadHparam { key, value: value as f64, must }
}
