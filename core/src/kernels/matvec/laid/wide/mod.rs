//! Sixteen blocks a step, in AVX-512's registers of 64 bytes.
//!
//! Sixteen blocks' partial sums are added up by one transposition, their headers are decoded four at a time, and their
//! floats fill one register, so that a block costs half the instructions of eight at a time.

mod q4_k;
mod small;

pub(super) use q4_k::Q4K;
pub(super) use small::{Q4_0, Q8_0};

use bytemuck::Pod;
use core::arch::x86_64::*;

/// Blocks in a step.
pub(super) const STEP: usize = 16;

/// Bytes `at..at + 64`. The places are constants: nothing is checked at run time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load64<T: Pod>(bytes: &T, at: usize) -> __m512i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<64>) else {
        return _mm512_setzero_si512();
    };
    // SAFETY: the reference covers exactly 64 readable bytes; loadu needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Bytes `at..at + 32`, as above.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load32<T: Pod>(bytes: &T, at: usize) -> __m256i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<32>) else {
        return _mm256_setzero_si256();
    };
    // SAFETY: the reference covers exactly 32 readable bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Bytes `at..at + 16`, as above.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load16<T: Pod>(bytes: &T, at: usize) -> __m128i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<16>) else {
        return _mm_setzero_si128();
    };
    // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn floats(x: &[f32; STEP]) -> __m512 {
    // SAFETY: the reference covers exactly 16 floats; loadu needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// Writes sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn store(to: &mut [f32; STEP], x: __m512) {
    // SAFETY: the reference covers exactly 16 floats; storeu needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}

/// Four vectors' sums of four neighbours: in each quarter, place `i` is vector `i`'s.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn add_neighbours(v: &[__m512i; 4]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// Four vectors' sums over their quarters: quarter `i` is vector `i`'s.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn add_quarters(v: &[__m512i; 4]) -> __m512i {
    let halves =
        |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
    let (ab, cd) = (halves(v[0], v[1]), halves(v[2], v[3]));
    _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(ab, cd), _mm512_shuffle_i32x4::<0xdd>(ab, cd))
}

/// `f = f·256 + i`, most significant plane first; one plane is its own integer.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn join<const P: usize>(planes: &[__m512i; P]) -> __m512 {
    let mut joined = _mm512_cvtepi32_ps(planes[0]);
    for plane in &planes[1..] {
        joined = _mm512_add_ps(_mm512_mul_ps(joined, _mm512_set1_ps(256.0)), _mm512_cvtepi32_ps(*plane));
    }
    joined
}

/// `x`, which has been computed where this stands: so it stays between its prefetches.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn finished(mut x: __m512i) -> __m512i {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { core::arch::asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
