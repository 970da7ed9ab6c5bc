//! Kernels that compute in f32: written once over sixteen lanes, instantiated for each instruction set.

mod attention;
#[cfg(feature = "batch")]
mod batch;
mod elementwise;
mod exp;
mod kv;
mod rope;
mod rows;
mod trig;

pub use attention::{AttendJob, KvHead};
pub use exp::exp;
pub use kv::KvType;
pub use rope::rope_table;

pub(super) use attention::scratch_bytes as attend_scratch_bytes;
#[cfg(feature = "batch")]
pub(super) use batch::matmul_scratch_bytes;

#[cfg(feature = "batch")]
use super::Acts;
use super::OutCols;
use crate::quant::WeightFormat;
use crate::simd::Scalar;
use rows::FloatFormat;

type Matvec = unsafe fn(weights: &[u8], x: &[f32], out: &mut [f32]);
#[cfg(feature = "batch")]
type Matmul = unsafe fn(weights: &[u8], acts: &Acts<'_>, out: &mut OutCols<'_>, scratch: &mut [u8]);

/// The kernels of this module for one instruction set. Calling one needs proof that the CPU has it; lengths are
/// the caller's to check.
#[derive(Debug)]
pub(super) struct FloatTable {
    pub(super) rms_norm: unsafe fn(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]),
    pub(super) add_assign: unsafe fn(x: &mut [f32], y: &[f32]),
    pub(super) swiglu: unsafe fn(gate: &mut [f32], up: &[f32]),
    pub(super) rope: unsafe fn(x: &mut [f32], head_len: usize, table: &[f32]),
    pub(super) kv_store: unsafe fn(kv: KvType, src: &[f32], dst: &mut [u8]),
    pub(super) attend: unsafe fn(
        &KvHead<'_>,
        q: &[f32],
        q_stride: usize,
        &AttendJob,
        out: &mut OutCols<'_>,
        scratch: &mut [u8],
    ),
    /// By format: F32, F16, BF16.
    pub(super) matvec: [Option<Matvec>; FORMATS],
    #[cfg(feature = "batch")]
    pub(super) matmul: [Option<Matmul>; FORMATS],
}

/// The float formats come first among all.
const FORMATS: usize = 3;

/// `entries` of F32, F16 and BF16, without those that the build leaves out: what no table names is not linked.
const fn compiled<T: Copy>(entries: [T; FORMATS]) -> [Option<T>; FORMATS] {
    let mut table = [None; FORMATS];
    let mut i = 0;
    while i < FORMATS {
        if WeightFormat::ALL[i].is_compiled() {
            table[i] = Some(entries[i]);
        }
        i += 1;
    }
    table
}

/// The table of an instruction set. Each entry is a function with its features, into which the kernel is inlined.
macro_rules! float_table {
    ($(#[$doc:meta])* $table:ident, $isa:expr $(, $feature:literal)?) => {
        $(#[$doc])*
        pub(super) static $table: FloatTable = {
            $(#[target_feature(enable = $feature)])?
            fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
                elementwise::rms_norm($isa, x, w, eps, out);
            }
            $(#[target_feature(enable = $feature)])?
            fn add_assign(x: &mut [f32], y: &[f32]) {
                elementwise::add_assign(x, y);
            }
            $(#[target_feature(enable = $feature)])?
            fn swiglu(gate: &mut [f32], up: &[f32]) {
                elementwise::swiglu($isa, gate, up);
            }
            $(#[target_feature(enable = $feature)])?
            fn rope(x: &mut [f32], head_len: usize, table: &[f32]) {
                rope::rope(x, head_len, table);
            }
            $(#[target_feature(enable = $feature)])?
            fn kv_store(kv: KvType, src: &[f32], dst: &mut [u8]) {
                kv::store($isa, kv, src, dst);
            }
            $(#[target_feature(enable = $feature)])?
            fn attend(
                kv: &KvHead<'_>,
                q: &[f32],
                q_stride: usize,
                job: &AttendJob,
                out: &mut OutCols<'_>,
                scratch: &mut [u8],
            ) {
                attention::attend($isa, kv, q, q_stride, job, out, scratch);
            }
            $(#[target_feature(enable = $feature)])?
            fn matvec<W: FloatFormat>(weights: &[u8], x: &[f32], out: &mut [f32]) {
                rows::matvec::<_, W>($isa, weights, x, out);
            }
            #[cfg(feature = "batch")]
            $(#[target_feature(enable = $feature)])?
            fn matmul<W: FloatFormat>(
                weights: &[u8],
                acts: &Acts<'_>,
                out: &mut OutCols<'_>,
                scratch: &mut [u8],
            ) {
                batch::matmul::<_, W>($isa, weights, acts, out, scratch);
            }
            FloatTable {
                rms_norm,
                add_assign,
                swiglu,
                rope,
                kv_store,
                attend,
                matvec: compiled([matvec::<rows::F32> as Matvec, matvec::<rows::F16>, matvec::<rows::Bf16>]),
                #[cfg(feature = "batch")]
                matmul: compiled([matmul::<rows::F32> as Matmul, matmul::<rows::F16>, matmul::<rows::Bf16>]),
            }
        };
    };
}

float_table!(
    /// Portable.
    SCALAR,
    Scalar
);
#[cfg(target_arch = "x86_64")]
float_table!(
    /// x86-64 with AVX2, FMA and F16C.
    AVX2,
    crate::simd::avx2::Avx2::assume(),
    "avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
float_table!(
    /// x86-64 with AVX-512.
    AVX512,
    crate::simd::avx512::Avx512::assume(),
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
);
#[cfg(target_arch = "aarch64")]
float_table!(
    /// aarch64 with Advanced SIMD.
    NEON,
    crate::simd::neon::Neon::assume(),
    "neon"
);

#[cfg(test)]
mod tests;
