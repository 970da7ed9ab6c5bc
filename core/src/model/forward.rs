//! The forward pass, top to bottom like the paper (Llama: Touvron et al. 2023).
//!
//! Each function is one bounded piece of work on a batch of `tokens` consecutive positions from `first` on. It
//! changes the residual stream only in its last statement, after everything that can fail, so a piece that
//! failed may be run again.

use super::pins::in_file_order;
use super::plan::ATTEND_TOKENS;
use super::weights::{WeightError, WeightMemory, Weights};
use super::{LayerShape, Model, Plan, State, Vector};
use crate::io::ReadAt;
use crate::kernels::{
    ActKind, Acts, ActsMut, AttendJob, Compute, KvHead, KvType, Mode, OutCols, attend_all, for_each_row,
    rope_table,
};
use crate::part::{part, part_mut};
use crate::quant::WeightFormat;

/// The batch: `tokens` positions from `first` on, of which the last `heads` are to have logits.
///
/// The last layer computes only those tokens' residual stream: of the others nothing but keys and values is ever read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) first: usize,
    pub(crate) tokens: usize,
    /// 1 at least.
    #[cfg(feature = "batch")]
    pub(crate) heads: usize,
}

impl Batch {
    /// Those of the tokens, at its beginning, whose residual stream layer `index` of `model` need not change.
    #[cfg(feature = "batch")]
    fn passed_by(self, model: &Model, index: usize) -> usize {
        if index + 1 == model.layers().len() { self.tokens - self.heads } else { 0 }
    }

    /// None: an image without kernels for batches has no room for the difference either.
    #[cfg(not(feature = "batch"))]
    const fn passed_by(self, _: &Model, _: usize) -> usize {
        0
    }
}

/// The embedding of each token, and the rotary table of each position.
pub(crate) fn embed<R: ReadAt>(
    model: &Model,
    weights: &mut Weights<R>,
    state: &mut State<'_>,
    batch: Batch,
) -> Result<(), WeightError> {
    let hparams = model.hparams();
    let (d, n_rot) = (hparams.embedding_length, hparams.rope_dimension_count);
    weights.begin_pass(model, state.pins);
    let factors = model.rope_freqs().map(|v| vector(state.vectors, v));
    for t in 0..batch.tokens {
        let token = state.tokens.get(batch.first + t).map_or(0, |&token| token as usize);
        weights.row(model.token_embd(), token, state.embd_row, part_mut(state.x, t * d, d))?;
        let row = part_mut(state.rope, t * n_rot, n_rot);
        rope_table(batch.first + t, n_rot, hparams.rope_freq_base, hparams.rope_freq_scale, factors, row);
    }
    Ok(())
}

/// `x += Wo · attention(norm(x))` of layer `index`; keys and values go into the cache.
pub(crate) fn attention<R: ReadAt>(
    model: &Model,
    plan: &Plan,
    compute: Compute<'_>,
    weights: &mut Weights<R>,
    state: &mut State<'_>,
    index: usize,
    batch: Batch,
) -> Result<(), WeightError> {
    let hparams = model.hparams();
    let (Some(layer), Some(shape)) = (model.layers().get(index), hparams.layers.get(index)) else {
        return Ok(());
    };
    let (kernels, mode, tokens) = (compute.kernels, plan.limits().mode, batch.tokens);
    let d = hparams.embedding_length;
    let memory = &mut WeightMemory { model, resident: state.weights, pins: state.pins, window: state.window };
    let scratch = &mut *state.scratch;
    let before = batch.passed_by(model, index);
    let queries = tokens - before;
    let (x, xn) = (part_mut(state.x, 0, tokens * d), part_mut(state.xn, 0, tokens * d));
    let q = part_mut(state.q, 0, queries * shape.query_len);
    let k = part_mut(state.k, 0, tokens * shape.key_len_all);
    let v = part_mut(state.v, 0, tokens * shape.value_len_all);
    let attended = part_mut(state.attended, 0, queries * shape.attn_len);

    norm(compute, x, vector(state.vectors, &layer.attn_norm), hparams.rms_epsilon, xn);
    {
        let formats = [layer.attn_q.format(), layer.attn_k.format(), layer.attn_v.format()];
        let input = Input::new(compute, mode, xn, d, tokens, &formats, state.acts32, state.acts256);
        let mut group = [(&layer.attn_q, &mut *q), (&layer.attn_k, &mut *k), (&layer.attn_v, &mut *v)];
        if weights.prefers_file_order() {
            in_file_order(&mut group, |(matrix, _)| matrix);
        }
        for (matrix, out) in group {
            let input = input.of(matrix.format());
            // Queries of the last tokens, keys and values of all.
            #[cfg(feature = "batch")]
            let input = if core::ptr::eq(matrix, &layer.attn_q) { input.skip(before) } else { input };
            weights.multiply(compute, memory, matrix, &input, out, scratch)?;
        }
    }
    add_bias(compute, q, state.vectors, layer.attn_q_bias.as_ref());
    add_bias(compute, k, state.vectors, layer.attn_k_bias.as_ref());
    add_bias(compute, v, state.vectors, layer.attn_v_bias.as_ref());

    let (head_len, n_rot) = (hparams.key_length, hparams.rope_dimension_count);
    let rope = part(state.rope, 0, tokens * n_rot);
    let rotate = |t: usize, heads: &mut [f32]| kernels.rope(heads, head_len, part(rope, t * n_rot, n_rot));
    #[cfg(feature = "batch")]
    for_each_row(compute.executor, q, shape.query_len, &|t, heads| rotate(before + t, heads));
    #[cfg(not(feature = "batch"))]
    for_each_row(compute.executor, q, shape.query_len, &rotate);
    for_each_row(compute.executor, k, shape.key_len_all, &rotate);

    let cache = Cache::new(plan, model, shape);
    cache.store(compute, state.kv, batch, k, v);
    attend_all(
        compute,
        &|head| cache.head(state.kv, head, batch.first + tokens),
        q,
        &AttendJob {
            first_pos: batch.first + before,
            tokens: queries,
            group: shape.head_count.checked_div(shape.head_count_kv).unwrap_or(0),
            scale: hparams.attention_scale,
        },
        shape.head_count_kv,
        ATTEND_TOKENS,
        OutCols::new(attended, queries, shape.attn_len),
        scratch,
        plan.slot_bytes(),
    );

    let formats = [layer.attn_output.format()];
    #[cfg(feature = "batch")]
    let (x, xn) = (part_mut(x, before * d, queries * d), part_mut(xn, before * d, queries * d));
    let input =
        Input::new(compute, mode, attended, shape.attn_len, queries, &formats, state.acts32, state.acts256);
    weights.multiply(compute, memory, &layer.attn_output, &input.of(formats[0]), xn, scratch)?;
    add_bias(compute, xn, state.vectors, layer.attn_output_bias.as_ref());
    add(compute, x, xn, d);
    Ok(())
}

/// `x += Wdown · (silu(Wgate · norm(x)) · Wup · norm(x))` of `layer`.
pub(crate) fn feed_forward<R: ReadAt>(
    model: &Model,
    plan: &Plan,
    compute: Compute<'_>,
    weights: &mut Weights<R>,
    state: &mut State<'_>,
    index: usize,
    batch: Batch,
) -> Result<(), WeightError> {
    let hparams = model.hparams();
    let (Some(layer), Some(shape)) = (model.layers().get(index), hparams.layers.get(index)) else {
        return Ok(());
    };
    let (kernels, mode, tokens) = (compute.kernels, plan.limits().mode, batch.tokens);
    let before = batch.passed_by(model, index);
    let tokens = tokens - before;
    let (d, ff) = (hparams.embedding_length, shape.feed_forward_length);
    let memory = &mut WeightMemory { model, resident: state.weights, pins: state.pins, window: state.window };
    let scratch = &mut *state.scratch;
    let (x, xn) = (part_mut(state.x, before * d, tokens * d), part_mut(state.xn, 0, tokens * d));
    let (gate, up) = (part_mut(state.gate, 0, tokens * ff), part_mut(state.up, 0, tokens * ff));

    norm(compute, x, vector(state.vectors, &layer.ffn_norm), hparams.rms_epsilon, xn);
    {
        let formats = [layer.ffn_gate.format(), layer.ffn_up.format()];
        let input = Input::new(compute, mode, xn, d, tokens, &formats, state.acts32, state.acts256);
        let mut group = [(&layer.ffn_gate, &mut *gate), (&layer.ffn_up, &mut *up)];
        if weights.prefers_file_order() {
            in_file_order(&mut group, |(matrix, _)| matrix);
        }
        for (matrix, out) in group {
            weights.multiply(compute, memory, matrix, &input.of(matrix.format()), out, scratch)?;
        }
    }
    add_bias(compute, gate, state.vectors, layer.ffn_gate_bias.as_ref());
    add_bias(compute, up, state.vectors, layer.ffn_up_bias.as_ref());
    let up = &*up;
    for_each_row(compute.executor, gate, ff, &|t, gate| kernels.swiglu(gate, part(up, t * ff, ff)));

    let formats = [layer.ffn_down.format()];
    let input = Input::new(compute, mode, gate, ff, tokens, &formats, state.acts32, state.acts256);
    weights.multiply(compute, memory, &layer.ffn_down, &input.of(formats[0]), xn, scratch)?;
    add_bias(compute, xn, state.vectors, layer.ffn_down_bias.as_ref());
    add(compute, x, xn, d);
    Ok(())
}

/// Logits of the batch's token `t`.
pub(crate) fn head<R: ReadAt>(
    model: &Model,
    plan: &Plan,
    compute: Compute<'_>,
    weights: &mut Weights<R>,
    state: &mut State<'_>,
    t: usize,
) -> Result<(), WeightError> {
    let (hparams, mode) = (model.hparams(), plan.limits().mode);
    let d = hparams.embedding_length;
    let memory = &mut WeightMemory { model, resident: state.weights, pins: state.pins, window: state.window };
    let (x, xn) = (part(state.x, t * d, d), part_mut(state.xn, 0, d));
    norm(compute, x, vector(state.vectors, model.output_norm()), hparams.rms_epsilon, xn);
    let formats = [model.output().format()];
    let input = Input::new(compute, mode, xn, d, 1, &formats, state.acts32, state.acts256);
    weights.multiply(compute, memory, model.output(), &input.of(formats[0]), state.logits, state.scratch)?;
    add_bias(compute, state.logits, state.vectors, model.output_bias());
    Ok(())
}

/// One input of a group of matrices, quantized once for each form that their formats read.
struct Input<'a> {
    float: Acts<'a>,
    block32: Option<Acts<'a>>,
    block256: Option<Acts<'a>>,
}

impl<'a> Input<'a> {
    #[expect(clippy::too_many_arguments, reason = "the input, its shape, who reads it and where it may go")]
    fn new(
        compute: Compute<'_>,
        mode: Mode,
        x: &'a [f32],
        k: usize,
        tokens: usize,
        formats: &[WeightFormat],
        acts32: &'a mut [u8],
        acts256: &'a mut [u8],
    ) -> Self {
        let quantize = |kind: ActKind, memory: &'a mut [u8]| {
            if !kind.is_compiled() || !formats.iter().any(|&f| ActKind::of(f) == kind) {
                return None;
            }
            let mut acts = ActsMut::new(kind, mode, k, tokens, memory)?;
            acts.fill(compute.executor, &|t, out| {
                compute.kernels.quantize(kind, mode, part(x, t * k, k), out)
            });
            Some(acts.finish())
        };
        Self {
            float: Acts::float(x, k, tokens),
            block32: quantize(ActKind::Block32, acts32),
            block256: quantize(ActKind::Block256, acts256),
        }
    }

    /// The form that `format`'s kernel reads. (Were one missing, the dispatch would refuse what stands in for it.)
    fn of(&self, format: WeightFormat) -> Acts<'a> {
        match ActKind::of(format) {
            ActKind::Float => self.float,
            ActKind::Block32 => self.block32.unwrap_or(self.float),
            ActKind::Block256 => self.block256.unwrap_or(self.float),
        }
    }
}

/// One layer's part of the KV cache.
#[derive(Clone, Copy)]
struct Cache {
    kv: KvType,
    context: usize,
    key_len: usize,
    value_len: usize,
    heads: usize,
    /// Bytes before the layer's keys, and before its values.
    keys: usize,
    values: usize,
}

impl Cache {
    fn new(plan: &Plan, model: &Model, shape: &LayerShape) -> Self {
        let (kv, context) = (plan.limits().kv, plan.limits().context);
        let keys = kv.row_bytes(shape.kv_before) * context;
        let values = keys + kv.row_bytes(shape.key_len_all) * context;
        let (key_len, value_len) = (model.hparams().key_length, model.hparams().value_length);
        Self { kv, context, key_len, value_len, heads: shape.head_count_kv, keys, values }
    }

    fn store(&self, compute: Compute<'_>, cache: &mut [u8], batch: Batch, k: &[f32], v: &[f32]) {
        let parts = [(self.keys, self.key_len, k), (self.values, self.value_len, v)];
        for (start, len, rows) in parts {
            let bytes = self.kv.row_bytes(len);
            for (t, row) in rows.chunks_exact((len * self.heads).max(1)).enumerate() {
                for (head, values) in row.chunks_exact(len.max(1)).enumerate() {
                    let at = start + (head * self.context + batch.first + t) * bytes;
                    compute.kernels.kv_store(self.kv, values, part_mut(cache, at, bytes));
                }
            }
        }
    }

    /// The first `positions` keys and values of one head.
    fn head<'c>(&self, cache: &'c [u8], head: usize, positions: usize) -> KvHead<'c> {
        let part = |start: usize, len: usize| {
            let bytes = self.kv.row_bytes(len);
            part(cache, start + head * self.context * bytes, positions * bytes)
        };
        KvHead {
            kv_type: self.kv,
            key_len: self.key_len,
            value_len: self.value_len,
            k: part(self.keys, self.key_len),
            v: part(self.values, self.value_len),
        }
    }
}

fn vector<'v>(vectors: &'v [f32], v: &Vector) -> &'v [f32] {
    part(vectors, v.slot(), v.len())
}

fn norm(compute: Compute<'_>, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    let d = w.len();
    for_each_row(compute.executor, out, d, &|t, out| {
        compute.kernels.rms_norm(part(x, t * d, d), w, eps, out)
    });
}

fn add(compute: Compute<'_>, x: &mut [f32], y: &[f32], d: usize) {
    for_each_row(compute.executor, x, d, &|t, x| compute.kernels.add_assign(x, part(y, t * d, d)));
}

fn add_bias(compute: Compute<'_>, rows: &mut [f32], vectors: &[f32], bias: Option<&Vector>) {
    let Some(bias) = bias.map(|b| vector(vectors, b)) else { return };
    for row in rows.chunks_exact_mut(bias.len().max(1)) {
        compute.kernels.add_assign(row, bias);
    }
}
