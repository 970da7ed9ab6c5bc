//! x86-64 with AMX: tiles of bytes and of bfloat16 numbers. All else is AVX-512's.

#![allow(unsafe_code, reason = "assembly: the intrinsics are not stable")]

use super::avx512::Avx512;
use super::tiles::{Pairs, Quads, Rows, STEPS, Tiles};
use core::arch::asm;

/// Proof that the CPU has AMX-TILE, AMX-INT8 and AMX-BF16 beside what [`Avx512`] stands for, that the operating system
/// saves their registers, and that it has given this process leave to use them.
#[derive(Clone, Copy, Debug)]
pub struct Amx(Avx512);

impl Amx {
    /// Proof.
    ///
    /// # Safety
    /// The CPU has AMX-TILE, AMX-INT8 and AMX-BF16, the operating system has enabled their state (bits 17 and 18 of
    /// XCR0), and this process may use it: Linux gives leave by `arch_prctl(ARCH_REQ_XCOMP_PERM, 18)`.
    #[must_use]
    pub const unsafe fn assume(avx512: Avx512) -> Self {
        Self(avx512)
    }

    /// The part of it that is AVX-512.
    #[must_use]
    pub const fn avx512(self) -> Avx512 {
        self.0
    }
}

/// What LDTILECFG reads (Intel's manual, volume 1, 18.2): all eight tiles 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = {
    let mut config =
        Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut tile = 0;
    while tile < 8 {
        config.row_bytes[tile] = 64;
        config.rows[tile] = 16;
        tile += 1;
    }
    config
};

/// Loads a tile from `$from`, `$k` times `$each` bytes on.
macro_rules! load {
    ($tile:literal, $from:literal, $each:literal, $k:literal) => {
        concat!("tileloadd tmm", $tile, ", [{", $from, "} + {row} + ", $each, " * ", $k, "]\n")
    };
}
/// Multiplies tiles of weights and digits, and adds to a tile of sums.
macro_rules! multiply {
    ($by:literal, $sum:literal, $weights:literal, $digits:literal) => {
        concat!($by, " tmm", $sum, ", tmm", $weights, ", tmm", $digits, "\n")
    };
}

/// Step `$k`: one or two planes of weights, of which `$by` multiplies the first, times one or two groups of digits. Where
/// there is one group, both are it.
macro_rules! step {
    ($by:literal, 1, 1, $k:literal) => {
        concat!(load!(4, "weights", 1024, $k), load!(6, "first", 1024, $k), multiply!($by, 0, 4, 6))
    };
    ($by:literal, 1, 2, $k:literal) => {
        concat!(step!($by, 1, 1, $k), load!(7, "second", 1024, $k), multiply!($by, 1, 4, 7))
    };
    ($by:literal, 2, 1, $k:literal) => {
        concat!(
            load!(4, "weights", 2048, $k),
            load!(6, "first", 1024, $k),
            multiply!($by, 0, 4, 6),
            load!(5, "weights", "1024 + 2048", $k),
            multiply!("tdpbusd", 1, 5, 6),
        )
    };
    ($by:literal, 2, 2, $k:literal) => {
        concat!(
            step!($by, 2, 1, $k),
            load!(7, "second", 1024, $k),
            multiply!($by, 2, 4, 7),
            multiply!("tdpbusd", 3, 5, 7),
        )
    };
}

/// One super-block's tiles in one stretch of assembly, so that no register is live between two. In tiles 0 to 3 are the sums,
/// 4 and 5 hold planes of weights, 6 and 7 digits of the groups.
macro_rules! products {
    ($by:literal, $weights:ident, $first:ident, $second:ident, $to:ident, $planes:tt, $groups:tt, [$($sum:literal)*]) => {
        asm!(
            $(concat!("tilezero tmm", $sum),)*
            step!($by, $planes, $groups, 0),
            step!($by, $planes, $groups, 1),
            step!($by, $planes, $groups, 2),
            step!($by, $planes, $groups, 3),
            $(concat!("tilestored [{to} + {row} + 1024 * ", $sum, "], tmm", $sum),)*
            "/* {second} */",
            weights = in(reg) $weights.as_ptr(),
            first = in(reg) $first,
            second = in(reg) $second,
            to = in(reg) $to,
            row = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags),
        )
    };
}

impl Tiles for Amx {
    #[inline(always)]
    fn configure(self) {
        // SAFETY: a value of this type exists only where tiles may be used; the instruction reads the 64 bytes of the
        // configuration, which is one that palette 1 allows.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    fn release(self) {
        // SAFETY: a value of this type exists only where tiles may be used; their content is no one's.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    fn products<const P: usize, const G: usize, const SIGNED: bool>(
        self,
        weights: &[[Rows; P]; STEPS],
        digits: [&[Quads; STEPS]; G],
        to: &mut [[[[i32; 16]; 16]; P]; G],
    ) {
        const { assert!((P == 1 || P == 2) && (G == 1 || G == 2)) };
        let (first, second) = (digits[0].as_ptr(), digits[G - 1].as_ptr());
        let to: *mut [[i32; 16]; 16] = to.as_mut_ptr().cast();
        // SAFETY: a value of this type exists only where tiles may be used, and the driver has configured them; each load
        // reads 16 rows of 64 bytes, one after another, within the arrays that the references are of, and each store
        // writes one of the `P · G` matrices of as many bytes.
        unsafe {
            match (SIGNED, P, G) {
                (true, 1, 1) => products!("tdpbssd", weights, first, second, to, 1, 1, [0]),
                (true, 1, _) => products!("tdpbssd", weights, first, second, to, 1, 2, [0 1]),
                (true, _, 1) => products!("tdpbssd", weights, first, second, to, 2, 1, [0 1]),
                (true, ..) => products!("tdpbssd", weights, first, second, to, 2, 2, [0 1 2 3]),
                (false, 1, 1) => products!("tdpbusd", weights, first, second, to, 1, 1, [0]),
                (false, 1, _) => products!("tdpbusd", weights, first, second, to, 1, 2, [0 1]),
                (false, _, 1) => products!("tdpbusd", weights, first, second, to, 2, 1, [0 1]),
                (false, ..) => products!("tdpbusd", weights, first, second, to, 2, 2, [0 1 2 3]),
            }
        }
    }

    #[inline(always)]
    fn pairs(self, a: &Pairs, b: &Pairs, to: &mut [[f32; 16]; 16]) {
        // SAFETY: as in `products`: two matrices are read, one is written, each 16 rows of 64 bytes.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm6, [{b} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tilestored [{to} + {row}], tmm0",
                a = in(reg) a,
                b = in(reg) b,
                to = in(reg) to,
                row = in(reg) 64usize,
                out("tmm0") _, out("tmm4") _, out("tmm6") _,
                options(nostack, preserves_flags),
            )
        }
    }
}
