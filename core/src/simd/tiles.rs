//! Products of tiles: matrices of 16 rows and 64 bytes.

/// Weights of sixteen rows, 64 of each, in order.
pub(crate) type Rows = [[u8; 64]; 16];

/// Digits of sixteen tokens, 64 of each: four of a token, the same four of the next, and so on.
pub(crate) type Quads = [[[i8; 4]; 16]; 16];

/// Two bfloat16 numbers in each dword, the first in the lower half: `[row][pair]` of weights, `[pair][token]` of
/// activations.
pub(crate) type Pairs = [[u32; 16]; 16];

/// Tiles in a super-block of 256 weights.
pub(crate) const STEPS: usize = 4;

/// An instruction set that multiplies tiles. What its operations leave in registers of its own is no one else's.
///
/// A value is proof that the CPU has it, as of every instruction set.
pub(crate) trait Tiles: Copy {
    /// Makes the thread's tiles 16 rows of 64 bytes each; before any product.
    fn configure(self);

    /// Gives the thread's tiles back: a thread that holds some is dearer to switch to.
    fn release(self);

    /// `to[g][p][row][token] = Σ weights[.., p, row, ..] · digits[g][.., token, ..]`, exact sums of 256 products, of `P`
    /// planes of weights (1 or 2) and `G` groups of tokens (1 or 2). The first plane's weights are signed bytes if `SIGNED`;
    /// else they are unsigned, as the second's always are.
    fn products<const P: usize, const G: usize, const SIGNED: bool>(
        self,
        weights: &[[Rows; P]; STEPS],
        digits: [&[Quads; STEPS]; G],
        to: &mut [[[[i32; 16]; 16]; P]; G],
    );

    /// `to[row][token] = Σ a[row][..] · b[..][token]`, 32 products each. Exact where every partial sum is a whole number
    /// below 2^24 in magnitude, in whatever order.
    fn pairs(self, a: &Pairs, b: &Pairs, to: &mut [[f32; 16]; 16]);
}
