//! What a caller asks for, and what it costs.

use crate::status::{ErrorInfo, Status};
use barre_core::constrain::Schema;
use barre_core::kernels::{Kernels, KvType, Mode};
use barre_core::sampler::SamplerParams;
use core::ffi::c_char;

/// How keys and values are stored.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the format's own name")]
pub enum Kv {
    /// 2 bytes a number.
    F16 = 0,
    /// 4 bytes a number.
    F32 = 1,
    /// 34 bytes for 32 numbers, for models whose heads are multiples of 32 long. A library may leave it out.
    Q8_0 = 2,
}

/// How activations are multiplied.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeKind {
    /// One 8-bit number an activation.
    Int8 = 0,
    /// Three of them: f32 accuracy at a third of the speed. A library may leave it out.
    Exact = 1,
}

/// Where the weights are while they are multiplied.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// In place if the reader has a `base`, else streamed.
    Auto = 0,
    /// Copied into the block by `barre_init`.
    Resident = 1,
    /// Read through a window of `window` bytes for each token.
    Streamed = 2,
}

/// What the CPU has beyond what the library was compiled for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// Nothing: Advanced SIMD on aarch64, portable code elsewhere.
    Baseline = 0,
    /// x86-64: AVX2, FMA and F16C, and a system that saves their registers. Elsewhere `BARRE_STATUS_BAD_CONFIG`.
    Avx2 = 1,
}

/// What an engine is to do. `barre_config_default` fills it; change what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Tokens that prompt and output can have together; 0 for what the model was trained for.
    pub context: u32,
    /// Tokens of a prompt that pass through the layers together: more is faster and takes more memory.
    pub batch: u32,
    /// Bytes of the longest prompt; some 60 bytes of the block are kept for each.
    pub prompt_bytes: u32,
    /// A `barre_kv`.
    pub kv: u32,
    /// A `barre_mode_kind`.
    pub mode: u32,
    /// A `barre_weights`.
    pub weights: u32,
    /// A `barre_cpu`.
    pub cpu: u32,
    /// 1: names of control tokens in a prompt stand for these tokens (chat templates). Never with a stranger's text.
    pub parse_special: u32,
    /// Bytes of the window of streamed weights; at least the model's longest row. 0 for just that.
    pub window: usize,
    /// 0 takes the likeliest token each time.
    pub temperature: f32,
    /// Keep so many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the fewest tokens whose probabilities add up to this.
    pub top_p: f32,
    /// Keep tokens at least this times as likely as the likeliest.
    pub min_p: f32,
    /// Above 1 makes recent tokens less likely.
    pub repeat_penalty: f32,
    /// How many tokens are recent.
    pub repeat_last_n: u32,
    /// Where the random numbers begin.
    pub seed: u64,
    /// JSON Schema that the output will be valid against, or null. Text is read during `barre_plan_memory` and
    /// `barre_init` only; what `barre_compile_schema` made of it is used where it lies, as long as the engine is.
    pub schema: *const c_char,
    /// Its bytes.
    pub schema_bytes: usize,
}

/// Memory and traffic of an engine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Bytes of the block that `barre_init` needs with the same reader and configuration, wherever the block starts.
    pub block_bytes: usize,
    /// Bytes of these for the KV cache, activations and (resident) weights.
    pub arena_bytes: usize,
    /// The other bytes: tokenizer, tables, schema, the encoding of a prompt.
    pub table_bytes: usize,
    /// Weight bytes read for each token of output.
    pub bytes_per_token: u64,
    /// Positions of the context.
    pub context: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// The alignment of a block that wastes no byte.
    pub align: u32,
    /// 0.
    pub reserved: u32,
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        context: 0,
        batch: 16,
        prompt_bytes: 1024,
        kv: Kv::F16 as u32,
        mode: ModeKind::Int8 as u32,
        weights: Weights::Auto as u32,
        cpu: Cpu::Baseline as u32,
        parse_special: 0,
        window: 0,
        temperature: 0.0,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        repeat_penalty: 1.0,
        repeat_last_n: 64,
        seed: 0,
        schema: core::ptr::null(),
        schema_bytes: 0,
    };

    pub(crate) fn kv_type(&self) -> Result<KvType, ErrorInfo> {
        match self.kv {
            n if n == Kv::F16 as u32 => Ok(KvType::F16),
            n if n == Kv::F32 as u32 => Ok(KvType::F32),
            #[cfg(feature = "kv-q8_0")]
            n if n == Kv::Q8_0 as u32 => Ok(KvType::Q8_0),
            _ => Err(bad(b"kv")),
        }
    }

    pub(crate) fn mode(&self) -> Result<Mode, ErrorInfo> {
        match self.mode {
            n if n == ModeKind::Int8 as u32 => Ok(Mode::Int8),
            #[cfg(feature = "exact")]
            n if n == ModeKind::Exact as u32 => Ok(Mode::Exact),
            _ => Err(bad(b"mode")),
        }
    }

    pub(crate) fn weights(&self) -> Result<Weights, ErrorInfo> {
        [Weights::Auto, Weights::Resident, Weights::Streamed]
            .into_iter()
            .find(|w| *w as u32 == self.weights)
            .ok_or(bad(b"weights"))
    }

    pub(crate) fn kernels(&self) -> Result<Kernels, ErrorInfo> {
        #[cfg(target_arch = "x86_64")]
        if self.cpu == Cpu::Avx2 as u32 {
            // SAFETY: the caller says that the CPU and the system have it; `barre_cpu` asks for no less.
            return Ok(Kernels::avx2(unsafe { barre_core::simd::avx2::Avx2::assume() }));
        }
        if self.cpu != Cpu::Baseline as u32 {
            return Err(bad(b"cpu"));
        }
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        // SAFETY: the target is compiled for it.
        let kernels = Kernels::neon(unsafe { barre_core::simd::neon::Neon::assume() });
        #[cfg(not(all(target_arch = "aarch64", target_feature = "neon")))]
        let kernels = Kernels::scalar();
        Ok(kernels)
    }

    pub(crate) const fn sampler(&self) -> SamplerParams {
        SamplerParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            seed: self.seed,
        }
    }

    /// # Safety
    /// `schema` is null or the address of `schema_bytes` bytes, which stay while what is returned is used if they are
    /// a compiled schema.
    pub(crate) unsafe fn schema(&self) -> Result<Option<Schema>, ErrorInfo> {
        if self.schema.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's word. "Static" is the life of the engine.
        let bytes: &'static [u8] =
            unsafe { core::slice::from_raw_parts(self.schema.cast(), self.schema_bytes) };
        // No JSON begins so.
        if bytes.starts_with(b"barS") && cfg!(feature = "compiled-schema") {
            Ok(Some(Schema::from_compiled(bytes)?))
        } else if cfg!(feature = "schema") {
            Ok(Some(Schema::parse(bytes)?))
        } else {
            Err(bad(b"schema"))
        }
    }
}

fn bad(field: &[u8]) -> ErrorInfo {
    ErrorInfo::new(Status::BadConfig).named(field)
}
