//! AMX's tiles: whether this process may use them, whether they multiply as they should, and whether they pay.

use crate::memory::Arena;
use barre_core::kernels::{ActKind, ActsMut, Kernels, Mode, OutCols};
use barre_core::quant::WeightFormat;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What tiles need of this machine, and whether it is there. Asks the system's leave, once, if the CPU has them.
pub(crate) fn needs() -> &'static [(&'static str, bool)] {
    static NEEDS: OnceLock<Vec<(&str, bool)>> = OnceLock::new();
    NEEDS.get_or_init(|| {
        // Intel's manual, volume 2, CPUID: leaf 7.
        let bits = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 };
        let bit = |n: u32| bits >> n & 1 == 1;
        let mut needs = vec![("amx-tile", bit(24)), ("amx-int8", bit(25)), ("amx-bf16", bit(22))];
        if needs.iter().all(|(_, there)| *there) {
            needs.push(("tiles saved by the system (XCR0)", saved()));
        }
        if needs.iter().all(|(_, there)| *there) {
            needs.push(("the system's leave to use tiles (arch_prctl)", leave()));
        }
        needs
    })
}

/// Whether the system saves the configuration and the data of tiles.
fn saved() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const TILES: u64 = 3 << 17;
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: the register 0 exists wherever XGETBV does.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    // SAFETY: OSXSAVE says that the system has enabled XGETBV.
    __cpuid(1).ecx & OSXSAVE != 0 && unsafe { xcr0() } & TILES == TILES
}

/// Asks Linux for the 8 KiB of state that a thread has with tiles (Documentation/arch/x86/xstate.rst), for every thread of
/// this process.
#[cfg(target_os = "linux")]
fn leave() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call of the kernel takes two numbers and writes to no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn leave() -> bool {
    false
}

/// What a trial of two instruction sets on the same product has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// Whether they gave the same bits.
    pub(crate) equal: bool,
    /// Whether the first was faster.
    pub(crate) faster: bool,
}

/// Turns that each takes; the fastest counts.
const TURNS: usize = 5;
const K: usize = 1024;
const ROWS: usize = 128;
/// As many as share the unpacking of the weights in a prompt, of which tiles need more than AVX-512 does.
const TOKENS: usize = 256;
const FORMAT: WeightFormat = WeightFormat::Q4_K;

/// Multiplies a small matrix with a batch by both in turn: a few milliseconds. `None` without the memory for it.
///
/// The rate of tiles drops on machines that others use too, to less than half of what instructions without them reach, so what
/// the CPU has does not tell which is the better.
pub(crate) fn compare(one: &Kernels, other: &Kernels) -> Option<Trial> {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let row_bytes = FORMAT.row_bytes(K)?;
    let mut weights: Vec<u8> = (0..ROWS * row_bytes).map(|_| next() as u8).collect();
    for block in weights.chunks_exact_mut(FORMAT.block_bytes()) {
        // `d` and `dmin` of 1/16: what is compared are numbers.
        block[..4].copy_from_slice(&[0, 0x2c, 0, 0x2c]);
    }
    let kind = ActKind::of(FORMAT);
    let mut memory = Arena::new(ActsMut::bytes(kind, Mode::Int8, K, TOKENS)?).ok()?;
    let mut acts = ActsMut::new(kind, Mode::Int8, K, TOKENS, memory.bytes_mut())?;
    for t in 0..TOKENS {
        let x: Vec<f32> = (0..K).map(|_| next() as i16 as f32).collect();
        other.quantize(kind, Mode::Int8, &x, acts.token_mut(t));
    }
    let acts = acts.finish();

    let mut sides = Vec::new();
    for kernels in [one, other] {
        let scratch = Arena::new(kernels.matmul_scratch_bytes(FORMAT, K, TOKENS)).ok()?;
        sides.push((kernels, scratch, vec![0.0f32; TOKENS * ROWS], Duration::MAX));
    }
    for _ in 0..TURNS {
        for (kernels, scratch, out, fastest) in &mut sides {
            let start = Instant::now();
            kernels.matmul(
                FORMAT,
                &weights,
                &acts,
                &mut OutCols::new(out, TOKENS, ROWS),
                scratch.bytes_mut(),
            );
            *fastest = start.elapsed().min(*fastest);
        }
    }
    let equal = sides[0].2.iter().zip(&sides[1].2).all(|(a, b)| a.to_bits() == b.to_bits());
    Some(Trial { equal, faster: sides[0].3 < sides[1].3 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::available;

    #[test]
    fn all_instruction_sets_agree_on_the_trial() {
        for isa in available() {
            let kernels = crate::detect::kernels(Some(isa)).unwrap();
            assert!(compare(&kernels, &Kernels::scalar()).unwrap().equal, "{isa}");
        }
    }

    #[test]
    fn what_is_needed_is_asked_for_in_order() {
        let needs = needs();
        let missing = needs.iter().position(|(_, there)| !there);
        assert!(missing.is_none_or(|first| first < 3 || first == needs.len() - 1), "{needs:?}");
        if missing.is_some_and(|first| first < 3) {
            println!("left out: tiles, which this CPU lacks");
        }
    }
}
