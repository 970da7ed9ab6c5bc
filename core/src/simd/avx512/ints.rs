//! Blocks of small integers.

use super::Avx512;
use crate::simd::avx2::{Avx2, Shuffle};
use crate::simd::ints::{Ints, STEP};
use crate::simd::isa_ops;
use crate::simd::vnni::{PICKS, as_avx2, vnni_ints};
use core::arch::x86_64::*;

vnni_ints! {
    Avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c",
    _mm256_dpbusd_epi32,
    _mm256_dpwssd_epi32,
    |bits| { _mm256_maskz_set1_epi8(bits, 16) }
}
