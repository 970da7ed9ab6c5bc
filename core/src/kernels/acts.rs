//! The right-hand side of a multiplication: activations, as the kernels read them.

use super::Executor;
use super::parallel::{Rows, for_each_chunk};
use crate::part::{holds, part, part_mut};
use crate::quant::{BLOCK_LEN, SUPER_BLOCK_LEN, WeightFormat};

/// How activations are multiplied.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// One signed 8-bit number an activation, scaled per block, as GGML does.
    #[default]
    Int8,
    /// Three signed 8-bit digits of a block's fixed-point number: f32 accuracy out of integer kernels.
    #[cfg(feature = "exact")]
    Exact,
}

impl Mode {
    /// The most digit planes that a mode of this build has.
    pub(super) const MOST_PLANES: usize = if cfg!(feature = "exact") { 3 } else { 1 };

    /// `int8` or `exact`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            #[cfg(feature = "exact")]
            Self::Exact => "exact",
        }
    }

    /// Digit planes an activation is stored in.
    #[must_use]
    pub const fn planes(self) -> usize {
        match self {
            Self::Int8 => 1,
            #[cfg(feature = "exact")]
            Self::Exact => 3,
        }
    }

    /// The largest magnitude of a block's fixed-point number: 127 in the top digit, zeros below.
    #[must_use]
    pub const fn top(self) -> f32 {
        match self {
            Self::Int8 => 127.0,
            #[cfg(feature = "exact")]
            Self::Exact => 8_323_072.0,
        }
    }
}

/// The form in which a weight format wants its activations.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// f32 as they are, for F32, F16 and BF16 weights.
    Float,
    /// Blocks of 32, with a sum of each 32 digits.
    Block32,
    /// Super-blocks of 256, with a sum of each 16 digits.
    Block256,
}

impl ActKind {
    /// The kind that `format`'s kernels read.
    #[must_use]
    pub const fn of(format: WeightFormat) -> Self {
        // Known when compiling a build that has one kind only, so that the code of the others is left out.
        if !Self::Float.is_compiled() && !Self::Block32.is_compiled() {
            return Self::Block256;
        }
        match format.block_len() {
            BLOCK_LEN => Self::Block32,
            SUPER_BLOCK_LEN => Self::Block256,
            _ => Self::Float,
        }
    }

    /// Whether this build has kernels that read it.
    pub(crate) const fn is_compiled(self) -> bool {
        let mut i = 0;
        while i < WeightFormat::ALL.len() {
            let format = WeightFormat::ALL[i];
            let same = match format.block_len() {
                BLOCK_LEN => matches!(self, Self::Block32),
                SUPER_BLOCK_LEN => matches!(self, Self::Block256),
                _ => matches!(self, Self::Float),
            };
            if same && format.is_compiled() {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The name in an error.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Float => "Float",
            Self::Block32 => "Block32",
            Self::Block256 => "Block256",
        }
    }

    /// Activations that share a scale (0 for [`Float`](Self::Float)).
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Float => 0,
            Self::Block32 => BLOCK_LEN,
            Self::Block256 => SUPER_BLOCK_LEN,
        }
    }

    /// Activations that share a sum (0 for [`Float`](Self::Float)).
    #[must_use]
    pub const fn sum_len(self) -> usize {
        match self {
            Self::Float => 0,
            Self::Block32 => 32,
            Self::Block256 => 16,
        }
    }

    /// Sums in a plane of `k` digits, with those repeated (0 for [`Float`](Self::Float)).
    #[must_use]
    pub const fn sum_count(self, k: usize) -> usize {
        match self {
            Self::Float => 0,
            Self::Block32 => k / 32 + WRAP,
            Self::Block256 => k / 16,
        }
    }
}

/// The scales of a token, and the sums of a plane of [`ActKind::Block32`], are repeated from the first one on for
/// this many entries past the last, so that a kernel that runs over consecutive blocks of the weight stream may
/// load a vector of them at any block.
pub const WRAP: usize = 16;

/// A batch of activations, read-only.
///
/// With `nb = k / block_len` blocks and `planes` digit planes, token `t` has
/// * `q[(t·planes + p)·k ..][.. k]`: digits of plane `p`, the most significant plane first:
///   `x ≈ d·Σ_p q_p·256^(planes−1−p)`. Digits of the top plane lie in ±127, of the others in −128..=127;
/// * `sums[(t·planes + p)·sum_count ..][.. sum_count]`: sums of `sum_len` consecutive digits, where `sum_count` is
///   [`ActKind::sum_count`]; the sum of digits of block `i mod nb` with [`ActKind::Block32`];
/// * `d[t·(nb + WRAP) ..][.. nb + WRAP]`: the scale of block `i mod nb`.
#[derive(Clone, Copy, Debug)]
pub struct Acts<'a> {
    kind: ActKind,
    mode: Mode,
    k: usize,
    tokens: usize,
    x: &'a [f32],
    q: &'a [i8],
    sums: &'a [i16],
    d: &'a [f32],
    /// Kept, because a batch multiplication asks for a token in its inner loops, and these cost divisions.
    strides: (usize, usize, usize),
}

/// One token of [`Acts`].
#[derive(Clone, Copy, Debug)]
pub struct ActToken<'a> {
    /// Activations in the token.
    pub k: usize,
    /// Digit planes (1 or 3).
    pub planes: usize,
    /// The activations themselves: `k`, for [`ActKind::Float`] (empty otherwise).
    pub x: &'a [f32],
    /// Digits, `planes · k`.
    pub q: &'a [i8],
    /// Sums, `planes · sum_count`.
    pub sums: &'a [i16],
    /// Scales, `nb + WRAP`.
    pub d: &'a [f32],
}

impl<'a> Acts<'a> {
    /// Activations that stay f32: `x` holds `tokens` rows of `k`.
    ///
    /// # Panics
    /// Only with debug assertions, else there are no tokens: if `x` is not `tokens · k` long.
    #[must_use]
    pub fn float(x: &'a [f32], k: usize, tokens: usize) -> Self {
        let fits = holds(x.len() == tokens * k, "activations must be tokens x k");
        let tokens = if fits { tokens } else { 0 };
        let (kind, mode) = (ActKind::Float, Mode::Int8);
        Self { kind, mode, k, tokens, x, q: &[], sums: &[], d: &[], strides: (0, 0, 0) }
    }

    /// Which form these activations have.
    #[must_use]
    pub const fn kind(&self) -> ActKind {
        self.kind
    }

    /// How they were quantized.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Digit planes.
    #[must_use]
    pub const fn planes(&self) -> usize {
        self.mode.planes()
    }

    /// Activations in a token.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Tokens in the batch.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// All but the first `count` tokens; none if there are not so many.
    #[cfg(feature = "batch")]
    #[must_use]
    pub fn skip(&self, count: usize) -> Self {
        let count = count.min(self.tokens);
        let (qs, ss, ds) = self.strides;
        let mut rest = *self;
        rest.tokens -= count;
        rest.x = self.x.get(count * self.k..).unwrap_or_default();
        rest.q = self.q.get(count * qs..).unwrap_or_default();
        rest.sums = self.sums.get(count * ss..).unwrap_or_default();
        rest.d = self.d.get(count * ds..).unwrap_or_default();
        rest
    }

    /// [`token`](Self::token) of quantized activations, without a check.
    ///
    /// # Safety
    /// `t` is below [`tokens`](Self::tokens), and the kind is not [`ActKind::Float`].
    #[cfg(feature = "batch")]
    #[allow(unsafe_code, reason = "in an inner loop checks would cost a tenth of it")]
    #[inline(always)]
    pub(super) unsafe fn token_unchecked(&self, t: usize) -> ActToken<'a> {
        debug_assert!(t < self.tokens && self.kind != ActKind::Float);
        let (k, planes) = (self.k, self.planes());
        let (qs, ss, ds) = self.strides;
        // SAFETY: a batch has `tokens` times these strides of digits, sums and scales.
        unsafe {
            let (q, sums, d) =
                (self.q.as_ptr().add(t * qs), self.sums.as_ptr().add(t * ss), self.d.as_ptr().add(t * ds));
            ActToken {
                k,
                planes,
                x: &[],
                q: core::slice::from_raw_parts(q, qs),
                sums: core::slice::from_raw_parts(sums, ss),
                d: core::slice::from_raw_parts(d, ds),
            }
        }
    }

    /// Token `t` of the batch.
    ///
    /// # Panics
    /// Only with debug assertions, else the token is empty: if `t` is not below [`tokens`](Self::tokens).
    #[cfg_attr(feature = "batch", inline(always))]
    #[must_use]
    pub fn token(&self, t: usize) -> ActToken<'a> {
        let (k, planes) = (self.k, self.planes());
        match self.kind {
            ActKind::Float => ActToken { k, planes: 1, x: part(self.x, t * k, k), q: &[], sums: &[], d: &[] },
            _ => {
                let (qs, ss, ds) = self.strides;
                ActToken {
                    k,
                    planes,
                    x: &[],
                    q: part(self.q, t * qs, qs),
                    sums: part(self.sums, t * ss, ss),
                    d: part(self.d, t * ds, ds),
                }
            }
        }
    }
}

/// Elements of `q`, `sums` and `d` in one token.
const fn strides(kind: ActKind, mode: Mode, k: usize) -> (usize, usize, usize) {
    let planes = mode.planes();
    (
        k * planes,
        kind.sum_count(k) * planes,
        k / if kind.block_len() > 0 { kind.block_len() } else { 1 } + WRAP,
    )
}

/// A batch of activations being made, in memory of the caller's.
#[derive(Debug)]
pub struct ActsMut<'a> {
    kind: ActKind,
    mode: Mode,
    k: usize,
    tokens: usize,
    q: &'a mut [i8],
    sums: &'a mut [i16],
    d: &'a mut [f32],
}

/// One token of [`ActsMut`]: the slices of [`ActToken`], to be filled.
#[derive(Debug)]
pub struct ActTokenMut<'a> {
    /// Digits, `planes · k`.
    pub q: &'a mut [i8],
    /// Sums, `planes · sum_count`.
    pub sums: &'a mut [i16],
    /// Scales, `nb + WRAP`.
    pub d: &'a mut [f32],
}

impl<'a> ActsMut<'a> {
    /// Alignment that [`new`](Self::new) asks of its memory.
    pub const ALIGN: usize = 64;

    /// Bytes that `tokens` rows of `k` activations take; `None` on overflow or if `k` is no whole number of blocks.
    /// 0 for [`ActKind::Float`], which is not copied.
    #[must_use]
    pub fn bytes(kind: ActKind, mode: Mode, k: usize, tokens: usize) -> Option<usize> {
        if kind == ActKind::Float {
            return Some(0);
        }
        if !k.is_multiple_of(kind.block_len()) {
            return None;
        }
        k.checked_mul(mode.planes())?;
        let (qs, ss, ds) = strides(kind, mode, k);
        let token = qs.checked_add(ss.checked_mul(2)?)?.checked_add(ds.checked_mul(4)?)?;
        // Each of the three parts starts aligned.
        token.checked_mul(tokens)?.checked_add(3 * Self::ALIGN)
    }

    /// Divides `memory` (at least [`bytes`](Self::bytes) long, aligned to [`ALIGN`](Self::ALIGN)) among the parts.
    /// `None` if it is too short, misaligned or `kind` is [`ActKind::Float`].
    #[must_use]
    pub fn new(kind: ActKind, mode: Mode, k: usize, tokens: usize, memory: &'a mut [u8]) -> Option<Self> {
        if kind == ActKind::Float || Self::bytes(kind, mode, k, tokens)? > memory.len() {
            return None;
        }
        let (qs, ss, ds) = strides(kind, mode, k);
        let up = |n: usize| n.next_multiple_of(Self::ALIGN);
        let (q, rest) = memory.split_at_mut_checked(up(qs * tokens))?;
        let (sums, rest) = rest.split_at_mut_checked(up(2 * ss * tokens))?;
        let (d, _) = rest.split_at_mut_checked(4 * ds * tokens)?;
        Some(Self {
            kind,
            mode,
            k,
            tokens,
            q: bytemuck::try_cast_slice_mut(q).ok()?.get_mut(..qs * tokens)?,
            sums: bytemuck::try_cast_slice_mut(sums).ok()?.get_mut(..ss * tokens)?,
            d: bytemuck::try_cast_slice_mut(d).ok()?,
        })
    }

    /// Which form these activations have.
    #[must_use]
    pub const fn kind(&self) -> ActKind {
        self.kind
    }

    /// How they are quantized.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Activations in a token.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Token `t` of the batch, to be filled by [`Kernels::quantize`](super::Kernels::quantize).
    ///
    /// # Panics
    /// Only with debug assertions, else the token is empty: if `t` is not below the number of tokens.
    pub fn token_mut(&mut self, t: usize) -> ActTokenMut<'_> {
        let (qs, ss, ds) = strides(self.kind, self.mode, self.k);
        ActTokenMut {
            q: part_mut(self.q, t * qs, qs),
            sums: part_mut(self.sums, t * ss, ss),
            d: part_mut(self.d, t * ds, ds),
        }
    }

    /// Has `quantize` fill every token of the batch, on the executor's threads.
    pub fn fill(&mut self, executor: &dyn Executor, quantize: &(dyn Fn(usize, ActTokenMut<'_>) + Sync)) {
        let (qs, ss, ds) = strides(self.kind, self.mode, self.k);
        let (q, sums, d) = (Rows::new(self.q, qs), Rows::new(self.sums, ss), Rows::new(self.d, ds));
        for_each_chunk(executor, self.tokens, &mut [], 0, &|t, _| {
            #[allow(
                unsafe_code,
                reason = "tokens are claimed at run time, which the borrow checker cannot follow"
            )]
            // SAFETY: each part has `tokens` rows of its stride, and each token comes once.
            let token = unsafe { ActTokenMut { q: q.row(t), sums: sums.row(t), d: d.row(t) } };
            quantize(t, token);
        });
    }

    /// The finished batch.
    #[must_use]
    pub fn finish(self) -> Acts<'a> {
        let Self { kind, mode, k, tokens, q, sums, d } = self;
        Acts { kind, mode, k, tokens, x: &[], q, sums, d, strides: strides(kind, mode, k) }
    }
}
