//! What multiplying a row needs of an instruction set: 32 bytes at a time, and eight blocks' sums at a time.

/// Blocks whose sums are reduced, and whose floats are computed, together.
pub(crate) const STEP: usize = 8;

/// Operations on 32 bytes of weights or digits, and on eight blocks' integers and floats.
///
/// No integer operation rounds or saturates within the ranges given; each float operation rounds once.
pub(crate) trait Ints: Copy {
    /// 32 bytes.
    type Bytes: Copy;
    /// Partial sums of one block, i32 each.
    type Sums: Copy;
    /// Scales of 16-weight groups, sixteen to a super-block, each -128..=127.
    type Scales16: Copy;
    /// Eight i32, one a block.
    type Eight: Copy;
    /// Eight f32, one a block.
    type Floats: Copy;
    /// What it takes to pick scales out of a block's; made once for a matrix.
    type Picks: Copy;

    /// Whether a step's eight blocks are written out rather than looped over: faster, and eight times the code.
    const UNROLL: bool;

    /// 32 bytes as they are.
    fn bytes(self, p: &[u8; 32]) -> Self::Bytes;
    /// 32 digits as they are.
    fn digits(self, p: &[i8; 32]) -> Self::Bytes;
    /// The low nibbles of 16 bytes, then the high ones.
    fn nibbles(self, p: &[u8; 16]) -> Self::Bytes;
    /// Byte `i` is 16 where bit `i` is set, else 0.
    fn sixteens(self, bits: u32) -> Self::Bytes;
    /// `a & mask` in every byte.
    fn and(self, a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `(a >> N) & mask` in every byte; `mask` has none of the upper `N` bits.
    fn shr_and<const N: i32>(self, a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `(a << N) & mask` in every byte; `mask` has none of the lower `N` bits.
    fn shl_and<const N: i32>(self, a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `a | b`.
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// Partial sums that add up to `x`.
    fn sums(self, x: i32) -> Self::Sums;
    /// `acc + Σ u·y`, `u` in 0..=63, `y` in -128..=127.
    fn dot(self, acc: Self::Sums, u: Self::Bytes, y: Self::Bytes) -> Self::Sums;
    /// `acc + Σ w·y`, both in -128..=127.
    fn dot_signed(self, acc: Self::Sums, w: Self::Bytes, y: Self::Bytes) -> Self::Sums;
    /// `acc + Σ w·y`, `w` in -128..=127 and `y` in -127..=127.
    fn dot_signed_top(self, acc: Self::Sums, w: Self::Bytes, y: Self::Bytes) -> Self::Sums;

    /// See [`Picks`](Self::Picks).
    fn picks(self) -> Self::Picks;
    /// Scales from their bytes.
    fn scales16(self, s: &[i8; 16]) -> Self::Scales16;
    /// `acc + s[2J]·(Σ u·y of the first 16) + s[2J + 1]·(Σ u·y of the others)`, and the same of `J + 1` and the second
    /// `u`, of even `J` and two `u` in 0..=63 with their digits.
    fn dot_grouped<const J: usize>(
        self,
        acc: Self::Sums,
        u: [Self::Bytes; 2],
        y: [Self::Bytes; 2],
        s: Self::Scales16,
        picks: Self::Picks,
    ) -> Self::Sums;
    /// Partial sums of `Σ s[g]·sums[g]`.
    fn dot_sums(self, s: Self::Scales16, sums: &[i16; 16]) -> Self::Sums;
    /// `a − (b << N)`.
    fn sub_shl<const N: i32>(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;

    /// The sums of eight blocks.
    fn reduce(self, sums: &[Self::Sums; STEP]) -> Self::Eight;
    /// Eight numbers.
    fn eight(self, x: &[i16; STEP]) -> Self::Eight;
    /// `a − (b << N)`.
    fn eight_sub_shl<const N: i32>(self, a: Self::Eight, b: Self::Eight) -> Self::Eight;
    /// Converted, to the nearest, ties to even.
    fn to_f32(self, x: Self::Eight) -> Self::Floats;
    /// Eight halves, converted exactly.
    fn halves(self, h: &[u16; STEP]) -> Self::Floats;
    /// Eight floats.
    fn floats(self, x: &[f32; STEP]) -> Self::Floats;
    /// `x` in every place.
    fn splat(self, x: f32) -> Self::Floats;
    /// `a + b`.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a − b`.
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b`.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The inverse of [`floats`](Self::floats).
    fn store(self, x: Self::Floats, to: &mut [f32; STEP]);

    /// `sums` of eight rows and the rows' next eight terms, each row's one after the other.
    #[inline(always)]
    fn add_in_order(self, sums: Self::Floats, rows: [&[f32; STEP]; STEP]) -> Self::Floats {
        let mut all = [0.0; STEP];
        self.store(sums, &mut all);
        for (sum, terms) in all.iter_mut().zip(rows) {
            *sum = terms.iter().fold(*sum, |sum, term| sum + term);
        }
        self.floats(&all)
    }

    /// Asks for the cache lines at `near` (soon) and `far` (later) bytes from `p`, wherever they are. A hint.
    fn prefetch(self, p: *const u8, near: usize, far: usize);
}

/// Operations on sub-blocks of 32 weights, eight to a super-block, with scales and minimums in 0..=63. On x86-64 the headers
/// of several blocks are unpacked together instead.
pub(crate) trait SubBlocks: Ints {
    /// `acc + s[J]·Σ u·y + s[J + 1]·Σ u'·y'` of even `J` and two `u` in 0..=63 with their digits.
    fn dot_scaled<const J: usize>(
        self,
        acc: Self::Sums,
        u: [Self::Bytes; 2],
        y: [Self::Bytes; 2],
        s: &[u8; 8],
    ) -> Self::Sums;
    /// Partial sums of `Σ m[j]·(sums[2j] + sums[2j + 1])`: minimums with sums of 16 digits.
    fn dot_mins(self, m: &[u8; 8], sums: &[i16; 16]) -> Self::Sums;
}

/// The eight scales, then the eight minimums, of Q4_K and Q5_K: the lower six bits of the first four of each lie in
/// bytes of their own, the others' low nibbles together, their upper two bits above the first four's.
#[inline(always)]
pub(crate) fn unpack_scales8(header: &[u8; 16]) -> ([u8; 8], [u8; 8]) {
    let [_, a, b, c] =
        core::array::from_fn(|i| header[4 * i..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)));
    let scales = [a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | ((a >> 2) & 0x3030_3030)];
    let mins = [b & 0x3f3f_3f3f, ((c >> 4) & 0x0f0f_0f0f) | ((b >> 2) & 0x3030_3030)];
    let bytes = |[low, high]: [u32; 2]| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    (bytes(scales), bytes(mins))
}
