//! Blocks of small integers.

use super::AvxVnni;
use crate::simd::avx2::{Avx2, Shuffle};
use crate::simd::ints::{Ints, STEP};
use crate::simd::isa_ops;
use crate::simd::vnni::{PICKS, as_avx2, vnni_ints};
use core::arch::x86_64::*;

vnni_ints! {
    AvxVnni,
    "avxvnni,avx2,fma,f16c",
    _mm256_dpbusd_avx_epi32,
    _mm256_dpwssd_avx_epi32,
    |bits| { Ints::sixteens(Avx2::assume(), bits) }
}
