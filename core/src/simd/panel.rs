//! What the batch multiplication needs of an instruction set: vectors whose lanes are the rows of a panel.

use super::columns::Columns;
use crate::array::map;

/// Runs the body for each step below `$steps`, at most 8, in straight code: the end of so short a loop would be
/// mispredicted as often as not.
macro_rules! unrolled {
    ($s:ident in 0..$steps:ident $body:block) => { unrolled!(@ $s, $steps, $body, 0 1 2 3 4 5 6 7) };
    (@ $s:ident, $steps:ident, $body:block, $($i:literal)*) => {
        $(if $i < $steps {
            let $s = $i;
            $body
        })*
    };
}

/// Operations on a panel of `R` rows. Weights lie in steps of four: `[step][row][4]`, digits of an activation are
/// broadcast four at a time, every sum has one lane a row.
///
/// No operation rounds or saturates except the float ones, which round once each. Those that accumulate products
/// in 16 bits rely on the caller to fold the part before [`PART_PRODUCTS`](Self::PART_PRODUCTS) times the steps
/// overflows it.
pub(crate) trait PanelIsa<const R: usize>: Copy {
    /// Tokens whose accumulators fit the registers together.
    const TOKENS: usize;
    /// The same of blocks of 32 weights.
    const SMALL_TOKENS: usize = Self::TOKENS;
    /// Products of one step that are added into the same 16-bit lane of a [`Part`](Self::Part); 0 if its lanes
    /// are 32 bits wide.
    const PART_PRODUCTS: usize;
    /// Whether [`fold_scaled`](Self::fold_scaled) reads a scale as two equal 16-bit halves of its lane.
    const PAIRED_SCALES: bool;

    /// Whether weights are stored signed, and multiplied by [`dots`](Self::dots): a multiplier that takes any bytes.
    const SIGNED: bool = false;
    /// Whether tokens are multiplied in pairs, so that their number is even.
    const PAIRS: bool = false;
    /// Steps of a block at most whose unit's f32 accumulators have room in the registers beside the integer sums.
    const KEPT_STEPS: usize = 0;

    /// How much too large signed bytes are stored, for a multiplier that takes one operand unsigned.
    const WIDE_OFFSET: i32 = 0;
    /// Whether [`wide_dot`](Self::wide_dot) takes a digit `q` as `-1 - q` where the weight is negative, and the weight
    /// without its sign, so that the magnitudes of the negative weights are missing from the sums.
    const WIDE_MAGNITUDES: bool = false;

    /// Operations on columns; instruction sets that share them share the code that is made of them.
    type Columns: Columns<R>;

    /// Four weights of each row.
    type Weights: Copy;
    /// Four digits, for every row.
    type Digits: Copy;
    /// Sums of products in the form in which they come out of the multiplier.
    type Part: Copy;
    /// The same for 8-bit signed weights.
    type WidePart: Copy;
    /// One i32 a row.
    type Ints: Copy;
    /// One f32 a row.
    type Floats: Copy;

    /// `panel[c][r] = rows[r][c]` for the first `columns` (a multiple of 8) columns, or the weights among them as they are
    /// multiplied.
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    );

    /// The instruction set of the [columns](Self::Columns).
    fn columns(self) -> Self::Columns;
    /// Brings columns of weights, which are four weights of each row, one row after the other, into the order of
    /// [`transpose`](Self::transpose), if that is another.
    #[inline(always)]
    fn arrange(self, _columns: &mut [[[u8; 4]; R]]) {}

    /// Loads a step of the panel.
    fn weights(self, w: &[[u8; 4]; R]) -> Self::Weights;
    /// Broadcasts four digits.
    fn digits(self, q: [i8; 4]) -> Self::Digits;

    /// No products yet.
    fn part(self) -> Self::Part;
    /// No products of `T` tokens yet.
    #[inline(always)]
    fn parts<const T: usize>(self) -> [Self::Part; T] {
        [self.part(); T]
    }
    /// Adds the products of weights in 0..=63 with digits in -128..=127.
    fn dot(self, part: Self::Part, w: Self::Weights, q: Self::Digits) -> Self::Part;
    /// `acc + part · scale`.
    fn fold_scaled(self, acc: Self::Ints, part: Self::Part, scale: Self::Ints) -> Self::Ints;
    /// `acc + part`.
    fn fold(self, acc: Self::Ints, part: Self::Part) -> Self::Ints;

    /// `isum + part · scale`, or `isum + part` without a scale, of the products of `S` steps and `T` tokens, which a part holds.
    #[inline(always)]
    fn fold_dots<const S: usize, const T: usize>(
        self,
        isum: &mut [Self::Ints; T],
        w: &[[[u8; 4]; R]; S],
        q: [&[[i8; 4]; S]; T],
        scale: Option<&[i32; R]>,
    ) {
        let scale = scale.map(|scale| self.load_i32(scale));
        let mut part = [self.part(); T];
        unrolled!(s in 0..S {
            let w = self.weights(&w[s]);
            for t in 0..T {
                part[t] = self.dot(part[t], w, self.digits(q[t][s]));
            }
        });
        for t in 0..T {
            isum[t] = match scale {
                Some(scale) => self.fold_scaled(isum[t], part[t], scale),
                None => self.fold(isum[t], part[t]),
            };
        }
    }

    /// `Σ part · scale` of the products of `N` steps and `T` tokens: groups of `group_steps` have a scale each, parts hold `S`
    /// steps.
    #[inline(always)]
    fn fold_groups<const S: usize, const N: usize, const T: usize>(
        self,
        w: &[[[u8; 4]; R]; N],
        q: [&[[i8; 4]; N]; T],
        scales: &[[i32; R]; 16],
        group_steps: usize,
    ) -> [Self::Ints; T] {
        fold_groups::<_, R, S, N, T>(self, w, q, scales, group_steps)
    }

    /// Adds the products of `S` (4 or 8) steps of signed weights and of `T` tokens; [`SIGNED`](Self::SIGNED) only. The sums
    /// are in an order of the instruction set's own until [`settle`](Self::settle) puts each in its place.
    #[inline(always)]
    fn dots<const S: usize, const T: usize>(
        self,
        mut part: [Self::Part; T],
        w: &[[[u8; 4]; R]; S],
        q: [&[[i8; 4]; S]; T],
    ) -> [Self::Part; T] {
        for (s, w) in w.iter().enumerate() {
            let w = self.weights(w);
            for (part, q) in part.iter_mut().zip(q) {
                *part = self.dot(*part, w, self.digits(q[s]));
            }
        }
        part
    }
    /// `acc + part · scale` of sums that are not settled.
    #[inline(always)]
    fn fold_all_scaled<const T: usize>(
        self,
        mut acc: [Self::Ints; T],
        part: [Self::Part; T],
        scale: &[i32; R],
    ) -> [Self::Ints; T] {
        let scale = self.load_i32(scale);
        for (acc, part) in acc.iter_mut().zip(part) {
            *acc = self.fold_scaled(*acc, part, scale);
        }
        acc
    }
    /// One i32 a row of each token.
    #[inline(always)]
    fn settle<const T: usize>(self, acc: [Self::Ints; T]) -> [Self::Ints; T] {
        acc
    }

    /// No products yet.
    fn wide_part(self) -> Self::WidePart;
    /// Adds the products of weights in -128..=127, stored and taken as [`WIDE_OFFSET`](Self::WIDE_OFFSET) and
    /// [`WIDE_MAGNITUDES`](Self::WIDE_MAGNITUDES) say, with digits in -128..=127; good for up to 64 steps.
    fn wide_dot(self, part: Self::WidePart, w: Self::Weights, q: Self::Digits) -> Self::WidePart;
    /// The magnitudes of the negative weights of these steps, added up; [`WIDE_MAGNITUDES`](Self::WIDE_MAGNITUDES) only.
    #[inline(always)]
    fn magnitudes(self, _w: &[[[u8; 4]; R]]) -> [i32; R] {
        unreachable!("the sums have them")
    }
    /// [`wide_dot`](Self::wide_dot) of eight steps and `T` tokens.
    #[inline(always)]
    fn wide_dots<const T: usize>(
        self,
        part: [Self::WidePart; T],
        w: &[[[u8; 4]; R]; 8],
        q: [&[[i8; 4]; 8]; T],
    ) -> [Self::WidePart; T] {
        wide_dots(self, part, w, q)
    }
    /// The sums.
    fn wide_sum(self, part: Self::WidePart) -> Self::Ints;

    /// The same number in every row.
    fn splat_i32(self, x: i32) -> Self::Ints;
    /// `a + b`.
    fn add_i32(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Loads an i32 a row.
    fn load_i32(self, x: &[i32; R]) -> Self::Ints;
    /// `acc + c.low · s.low + c.high · s.high`, the halves being signed 16-bit numbers: `c` has a pair for every
    /// row, `s` is the same for all.
    fn dot_pairs(self, acc: Self::Ints, c: &[i32; R], s: i32) -> Self::Ints;
    /// [`dot_pairs`](Self::dot_pairs) of the first `P` coefficients and of the sums of each token: of 32 digits if `P` is 4,
    /// of 16 if it is 8.
    #[inline(always)]
    fn dot_all_pairs<const P: usize, const T: usize>(
        self,
        acc: [Self::Ints; T],
        c: &[[i32; R]; 8],
        sums: [&[i16; 16]; T],
    ) -> [Self::Ints; T] {
        dot_all_pairs::<_, R, P, T>(self, acc, c, sums)
    }

    /// Converts, to the nearest, ties to even.
    fn to_f32(self, x: Self::Ints) -> Self::Floats;
    /// The same number in every row.
    fn splat_f32(self, x: f32) -> Self::Floats;
    /// Loads an f32 a row.
    fn load_f32(self, x: &[f32; R]) -> Self::Floats;
    /// Stores an f32 a row.
    fn store_f32(self, x: Self::Floats, to: &mut [f32; R]);
    /// `a + b`.
    fn add_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a − b`.
    fn sub_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b`.
    fn mul_f32(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// Sums of 32 digits out of sums of 16, in pairs: pair `j` holds sums `2j` and `2j + 1` of 32.
    fn pair_sums(self, sums: &[i16; 16]) -> [i32; 4];
    /// Asks for the cache line of `at`, wherever it points.
    fn prefetch(self, at: *const u8);
}

/// The `N` elements that `x` has.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn all<E, const N: usize>(x: &[E]) -> &[E; N] {
    x.try_into().expect("as many elements")
}

/// [`PanelIsa::fold_groups`] by [`PanelIsa::fold_dots`].
#[inline(always)]
pub(super) fn fold_groups<I: PanelIsa<R>, const R: usize, const S: usize, const N: usize, const T: usize>(
    isa: I,
    w: &[[[u8; 4]; R]; N],
    q: [&[[i8; 4]; N]; T],
    scales: &[[i32; R]; 16],
    group_steps: usize,
) -> [I::Ints; T] {
    let mut isum = [isa.splat_i32(0); T];
    let q = map(&q, |q| q.as_chunks::<S>().0);
    for (part, w) in w.as_chunks::<S>().0.iter().enumerate() {
        isa.fold_dots(&mut isum, w, map(&q, |q| &q[part]), Some(&scales[part * S / group_steps]));
    }
    isum
}

/// Two signed 16-bit numbers in a dword, the first in the lower half.
#[inline(always)]
pub(crate) const fn pair(low: i32, high: i32) -> i32 {
    low & 0xffff | high << 16
}

/// The sums of a super-block's digits in `P` pairs.
#[inline(always)]
pub(super) fn in_pairs<I: PanelIsa<R>, const R: usize, const P: usize>(isa: I, sums: &[i16; 16]) -> [i32; 8] {
    let mut s = [0; 8];
    if P == 4 {
        s[..4].copy_from_slice(&isa.pair_sums(sums));
    } else {
        for (s, sums) in s.iter_mut().zip(sums.as_chunks::<2>().0) {
            *s = pair(i32::from(sums[0]), i32::from(sums[1]));
        }
    }
    s
}

/// [`PanelIsa::dot_all_pairs`] by [`PanelIsa::dot_pairs`].
#[inline(always)]
pub(super) fn dot_all_pairs<I: PanelIsa<R>, const R: usize, const P: usize, const T: usize>(
    isa: I,
    mut acc: [I::Ints; T],
    c: &[[i32; R]; 8],
    sums: [&[i16; 16]; T],
) -> [I::Ints; T] {
    for (acc, sums) in acc.iter_mut().zip(sums) {
        for (c, &s) in c.iter().zip(&in_pairs::<I, R, P>(isa, sums)).take(P) {
            *acc = isa.dot_pairs(*acc, c, s);
        }
    }
    acc
}

/// [`PanelIsa::wide_dots`] by the other operations.
#[inline(always)]
pub(super) fn wide_dots<I: PanelIsa<R>, const R: usize, const T: usize>(
    isa: I,
    mut part: [I::WidePart; T],
    w: &[[[u8; 4]; R]; 8],
    q: [&[[i8; 4]; 8]; T],
) -> [I::WidePart; T] {
    const STEPS: usize = 8;
    unrolled!(s in 0..STEPS {
        let w = isa.weights(&w[s]);
        for t in 0..T {
            part[t] = isa.wide_dot(part[t], w, isa.digits(q[t][s]));
        }
    });
    part
}
