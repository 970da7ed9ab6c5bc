//! A panel: one unit of some rows, unpacked and transposed.

#[cfg(target_arch = "x86_64")]
use super::ahead::Ahead;
use super::format::{PanelFormat, SIGNED_BYTES, Term, half_to_single};
use crate::array::map;
use crate::simd::columns::{Column, Columns};
use crate::simd::panel::{PanelIsa, pair};

/// Steps of four weights in a unit: a super-block, or eight blocks of 32.
pub(super) const UNIT_STEPS: usize = 64;
/// Blocks in a unit at most.
const UNIT_BLOCKS: usize = 8;
/// Dwords of a row: its weights, 16 scales, 16 minimums.
const COLUMNS: usize = UNIT_STEPS + 8;

/// One unit of `R` rows.
#[repr(C, align(64))]
pub(super) struct Panel<const R: usize> {
    /// Four weights, or scales, or minimums of each row.
    columns: [[[u8; 4]; R]; COLUMNS],
    /// Scales of the groups, in the form that the instruction set multiplies with.
    pub(super) scales: [[i32; R]; 16],
    /// What the sums of the activations are multiplied with to undo the offset of the stored weights, in pairs. Of blocks
    /// of signed bytes: their negative weights' magnitudes, added up.
    pub(super) offsets: [[i32; R]; 8],
    /// Minimums, in pairs of the sums that they belong to.
    pub(super) mins: [[i32; R]; 8],
    /// `d` of each block.
    pub(super) d: [[f32; R]; UNIT_BLOCKS],
    /// `m` or `dmin` of each block.
    pub(super) m: [[f32; R]; UNIT_BLOCKS],
    /// Weights of formats without integer scales, before they are transposed.
    rows: [[[u8; 4]; UNIT_STEPS]; R],
}

impl<const R: usize> Panel<R> {
    /// The weights of block `block`, of `N` steps.
    #[inline(always)]
    pub(super) fn weights<const N: usize>(&self, block: usize) -> &[[[u8; 4]; R]; N] {
        self.columns[..UNIT_STEPS].as_chunks::<N>().0.get(block).expect("a unit has UNIT_STEPS / N blocks")
    }

    /// Unpacks the blocks `first .. first + count` of each of `rows`, and asks for as many bytes that are `ahead` of them.
    #[inline(always)]
    pub(super) fn unpack<I, F, const B: usize, const N: usize>(
        &mut self,
        isa: I,
        rows: &[&[[u8; B]]; R],
        first: usize,
        count: usize,
        ahead: usize,
    ) where
        I: PanelIsa<R>,
        F: PanelFormat<B, N>,
    {
        // With scales by columns: fewer dwords are transposed than there are weights, and the headers of all rows decoded at once.
        if F::GROUP_STEPS < N {
            let offset = if I::SIGNED { F::OFFSET as u8 } else { 0 };
            let blocks = map(rows, |blocks| &blocks[first]);
            // Only here `prefetch` is an instruction.
            #[cfg(target_arch = "x86_64")]
            self.unpack_columns::<_, F, B, N>(Ahead { isa, bytes: ahead }, &blocks, offset);
            #[cfg(not(target_arch = "x86_64"))]
            self.unpack_columns::<_, F, B, N>(isa.columns(), &blocks, offset);
            isa.arrange(&mut self.columns[..UNIT_STEPS]);
            self.spread::<I, F, B, N>();
        } else {
            for (r, blocks) in rows.iter().enumerate() {
                self.stage::<I, F, B, N>(r, &blocks[first..][..count]);
                // What hardware does not see coming in so many streams at once.
                if cfg!(target_arch = "x86_64") {
                    let at = blocks.as_ptr().wrapping_add(first).cast::<u8>().wrapping_add(ahead);
                    for line in 0..(count * B).div_ceil(64) {
                        isa.prefetch(at.wrapping_add(64 * line));
                    }
                }
            }
            let (weights, _) = self.columns.split_first_chunk_mut().expect("64 columns of weights");
            isa.transpose(&self.rows, weights, count * N);
            if F::HALVES {
                self.widen(count, F::TERM != Term::Scale);
            }
            if F::MAX_STORED == SIGNED_BYTES && I::WIDE_MAGNITUDES {
                for (weights, sums) in
                    self.columns.as_chunks::<N>().0.iter().zip(&mut self.offsets).take(count)
                {
                    *sums = isa.magnitudes(weights);
                }
            }
        }
    }

    /// Unpacks a super-block of each row, weights less `offset`.
    // On aarch64 a function of its own: within the driver it costs the loops over tokens registers.
    #[cfg_attr(target_arch = "aarch64", inline(never))]
    #[cfg_attr(not(target_arch = "aarch64"), inline(always))]
    fn unpack_columns<I: Columns<R>, F: PanelFormat<B, N>, const B: usize, const N: usize>(
        &mut self,
        isa: I,
        blocks: &[&[u8; B]; R],
        offset: u8,
    ) {
        let (weights, groups) = self.columns.split_first_chunk_mut().expect("64 columns of weights");
        let groups = groups.first_chunk_mut().expect("8 columns of scales and minimums");
        let [d, m] = F::unpack(isa, blocks, weights, groups, offset);
        singles(d, &mut self.d[0]);
        if F::TERM != Term::Scale {
            singles(m, &mut self.m[0]);
        }
    }

    /// Unpacks the blocks of row `r`.
    #[inline(always)]
    fn stage<I: PanelIsa<R>, F: PanelFormat<B, N>, const B: usize, const N: usize>(
        &mut self,
        r: usize,
        blocks: &[[u8; B]],
    ) {
        let staged = &mut self.rows[r];
        for (b, block) in blocks.iter().enumerate() {
            let (weights, _) = staged[b * N..].split_first_chunk_mut::<N>().expect("a unit holds the blocks");
            F::weights(block, weights);
            let offset = if F::MAX_STORED == SIGNED_BYTES {
                I::WIDE_OFFSET
            } else if I::SIGNED {
                -F::OFFSET
            } else {
                0
            };
            if offset != 0 {
                for w in weights.as_flattened_mut().as_chunks_mut().0 {
                    *w = add_bytes(u64::from_le_bytes(*w), offset as u8).to_le_bytes();
                }
            }
            let [d, m] = F::floats(block);
            self.d[b][r] = f32::from_bits(d);
            if F::TERM != Term::Scale {
                self.m[b][r] = f32::from_bits(m);
            }
        }
    }

    /// Converts the floats of the first `count` blocks, which are halves so far.
    #[inline(always)]
    fn widen(&mut self, count: usize, minimums: bool) {
        for b in 0..count {
            for r in 0..R {
                self.d[b][r] = half_to_single(self.d[b][r].to_bits());
            }
            if minimums {
                for r in 0..R {
                    self.m[b][r] = half_to_single(self.m[b][r].to_bits());
                }
            }
        }
    }

    /// Brings scales and minimums into the form in which they are multiplied.
    #[inline(always)]
    fn spread<I: PanelIsa<R>, F: PanelFormat<B, N>, const B: usize, const N: usize>(&mut self) {
        let groups = N / F::GROUP_STEPS;
        // Number `g` of dwords that hold four.
        let byte = |x: [u8; 4], g: usize| i32::from_le_bytes(x) << (24 - 8 * (g % 4)) >> 24;
        let scales = &self.columns[UNIT_STEPS..];
        for g in 0..groups {
            for r in 0..R {
                let scale = byte(scales[g / 4][r], g);
                self.scales[g][r] = if I::PAIRED_SCALES { pair(scale, scale) } else { scale };
            }
        }
        for g in 0..groups / 2 {
            if F::OFFSET != 0 && !I::SIGNED {
                for r in 0..R {
                    let (low, high) = (byte(scales[g / 2][r], 2 * g), byte(scales[g / 2][r], 2 * g + 1));
                    self.offsets[g][r] = pair(-F::OFFSET * low, -F::OFFSET * high);
                }
            }
            if F::TERM == Term::MinusMins {
                let mins = &scales[4..];
                for r in 0..R {
                    self.mins[g][r] = pair(byte(mins[g / 2][r], 2 * g), byte(mins[g / 2][r], 2 * g + 1));
                }
            }
        }
    }
}

/// Each of eight bytes plus `x`, wrapping. A loop over bytes stayed one on aarch64, and cost more than all the rest of unpacking.
#[inline(always)]
const fn add_bytes(eight: u64, x: u8) -> u64 {
    let (x, top) = (u64::from_ne_bytes([x; 8]), u64::from_ne_bytes([0x80; 8]));
    // The top bits are added apart, so that nothing carries.
    ((eight & !top) + (x & !top)) ^ ((eight ^ x) & top)
}

/// Converts halves.
#[inline(always)]
fn singles<I: Columns<R>, const R: usize>(halves: Column<I, R>, to: &mut [f32; R]) {
    let mut bits = [[0; 4]; R];
    halves.store(&mut bits);
    for r in 0..R {
        to[r] = half_to_single(u32::from_le_bytes(bits[r]));
    }
}
