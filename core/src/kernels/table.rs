//! The kernels of one instruction set.

#![allow(unsafe_code, reason = "entries have target features, which only a proof makes safe to call")]

use super::float::{self, FloatTable};
use super::{ActKind, ActToken, ActTokenMut, AttendJob, KvHead, KvType, Mode, OutCols};
#[cfg(feature = "batch")]
use super::{Acts, matmul};
use super::{matvec, quantize};
use crate::part::holds;
use crate::quant::WeightFormat;
use crate::simd::IsaKind;

/// Every kernel, for one instruction set. A value exists only where its code can run.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    isa: IsaKind,
    float: &'static FloatTable,
    quantize: quantize::Entry,
    matvec: &'static matvec::Table,
    #[cfg(feature = "batch")]
    matmul: &'static matmul::Table,
}

/// `table`, by format, without the entries of the formats that the build leaves out: what no table of this crate
/// names is not linked.
pub(super) const fn compiled<T: Copy>(
    mut table: [Option<T>; WeightFormat::ALL.len()],
) -> [Option<T>; WeightFormat::ALL.len()] {
    let mut i = 0;
    while i < table.len() {
        if !WeightFormat::ALL[i].is_compiled() {
            table[i] = None;
        }
        i += 1;
    }
    table
}

impl Kernels {
    /// The portable kernels, which every CPU can run.
    #[must_use]
    pub const fn scalar() -> Self {
        Self {
            isa: IsaKind::Scalar,
            float: &float::SCALAR,
            quantize: quantize::scalar,
            matvec: &matvec::SCALAR,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::SCALAR,
        }
    }

    /// The kernels for AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    #[must_use]
    pub const fn avx2(_: crate::simd::avx2::Avx2) -> Self {
        Self {
            isa: IsaKind::Avx2,
            float: &float::AVX2,
            quantize: quantize::avx2,
            matvec: &matvec::AVX2,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::AVX2,
        }
    }

    /// The kernels for AVX-VNNI, AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    #[must_use]
    pub const fn avxvnni(_: crate::simd::avxvnni::AvxVnni) -> Self {
        Self {
            isa: IsaKind::AvxVnni,
            float: &float::AVX2,
            quantize: quantize::avx2,
            matvec: &matvec::AVXVNNI,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::AVXVNNI,
        }
    }

    /// The kernels for AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    #[must_use]
    pub const fn avx512(_: crate::simd::avx512::Avx512) -> Self {
        Self {
            isa: IsaKind::Avx512,
            float: &float::AVX512,
            quantize: quantize::avx512,
            matvec: &matvec::AVX512,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::AVX512,
        }
    }

    /// The kernels for AVX-512 with tiles.
    #[cfg(all(target_arch = "x86_64", feature = "batch"))]
    #[must_use]
    pub const fn amx(_: crate::simd::amx::Amx) -> Self {
        Self {
            isa: IsaKind::Amx,
            float: &float::AVX512,
            quantize: quantize::avx512,
            matvec: &matvec::AVX512,
            matmul: &matmul::Table::AMX,
        }
    }

    /// The kernels for Advanced SIMD.
    #[cfg(target_arch = "aarch64")]
    #[must_use]
    pub const fn neon(_: crate::simd::neon::Neon) -> Self {
        Self {
            isa: IsaKind::Neon,
            float: &float::NEON,
            quantize: quantize::neon,
            matvec: &matvec::NEON,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::NEON,
        }
    }

    /// The kernels for Advanced SIMD with dot products.
    #[cfg(all(target_arch = "aarch64", feature = "dotprod"))]
    #[must_use]
    pub const fn dotprod(_: crate::simd::dotprod::Dotprod) -> Self {
        Self {
            isa: IsaKind::Dotprod,
            float: &float::NEON,
            quantize: quantize::neon,
            matvec: &matvec::DOTPROD,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::DOTPROD,
        }
    }

    /// The kernels for Advanced SIMD with matrix multiplication of bytes.
    #[cfg(all(target_arch = "aarch64", feature = "dotprod"))]
    #[must_use]
    pub const fn i8mm(_: crate::simd::i8mm::I8mm) -> Self {
        Self {
            isa: IsaKind::I8mm,
            float: &float::NEON,
            quantize: quantize::neon,
            matvec: &matvec::DOTPROD,
            #[cfg(feature = "batch")]
            matmul: &matmul::Table::I8MM,
        }
    }

    /// Which instruction set this is.
    #[must_use]
    pub const fn isa(&self) -> IsaKind {
        self.isa
    }

    /// Bytes of scratch (aligned to 64) that multiplying rows of `k` weights in `format` with up to `tokens` tokens
    /// needs, by [`matvec`](Self::matvec) or in a batch. A multiple of 64, so that slots of it follow one another.
    #[must_use]
    pub const fn matmul_scratch_bytes(&self, format: WeightFormat, k: usize, tokens: usize) -> usize {
        let one = if format.block_len() == 1 {
            0
        } else {
            matvec::scratch_bytes(self.isa, format.block_len(), k / format.block_len())
        };
        let many = self.batch_scratch_bytes(format, tokens);
        let bytes = if one > many { one } else { many };
        // What saturated is too much for any memory as it is.
        if bytes > usize::MAX - 63 { bytes } else { bytes.next_multiple_of(64) }
    }

    /// Bytes of scratch that [`matmul`](Self::matmul) needs.
    #[cfg(feature = "batch")]
    const fn batch_scratch_bytes(&self, format: WeightFormat, tokens: usize) -> usize {
        match self.matmul.get(format) {
            None => float::matmul_scratch_bytes(tokens),
            Some(_) if tokens > 1 => self.matmul.scratch_bytes(tokens),
            Some(_) => 0,
        }
    }

    /// Tokens up to which [`matvec`](Self::matvec) of each is faster than [`matmul`](Self::matmul).
    #[cfg(feature = "batch")]
    pub(super) const fn few_tokens(&self, format: WeightFormat) -> usize {
        self.matmul.few_tokens(format)
    }

    /// Whether [`matmul`](Self::matmul) lays out all activations once a call, so that calls for many rows are cheaper
    /// than many for few.
    #[cfg(feature = "batch")]
    pub(super) const fn lays_out_batches(&self) -> bool {
        self.matmul.lays_out()
    }

    /// A token at a time needs no more for many.
    #[cfg(not(feature = "batch"))]
    const fn batch_scratch_bytes(&self, _: WeightFormat, _: usize) -> usize {
        0
    }

    /// Quantizes one token's activations `x` into `out`, as `kind` and `mode` say. [`ActKind::Float`] is not
    /// quantized: nothing happens.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if `out` is not of the lengths that [`ActsMut`](super::ActsMut) gives a token of `x.len()` activations.
    pub fn quantize(&self, kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
        if kind == ActKind::Float {
            return;
        }
        let (k, planes, blocks) = (x.len(), mode.planes(), x.len() / kind.block_len().max(1));
        let fits = k > 0
            && k == blocks * kind.block_len()
            && out.q.len() == k * planes
            && out.sums.len() == kind.sum_count(k) * planes
            && out.d.len() == blocks + super::WRAP;
        if !holds(fits, "activations must be whole blocks, the result a token's lengths") {
            return;
        }
        // SAFETY: a `Kernels` is made only from proof that its entries can run here.
        unsafe { (self.quantize)(kind, mode, x, out) }
    }

    /// `out[r] = row r of weights · act`, for `out.len()` rows of `act.k` weights.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if a length does not fit or `scratch` is short or not aligned to 64.
    pub fn matvec(
        &self,
        format: WeightFormat,
        weights: &[u8],
        act: &ActToken<'_>,
        out: &mut [f32],
        scratch: &mut [u8],
    ) {
        let blocks = act.k / format.block_len();
        if !holds(weights.len() == out.len() * blocks * format.block_bytes(), "weights must be `out`'s rows")
        {
            return;
        }
        let kind = ActKind::of(format);
        if kind == ActKind::Float {
            if holds(act.x.len() == act.k, "activations of a token")
                && let Some(Some(entry)) = self.float.matvec.get(format as usize)
            {
                // SAFETY: a `Kernels` is made only from proof that its entries can run here.
                unsafe { entry(weights, act.x, out) }
            }
            return;
        }
        let fits = blocks > 0
            && act.k == blocks * format.block_len()
            && act.q.len() == act.k * act.planes
            && act.sums.len() == kind.sum_count(act.k) * act.planes
            && act.d.len() == blocks + super::WRAP;
        if holds(fits, "the activations must have a token's lengths in the form that the format reads")
            && holds(
                scratch.len() >= matvec::scratch_bytes(self.isa, format.block_len(), blocks),
                "scratch is too short",
            )
            && let Some(entry) = self.matvec[format as usize]
        {
            // SAFETY: as above.
            unsafe { entry(weights, act, out, scratch) }
        }
    }

    /// `out[t][r] = row r of weights · token t`, for `out.cols()` rows and `acts.tokens()` tokens.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if a length does not fit or `scratch` is short or not aligned to 64.
    #[cfg(feature = "batch")]
    pub fn matmul(
        &self,
        format: WeightFormat,
        weights: &[u8],
        acts: &Acts<'_>,
        out: &mut OutCols<'_>,
        scratch: &mut [u8],
    ) {
        let blocks = acts.k() / format.block_len();
        let fits =
            weights.len() == out.cols() * blocks * format.block_bytes() && acts.tokens() == out.tokens();
        if !holds(fits, "weights and `out` must be as many rows, activations and `out` as many tokens") {
            return;
        }
        if format.block_len() > 1 {
            if acts.tokens() == 1 {
                return self.matvec(format, weights, &acts.token(0), out.row_mut(0), scratch);
            }
            let form = acts.kind() == ActKind::of(format) && acts.k() == blocks * format.block_len();
            let room = scratch.len() >= self.matmul.scratch_bytes(acts.tokens());
            if holds(form, "activations must be in the form that the format reads")
                && holds(
                    room && scratch.as_ptr().addr().is_multiple_of(64),
                    "scratch is too short, or not aligned",
                )
                && let Some(entry) = self.matmul.get(format)
            {
                // SAFETY: a `Kernels` is made only from proof that its entries can run here.
                unsafe { entry(weights, acts, out, scratch) }
            }
            return;
        }
        if holds(acts.kind() == ActKind::Float, "float weights read activations as they are")
            && let Some(Some(entry)) = self.float.matmul.get(format as usize)
        {
            // SAFETY: as above.
            unsafe { entry(weights, acts, out, scratch) }
        }
    }

    /// Root-mean-square norm (Zhang & Sennrich 2019): `out = x / sqrt(mean(x²) + eps) · w`.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if the lengths differ.
    pub fn rms_norm(&self, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
        if !holds(x.len() == w.len() && x.len() == out.len(), "x, w and out must have one length") {
            return;
        }
        // SAFETY: a `Kernels` is made only from proof that its entries can run here.
        unsafe { (self.float.rms_norm)(x, w, eps, out) }
    }

    /// `x += y`.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if the lengths differ.
    pub fn add_assign(&self, x: &mut [f32], y: &[f32]) {
        if !holds(x.len() == y.len(), "x and y must have one length") {
            return;
        }
        // SAFETY: as in `rms_norm`.
        unsafe { (self.float.add_assign)(x, y) }
    }

    /// SwiGLU (Shazeer 2020): `gate = silu(gate) · up`.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if the lengths differ.
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) {
        if !holds(gate.len() == up.len(), "gate and up must have one length") {
            return;
        }
        // SAFETY: as in `rms_norm`.
        unsafe { (self.float.swiglu)(gate, up) }
    }

    /// Rotary position embedding (Su et al. 2021), adjacent pairs, of every head of `head_len` floats in `x`.
    /// `table` holds (cos, sin) for each rotated pair ([`rope_table`](super::rope_table)); pairs beyond it are left
    /// as they are.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if `x` is no whole number of heads.
    pub fn rope(&self, x: &mut [f32], head_len: usize, table: &[f32]) {
        if !holds(head_len > 0 && x.len().is_multiple_of(head_len), "x must be whole heads") {
            return;
        }
        // SAFETY: as in `rms_norm`.
        unsafe { (self.float.rope)(x, head_len, table) }
    }

    /// Converts `src` to little-endian `kv` numbers in `dst`; halves are rounded to nearest even, and beyond
    /// ±65504 become infinite; blocks are those of their format's quantizer.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if `src` is no whole number of blocks, or `dst` does not have
    /// just the bytes for them.
    pub fn kv_store(&self, kv: KvType, src: &[f32], dst: &mut [u8]) {
        let fits = src.len().is_multiple_of(kv.block_len()) && dst.len() == kv.row_bytes(src.len());
        if !holds(fits, "src must be whole blocks, and dst have room for them exactly") {
            return;
        }
        // SAFETY: as in `rms_norm`.
        unsafe { (self.float.kv_store)(kv, src, dst) }
    }

    /// Bytes of scratch (aligned to 64) that [`attend`](Self::attend) makes good use of, with up to `context`
    /// positions. It takes more and, down to what one query of one token asks for (`group` and `tokens` 1), less;
    /// the result is the same. Saturates.
    #[must_use]
    pub const fn attend_scratch_bytes(
        &self,
        key_len: usize,
        value_len: usize,
        context: usize,
        group: usize,
        tokens: usize,
    ) -> usize {
        float::attend_scratch_bytes(key_len, value_len, context, group.saturating_mul(tokens))
    }

    /// Causal attention of the query heads that share one KV head: for each token `t` and head `g`,
    /// `out[t][g·value_len ..] = Σ_j softmax_j(q·k_j · scale) · v_j` over positions `j` in `0 ..= first_pos + t`,
    /// with `q` at `q[t·q_stride + g·key_len ..]`.
    ///
    /// # Panics
    /// Only with debug assertions, else nothing is written: if a buffer is too short for that, or a head empty.
    pub fn attend(
        &self,
        kv: &KvHead<'_>,
        q: &[f32],
        q_stride: usize,
        job: &AttendJob,
        out: &mut OutCols<'_>,
        scratch: &mut [u8],
    ) {
        let &AttendJob { first_pos, tokens, group, .. } = job;
        if tokens == 0 || group == 0 {
            return;
        }
        let positions = first_pos + tokens;
        let holds_all = |rows: &[u8], len: usize| {
            let row_bytes = kv.kv_type.row_bytes(len);
            len.is_multiple_of(kv.kv_type.block_len())
                && rows.len().checked_div(row_bytes).is_some_and(|n| n >= positions)
        };
        let fits = holds_all(kv.k, kv.key_len)
            && holds_all(kv.v, kv.value_len)
            && q.len() >= (tokens - 1) * q_stride + group * kv.key_len
            && out.tokens() >= tokens
            && out.cols() >= group * kv.value_len;
        if !holds(fits, "heads, queries and results must be as many as the job says, and not empty")
            || !holds(
                scratch.len() >= self.attend_scratch_bytes(kv.key_len, kv.value_len, positions, 1, 1),
                "scratch is too short",
            )
        {
            return;
        }
        // SAFETY: as in `rms_norm`.
        unsafe { (self.float.attend)(kv, q, q_stride, job, out, scratch) }
    }
}
